"""Dropout and stochastic depth."""

import numbers
from collections.abc import Sequence

from mindspore import Tensor, nn, ops


class DropPath(nn.Cell):
    """Drops residual branches of single samples while training (Deep Networks with Stochastic Depth, arXiv:1603.09382).

    In evaluation the input passes unchanged.

    Args:
        drop_prob: Probability of dropping, in [0, 1).
        scale_by_keep: Whether a branch that stays is scaled by `1 / (1 - drop_prob)`, which keeps its mean.

    Raises:
        ValueError: The probability is outside [0, 1).
    """

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob = check_rate("drop_path_rate", drop_prob)
        self.scale_by_keep = scale_by_keep
        self.dropout = nn.Dropout(p=self.drop_prob)

    def construct(self, x: Tensor) -> Tensor:
        if not self.training or self.drop_prob == 0:
            return x
        return x * self.factors(x)

    def factors(self, x: Tensor) -> Tensor:
        """Returns what each sample of a branch is scaled by: 0 where it is dropped."""
        keep = self.dropout(ops.ones((x.shape[0],) + (1,) * (x.ndim - 1), x.dtype))
        return keep if self.scale_by_keep else keep * (1.0 - self.drop_prob)


def dropout(name: str, rate: float) -> nn.Dropout:
    """Makes a dropout.

    Raises:
        ValueError: The rate is outside [0, 1); `name` is in the message.
    """
    return nn.Dropout(p=check_rate(name, rate))


def check_rate(name: str, rate: float) -> float:
    """Returns a drop rate as a float.

    Raises:
        ValueError: It is no number in [0, 1); `name` is in the message.
    """
    if not isinstance(rate, numbers.Real) or not 0 <= rate < 1:
        raise ValueError(f"{name} is {rate!r}; give a number from 0 (nothing is dropped) to below 1")
    return float(rate)


def drop_path_rates(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Returns the rate of each block of each stage, growing linearly from 0 at the first block to `rate` at the last.

    Raises:
        ValueError: The rate is outside [0, 1).
    """
    rate = check_rate("drop_path_rate", rate)
    total = sum(depths)
    flat = [rate * index / max(total - 1, 1) for index in range(total)]
    starts = [sum(depths[:stage]) for stage in range(len(depths))]
    return [flat[start : start + depth] for start, depth in zip(starts, depths, strict=True)]
