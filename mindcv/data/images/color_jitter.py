"""Colour jitter: brightness, contrast, saturation and hue at random."""

import random

import numpy as np

from ..randomness import RandomOperation
from . import operations

__all__ = ["ColorJitter"]


class ColorJitter(RandomOperation):
    """Changes brightness, contrast, saturation and hue in random order; uint8 (H, W, 3) in and out.

    Args:
        brightness: The factor is drawn evenly from 1 - `brightness`, but not below 0, to 1 + `brightness`.
        contrast: The same for contrast.
        saturation: The same for saturation.
        hue: The hue is turned by at most this share of the circle of colours either way, 0 to 0.5.
    """

    def __init__(self, brightness: float, contrast: float, saturation: float, hue: float = 0.0) -> None:
        super().__init__()
        factors = {
            operations.brightness: (max(0.0, 1 - brightness), 1 + brightness),
            operations.contrast: (max(0.0, 1 - contrast), 1 + contrast),
            operations.saturation: (max(0.0, 1 - saturation), 1 + saturation),
            operations.hue: (-hue, hue),
        }
        self.ranges = [(change, least, most) for change, (least, most) in factors.items() if least < most]

    def apply(self, image: np.ndarray, rng: random.Random) -> None:
        ranges = rng.sample(self.ranges, len(self.ranges))
        operations.apply_steps(image, [change(rng.uniform(least, most)) for change, least, most in ranges])
