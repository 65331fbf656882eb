"""Random erasing (https://arxiv.org/abs/1708.04896), of normalised images and of pixels."""

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..randomness import RandomOperation, generator_of
from .settings import checked_range, checked_share

__all__ = ["PixelErasing", "RandomErasing"]

_ERASING_SALT = 7


class RandomErasing(RandomOperation):
    """Erases a random rectangle of an image (https://arxiv.org/abs/1708.04896); float32 (C, H, W) in and out.

    Args:
        prob: Share of images that are changed.
        scale: Least and greatest area of the rectangle, as shares of the image.
        ratio: Least and greatest ratio of its sides.
        value: What is put there, in normalised units: a number, one number a channel, or "random" (normal noise).
        max_attempts: How many rectangles are tried that do not fit into the image before it is left as it is.
        count: Most rectangles of an image: from 1 to so many, equally often, whose areas are divided by their number
            (timm's `recount`, with value "random" its mode pixel).
    """

    salt = _ERASING_SALT

    def __init__(
        self,
        prob: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0,
        max_attempts: int = 10,
        count: int = 1,
    ) -> None:
        super().__init__()
        if isinstance(value, str) and value != "random":
            raise ValueError(f"re_value must be a number, one number a channel or 'random', got {value!r}")
        self.prob = checked_share("re_prob", prob)
        self.scale = checked_range("re_scale", scale)
        self.ratio = checked_range("re_ratio", ratio)
        self.value = value
        self.max_attempts = max_attempts
        if count < 1:
            raise ValueError(f"re_count must be at least 1, got {count}")
        self.count = count

    def apply(self, image: np.ndarray, rng: random.Random) -> None:
        if rng.random() >= self.prob:
            return
        channels, *size = image.shape
        for rows, columns in list(self._rectangles(*size, rng)):
            shape = (channels, rows.stop - rows.start, columns.stop - columns.start)
            image[:, rows, columns] = self._filling(shape, (-1, 1, 1), rng)

    def _rectangles(self, height: int, width: int, rng: random.Random) -> Iterator[tuple[slice, slice]]:
        """Rows and columns that are erased."""
        count = 1 if self.count == 1 else rng.randint(1, self.count)
        for _ in range(count):
            rectangle = self._rectangle(height, width, count, rng)
            if rectangle is not None:
                yield rectangle

    def _rectangle(self, height: int, width: int, count: int, rng: random.Random) -> tuple[slice, slice] | None:
        """Rows and columns of one of so many rectangles; None when none fitted into the image."""
        for _ in range(self.max_attempts):
            area = rng.uniform(*self.scale) * height * width / count
            ratio = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < h < height and 0 < w < width:
                top, left = rng.randint(0, height - h), rng.randint(0, width - w)
                return slice(top, top + h), slice(left, left + w)
        return None

    def _filling(self, shape: tuple[int, ...], by_channel: tuple[int, ...], rng: random.Random) -> np.ndarray:
        """What is put into the rectangle, in normalised units."""
        if isinstance(self.value, str):
            return generator_of(rng).standard_normal(shape, dtype=np.float32)
        return np.asarray(self.value, np.float32).reshape(by_channel)


class PixelErasing(RandomErasing):
    """Random erasing of an image that is normalised later; uint8 (H, W, C) in and out.

    The filling means the same as in `RandomErasing`, but is rounded to whole grey levels and cut off at 0 and 255.

    Args:
        mean: One value a channel, 0 to 255, that is subtracted later.
        std: One value a channel that is divided by later.
        *args: Those of `RandomErasing`.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], *args: Any) -> None:
        super().__init__(*args)
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        is_drawn = isinstance(self.value, str)
        self._constant = None if is_drawn else self._levels(np.asarray(self.value, np.float32).reshape(1, 1, -1))

    def apply(self, image: np.ndarray, rng: random.Random) -> None:
        if rng.random() >= self.prob:
            return
        *size, channels = image.shape
        for rows, columns in list(self._rectangles(*size, rng)):
            height, width = rows.stop - rows.start, columns.stop - columns.start
            if self._constant is None:
                image[rows, columns] = self._levels(self._filling((height, width, channels), (1, 1, -1), rng))
            else:  # by one row: whole rows are much quicker to copy than a pixel again and again
                image[rows, columns] = np.repeat(self._constant, width, axis=1)

    def _levels(self, filling: np.ndarray) -> np.ndarray:
        """Grey levels of a filling in normalised units."""
        return np.clip(np.rint(filling * self.std + self.mean), 0, 255).astype(np.uint8)
