"""Tables of a file that depend on the image's size, fitted to another size: position embeddings.

Bicubic with antialiasing, which is what timm does (`torch.nn.functional.interpolate(..., antialias=True)`); Pillow's
resampling of float images is the same filter.
"""

import dataclasses
import math
from typing import Protocol

import numpy as np
from PIL import Image

Grid = tuple[int, int]


class Resize(Protocol):
    """Fits an entry of a file to the shape that it has in a network."""

    def __call__(self, array: np.ndarray, shape: tuple[int, ...], grid: Grid | None) -> np.ndarray:
        """Returns the entry in another shape.

        Args:
            array: The file's entry.
            shape: The network's shape.
            grid: Rows and columns of the network's tokens; None: as many rows as columns.

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

    def __call__(self, array: np.ndarray, shape: tuple[int, ...], grid: Grid | None) -> np.ndarray:
        if array.ndim != 3 or len(shape) != 3 or array.shape[2] != shape[2]:
            raise ValueError(f"{array.shape} and {shape} are not position embeddings of one size of token")
        old = _square(array.shape[1] - self.prefix)
        new = grid or _square(shape[1] - self.prefix)
        if new[0] * new[1] + self.prefix != shape[1]:
            raise ValueError(f"{shape[1]} positions are not {self.prefix} and a grid of {new[0]}x{new[1]}")
        planes = array[0, self.prefix :].T.reshape(-1, *old)
        resized = resize_planes(planes, new).reshape(len(planes), -1).T
        return np.concatenate([array[:, : self.prefix], resized[None].astype(array.dtype)], axis=1)


@dataclasses.dataclass(frozen=True)
class Planes:
    """A position a pixel of a map: (1, D, rows, columns)."""

    def __call__(self, array: np.ndarray, shape: tuple[int, ...], grid: Grid | None) -> np.ndarray:
        if array.ndim != 4 or len(shape) != 4 or array.shape[:2] != tuple(shape[:2]):
            raise ValueError(f"{array.shape} and {shape} are not position embeddings of one size of token")
        return resize_planes(array[0], (shape[2], shape[3]))[None].astype(array.dtype)


def resize_planes(planes: np.ndarray, size: Grid) -> np.ndarray:
    """Resizes float maps, (C, h, w) to (C, *size) in float32, by antialiased bicubic interpolation."""
    height, width = size
    images = (Image.fromarray(np.ascontiguousarray(plane, np.float32), "F") for plane in planes)
    return np.stack([np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)) for image in images])


def _square(count: int) -> Grid:
    side = math.isqrt(max(count, 0))
    if not side or side * side != count:
        raise ValueError(f"{count} positions are no square grid")
    return side, side
