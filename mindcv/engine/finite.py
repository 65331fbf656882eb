"""Looking for what is not finite in a training step's state, so that nothing is evaluated or saved with it."""

import mindspore as ms
import numpy as np
from mindspore import nn

from ..utils.errors import RunError
from .train_step import KEPT_STATISTICS

__all__ = ["require_finite"]

# Not of the model: a table that is computed from the config, and what an update that may be dropped has gathered.
_PASSED_OVER = ("learning_rate", "grad_accum.", f"{KEPT_STATISTICS}.")


def require_finite(cell: nn.Cell, when: str) -> None:
    """Makes sure that weights, statistics, averages and optimizer state are finite.

    Args:
        cell: A training step, or any cell.
        when: Where the run stands, for the message.

    Raises:
        RunError: An entry is not; the first one is named.
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
            raise RunError(
                f"{name} is not finite ({bad.size} of {array.size} values, the first one {bad[0]}) {when}; nothing was "
                "saved with it: go on from an earlier checkpoint, and lower lr, set clip_grad, or set "
                "drop_overflow_update with mixed precision"
            )
