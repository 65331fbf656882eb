"""Looks at every image of a dataset before a training does: bad ones, sizes, duplicates between splits."""

import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from .image_reader import reason_of
from .images.decoding import check_pixels
from .images.image_check import checked_image
from .sources.samples import Samples, single_labels

__all__ = ["SIDES", "Findings", "duplicates", "examine"]

# Limits of the histogram of shorter sides, in pixels.
SIDES = (64, 128, 224, 256, 384, 512, 1024, 2048)
_AT_ONCE = 1024


@dataclass
class Findings:
    """What was found in one split.

    Attributes:
        bad: Index of each image that cannot be used, and the reason.
        shorter_sides: Number of images whose shorter side is below each of `SIDES`, the last one those above, (9,).
        class_counts: Number of samples of each class.
        digests: Of each image file; empty for bad ones.
    """

    bad: dict[int, str] = field(default_factory=dict)
    shorter_sides: np.ndarray = field(default_factory=lambda: np.zeros(len(SIDES) + 1, np.int64))
    class_counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    digests: list[bytes] = field(default_factory=list)


def _examine_one(samples: Samples, index: int, decode: bool) -> tuple[str | None, int, bytes]:
    """The reason why an image is bad or None, its shorter side and its digest."""
    try:
        data = samples.read(index)
        if decode:
            check_pixels(data)
        else:
            checked_image(data)
        with Image.open(io.BytesIO(data)) as image:
            return None, min(image.size), hashlib.blake2b(data, digest_size=16).digest()
    except (OSError, ValueError) as error:
        return reason_of(error), 0, b""


def examine(
    samples: Samples, workers: int, decode: bool = True, progress: Callable[[int], object] = lambda done: None
) -> Findings:
    """Looks at all images of a split as the reader of a training does.

    Args:
        samples: The split.
        workers: Threads.
        decode: Whether to decode the pixels, by the decoder of training and evaluation. False: only headers are
            looked at, which finds no damage behind them.
        progress: Called with a number of samples when these are done.
    """
    findings = Findings()
    with ThreadPoolExecutor(workers) as pool:
        for index, (reason, side, digest) in enumerate(_in_order(pool, samples, decode, progress)):
            findings.digests.append(digest)
            if reason is None:
                findings.shorter_sides[np.searchsorted(SIDES, side, side="right")] += 1
            else:
                findings.bad[index] = reason
    single = single_labels(samples)
    counts = samples.labels.sum(0) if single is None else np.bincount(single)
    findings.class_counts = np.zeros(samples.num_classes, np.int64)
    findings.class_counts[: len(counts)] = counts
    return findings


def _in_order(
    pool: ThreadPoolExecutor, samples: Samples, decode: bool, progress: Callable[[int], object]
) -> Iterator[tuple[str | None, int, bytes]]:
    for start in range(0, len(samples), _AT_ONCE):
        indices = range(start, min(start + _AT_ONCE, len(samples)))
        yield from pool.map(lambda index: _examine_one(samples, index, decode), indices)
        progress(len(indices))


def duplicates(first: Findings, second: Findings) -> list[tuple[int, int]]:
    """Returns pairs of indices of the images of two splits that have the same bytes."""
    index_of = {digest: index for index, digest in enumerate(first.digests) if digest}
    return [(index_of[digest], index) for index, digest in enumerate(second.digests) if digest in index_of]
