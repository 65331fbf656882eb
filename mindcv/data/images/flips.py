"""Mirroring at random, by MindSpore in its pipelines and here in a reader."""

import random

import numpy as np
from mindspore.dataset import vision

from ..randomness import ImageOperation

__all__ = ["RandomHorizontalFlip", "RandomVerticalFlip"]


def _flipped(image: np.ndarray, prob: float, axis: int, rng: random.Random) -> np.ndarray:
    return np.ascontiguousarray(np.flip(image, axis)) if rng.random() < prob else image


class RandomHorizontalFlip(vision.RandomHorizontalFlip, ImageOperation):
    """Mirrors a share `prob` of all images left to right."""

    def apply(self, image: np.ndarray, rng: random.Random) -> np.ndarray:
        return _flipped(image, self.prob, 1, rng)


class RandomVerticalFlip(vision.RandomVerticalFlip, ImageOperation):
    """Mirrors a share `prob` of all images top to bottom."""

    def apply(self, image: np.ndarray, rng: random.Random) -> np.ndarray:
        return _flipped(image, self.prob, 0, rng)
