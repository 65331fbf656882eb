"""Initialisers of weights: MindSpore's distributions, drawn by NumPy in several threads.

MindSpore draws one value after another in one thread, 66 ns for each of a truncated normal distribution, which is most
of the time that a network takes to be made. Layers and models take these.
"""

import functools
import math
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from mindspore.common import initializer

from mindcv.utils.cores import usable_cores

__all__ = ["HeNormal", "HeUniform", "Normal", "TruncatedNormal", "Uniform", "XavierUniform"]

# Values that one generator draws; the numbers do not depend on the threads. Fewer than `_OWN` do not get one.
_CHUNK = 1 << 18
_OWN = 1 << 13
# A thread draws that many or more: two take 0.25 ms to start, in which one draws 200,000 normal values.
_FOR_A_THREAD = 1 << 20
_MOST_THREADS = 8
# Fewer normal values are drawn one by one.
_FEW = 1 << 10
# What 16 random bits choose from.
_LEVELS = 1 << 16
# A normal value further from the mean, in standard deviations, is never drawn.
_FURTHEST = 10.0
# Squares of what the activation before a layer is made up for.
_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": (5 / 3) ** 2, "relu": 2.0}
Fill = Callable[[np.random.Generator, np.ndarray], None]


class Normal(initializer.Normal):
    """Normal distribution; arguments as MindSpore's."""

    def _initialize(self, arr: np.ndarray) -> None:
        _draw(arr, lambda random, part: _fill_normal(random, part, self.mean, self.sigma))


class TruncatedNormal(initializer.TruncatedNormal):
    """Normal distribution without what is below `a` or above `b`; arguments as MindSpore's.

    The bounds are values, as MindSpore, PyTorch and timm take them, and not numbers of standard deviations: with the
    usual sigma of 0.02 the bounds -2 and 2 cut nothing off.
    """

    def _initialize(self, arr: np.ndarray) -> None:
        low, high = (self.a - self.mean) / self.sigma, (self.b - self.mean) / self.sigma
        if not low <= -1 <= 1 <= high:
            # Most of what is drawn would be drawn again.
            super()._initialize(arr)
            return
        _draw(arr, lambda random, part: _fill_truncated(random, part, self.mean, self.sigma, low, high))


class Uniform(initializer.Uniform):
    """Uniform distribution within `scale` of zero."""

    def _initialize(self, arr: np.ndarray) -> None:
        _draw(arr, lambda random, part: _fill_uniform(random, part, self.scale))


class XavierUniform(initializer.XavierUniform):
    """Uniform distribution of variance `2 gain^2 / (fan in + fan out)`; arguments as MindSpore's."""

    def _initialize(self, arr: np.ndarray) -> None:
        bound = self.gain * math.sqrt(6 / (_fan(arr.shape, "fan_in") + _fan(arr.shape, "fan_out")))
        _draw(arr, lambda random, part: _fill_uniform(random, part, bound))


class HeNormal(initializer.HeNormal):
    """Normal distribution of variance `gain^2 / fan` (arXiv:1502.01852); arguments as MindSpore's."""

    def _initialize(self, arr: np.ndarray) -> None:
        sigma = _he_sigma(self, arr.shape)
        _draw(arr, lambda random, part: _fill_normal(random, part, 0.0, sigma))


class HeUniform(initializer.HeUniform):
    """Uniform distribution of variance `gain^2 / fan` (arXiv:1502.01852); arguments as MindSpore's."""

    def _initialize(self, arr: np.ndarray) -> None:
        bound = math.sqrt(3) * _he_sigma(self, arr.shape)
        _draw(arr, lambda random, part: _fill_uniform(random, part, bound))


def _he_sigma(he: initializer.HeNormal | initializer.HeUniform, shape: tuple[int, ...]) -> float:
    if he.nonlinearity == "leaky_relu":
        square = 2 / (1 + he.negative_slope**2)
    elif he.nonlinearity in _GAINS:
        square = _GAINS[he.nonlinearity]
    else:
        allowed = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"nonlinearity of an initialiser is {he.nonlinearity!r}; it must be one of {allowed}")
    return math.sqrt(square / _fan(shape, he.mode))


def _fan(shape: tuple[int, ...], mode: str) -> int:
    """Values that one output sums over (`fan_in`) or that one input goes to (`fan_out`), of a weight (out, in, ...)."""
    if len(shape) < 2:
        raise ValueError(f"a weight of shape {shape} has no fan; it needs two axes or more")
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode of an initialiser is {mode!r}; it must be fan_in or fan_out")
    return shape[mode == "fan_in"] * math.prod(shape[2:])


