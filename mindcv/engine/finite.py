"""Looking for what is not finite in a run's state, so that nothing is evaluated or saved with it."""

import logging

import mindspore as ms
import numpy as np
from mindspore import nn

from ..utils.errors import RunError
from .train_step import KEPT_STATISTICS, TrainStep

_logger = logging.getLogger(__name__)

__all__ = ["name_not_finite", "name_unused", "require_finite"]

# Not of the model: a table that is computed from the config, and what an update that may be dropped has gathered.
_PASSED_OVER = ("learning_rate", "grad_accum.", f"{KEPT_STATISTICS}.")


def name_not_finite(cell: nn.Cell) -> str | None:
    """Returns the first entry of a cell that is not finite, in words; None where all are.

    Args:
        cell: A network, or a training step: then statistics, averages and optimizer state are looked at too.
    """
    for name, parameter in cell.parameters_dict().items():
        if name.startswith(_PASSED_OVER) or parameter.dtype not in (ms.float32, ms.float16, ms.float64):
            continue
        array = parameter.asnumpy()
        with np.errstate(over="ignore", invalid="ignore"):
            # One pass without a copy; only when the sum overflows or is NaN is each value looked at.
            if np.isfinite(array.sum()):
                continue
        bad = array[~np.isfinite(array)]
        if bad.size:
            return f"{name} is not finite ({bad.size} of {array.size} values, the first one {bad[0]})"
    return None


def require_finite(cell: nn.Cell, where: str) -> None:
    """Makes sure that weights, statistics, averages and optimizer state of a training step are finite.

    Args:
        cell: The training step.
        where: Where the run stands, for the message.

    Raises:
        RunError: An entry is not; the first one is named.
    """
    found = name_not_finite(cell)
    if found is not None:
        raise RunError(
            f"{found} {where}; nothing was saved with it: go on from an earlier checkpoint with lower lr, clip_grad or "
            "drop_overflow_update in mixed precision"
        )


def name_unused(step: TrainStep, global_step: int) -> None:
    """Names the batches and updates of a run that ends which have not changed the weights.

    Args:
        step: The training step.
        global_step: Batches of the run.

    Raises:
        RunError: Most updates were dropped, so that the run has failed.
    """
    waiting = step.waiting_batches
    if waiting:
        _logger.warning(
            "the last %d batches of the run are in no update, as gradient_accumulation_steps is %d; the last "
            "checkpoint keeps their gradients for a run that goes on with a larger epoch_size",
            *(waiting, step.accumulation_steps),
        )
    dropped, updates = step.dropped_updates, global_step // step.accumulation_steps
    if 2 * dropped > updates:
        raise RunError(
            f"{dropped} of the run's {updates} updates were dropped, as their gradients were not finite, so the "
            "weights are hardly trained; lower lr or loss_scale, or look at the data"
        )
