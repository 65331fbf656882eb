"""Tables of a file that depend on the image's size, fitted to another size: position embeddings, biases of distances.

Embeddings by bicubic interpolation with antialiasing, which is what timm does
(`torch.nn.functional.interpolate(..., antialias=True)`); Pillow's resampling of float images is the same filter.
"""

import dataclasses
import math
from functools import partial
from typing import Protocol

import numpy as np
from PIL import Image

Grid = tuple[int, int]


class Resize(Protocol):
    """Fits an entry of a file to the shape that it has in a network."""

    def __call__(
        self, array: np.ndarray, shape: tuple[int, ...], grid: Grid | None, old_grid: Grid | None = None
    ) -> np.ndarray:
        """Returns the entry in another shape.

        Args:
            array: The file's entry.
            shape: The network's shape.
            grid: Rows and columns of the network's tokens; None: as many rows as columns.
            old_grid: Rows and columns of the file's tokens; None: as many rows as columns.

        Raises:
            ValueError: No size of image makes one of the other.
        """


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A position a token, row by row: (1, prefix + rows * columns, D).

    Args:
        prefix: Class, distillation and register tokens in front, which are not resized.
    """

    prefix: int = 0

    def __call__(
        self, array: np.ndarray, shape: tuple[int, ...], grid: Grid | None, old_grid: Grid | None = None
    ) -> np.ndarray:
        if array.ndim != 3 or len(shape) != 3 or array.shape[2] != shape[2]:
            raise ValueError(f"{array.shape} and {shape} are not position embeddings of one size of token")
        old = self._grid(array.shape[1], old_grid)
        new = self._grid(shape[1], grid)
        planes = array[0, self.prefix :].T.reshape(-1, *old)
        resized = resize_planes(planes, new).reshape(len(planes), -1).T
        return np.concatenate([array[:, : self.prefix], resized[None].astype(array.dtype)], axis=1)

    def _grid(self, count: int, grid: Grid | None) -> Grid:
        rows, columns = grid or _square(count - self.prefix)
        if rows * columns + self.prefix != count:
            raise ValueError(f"{count} positions are not {self.prefix} and a grid of {rows}x{columns}")
        return rows, columns


@dataclasses.dataclass(frozen=True)
class Planes:
    """A position a pixel of a map: (1, D, rows, columns).

    Args:
        is_channels_last: Whether it is (1, rows, columns, D).
    """

    is_channels_last: bool = False

    def __call__(
        self, array: np.ndarray, shape: tuple[int, ...], grid: Grid | None, old_grid: Grid | None = None
    ) -> np.ndarray:
        axis = 3 if self.is_channels_last else 1
        if array.ndim != 4 or len(shape) != 4 or array.shape[axis] != shape[axis]:
            raise ValueError(f"{array.shape} and {shape} are not position embeddings of one size of token")
        if self.is_channels_last:
            planes = resize_planes(array[0].transpose(2, 0, 1), (shape[1], shape[2])).transpose(1, 2, 0)
        else:
            planes = resize_planes(array[0], (shape[2], shape[3]))
        return planes[None].astype(array.dtype)


@dataclasses.dataclass(frozen=True)
class Distances:
    """A bias for each distance in a window, and head: ((2 * rows - 1) * (2 * columns - 1), heads), row by row.

    The old distances are stretched over the new ones by a geometric series, so that the near ones stay almost what they
    are, and values in between are linear: timm's `resize_rel_pos_bias_table`.
    """

    def __call__(
        self, array: np.ndarray, shape: tuple[int, ...], grid: Grid | None, old_grid: Grid | None = None
    ) -> np.ndarray:
        if array.ndim != 2 or len(shape) != 2 or array.shape[1] != shape[1]:
            raise ValueError(f"{array.shape} and {shape} are not biases of distances of one number of heads")
        old, new = self._grid(array.shape[0], old_grid), self._grid(shape[0], grid)
        table = array.astype(np.float32).reshape(*old, -1)
        for axis in range(2):
            positions = _stretched(old[axis], new[axis])
            wanted = np.arange(new[axis]) - new[axis] // 2
            table = np.apply_along_axis(partial(_between, wanted, positions), axis, table)
        return table.reshape(shape).astype(array.dtype)

    def _grid(self, count: int, grid: Grid | None) -> Grid:
        rows, columns = grid or _square(count)
        if rows * columns != count:
            raise ValueError(f"{count} distances are not those of a grid of {rows}x{columns}")
        return rows, columns


def _stretched(old: int, new: int) -> np.ndarray:
    """Returns where old distances, from 0 to both sides, lie among new ones: 0, 1, 1 + q, 1 + q + q^2 ..."""
    low, high = 1.01, 1.5
    ratio = low
    while high - low > 1e-6:
        ratio = (low + high) / 2
        if (1 - ratio ** (old // 2)) / (1 - ratio) > new // 2:
            high = ratio
        else:
            low = ratio
    positions = np.cumsum(ratio ** np.arange(old // 2))
    return np.concatenate([-positions[::-1], [0.0], positions])


def _between(wanted: np.ndarray, positions: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.interp(wanted, positions, values)


def resize_planes(planes: np.ndarray, size: Grid) -> np.ndarray:
    """Resizes float maps, (C, h, w) to (C, *size) in float32, by antialiased bicubic interpolation."""
    height, width = size
    images = (Image.fromarray(np.ascontiguousarray(plane, np.float32), "F") for plane in planes)
    return np.stack([np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)) for image in images])


def has_same_grid(grid: Grid, old_grid: Grid | None) -> bool:
    """Whether a file's positions, as many as the network's, stand in rows as the network's do.

    A file without a word is of a square grid, where its number of positions allows for one.

    Args:
        grid: Rows and columns of the network's positions.
        old_grid: What the file tells of its own.
    """
    side = math.isqrt(grid[0] * grid[1])
    return old_grid == grid if old_grid else grid == (side, side) or side * side != grid[0] * grid[1]


def _square(count: int) -> Grid:
    side = math.isqrt(max(count, 0))
    if not side or side * side != count:
        raise ValueError(f"{count} positions are no square grid")
    return side, side
