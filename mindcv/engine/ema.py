"""Looking at a network through its averaged weights."""

import contextlib
from collections.abc import Iterator

import mindspore as ms
from mindspore import ops

from .train_step import TrainStep

__all__ = ["averaged_weights"]


@contextlib.contextmanager
def averaged_weights(step: TrainStep) -> Iterator[None]:
    """Puts the moving average in the place of the weights while the context lasts; does nothing without EMA."""
    if not step.ema:
        yield
        return
    # Values are assigned in place: after set_data, a step that has run once would go on with the old memory.
    own = [ms.Tensor(parameter.asnumpy().copy()) for parameter in step.averaged_weights]
    for parameter, average in zip(step.averaged_weights, step.ema_weights, strict=True):
        ops.assign(parameter, average)
    try:
        yield
    finally:
        for parameter, value in zip(step.averaged_weights, own, strict=True):
            ops.assign(parameter, value)
