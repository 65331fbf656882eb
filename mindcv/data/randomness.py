"""Random numbers that do not depend on how threads take turns.

Several threads work on the images of a pipeline. Drawing from one global generator would hand its numbers out in the
order in which the threads happen to arrive, so that two runs with the same seed differ. Here every image has a
generator of its own. The reader makes it from the seed, the epoch and the image's position in it, and crop, policy,
colours and erasing draw from it in turn. An operation in a list of MindSpore's, where it learns nothing but
the pixels, makes it from the seed and those: epochs differ there because the random crop and flip that come before hand
in other pixels each time.
"""

import math
import random
import zlib
from collections.abc import Iterable

import mindspore.dataset as ds
import numpy as np

# Of larger arrays about so many bytes are hashed, evenly spread; random crops of any two images differ in some of them.
_HASHED_BYTES = 1 << 14


def dataset_seed() -> int:
    """The seed of `mindspore.dataset` (`ds.config.set_seed`), also when it was never set."""
    return int(ds.config.get_seed())


def generator_for(seed: int, salt: int, *arrays: np.ndarray) -> np.random.Generator:
    """Returns the random generator that belongs to these arrays.

    Args:
        seed: Seed of the run.
        salt: Tells users of the same pixels apart (two augmentations of one image).
        *arrays: What is about to be transformed. Evenly spread values of each are hashed.
    """
    return np.random.Generator(np.random.PCG64([seed, salt, _digest(arrays)]))


def generator_of(rng: random.Random) -> np.random.Generator:
    """Returns a numpy generator that follows from another one, for what that cannot draw."""
    return np.random.Generator(np.random.PCG64(rng.getrandbits(64)))


class ImageOperation:
    """Base of what a reader does to an image at random, besides being an operation for `dataset.map`."""

    def apply(self, image: np.ndarray, rng: random.Random) -> None:
        """Changes an image in its place, with these random numbers."""
        raise NotImplementedError


class RandomOperation(ImageOperation):
    """Base of those that MindSpore does not have.

    Attributes:
        salt: Tells users of the same pixels apart (two augmentations of one image) where these give the random numbers.
    """

    salt = 0

    def __init__(self) -> None:
        self.seed = dataset_seed()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Gives a changed image, with random numbers that follow from the seed and its pixels."""
        image = np.array(image)
        self.apply(image, random.Random(f"{self.seed} {self.salt} {_digest([image])}"))
        return image


class SeededByPixels(RandomOperation):
    """An operation of MindSpore and of a reader, for `dataset.map` with random numbers of this module."""

    def __init__(self, operation: ImageOperation) -> None:
        super().__init__()
        self.operation = operation

    def apply(self, image: np.ndarray, rng: random.Random) -> None:
        self.operation.apply(image, rng)


def _digest(arrays: Iterable[np.ndarray]) -> int:
    """A digest that arrays which differ, also in few places, most probably do not share."""
    digest = 0
    for array in arrays:
        flat = array.reshape(-1)
        step = max(1, flat.nbytes // _HASHED_BYTES)
        # A step that shares no factor with 6 meets every channel and does not follow the columns of common image sizes.
        while math.gcd(step, 6) > 1:
            step += 1
        digest = zlib.crc32(flat[::step].tobytes(), digest)
    return digest
