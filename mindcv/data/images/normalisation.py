"""Normalising and channels first on the host, by MindSpore in its pipelines and here in a reader."""

import random

import numpy as np
from mindspore.dataset import vision

from .reading import Transform

__all__ = ["HWC2CHW", "Normalize"]


class Normalize(vision.Normalize, Transform):
    """Subtracts `mean` and divides by `std`, one value a channel; uint8 (H, W, C) to float32."""

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        mean, std = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
        # In the order of the result, (C, H, W), so that `HWC2CHW` copies nothing.
        normalised = data.transpose(2, 0, 1).astype(np.float32, order="C")
        normalised -= mean
        normalised /= std
        return normalised.transpose(1, 2, 0)


class HWC2CHW(vision.HWC2CHW, Transform):
    """(H, W, C) to (C, H, W)."""

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        return np.ascontiguousarray(data.transpose(2, 0, 1))
