"""Weights of several trainings of one network, averaged (arXiv:2203.05482)."""

import os
from collections.abc import Mapping

import numpy as np

from .formats import read_weights
from .outputs import ModelOutputs, read_outputs

__all__ = ["WeightSum", "read_averageable"]

_EMA = "ema."


def read_averageable(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], ModelOutputs | None]:
    """Returns the weights of a file, those of its moving average as `ema.*` beside them, and what its outputs mean.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no weight file, or has values that are not finite.
    """
    arrays = read_weights(path)
    try:
        averaged = read_weights(path, ema=True)
    except ValueError:
        averaged = {}
    arrays |= {f"{_EMA}{name}": array for name, array in averaged.items()}
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{path}: {name} has values that are not finite; leave this file out")
    return arrays, read_outputs(path)


class WeightSum:
    """Adds up weights; all files must be of one network.

    Args:
        path: The first file.
        arrays: Its weights.
        outputs: What its outputs mean.
    """

    def __init__(
        self, path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], outputs: ModelOutputs | None
    ) -> None:
        self.path, self.outputs = path, outputs
        self.count = 1
        self._first = dict(arrays)
        self._sums = {name: array.astype(np.float64) for name, array in arrays.items() if array.dtype.kind == "f"}

    def check(
        self, path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], outputs: ModelOutputs | None
    ) -> None:
        """Checks that a file is of the same network as the first one.

        Raises:
            ValueError: It has other entries, shapes, tables or classes.
        """
        what = f"{path} and {self.path} are of different networks"
        lone = sorted(self._first.keys() ^ arrays.keys(), key=lambda name: (name.startswith(_EMA), name))
        if lone:
            raise ValueError(f"{what}: only one of them has {lone[0]}{_more(len(lone))}")
        for name, array in arrays.items():
            first = self._first[name]
            if array.shape != first.shape:
                raise ValueError(f"{what}: {name} is {array.shape} in one and {first.shape} in the other")
            if name not in self._sums and not np.array_equal(array, first):
                raise ValueError(f"{what}: the table {name} is not the same in both")
        if outputs != self.outputs:
            raise ValueError(f"{path} and {self.path} have other classes, or other names for them, or in another order")

    def added(self, arrays: Mapping[str, np.ndarray]) -> "WeightSum":
        """Returns the sum with one more file that `check` has passed; this one stays."""
        total = WeightSum(self.path, self._first, self.outputs)
        total._sums = {name: value + arrays[name] for name, value in self._sums.items()}
        total.count = self.count + 1
        return total

    def mean(self) -> dict[str, np.ndarray]:
        """Returns the mean of each entry in its own type; what is no float is the same in all."""
        return {
            name: (self._sums[name] / self.count).astype(array.dtype) if name in self._sums else array
            for name, array in self._first.items()
        }


def _more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""
