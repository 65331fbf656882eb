"""Looking at a network through its averaged weights."""

import contextlib
from collections.abc import Iterator

import mindspore as ms

from .train_step import TrainStep

__all__ = ["averaged_weights"]


@contextlib.contextmanager
def averaged_weights(step: TrainStep) -> Iterator[None]:
    """Puts the moving average in the place of the weights while the context lasts; does nothing without EMA."""
    if not step.ema:
        yield
        return
    own = [parameter.asnumpy().copy() for parameter in step.averaged_weights]
    for parameter, average in zip(step.averaged_weights, step.ema_weights, strict=True):
        parameter.set_data(average.value().copy())
    try:
        yield
    finally:
        for parameter, value in zip(step.averaged_weights, own, strict=True):
            parameter.set_data(ms.Tensor(value))
