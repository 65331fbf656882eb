"""Compares an exported network with the live one."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..weights.outputs import SINGLE, probabilities
from .onnx_runtimes import Run

__all__ = ["Comparison", "agreement", "compare", "normalised"]

# Rows that are compared are of two sizes where any size is allowed.
_DYNAMIC_SIZES = (1, 3, 1)
_NUM_BATCHES = 3
_SMALLEST_PROBABILITY = 1e-30


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The outcome of running both networks on the same batches.

    Attributes:
        largest_difference: Of a score, in absolute value; NaN or infinite when an output is. Of probabilities, the
            logarithms are compared: of a softmax they are the scores but for a constant a row, so that small ones
            count too.
        largest_score: Of the live network, in absolute value.
        tolerance: Largest difference allowed, as a share of the largest score.
        batch_sizes: Of the batches.
        num_scores: Length of a row of the live network's output.
    """

    largest_difference: float
    largest_score: float
    tolerance: float
    batch_sizes: tuple[int, ...]
    num_scores: int

    @property
    def allowed(self) -> float:
        """Largest difference allowed."""
        return self.tolerance * self.largest_score

    @property
    def is_equal(self) -> bool:
        """Whether the difference is within what is allowed; a NaN never is."""
        return bool(self.largest_difference <= self.allowed)


def compare(
    live: Run,
    exported: Run,
    shape: tuple[int | None, int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    takes_pixels: bool,
    gives_probabilities: bool,
    head: str = SINGLE,
    tolerance: float,
) -> Comparison:
    """Runs the live network and the exported one on three batches of random pixels.

    Args:
        live: Normalised images to scores.
        exported: What the file computes.
        shape: (N, C, H, W) of its input; N None for any batch size, of which two are run.
        mean: Mean a channel, 0 to 255.
        std: Standard deviation a channel, 0 to 255.
        takes_pixels: Whether the file takes uint8 pixels.
        gives_probabilities: Whether the file gives probabilities.
        head: What the probabilities are, see `ModelOutputs`.
        tolerance: See `Comparison`.
    """
    random = np.random.RandomState(0)
    batch_size, *image_shape = shape
    sizes = _DYNAMIC_SIZES if batch_size is None else (batch_size,) * _NUM_BATCHES
    difference = score = 0.0
    for size in sizes:
        pixels = random.randint(0, 256, (size, *image_shape)).astype(np.uint8)
        inputs = normalised(pixels, mean, std)
        expected = live(inputs)
        result = exported(pixels if takes_pixels else inputs)
        if gives_probabilities:
            expected, result = _logarithm(probabilities(expected, head)), _logarithm(result)
        if result.shape != expected.shape:
            difference = float("inf")
            continue
        # np.maximum keeps a NaN, which Python's max() may lose
        difference = float(np.maximum(difference, np.abs(result - expected).max()))
        score = float(np.maximum(score, np.abs(expected).max()))
    return Comparison(difference, score, tolerance, tuple(sizes), expected.shape[1])


def agreement(expected: np.ndarray, result: np.ndarray, head: str, *, gives_probabilities: bool) -> float:
    """Returns how often two networks answer alike, from 0 to 1; what is not finite agrees with nothing.

    Args:
        expected: Scores or probabilities of the one, (N, num_classes).
        result: Those of the other.
        head: `single`: the share of images with the same first class. `multiple`: of the labels that either of them
            finds, the share that both find.
        gives_probabilities: Whether they are probabilities.
    """
    finite = np.isfinite(result).all(axis=1)
    if head == SINGLE:
        return float(np.mean(finite & (expected.argmax(axis=1) == result.argmax(axis=1))))
    middle = 0.5 if gives_probabilities else 0.0
    first, second = expected >= middle, (result >= middle) & finite[:, None]
    either = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / either) if either else float(finite.all())


def normalised(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Returns float32 images of uint8 ones (N, C, H, W)."""
    return (pixels.astype(np.float32) - _by_channel(mean)) / _by_channel(std)


def _logarithm(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, _SMALLEST_PROBABILITY))


def _by_channel(values: Sequence[float]) -> np.ndarray:
    return np.reshape(values, (1, -1, 1, 1)).astype(np.float32)
