"""What a list of transforms begins with where images are arrays: of MindSpore and a `Transform` at once."""

import random
from collections.abc import Callable, Sequence

import numpy as np
from mindspore.dataset import vision

from .decoding import RandomCrop
from .reading import Transform

__all__ = ["PaddedCrop", "RandomArrayCrop"]


class PaddedCrop(vision.RandomCrop, Transform):
    """Random crop of an image with a black border (https://arxiv.org/abs/1512.03385, section 4.2).

    Args:
        size: (height, width) of the result, in pixels.
        border: Width of the border, in pixels.
    """

    def __init__(self, size: tuple[int, int], border: int) -> None:
        super().__init__(size, (border,) * 4)
        self.border = border

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        height, width, channels = data.shape
        padded = np.zeros((height + 2 * self.border, width + 2 * self.border, channels), np.uint8)
        padded[self.border : self.border + height, self.border : self.border + width] = data
        if any(side < wanted for side, wanted in zip(padded.shape, self.size, strict=False)):
            raise ValueError(
                f"an image of {height} x {width} pixels with a border of {self.border} is smaller than its crop of "
                f"{self.size[0]} x {self.size[1]}; give create_transforms the name of the images' dataset"
            )
        top, left = (rng.randint(0, side - wanted) for side, wanted in zip(padded.shape, self.size, strict=False))
        return np.ascontiguousarray(padded[top : top + self.size[0], left : left + self.size[1]])


class RandomArrayCrop(vision.RandomResizedCrop, Transform):
    """Random crop and resize of an array, in a reader as `RandomCrop` does it.

    Args:
        size: See `RandomCrop`.
        scale: See `RandomCrop`.
        ratio: See `RandomCrop`.
        interpolation: See `RandomCrop`.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale: tuple[float, float],
        ratio: tuple[float, float],
        interpolation: vision.Inter,
    ) -> None:
        super().__init__(size, scale, ratio, interpolation)
        self._crop = RandomCrop(size, scale, ratio, interpolation)

    def joined(self, operations: Sequence[Callable]) -> tuple[Transform, list[Callable]]:
        return self._crop.joined(operations)

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        return self._crop.transform(data, rng, out)
