"""Each schedule function against a numpy formula over a whole run."""

import inspect

import numpy as np
import pytest

from mindcv.scheduler import dynamic_lr

pytestmark = pytest.mark.no_mindspore

STEPS, EPOCHS = 7, 12
TOTAL = STEPS * EPOCHS
STEP = np.arange(TOTAL)
EPOCH = STEP // STEPS
TIME = STEP / STEPS
RUN = {"steps_per_epoch": STEPS, "epochs": EPOCHS}


def _cosine(low, high, progress):
    return low + 0.5 * (high - low) * (1 + np.cos(np.pi * progress))


def _cycles(time):
    cycle = np.floor(time / 4)
    return np.where(cycle < 2, _cosine(0.1, 2.0 * 0.5**cycle, time / 4 - cycle), 0.1)


def _restarts():
    # restarts after 2, then 4 more, then 8 more epochs: the third is cut off by the end of the run
    start = np.select([TIME < 2, TIME < 6], [0, 2], 6)
    length = np.select([TIME < 2, TIME < 6], [2, 4], 8)
    return _cosine(0.1, 2.0, (TIME - start) / length)


def _one_cycle(anneal, three_phase):
    top, end = 0.3 * TOTAL - 1, TOTAL - 1
    first, last = 2.0 / 25, 2.0 / 25 / 1e4
    if not three_phase:
        return np.where(top >= STEP, anneal(first, 2.0, STEP / top), anneal(2.0, last, (STEP - top) / (end - top)))
    bottom = 0.6 * TOTAL - 2
    return np.select(
        [top >= STEP, bottom >= STEP],
        [anneal(first, 2.0, STEP / top), anneal(2.0, first, (STEP - top) / (bottom - top))],
        anneal(first, last, (STEP - bottom) / (end - bottom)),
    )


def _cos(start, end, progress):
    return _cosine(end, start, progress)


def _line(start, end, progress):
    return start + (end - start) * progress


def _triangle(up, down):
    position = STEP % (up + down)
    return np.where(position <= up, position / up, (up + down - position) / down)


