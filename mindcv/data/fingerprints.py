"""What tells one training set from another: names, sizes and classes of its samples."""

import base64
import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .sources.samples import ArraySamples, FileSamples, Samples, StoredSamples, Subset

__all__ = ["DataFingerprint", "fingerprint"]

# Asking for the size of so many files takes a fraction of a second; of more files only some are asked for theirs.
_MOST_SIZES = 1 << 15
_MOST_NAMED = 5


@dataclass(frozen=True)
class DataFingerprint:
    """What tells one training set from another.

    Attributes:
        digests: Of each sample's name inside its class, and size in bytes; uint32 (N,), in the order of the samples.
        classes: For each class its number of samples and a number that follows from their digests, by name.
        sha256: Of names, sizes and classes, in the order of the samples.
        sizes_of_every: Only of every so many files, by name, the size is in the digest.
    """

    digests: np.ndarray
    classes: dict[str, tuple[int, int]]
    sha256: str
    sizes_of_every: int

    def to_json(self) -> dict[str, Any]:
        """Returns what a checkpoint's JSON holds: 6 bytes a sample and a line a class."""
        text = base64.b64encode(np.ascontiguousarray(self.digests, "<u4")).decode()
        return {
            "digests": text,
            "classes": {name: list(facts) for name, facts in self.classes.items()},
            "sha256": self.sha256,
            "sizes_of_every": self.sizes_of_every,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "DataFingerprint":
        """Reads what `to_json` returned."""
        digests = np.frombuffer(base64.b64decode(saved["digests"]), "<u4")
        classes = {name: (int(count), int(total)) for name, (count, total) in saved["classes"].items()}
        return cls(digests, classes, saved["sha256"], saved["sizes_of_every"])

    def changes_since(self, before: "DataFingerprint") -> str:
        """Says in one line what is different from an earlier set; '' when nothing is."""
        if self.sha256 == before.sha256:
            return ""
        gone = [name for name in before.classes if name not in self.classes]
        new = [name for name in self.classes if name not in before.classes]
        renamed = {}
        for name in gone:
            # Empty classes are all alike.
            same = [other for other in new if self.classes[other] == before.classes[name] and before.classes[name][0]]
            if same:
                renamed[name] = same[0]
                new.remove(same[0])
        added, removed = _difference(self.digests, before.digests)
        changes = []
        if added or removed:
            changes.append(f"{added} {'file' if added == 1 else 'files'} added, {removed} removed")
        changes += [f"class {name} renamed to {other}" for name, other in renamed.items()][:_MOST_NAMED]
        changes += _named("class", "gone", [name for name in gone if name not in renamed])
        changes += _named("class", "new", new)
        common = [name for name in self.classes if name in before.classes]
        if not (added or removed):
            other = [name for name in common if self.classes[name] != before.classes[name]]
            changes += _named("class", "with other files", other)
        return ", ".join(changes) or "the same files in another order"


def fingerprint(samples: Samples, sizes_of_every: int | None = None) -> DataFingerprint:
    """Takes the fingerprint of a training set, all of it where the samples are a part; no image file is read.

    Args:
        samples: The samples.
        sizes_of_every: Of every so many files the size counts. None: of all, or of few enough for a quick answer.
    """
    samples = samples.whole or samples
    labels = samples.labels
    if sizes_of_every is None:
        sizes_of_every = 1
        while len(samples) > _MOST_SIZES * sizes_of_every:
            sizes_of_every *= 2
    known = samples.class_names or ()
    names = [(index < len(known) and known[index]) or str(index) for index in range(samples.num_classes)]
    digests = _digests(samples, sizes_of_every)
    whole = hashlib.sha256(repr((list(names), labels.shape)).encode("utf-8", "surrogateescape"))
    whole.update(digests.tobytes())
    whole.update(np.ascontiguousarray(labels).tobytes())
    if labels.ndim == 2:
        counts = labels.sum(0).astype(np.int64)
        totals = (labels.T.astype(np.uint64) @ digests.astype(np.uint64)).astype(np.uint64)
    else:
        counts = np.bincount(labels, minlength=len(names))
        totals = np.zeros(len(names), np.uint64)
        np.add.at(totals, labels, digests.astype(np.uint64))
    classes = {name: (int(counts[i]), int(totals[i])) for i, name in enumerate(names)}
    return DataFingerprint(digests, classes, whole.hexdigest(), sizes_of_every)


def _difference(now: np.ndarray, before: np.ndarray) -> tuple[int, int]:
    """How many are there now and were not before, and the other way round; equal ones are counted."""
    values, inverse = np.unique(np.concatenate([now, before]), return_inverse=True)
    more = np.bincount(inverse[: len(now)], minlength=len(values)).astype(np.int64)
    more -= np.bincount(inverse[len(now) :], minlength=len(values))
    return int(more[more > 0].sum()), int(-more[more < 0].sum())


def _named(noun: str, what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    text = ", ".join(names[:_MOST_NAMED]) + (" ..." if len(names) > _MOST_NAMED else "")
    return [f"{noun} {text} {what}" if len(names) == 1 else f"{len(names)} {noun}es {what} ({text})"]


def _digests(samples: Any, every: int) -> np.ndarray:
    """A checksum of each sample's name, without the folder of its class, and its size."""
    if isinstance(samples, Subset):
        return _digests(samples.samples, every)[samples.indices]
    if isinstance(samples, ArraySamples):
        return np.fromiter((zlib.crc32(np.ascontiguousarray(image)) for image in samples.images), np.uint32)
    if isinstance(samples, StoredSamples):
        names = samples.names or [""] * len(samples)
        sizes = samples.locations[:, 2].tolist()
        return np.fromiter((_digest(names[i], size) for i, size in enumerate(sizes)), np.uint32)
    return np.fromiter((_file_digest(samples, index, every) for index in range(len(samples))), np.uint32)


def _digest(name: str, size: int) -> int:
    return zlib.crc32(b" %d" % size, zlib.crc32(os.fsencode(name)))


def _file_digest(samples: FileSamples, index: int, every: int) -> int:
    name = samples.names[index]
    own = name.partition("/")[2] if samples.has_class_folders else name
    digest = zlib.crc32(os.fsencode(own))
    # Of names that are much alike the checksum's lowest bits are too, so it is mixed (Knuth's multiplier).
    if (digest * 2654435761 & 0xFFFFFFFF) * every >> 32:
        return digest
    try:
        size = os.stat(samples.name(index)).st_size
    except OSError:  # whoever reads it says so
        size = -1
    return zlib.crc32(b" %d" % size, digest)
