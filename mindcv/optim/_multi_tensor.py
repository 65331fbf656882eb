"""What the operator that updates all parameters at once is told (`mindcv/kernels/_multi_tensor.c`)."""

from collections.abc import Sequence

import numpy as np
from mindspore import Tensor

__all__ = ["KINDS", "update_constants"]

# In the order of the library's `Kind`. What each takes: see `use_kernel` in the optimizers.
KINDS = (
    "momentum",
    "nesterov",
    "adam",
    "nesterov_adam",
    "adamw",
    "lamb",
    "nadam",
    "adan",
    "lion",
    "rmsprop",
    "adagrad",
)
_MOST_OF_A_KIND = 4


def update_constants(
    kind: str,
    hypers: Sequence[float],
    groups: Sequence[int],
    decay_flags: Sequence[bool],
    scale: float = 1.0,
    own_largest_norm: float = 0.0,
    largest_norm: float = 0.0,
    is_cleared: bool = False,
    is_averaged: bool = False,
    others: int = 0,
) -> tuple[Tensor, Tensor]:
    """Returns the first two inputs of the operator, which never change: the layout and the hyper-parameters.

    Args:
        kind: One of `KINDS`.
        hypers: What the kind takes, at most four numbers.
        groups: The group of every parameter.
        decay_flags: Whether a parameter is decayed.
        scale: The optimizer's loss scale.
        own_largest_norm: What the optimizer itself clips gradients to; 0 does not.
        largest_norm: What gradients are clipped to whose norm is among the inputs; 0 does not.
        is_cleared: Whether there are sums of gradients to set to 0.
        is_averaged: Whether there are averages of the parameters.
        others: How many averages of other tensors there are.
    """
    layout = [KINDS.index(kind), len(groups), max(groups) + 1, is_cleared, is_averaged, others, *groups, *decay_flags]
    numbers = [scale, own_largest_norm, largest_norm, *hypers]
    numbers += [0.0] * (3 + _MOST_OF_A_KIND - len(numbers))
    return Tensor(np.array(layout, np.int64)), Tensor(np.array(numbers, np.float64))