CYCLE = STEP // 20
CASES = {
    "constant_lr": ((0.5, 3), {"lr": 2.0}, np.where(EPOCH < 3, 1.0, 2.0)),
    "linear_lr": ((0.2, 0.8, 5), {"lr": 2.0}, 0.4 + 1.2 * np.minimum(EPOCH / 5, 1)),
    "linear_refined_lr": ((0.2, 0.8, 5), {"lr": 2.0}, 0.4 + 1.2 * np.minimum(TIME / 5, 1)),
    "polynomial_lr": ((8, 1.5), {"lr": 2.0}, 2.0 * (1 - np.minimum(EPOCH / 8, 1)) ** 1.5),
    "polynomial_refined_lr": ((8, 1.5), {"lr": 2.0}, 2.0 * (1 - np.minimum(TIME / 8, 1)) ** 1.5),
    "exponential_lr": ((0.9,), {"lr": 2.0}, 2.0 * 0.9**EPOCH),
    "exponential_refined_lr": ((0.9,), {"lr": 2.0}, 2.0 * 0.9**TIME),
    "step_lr": ((5, 0.1), {"lr": 2.0}, 2.0 * 0.1 ** (EPOCH // 5)),
    "multi_step_lr": (([9, 4], 0.1), {"lr": 2.0}, np.select([EPOCH < 4, EPOCH < 9], [2.0, 0.2], 0.02)),
    "cosine_annealing_lr": ((5, 0.1), {"eta_max": 2.0}, _cosine(0.1, 2.0, EPOCH / 5)),
    "cosine_annealing_warm_restarts_lr": ((2, 2, 0.1), {"eta_max": 2.0}, _restarts()),
    "cosine_decay_lr": ((4, 0.1), {"eta_max": 2.0, "num_cycles": 2, "cycle_decay": 0.5}, _cycles(EPOCH)),
    "cosine_decay_refined_lr": ((4, 0.1), {"eta_max": 2.0, "num_cycles": 2, "cycle_decay": 0.5}, _cycles(TIME)),
    "one_cycle_lr": ((2.0,), {}, _one_cycle(_cos, False)),
    "one_cycle_lr-linear": ((2.0, 0.3, "linear"), {}, _one_cycle(_line, False)),
    "one_cycle_lr-three_phase": ((2.0,), {"three_phase": True}, _one_cycle(_cos, True)),
    "cyclic_lr": ((0.1, 2.0, 10), {}, 0.1 + 1.9 * _triangle(10, 10)),
    "cyclic_lr-down": ((0.1, 2.0, 5, 15), {}, 0.1 + 1.9 * _triangle(5, 15)),
    "cyclic_lr-half": ((0.1, 2.0, 10), {"mode": "triangular2"}, 0.1 + 1.9 * _triangle(10, 10) * 0.5**CYCLE),
    "cyclic_lr-exp": ((0.1, 2.0, 10, None, "exp_range", 0.9), {}, 0.1 + 1.9 * _triangle(10, 10) * 0.9**STEP),
    "cyclic_lr-own": (
        (0.1, 2.0, 10),
        {"scale_fn": lambda cycle: 1 / cycle},
        0.1 + 1.9 * _triangle(10, 10) / (CYCLE + 1),
    ),
    "cyclic_lr-own_step": (
        (0.1, 2.0, 10),
        {"scale_fn": lambda step: 1 / (1 + step), "scale_mode": "iterations"},
        0.1 + 1.9 * _triangle(10, 10) / (STEP + 1),
    ),
}

# The public signatures (COMPAT.md section 1).
SIGNATURES = {
    "constant_lr": "factor total_iters * lr steps_per_epoch epochs",
    "cosine_annealing_lr": "t_max eta_min * eta_max steps_per_epoch epochs",
    "cosine_annealing_warm_restarts_lr": "te tm eta_min * eta_max steps_per_epoch epochs",
    "cosine_decay_lr": "decay_epochs eta_min * eta_max steps_per_epoch epochs num_cycles=1 cycle_decay=1.0",
    "cosine_decay_refined_lr": "decay_epochs eta_min * eta_max steps_per_epoch epochs num_cycles=1 cycle_decay=1.0",
    "cyclic_lr": "base_lr max_lr step_size_up=2000 step_size_down=None mode='triangular' gamma=1.0 scale_fn=None "
    "scale_mode='cycle' * steps_per_epoch epochs",
    "exponential_lr": "gamma * lr steps_per_epoch epochs",
    "exponential_refined_lr": "gamma * lr steps_per_epoch epochs",
    "linear_lr": "start_factor end_factor total_iters * lr steps_per_epoch epochs",
    "linear_refined_lr": "start_factor end_factor total_iters * lr steps_per_epoch epochs",
    "multi_step_lr": "milestones gamma * lr steps_per_epoch epochs",
    "one_cycle_lr": "max_lr pct_start=0.3 anneal_strategy='cos' div_factor=25.0 final_div_factor=10000.0 "
    "three_phase=False * steps_per_epoch epochs",
    "polynomial_lr": "total_iters power * lr steps_per_epoch epochs",
    "polynomial_refined_lr": "total_iters power * lr steps_per_epoch epochs",
    "step_lr": "step_size gamma * lr steps_per_epoch epochs",
}


@pytest.mark.parametrize("case", CASES)
def test_schedule_equals_formula(case):
    arguments, keywords, expected = CASES[case]
    lrs = getattr(dynamic_lr, case.split("-")[0])(*arguments, **keywords, **RUN)
    assert isinstance(lrs, list)
    assert all(type(lr) is float for lr in lrs)
    np.testing.assert_allclose(lrs, expected, rtol=1e-12, atol=1e-14)


def test_every_function_is_tested():
    assert {case.split("-")[0] for case in CASES} == set(dynamic_lr.__all__) == set(SIGNATURES)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature_is_upstreams(name):
    parameters = inspect.signature(getattr(dynamic_lr, name)).parameters.values()
    words = []
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        words.append(parameter.name + default)
    assert " ".join(words) == SIGNATURES[name]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dynamic_lr.one_cycle_lr(1.0, anneal_strategy="cosine", **RUN), "'cos' and 'linear'"),
        (lambda: dynamic_lr.cyclic_lr(0.1, 1.0, mode="square", **RUN), "triangular, triangular2, exp_range"),
        (lambda: dynamic_lr.cyclic_lr(0.1, 1.0, scale_fn=abs, scale_mode="step", **RUN), "'cycle' and 'iterations'"),
    ],
    ids=["annealing", "mode", "scale_mode"],
)
def test_unknown_choice_is_an_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
