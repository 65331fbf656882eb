"""`create_scheduler`: every name over a whole run with warm-up, and what it refuses."""

import logging
import math
import re
from typing import get_args

import numpy as np
import pytest

from mindcv.config.schema import KEYS
from mindcv.config.training_keys import ScheduleKeys
from mindcv.scheduler import create_scheduler, list_schedulers, scheduler_arguments

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


def test_as_many_triangles_as_cycles_in_a_run_that_they_do_not_divide():
    """7 steps of two cycles, each 3.5 long; whole steps up and down would make it three and a half cycles."""
    lrs = create_scheduler(7, "cyclic", 7.0, 0.0, warmup_epochs=0, num_epochs=1, num_cycles=2)
    np.testing.assert_allclose(lrs, [0, 4, 6, 2, 2, 6, 4], rtol=1e-12)


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


@pytest.mark.parametrize("name", AFTER_WARMUP)
def test_counted_from_the_start_of_the_run(name):
    """Without `warmup_prefix` the warm-up takes the place of the first epochs; the rest is as without warm-up."""
    lrs = _create(name, warmup_prefix=False)
    np.testing.assert_allclose(lrs[: STEPS * WARMUP], _create(name)[: STEPS * WARMUP], rtol=1e-12)
    np.testing.assert_allclose(lrs[STEPS * WARMUP :], _create(name, warmup_epochs=0)[STEPS * WARMUP :], rtol=1e-12)


@pytest.mark.parametrize(("warmup", "expected"), [(1, [0.5]), (3, [0.25, 0.5, 0.75]), (4, [0.2, 0.4, 0.6, 0.8])])
def test_no_epoch_of_a_stair_is_at_rate_0(warmup, expected):
    lrs = create_scheduler(2, "constant", 1.0, warmup_epochs=warmup, num_epochs=6, lr_epoch_stair=True)
    np.testing.assert_allclose(lrs, np.repeat([*expected, *[1.0] * (6 - warmup)], 2), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "cosine_decay",
            {"decay_epochs": 20, "num_cycles": 1},
            "2 epochs of warm-up and decay_epochs=20 are together longer than num_epochs=12: min_lr is not reached",
        ),
        ("cosine_decay", {"decay_epochs": 6}, "decay_epochs=6 in each of num_cycles=2 are together longer"),
        ("cosine_decay", {}, "end before num_epochs=12: the last 2 train at 0.01"),
        ("warmup_cosine_decay", {"min_lr": 0.0}, "the last 2 train at 0"),
        ("multi_step_decay", {"milestones": [3, 10, 30]}, "milestones 10, 30, counted from the end of 2 epochs of"),
        ("multi_step_decay", {"milestones": [3, 12], "warmup_prefix": False}, "milestones 12 come after the last of"),
        ("step_decay", {"decay_epochs": 10}, "decay_epochs=10 reach beyond num_epochs=12: the rate never falls"),
        ("polynomial_decay", {"warmup_epochs": EPOCHS}, "warmup_epochs=12 is the whole run"),
        (
            "multi_step_decay",
            {"milestones": [1, 2, 6], "warmup_prefix": False, "decay_rate": 0.1, "lr": 1.0},
            "the rate falls at 1, 2, within warmup_epochs=2, so it never stays at lr=1 but goes on at 0.01 after",
        ),
        (
            "step_decay",
            {"decay_epochs": 2, "warmup_prefix": False, "decay_rate": 0.1, "lr": 1.0},
            "the rate falls at 2, within warmup_epochs=2, so it never stays at lr=1 but goes on at 0.1 after",
        ),
        ("exponential_decay", {"decay_rate": 1.5}, "decay_rate=1.5 is above 1, so the rate rises"),
        ("multi_step_decay", {"decay_rate": 10.0, "milestones": [3]}, "decay_rate=10.0 is above 1, so the rate rises"),
        (
            "cosine_decay",
            {"decay_epochs": 5, "lr": 1.0, "min_lr": 0.5, "cycle_decay": 0.1},
            "cycle_decay=0.1 brings the start of the last of num_cycles=2 below min_lr=0.5, so the rate rises in it",
        ),
    ],
)
def test_a_schedule_that_does_not_fit_the_run_is_warned_of(name, changes, message, caplog):
    with caplog.at_level(logging.WARNING):
        _create(name, **changes)
    [line] = caplog.messages
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("changes", [{"warmup_epochs": 0, "decay_epochs": 6}, {"decay_epochs": 5}])
def test_a_schedule_that_fits_is_not_warned_of(name, changes, caplog):
    if "warmup_epochs" in scheduler_arguments(name) or not changes.get("warmup_epochs", WARMUP):
        _create(name, **changes)
    assert caplog.messages == []


# Another value of each argument.
OTHER = {
    "lr": 0.3,
    "min_lr": 0.02,
    "warmup_epochs": 3,
    "warmup_factor": 0.2,
    "warmup_prefix": False,
    "decay_epochs": 3,
    "decay_rate": 0.4,
    "milestones": [4, 7],
    "num_cycles": 3,
    "cycle_decay": 0.4,
    "lr_epoch_stair": True,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("argument", OTHER)
def test_arguments_that_a_schedule_uses(name, argument):
    """What `scheduler_arguments` names changes the rates, or is refused; what it does not name, does not."""
    plain = {} if "warmup_epochs" in scheduler_arguments(name) else {"warmup_epochs": 0}
    before = _create(name, **plain)
    if argument in ("warmup_epochs", "lr_epoch_stair") and plain:
        with pytest.raises(ValueError, match=f"set warmup_epochs=0 and lr_epoch_stair=False, but got .*{argument}"):
            _create(name, **{**plain, argument: OTHER[argument]})
        return
    changed = _create(name, **{**plain, argument: OTHER[argument]}) != before
    assert changed == (argument in scheduler_arguments(name))


@pytest.mark.parametrize(
    ("key", "but"),
    [
        ("min_lr", {"polynomial_decay"}),
        ("decay_epochs", {"exponential_decay", "polynomial_decay"}),
        ("decay_rate", set()),
        ("multi_step_decay_milestones", set()),
        ("num_cycles", set()),
        ("cycle_decay", set()),
    ],
)
def test_help_names_the_schedules_that_use_a_key(key, but):
    """`but` are those that the help names because they do not use it."""
    named = {name for name in NAMES if re.search(rf"\b{name}\b", KEYS[key].help)}
    assert named - but == {name for name in NAMES if KEYS[key].keyword in scheduler_arguments(name)}
    assert not but & {name for name in NAMES if KEYS[key].keyword in scheduler_arguments(name)}


@pytest.mark.parametrize("key", ["warmup_epochs", "lr_epoch_stair"])
def test_help_names_the_schedules_that_refuse_a_key(key):
    named = {name for name in NAMES if re.search(rf"\b{name}\b", KEYS[key].help)}
    assert named == {name for name in NAMES if key not in scheduler_arguments(name)} == {"one_cycle", "cyclic"}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cosine_deca", {}, "unknown scheduler 'cosine_deca'; did you mean 'cosine_decay'?"),
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


def test_a_rate_beyond_all_bounds_is_refused():
    with pytest.raises(ValueError, match="decay_rate=1000 raises the rate beyond all bounds; lower it"):
        create_scheduler(2, "exponential_decay", 1.0, warmup_epochs=0, decay_rate=1000, num_epochs=3000)
