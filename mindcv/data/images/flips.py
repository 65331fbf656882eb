"""Mirroring at random, by MindSpore in its pipelines and here in a reader."""

import random

import numpy as np
from mindspore.dataset import vision

from ..randomness import ImageOperation

__all__ = ["RandomHorizontalFlip", "RandomVerticalFlip"]


def _flip(image: np.ndarray, prob: float, axis: int, rng: random.Random) -> None:
    if rng.random() < prob:
        image[:] = np.flip(image, axis).copy()


class RandomHorizontalFlip(vision.RandomHorizontalFlip, ImageOperation):
    """Mirrors a share `prob` of all images left to right."""

    def apply(self, image: np.ndarray, rng: random.Random) -> None:
        _flip(image, self.prob, 1, rng)


class RandomVerticalFlip(vision.RandomVerticalFlip, ImageOperation):
    """Mirrors a share `prob` of all images top to bottom."""

    def apply(self, image: np.ndarray, rng: random.Random) -> None:
        _flip(image, self.prob, 0, rng)
