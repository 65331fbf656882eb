"""Reads and checks the images of a dataset by index, and treats those that cannot be used."""

import contextlib
import copy
import fcntl
import logging
import os
import random
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..utils.registry import unknown_name_message
from ..utils.text import line_of
from .batch_memory import BatchMemory
from .images.decoding import check_pixels
from .images.image_check import checked_image
from .images.reading import Reading
from .sources.samples import Samples

__all__ = [
    "BAD_SAMPLES",
    "BLANK",
    "BadSampleList",
    "ImageReader",
    "evaluation_policy",
    "find_bad_samples",
    "index_read",
    "recently_read",
]

_logger = logging.getLogger(__name__)

BAD_SAMPLES = ("error", "skip", "replace")

# In a row; a set in which that many neighbours are bad is not one to train on.
_MOST_REPLACEMENTS = 1000
_MOST_LOGGED = 10
# Samples between being read and leaving the pipeline as part of a batch.
_MOST_IN_FLIGHT = 4096
# In place of the index of a sample that nobody will look at.
BLANK = -1

_readers: "weakref.WeakSet[ImageReader]" = weakref.WeakSet()


def evaluation_policy(bad_samples: str | None) -> str:
    """Returns what an evaluation does about bad samples, by the key of that name; None is its default.

    A sample in another one's place would count twice, so what a training replaces is skipped.
    """
    return "skip" if bad_samples == "replace" else bad_samples or "error"


