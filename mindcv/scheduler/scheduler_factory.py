"""`create_scheduler`: a learning rate schedule by name, after a linear warm-up."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..utils.registry import Registry
from . import dynamic_lr as lr_functions

__all__ = ["create_scheduler", "list_schedulers", "scheduler_arguments"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Plan:
    """What a schedule may depend on, apart from the warm-up; `epochs` are those from where it counts to the end."""

    lr: float
    min_lr: float
    decay_epochs: int
    decay_rate: float
    milestones: Sequence[int] | None
    num_cycles: int
    cycle_decay: float
    lr_epoch_stair: bool
    steps_per_epoch: int
    epochs: int

    @property
    def run(self) -> dict[str, int]:
        return {"steps_per_epoch": self.steps_per_epoch, "epochs": self.epochs}


# A warm-up comes before, and the rate may change once an epoch. The others plan the whole run in steps.
_WARM_UP = frozenset({"warmup_epochs", "warmup_factor", "lr_epoch_stair"})
_COSINE = _WARM_UP | {"warmup_prefix", "min_lr", "decay_epochs", "num_cycles", "cycle_decay"}


@dataclass(frozen=True)
class _ScheduleInfo:
    """Facts about a schedule: how to compute it, and which arguments of the factory it uses (besides `lr`).

    `falls_by_rate`: `decay_rate` is a factor of the rate.
    """

    compute: Callable[[_Plan], list[float]]
    uses: frozenset[str]
    falls_by_rate: bool = False


_SCHEDULERS: Registry[_ScheduleInfo] = Registry("scheduler", ignore_case=True)


def list_schedulers() -> tuple[str, ...]:
    """Names that `create_scheduler` takes."""
    return tuple(_SCHEDULERS)


def scheduler_arguments(name: str) -> frozenset[str]:
    """Returns which arguments of `create_scheduler` the rates of a schedule depend on; it ignores the others.

    Args:
        name: A name from `list_schedulers()`, in any case.

    Raises:
        ValueError: An unknown name.
    """
    return _SCHEDULERS.find(name).uses | {"scheduler", "lr", "steps_per_epoch", "num_epochs"}


def _constant(plan: _Plan) -> list[float]:
    return lr_functions.constant_lr(1.0, 0, lr=plan.lr, **plan.run)


def _cosine_decay(plan: _Plan) -> list[float]:
    function = lr_functions.cosine_decay_lr if plan.lr_epoch_stair else lr_functions.cosine_decay_refined_lr
    return function(
        plan.decay_epochs,
        plan.min_lr,
        eta_max=plan.lr,
        num_cycles=plan.num_cycles,
        cycle_decay=plan.cycle_decay,
        **plan.run,
    )


def _exponential_decay(plan: _Plan) -> list[float]:
    function = lr_functions.exponential_lr if plan.lr_epoch_stair else lr_functions.exponential_refined_lr
    return function(plan.decay_rate, lr=plan.lr, **plan.run)


def _polynomial_decay(plan: _Plan) -> list[float]:
    function = lr_functions.polynomial_lr if plan.lr_epoch_stair else lr_functions.polynomial_refined_lr
    return function(plan.epochs, plan.decay_rate, lr=plan.lr, **plan.run)


def _step_decay(plan: _Plan) -> list[float]:
    return lr_functions.step_lr(plan.decay_epochs, plan.decay_rate, lr=plan.lr, **plan.run)


def _multi_step_decay(plan: _Plan) -> list[float]:
    if not plan.milestones:
        raise ValueError(
            "scheduler 'multi_step_decay' needs milestones (epochs after the warm-up), for example [30, 60]"
        )
    if any(milestone < 0 for milestone in plan.milestones):
        raise ValueError(f"milestones must be epochs from 0 on, but got {list(plan.milestones)}")
    return lr_functions.multi_step_lr(plan.milestones, plan.decay_rate, lr=plan.lr, **plan.run)


def _one_cycle(plan: _Plan) -> list[float]:
    div_factor = 25.0
    final_div_factor = plan.lr / div_factor / plan.min_lr if plan.min_lr > 0 else math.inf
    return lr_functions.one_cycle_lr(plan.lr, div_factor=div_factor, final_div_factor=final_div_factor, **plan.run)


def _cyclic(plan: _Plan) -> list[float]:
    # A fraction, since the cycles fill the run exactly.
    steps_up = plan.steps_per_epoch * plan.epochs / (2 * plan.num_cycles)
    if steps_up < 1:
        raise ValueError(
            f"num_cycles={plan.num_cycles} is too many for a run of {plan.steps_per_epoch * plan.epochs} steps: "
            "a cycle needs at least 2 steps"
        )
    return lr_functions.cyclic_lr(plan.min_lr, plan.lr, steps_up, **plan.run)


_SCHEDULERS.register("constant", _ScheduleInfo(_constant, _WARM_UP))
_SCHEDULERS.register("cosine_decay", _ScheduleInfo(_cosine_decay, _COSINE))
_SCHEDULERS.register("warmup_cosine_decay", _ScheduleInfo(_cosine_decay, _COSINE))
_SCHEDULERS.register(
    "exponential_decay", _ScheduleInfo(_exponential_decay, _WARM_UP | {"warmup_prefix", "decay_rate"}, True)
)
_SCHEDULERS.register("polynomial_decay", _ScheduleInfo(_polynomial_decay, _WARM_UP | {"warmup_prefix", "decay_rate"}))
_SCHEDULERS.register(
    "step_decay", _ScheduleInfo(_step_decay, _WARM_UP | {"warmup_prefix", "decay_epochs", "decay_rate"}, True)
)
_SCHEDULERS.register(
    "multi_step_decay", _ScheduleInfo(_multi_step_decay, _WARM_UP | {"warmup_prefix", "milestones", "decay_rate"}, True)
)
_SCHEDULERS.register("one_cycle", _ScheduleInfo(_one_cycle, frozenset({"min_lr"})))
_SCHEDULERS.register("cyclic", _ScheduleInfo(_cyclic, frozenset({"min_lr", "num_cycles"})))


def create_scheduler(
    steps_per_epoch: int,
    scheduler: str = "constant",
    lr: float = 0.01,
    min_lr: float = 1e-6,
    warmup_epochs: int = 3,
    warmup_factor: float = 0.0,
    decay_epochs: int = 10,
    decay_rate: float = 0.9,
    milestones: Sequence[int] | None = None,
    num_epochs: int = 200,
    num_cycles: int = 1,
    cycle_decay: float = 1.0,
    lr_epoch_stair: bool = False,
    *,
    warmup_prefix: bool = True,
) -> list[float]:
    """Computes the learning rate of every step of a run.

    First the rate rises in a straight line from `lr * warmup_factor` to `lr` in `warmup_epochs`; then comes, counted
    from the end of the warm-up, or without `warmup_prefix` from the start of the run:

    * `constant`: `lr`.
    * `cosine_decay`, `warmup_cosine_decay`: `num_cycles` cosines of `decay_epochs` each, cycle c from
      `lr * cycle_decay ** c` to `min_lr`; then `min_lr`.
    * `exponential_decay`: `lr * decay_rate ** epoch`.
    * `polynomial_decay`: `lr * (1 - progress) ** decay_rate`, to 0 at the end of the run.
    * `step_decay`: times `decay_rate` every `decay_epochs`.
    * `multi_step_decay`: times `decay_rate` at each of `milestones`.
    * `one_cycle`: from `lr / 25` up to `lr` in the first 30 % of the run, then down to `min_lr`, along cosines.
    * `cyclic`: `num_cycles` triangles from `min_lr` to `lr` and back.

    `one_cycle` and `cyclic` plan the whole run in steps: `warmup_epochs` must be 0 and `lr_epoch_stair` False.

    Warnings say what happens where decay or milestones reach beyond the run, end long before it or lie in the warm-up,
    and where a rate rises that should fall.

    Args:
        steps_per_epoch: Steps (updates) in an epoch.
        scheduler: A name from `list_schedulers()`, in any case.
        lr: The highest rate.
        min_lr: The lowest rate of the cosine, one-cycle and cyclic schedules.
        warmup_epochs: Epochs of the warm-up.
        warmup_factor: The warm-up's first rate as a part of `lr`. With `lr_epoch_stair`, 0 counts as
            `1 / (warmup_epochs + 1)`, so that no epoch is trained at rate 0.
        decay_epochs: Epochs of a cosine, or between two steps of `step_decay`.
        decay_rate: Factor of the exponential and step schedules, power of the polynomial one.
        milestones: Epochs at which `multi_step_decay` lowers the rate.
        num_epochs: Epochs of the run, warm-up included.
        num_cycles: Cycles of the cosine and cyclic schedules.
        cycle_decay: Factor of the highest rate from one cosine to the next.
        lr_epoch_stair: Whether the rate changes once an epoch instead of at every step.
        warmup_prefix: Whether the schedule starts after the warm-up, and `decay_epochs` and `milestones` count from
            there. Otherwise they count from the start of the run, and the warm-up replaces the schedule's first epochs.

    Returns:
        A list of `steps_per_epoch * num_epochs` floats.

    Raises:
        ValueError: An unknown name, or a value that makes no schedule; the message says which and what is allowed.
    """
    info = _SCHEDULERS.find(scheduler)
    for name, value, least in (
        ("steps_per_epoch", steps_per_epoch, 1),
        ("num_epochs", num_epochs, 1),
        ("warmup_epochs", warmup_epochs, 0),
        ("decay_epochs", decay_epochs, 1 if "decay_epochs" in info.uses else 0),
        ("num_cycles", num_cycles, 1),
    ):
        if value != value or value < least or value != int(value):
            raise ValueError(f"{name} must be a whole number from {least} on, but got {value!r}")
    for name, number in (
        ("lr", lr),
        ("min_lr", min_lr),
        ("warmup_factor", warmup_factor),
        ("decay_rate", decay_rate),
        ("cycle_decay", cycle_decay),
    ):
        if not math.isfinite(number) or number < 0:
            raise ValueError(f"{name} must be a finite number from 0 on, but got {number!r}")
    if warmup_epochs > num_epochs:
        raise ValueError(
            f"warmup_epochs={warmup_epochs} is longer than the run of num_epochs={num_epochs}; lower warmup_epochs"
        )
    if "min_lr" in info.uses and min_lr > lr:
        raise ValueError(
            f"min_lr={min_lr} is above lr={lr}, so scheduler {scheduler!r} cannot fall to it; lower min_lr"
        )
    if "warmup_epochs" not in info.uses and (warmup_epochs > 0 or lr_epoch_stair):
        raise ValueError(
            f"scheduler {scheduler!r} plans the whole run step by step: set warmup_epochs=0 and lr_epoch_stair=False, "
            f"but got warmup_epochs={warmup_epochs}, lr_epoch_stair={lr_epoch_stair}"
        )
    steps_per_epoch, warmup_epochs, num_epochs = int(steps_per_epoch), int(warmup_epochs), int(num_epochs)
    if lr_epoch_stair and not warmup_factor:
        warmup_factor = 1.0 / (warmup_epochs + 1)
    warm_up = lr_functions.linear_lr if lr_epoch_stair else lr_functions.linear_refined_lr
    warmup_lrs = warm_up(
        warmup_factor, 1.0, warmup_epochs, lr=lr, steps_per_epoch=steps_per_epoch, epochs=warmup_epochs
    )
    start = warmup_epochs if warmup_prefix else 0
    plan = _Plan(
        lr=lr,
        min_lr=min_lr,
        decay_epochs=int(decay_epochs),
        decay_rate=decay_rate,
        milestones=milestones,
        num_cycles=int(num_cycles),
        cycle_decay=cycle_decay,
        lr_epoch_stair=lr_epoch_stair,
        steps_per_epoch=steps_per_epoch,
        epochs=num_epochs - start,
    )
    try:
        lrs = warmup_lrs + info.compute(plan)[(warmup_epochs - start) * steps_per_epoch :]
    except OverflowError as error:
        raise ValueError(f"decay_rate={decay_rate} raises the rate beyond all bounds; lower it") from error
    for said in (_misfit(info, plan, start, warmup_epochs, num_epochs), _rise(info, plan, start, warmup_epochs)):
        if said:
            _logger.warning("scheduler %s: %s", scheduler, said)
    return lrs


def _rise(info: _ScheduleInfo, plan: _Plan, start: int, warmup_epochs: int) -> str:
    """Says where a schedule rises that should fall, or falls before the warm-up has risen to `lr`; else empty."""
    if info.falls_by_rate and plan.decay_rate > 1:
        return f"decay_rate={plan.decay_rate} is above 1, so the rate rises"
    if "cycle_decay" in info.uses and plan.lr * plan.cycle_decay ** (plan.num_cycles - 1) < plan.min_lr:
        return (
            f"cycle_decay={plan.cycle_decay} brings the start of the last of num_cycles={plan.num_cycles} below "
            f"min_lr={plan.min_lr:g}, so the rate rises in it"
        )
    if start:
        return ""
    # Counted from the start of the run, so the warm-up stands in the place of these epochs.
    if "milestones" in info.uses:
        falls = [milestone for milestone in plan.milestones or () if milestone <= warmup_epochs]
    elif info.falls_by_rate and "decay_epochs" in info.uses:
        falls = list(range(plan.decay_epochs, warmup_epochs + 1, plan.decay_epochs))
    else:
        falls = []
    if not falls or not warmup_epochs:
        return ""
    return (
        f"the rate falls at {', '.join(map(str, falls[:10]))}, within warmup_epochs={warmup_epochs}, so it never "
        f"stays at lr={plan.lr:g} but goes on at {plan.lr * plan.decay_rate ** len(falls):g} after the warm-up"
    )


def _misfit(info: _ScheduleInfo, plan: _Plan, start: int, warmup_epochs: int, num_epochs: int) -> str:
    """Says what happens where a schedule, counted from epoch `start`, is not as long as the run; else empty."""
    if "warmup_prefix" in info.uses and warmup_epochs == num_epochs:
        return f"warmup_epochs={warmup_epochs} is the whole run, so nothing comes after the warm-up"
    after = f"{start} epochs of warm-up and " if start else ""
    if "milestones" in info.uses:
        late = [milestone for milestone in plan.milestones or () if start + milestone >= num_epochs]
        if late:
            count = f", counted from the end of {start} epochs of warm-up," if start else ""
            return (
                f"milestones {', '.join(map(str, late))}{count} come after the last of num_epochs={num_epochs}: "
                "the rate does not fall there"
            )
    elif "num_cycles" in info.uses and "decay_epochs" in info.uses:
        end = start + plan.decay_epochs * plan.num_cycles
        cycles = f" in each of num_cycles={plan.num_cycles}" if plan.num_cycles > 1 else ""
        length = f"{after}decay_epochs={plan.decay_epochs}{cycles}"
        if end > num_epochs:
            return f"{length} are together longer than num_epochs={num_epochs}: min_lr is not reached at the end"
        if end < num_epochs:
            return f"{length} end before num_epochs={num_epochs}: the last {num_epochs - end} train at {plan.min_lr:g}"
    elif "decay_epochs" in info.uses and start + plan.decay_epochs >= num_epochs:
        return f"{after}decay_epochs={plan.decay_epochs} reach beyond num_epochs={num_epochs}: the rate never falls"
    return ""