def _draw(array: np.ndarray, fill: Fill) -> None:
    """Fills an array.

    The seed comes from NumPy's global generator, which `mindspore.set_seed` seeds, as MindSpore's does. Small arrays
    are filled by that generator itself, as to make another takes longer than to fill them.

    Args:
        array: What to fill.
        fill: Fills one float32 piece of it by a generator.
    """
    is_direct = array.dtype == np.float32 and array.flags.c_contiguous
    values = array.reshape(-1) if is_direct else np.empty(array.size, np.float32)
    if values.size < _OWN:
        fill(np.random.Generator(np.random.get_bit_generator()), values)
    else:
        _fill_in_chunks(values, fill)
    if not is_direct:
        array[...] = values.reshape(array.shape)


def _fill_in_chunks(values: np.ndarray, fill: Fill) -> None:
    seed = np.random.randint(1, 1 << 63, dtype=np.int64)

    def fill_chunk(index: int) -> None:
        sequence = np.random.SeedSequence(int(seed), spawn_key=(index,))
        fill(np.random.Generator(np.random.SFC64(sequence)), values[index * _CHUNK : (index + 1) * _CHUNK])

    chunks = -(-values.size // _CHUNK)
    threads = min(values.size // _FOR_A_THREAD, usable_cores(), _MOST_THREADS)
    if threads <= 1:
        for index in range(chunks):
            fill_chunk(index)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill_chunk, range(chunks)))


def _fill_normal(random: np.random.Generator, part: np.ndarray, mean: float, sigma: float) -> None:
    _fill_standard_normal(random, part)
    _scale(part, mean, sigma)


def _fill_truncated(
    random: np.random.Generator, part: np.ndarray, mean: float, sigma: float, low: float, high: float
) -> None:
    _fill_standard_normal(random, part)
    if max(low, -high) > -_FURTHEST:
        outside = np.flatnonzero((part < low) | (part > high))
        while outside.size:
            drawn = random.standard_normal(outside.size, dtype=np.float32)
            part[outside] = drawn
            outside = outside[(drawn < low) | (drawn > high)]
    _scale(part, mean, sigma)


def _fill_standard_normal(random: np.random.Generator, part: np.ndarray) -> None:
    """Fills an array with normal values of mean 0 and variance 1, in a fifth of the time of NumPy's.

    Two values are `(a + b, a - b) / sqrt(2)`, which are as independent and normal as a and b are; these are each one of
    2^16 quantiles, chosen by 16 random bits.
    """
    half = part.size // 2 if part.size >= _FEW else 0
    if half:
        bits = _bits(random, 2 * half).view(np.uint16)
        quantiles = _quantiles()
        a, b = (quantiles.take(each, mode="clip") for each in (bits[:half], bits[half : 2 * half]))
        np.add(a, b, out=part[:half])
        np.subtract(a, b, out=part[half : 2 * half])
    random.standard_normal(dtype=np.float32, out=part[2 * half :])


@functools.cache
def _quantiles() -> np.ndarray:
    """Returns quantiles of the normal distribution, each in the middle of its share, of variance 1/2."""
    inverse = statistics.NormalDist().inv_cdf
    upper = np.array([inverse(0.5 + (index + 0.5) / _LEVELS) for index in range(_LEVELS // 2)])
    upper /= math.sqrt(2 * np.mean(upper**2))
    return np.concatenate([-upper[::-1], upper]).astype(np.float32)


def _fill_uniform(random: np.random.Generator, part: np.ndarray, bound: float) -> None:
    """Fills an array with the middles of 2^16 equal shares of the interval, in a third of the time of NumPy's."""
    bits = _bits(random, part.size)
    np.multiply(bits, np.float32(2 * bound / _LEVELS), out=part, dtype=np.float32)
    part += np.float32(bound / _LEVELS)


def _bits(random: np.random.Generator, size: int) -> np.ndarray:
    """Returns 16 random bits for each of `size` values, as int16."""
    return random.integers(0, (1 << 64) - 1, -(-size // 4), np.uint64, endpoint=True).view(np.int16)[:size]


def _scale(part: np.ndarray, mean: float, sigma: float) -> None:
    part *= np.float32(sigma)
    if mean:
        part += np.float32(mean)