class BadSampleList:
    """A file of bad samples, one a line with the reason after a tab. What another rank or start added stands once.

    Args:
        path: The file. None: there is none.

    Attributes:
        is_complete: Whether all that was added is in it.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = path
        self.is_complete = path is not None
        self._lines: set[bytes] = set()
        self._size_read = 0

    def add(self, samples: Sequence[tuple[str, str]]) -> None:
        """Adds names and reasons; a warning says so the first time that it cannot be done."""
        if self.path is None or not samples:
            return
        try:
            with Path(self.path).open("a+b") as file:
                with contextlib.suppress(OSError):  # there are file systems without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(self._size_read)
                self._lines.update(file)
                new = {line: None for sample in samples if (line := line_of(*sample)) not in self._lines}
                file.writelines(new)
                self._lines.update(new)
                self._size_read = file.tell()
        except OSError as error:
            if self.is_complete:
                _logger.warning("bad images cannot be listed in %s: %s", self.path, error.strerror)
            self.is_complete = False


def _columns(samples: Samples, reading: Reading | None) -> dict[str, np.ndarray]:
    """The labels that come with an image, by the name of their column."""
    return samples.columns if reading is None else {"label": samples.labels}


class ImageReader:
    """A map operation: the key of a sample to its image, as it is unless there is a `reading`, and labels.

    Args:
        samples: The samples.
        bad_samples: error: raise; replace: take the next good sample, by index, in its place. (`skip` has been done
            before: what is skipped is no sample.) Arrays are never bad.
        listing: File to which bad samples are added, see `BadSampleList`. None: no file.
        reading: What is made of a sample, with random numbers that follow from the seed, the epoch and the sample's
            position in it alone. None: image files stay encoded, and all label columns come, not what is learned alone.
    """

    def __init__(
        self,
        samples: Samples,
        bad_samples: str = "error",
        listing: str | os.PathLike[str] | None = None,
        reading: Reading | None = None,
    ) -> None:
        if bad_samples not in BAD_SAMPLES:
            raise ValueError(unknown_name_message("bad_samples", bad_samples, BAD_SAMPLES))
        self.samples = samples
        self.replaces = bad_samples == "replace" and samples.is_encoded
        self.listing = BadSampleList(listing)
        self.bad: dict[int, str] = {}
        self.recent: deque[int] = deque(maxlen=_MOST_IN_FLIGHT)
        self.epoch_size = 0
        self.reading = reading
        self.columns = _columns(samples, reading)
        self._memory = BatchMemory()
        self._lock = threading.Lock()
        self._counts: dict[int, list[int]] = {}
        _readers.add(self)

    def with_reading(self, reading: Reading) -> "ImageReader":
        """Returns a reader of the same samples, bad ones and counts that does this with a sample."""
        reader = copy.copy(self)
        reader.reading = reading
        reader.columns = _columns(self.samples, reading)
        _readers.add(reader)
        return reader

    def __call__(self, key: np.ndarray) -> tuple[np.ndarray, ...]:
        """Reads a sample, or a batch of them.

        Args:
            key: Seed, epoch, position in the epoch and index of the sample, int64 (4,); or an array of them, (N, 4).

        Returns:
            The bytes of the image file, uint8 (size,), or pixels, uint8 (H, W, C), or what `reading` made of them; and
            each of `columns`. Of a batch, all stacked.

        Raises:
            ValueError: The image cannot be used; the message names it.
        """
        image, index = self._batch(key) if key.ndim == 2 else self._sample(key)
        return (image, *(labels[index] for labels in self.columns.values()))

    def _sample(self, key: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, int]:
        """Reads a sample, and says which; `out` is where its pixels may be put."""
        seed, epoch, position, wanted = key.tolist()
        index = wanted
        for _ in range(_MOST_REPLACEMENTS):
            image = self._read(index, seed << 96 | epoch << 64 | position, out)
            if image is not None:
                self.recent.append(index)
                if self.replaces:
                    self._count(epoch, index != wanted)
                return image, index
            index = (index + 1) % len(self.samples)
        raise ValueError(
            f"{_MOST_REPLACEMENTS} images in a row cannot be read, the last one {self.samples.name(index)}; "
            "look at them with: mindcv data check"
        )

    def _batch(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        indices = np.zeros(len(keys), np.int64)
        if keys[0, -1] == BLANK:
            return np.zeros((len(keys), 1, 1, 3), np.uint8), indices
        image, indices[0] = self._sample(keys[0])
        images = self._memory.empty((len(keys), *image.shape), image.dtype)
        images[0] = image
        for row in range(1, len(keys)):
            image, indices[row] = self._sample(keys[row], images[row])
            if image.base is not images:
                images[row] = image
        return images, indices

    def _read(self, index: int, seed: int, out: np.ndarray | None) -> np.ndarray | None:
        """The checked image; None when it is bad and another one may take its place."""
        if index not in self.bad:
            try:
                data = self.samples.read(index)
                if self.reading is not None:
                    return self.reading(data, random.Random(seed), out)
                return np.frombuffer(checked_image(data), np.uint8) if self.samples.is_encoded else data
            except (OSError, ValueError) as error:
                if not self.samples.is_encoded:
                    raise
                if not self.replaces:
                    raise ValueError(bad_sample_message(self.samples.name(index), error)) from error
                self._note(index, error)
        return None

    def _note(self, index: int, error: Exception) -> None:
        """Remembers, logs and lists a bad sample the first time that it is met."""
        reason = reason_of(error)
        with self._lock:
            if index in self.bad:
                return
            self.bad[index] = reason
            count = len(self.bad)
        name = self.samples.name(index)
        if count <= _MOST_LOGGED:
            _logger.warning("replaced the bad image %s: %s", name, reason)
        self.listing.add([(name, reason)])

    def _count(self, epoch: int, is_replaced: bool) -> None:
        """Counts a sample and, with the last one of an epoch, logs how many were replaced."""
        with self._lock:
            count = self._counts.setdefault(epoch, [0, 0])
            count[0] += 1
            count[1] += is_replaced
            if count[0] < self.epoch_size:
                return
            del self._counts[epoch]
        if count[1]:
            where = f"; they are listed in {self.listing.path}" if self.listing.is_complete else ""
            _logger.warning("%d of %d samples of this epoch were bad and replaced%s", count[1], count[0], where)


def reason_of(error: Exception) -> str:
    """Why a sample cannot be used, in a few words."""
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)


def bad_sample_message(name: str, error: Exception) -> str:
    """One line about a bad sample that says what to do."""
    return (
        f"cannot use the image {name}: {reason_of(error)}; replace or delete the file, set bad_samples: skip or "
        "replace, or find all such files with: mindcv data check"
    )


def find_bad_samples(samples: Samples, workers: int) -> dict[int, str]:
    """Reads and decodes all samples.

    Args:
        samples: The samples.
        workers: Threads.

    Returns:
        Index of each bad sample and the reason.
    """

    def reason(index: int) -> str | None:
        try:
            check_pixels(samples.read(index))
        except (OSError, ValueError) as error:
            return reason_of(error)
        return None

    with ThreadPoolExecutor(workers) as pool:
        found = {}
        for start in range(0, len(samples), _MOST_IN_FLIGHT):
            indices = range(start, min(start + _MOST_IN_FLIGHT, len(samples)))
            for index, why in zip(indices, pool.map(reason, indices), strict=True):
                if why is not None:
                    found[index] = why
    return found


def index_read(samples: Samples, index: int) -> int:
    """Returns the index of the sample that was read for this one: another one where it is bad and was replaced."""
    for reader in list(_readers):
        while reader.samples is samples and reader.replaces and index in reader.bad:
            index = (index + 1) % len(samples)
    return index


def recently_read() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of what the readers of this process read last: where to look when a decoder has failed."""
    for reader in list(_readers):
        for index in list(reader.recent) if reader.samples.is_encoded else ():
            try:
                yield reader.samples.name(index), checked_image(reader.samples.read(index))
            except (OSError, ValueError):
                continue
