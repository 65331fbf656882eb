"""The moving average of the weights: how its decay goes, and looking at a network through it."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import ops

from ..utils.registry import unknown_name_message

if TYPE_CHECKING:
    from .train_step import TrainStep

__all__ = ["EMA_WARMUPS", "averaged_weights", "check_ema", "ema_decays"]

EMA_WARMUPS = ("mindcv", "timm", "none")
# Of MindCV's warm-up: the decay is 0.63 of its value after this many moves.
EMA_WARMUP_MOVES = 2000.0


def check_ema(decay: float, warmup: str, interval: int) -> None:
    """Checks what a moving average is made with.

    Raises:
        ValueError: A value is out of its range.
    """
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"ema_decay is {decay}; it must lie between 0 and 1")
    if warmup not in EMA_WARMUPS:
        raise ValueError(unknown_name_message("ema_warmup", warmup, EMA_WARMUPS))
    if interval < 1:
        raise ValueError(f"ema_interval is {interval}; it must be at least 1")


def ema_decays(num_updates: int, decay: float, warmup: str = "mindcv", interval: int = 1) -> np.ndarray:
    """Returns the decay of the moving average at each update of a run: `average = decay * average + ...`.

    Of move n, counted from 1, it is `decay * (1 - exp(-n / 2000))` (mindcv), `min(decay, 1 - n ** (-2 / 3))` (timm's
    `ModelEmaV3` with its `use_warmup`), or `decay` but for the first move, which copies the weights (none: timm without
    it, and torchvision).

    Args:
        num_updates: Updates of the weights.
        decay: The decay that is reached.
        warmup: mindcv, timm or none.
        interval: The average moves at each update of this number (torchvision's `model-ema-steps`).

    Returns:
        (num_updates,), float64; 1 where the average does not move.

    Raises:
        ValueError: A value is out of its range.
    """
    check_ema(decay, warmup, interval)
    decays = np.ones(num_updates)
    moves = np.arange(1.0, num_updates // interval + 1)
    if warmup == "timm":
        moved = np.minimum(decay, 1.0 - moves ** (-2.0 / 3.0))
    elif warmup == "none":
        moved = np.where(moves == 1, 0.0, decay)
    else:
        moved = decay * (1.0 - np.exp(-moves / EMA_WARMUP_MOVES))
    decays[interval - 1 :: interval] = moved
    return decays


@contextlib.contextmanager
def averaged_weights(step: "TrainStep") -> Iterator[None]:
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
