"""Random numbers for Python transforms that do not depend on how threads take turns.

MindSpore calls Python transforms from several threads. Drawing from one global generator would hand its numbers out in
the order in which the threads happen to arrive, so that two runs with the same seed differ. Here every call has a
generator of its own, made from the seed and from the pixels that come in: the same picture with the same seed is always
treated alike, whatever the number of workers. Epochs differ because the random crop and flip that come before hand in
other pixels each time.
"""

import math
import zlib

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
    digest = 0
    for array in arrays:
        flat = array.reshape(-1)
        step = max(1, flat.nbytes // _HASHED_BYTES)
        # A step that shares no factor with 6 meets every channel and does not follow the columns of common image sizes.
        while math.gcd(step, 6) > 1:
            step += 1
        digest = zlib.crc32(flat[::step].tobytes(), digest)
    return np.random.Generator(np.random.PCG64([seed, salt, digest]))
