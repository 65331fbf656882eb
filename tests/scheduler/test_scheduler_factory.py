"""`create_scheduler`: every name over a whole run with warm-up, and what it refuses."""

import logging
import math
from typing import get_args

import numpy as np
import pytest

from mindcv.config.schema import ScheduleKeys
from mindcv.scheduler import create_scheduler, list_schedulers

pytestmark = pytest.mark.no_mindspore

STEPS, EPOCHS, WARMUP = 5, 12, 2
LR, MIN_LR = 0.4, 0.01
MAIN = np.arange(STEPS * (EPOCHS - WARMUP))
WHOLE = np.arange(STEPS * EPOCHS)
NAMES = (
    "constant",
    "cosine_decay",
    "warmup_cosine_decay",
    "exponential_decay",
    "polynomial_decay",
    "step_decay",
    "multi_step_decay",
    "one_cycle",
    "cyclic",
)


def _cosine(time):
    """Two cycles of 4 epochs, the second half as high, then min_lr for 2 epochs."""
    cycle = np.floor(time / 4)
    falling = MIN_LR + 0.5 * (LR * 0.5**cycle - MIN_LR) * (1 + np.cos(np.pi * (time / 4 - cycle)))
    return np.where(cycle < 2, falling, MIN_LR)


AFTER_WARMUP = {
    "constant": lambda time: np.full(time.shape, LR),
    "cosine_decay": _cosine,
    "warmup_cosine_decay": _cosine,
    "exponential_decay": lambda time: LR * 0.5**time,
    "polynomial_decay": lambda time: LR * (1 - time / 10) ** 0.5,
    "step_decay": lambda time: LR * 0.5 ** (np.floor(time) // 4),
    "multi_step_decay": lambda time: np.select([time < 3, time < 7], [LR, LR / 2], LR / 4),
}


def _create(name, **changes):
    values = {
        "steps_per_epoch": STEPS,
        "lr": LR,
        "min_lr": MIN_LR,
        "warmup_epochs": WARMUP,
        "warmup_factor": 0.1,
        "decay_epochs": 4,
        "decay_rate": 0.5,
        "milestones": [3, 7],
        "num_epochs": EPOCHS,
        "num_cycles": 2,
        "cycle_decay": 0.5,
    }
    return create_scheduler(scheduler=name, **{**values, **changes})


def test_names():
    assert list_schedulers() == NAMES


@pytest.mark.parametrize("stair", [False, True], ids=["step", "epoch"])
@pytest.mark.parametrize("name", AFTER_WARMUP)
def test_whole_run_with_warmup(name, stair):
    time = np.floor(WHOLE / STEPS) if stair else WHOLE / STEPS
    warmup = LR * (0.1 + 0.9 * time[: STEPS * WARMUP] / WARMUP)
    expected = np.concatenate([warmup, AFTER_WARMUP[name](time[: len(MAIN)])])
    lrs = _create(name, lr_epoch_stair=stair)
    assert len(lrs) == STEPS * EPOCHS
    assert all(type(lr) is float for lr in lrs)
    np.testing.assert_allclose(lrs, expected, rtol=1e-12)


def test_one_cycle_whole_run():
    top, end = 0.3 * len(WHOLE) - 1, len(WHOLE) - 1
    rise = LR / 25 + (LR - LR / 25) * 0.5 * (1 - np.cos(np.pi * WHOLE / top))
    fall = MIN_LR + 0.5 * (LR - MIN_LR) * (1 + np.cos(np.pi * (WHOLE - top) / (end - top)))
    np.testing.assert_allclose(_create("one_cycle", warmup_epochs=0), np.where(top >= WHOLE, rise, fall), rtol=1e-12)


def test_cyclic_whole_run():
    position = WHOLE % 30
    height = np.where(position <= 15, position / 15, (30 - position) / 15)
    np.testing.assert_allclose(_create("cyclic", warmup_epochs=0), MIN_LR + (LR - MIN_LR) * height, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("steps", "epochs"), [(2, 1), (3, 1), (1, 7), (50, 3)])
def test_length_of_small_runs(name, steps, epochs):
    lrs = _create(name, steps_per_epoch=steps, num_epochs=epochs, warmup_epochs=0, num_cycles=1, decay_epochs=1)
    assert len(lrs) == steps * epochs
    assert all(math.isfinite(lr) and 0 <= lr <= LR for lr in lrs)


def test_name_in_any_case():
    assert _create("Cosine_Decay") == _create("cosine_decay")


def test_whole_run_of_warmup():
    np.testing.assert_allclose(
        _create("polynomial_decay", warmup_epochs=EPOCHS, warmup_factor=0.0), LR * WHOLE / len(WHOLE), rtol=1e-12
    )


def test_one_cycle_down_to_zero():
    assert _create("one_cycle", warmup_epochs=0, min_lr=0.0)[-1] == 0.0


def test_decay_beyond_the_run_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        lrs = _create("cosine_decay", decay_epochs=20, num_cycles=1)
    assert "are together longer than num_epochs=12" in caplog.text
    assert lrs[-1] > MIN_LR


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cosine", {}, "unknown scheduler 'cosine'; did you mean 'cosine_decay'?"),
        ("constant", {"lr": -0.1}, "lr must be a finite number from 0 on, but got -0.1"),
        ("constant", {"lr": math.nan}, "lr must be a finite number from 0 on, but got nan"),
        ("constant", {"lr": math.inf}, "lr must be a finite number"),
        ("cosine_decay", {"min_lr": -1e-6}, "min_lr must be a finite number from 0 on"),
        ("cosine_decay", {"min_lr": 1.0}, "min_lr=1.0 is above lr=0.4"),
        ("constant", {"warmup_factor": -1}, "warmup_factor must be"),
        ("constant", {"warmup_epochs": 13}, "warmup_epochs=13 is longer than the run of num_epochs=12"),
        ("constant", {"warmup_epochs": -1}, "warmup_epochs must be a whole number from 0 on, but got -1"),
        ("constant", {"warmup_epochs": 1.5}, "warmup_epochs must be a whole number"),
        ("constant", {"num_epochs": 0}, "num_epochs must be a whole number from 1 on"),
        ("constant", {"steps_per_epoch": 0}, "steps_per_epoch must be a whole number from 1 on"),
        ("step_decay", {"decay_epochs": 0}, "decay_epochs must be a whole number from 1 on"),
        ("cosine_decay", {"num_cycles": 0}, "num_cycles must be a whole number from 1 on"),
        ("exponential_decay", {"decay_rate": math.nan}, "decay_rate must be a finite number"),
        ("multi_step_decay", {"milestones": None}, "needs milestones"),
        ("multi_step_decay", {"milestones": []}, "needs milestones"),
        ("multi_step_decay", {"milestones": [-3]}, "milestones must be epochs from 0 on"),
        ("one_cycle", {}, "set warmup_epochs=0"),
        ("cyclic", {"warmup_epochs": 0, "lr_epoch_stair": True}, "lr_epoch_stair=False"),
        ("cyclic", {"warmup_epochs": 0, "num_cycles": 100}, "num_cycles=100 is too many for a run of 60 steps"),
    ],
)
def test_impossible_values(name, changes, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        _create(name, **changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_config_has_the_same_choices():
    choices = get_args(ScheduleKeys.model_fields["scheduler"].annotation)
    assert {choice.lower() for choice in choices} == set(list_schedulers())
