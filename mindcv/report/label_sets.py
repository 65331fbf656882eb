"""What a model says of images that have several labels each: sets of classes, and what they come to. In numpy."""

import dataclasses

import numpy as np

from ..weights.outputs import MULTIPLE, probabilities
from .figures import ALL_CLASSES_UP_TO, NO_CLASS, TOP_CLASSES, ByClass, counted, largest

__all__ = ["LabelSets"]


@dataclasses.dataclass(frozen=True)
class LabelSets:
    """What a model said of N images, each of which has any number of the classes.

    Attributes:
        numbers: Which samples they are, int64 (N,).
        labels: The classes that they have, bool (N, num_classes).
        said: Those that the model says: of a probability of at least one half, bool (N, num_classes). None of them
            where the output is not finite.
        worst_classes: The class whose probability is farthest from the truth, int64 (N,); `NO_CLASS` where the output
            is not finite.
        worst_probabilities: Its probability, float32 (N,); NaN where the output is not finite.
        top_classes: The most probable classes, the first one first, int64 (N, K), as `figures.Predictions` has them.
        top_probabilities: Their probabilities, float32 (N, K).
        probabilities: Of all classes, float32 (N, num_classes), where there are at most 100; else (N, 0).
        num_classes: Number of classes.
    """

    numbers: np.ndarray
    labels: np.ndarray
    said: np.ndarray
    worst_classes: np.ndarray
    worst_probabilities: np.ndarray
    top_classes: np.ndarray
    top_probabilities: np.ndarray
    probabilities: np.ndarray
    num_classes: int

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def of(
        cls, scores: np.ndarray, labels: np.ndarray, numbers: np.ndarray, are_probabilities: bool = False
    ) -> "LabelSets":
        """Returns what is said of a batch.

        Args:
            scores: float32 (N, num_classes).
            labels: Zeros and ones, (N, num_classes).
            numbers: Which samples they are, (N,).
            are_probabilities: Whether scores are probabilities already.
        """
        num_classes = scores.shape[1]
        finite = np.isfinite(scores).all(axis=1)
        known = np.where(finite[:, None], scores, 0).astype(np.float64)
        shares = (known.clip(0, 1) if are_probabilities else probabilities(known, MULTIPLE)).astype(np.float32)
        said = (known >= (0.5 if are_probabilities else 0)) & finite[:, None]
        has = labels > 0.5
        worst = np.where(has, 1 - shares, shares).argmax(axis=1)
        shares[~finite] = np.nan
        worst_shares = np.take_along_axis(shares, worst[:, None], axis=1)[:, 0]
        top = largest(known, min(TOP_CLASSES, num_classes))
        top_shares = np.take_along_axis(shares, top, axis=1)
        worst[~finite] = top[~finite] = NO_CLASS
        kept = shares if num_classes <= ALL_CLASSES_UP_TO else shares[:, :0]
        return cls(numbers.astype(np.int64), has, said, worst, worst_shares, top, top_shares, kept, num_classes)

    @classmethod
    def empty(cls, num_classes: int) -> "LabelSets":
        """Returns those of no image."""
        nothing = np.zeros((0, num_classes), np.float32)
        return cls.of(nothing, nothing, np.zeros(0, np.int64))

    @classmethod
    def joined(cls, parts: "list[LabelSets]") -> "LabelSets":
        """Returns several as one, in the order of the samples; one at least is given."""
        order = np.argsort(np.concatenate([part.numbers for part in parts]), kind="stable")
        columns = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])[order]
            for field in dataclasses.fields(cls)
            if field.name != "num_classes"
        }
        return cls(**columns, num_classes=parts[0].num_classes)

    def to_rows(self) -> np.ndarray:
        """Returns all of it as numbers, float64 (N, width), for the way from rank to rank; of sets eight bits each."""
        columns = [column[:, None] for column in (self.numbers, self.worst_classes, self.worst_probabilities)]
        columns += [self.top_classes, self.top_probabilities]
        columns += [np.packbits(sets, axis=1) for sets in (self.labels, self.said)]
        return np.concatenate([*columns, self.probabilities], axis=1, dtype=np.float64)

    @classmethod
    def from_rows(cls, rows: np.ndarray, num_classes: int) -> "LabelSets":
        """Returns what `to_rows` was given."""
        top, size = min(TOP_CLASSES, num_classes), -(-num_classes // 8)
        ends = np.cumsum([1, 1, 1, top, top, size, size])
        numbers, worst, worst_shares, classes, shares, *packed, kept = np.split(rows, ends, axis=1)
        labels, said = (np.unpackbits(sets.astype(np.uint8), axis=1, count=num_classes).astype(bool) for sets in packed)
        return cls(
            numbers[:, 0].astype(np.int64),
            labels,
            said,
            worst[:, 0].astype(np.int64),
            worst_shares[:, 0].astype(np.float32),
            classes.astype(np.int64),
            shares.astype(np.float32),
            kept.astype(np.float32),
            num_classes,
        )

    @property
    def is_finite(self) -> np.ndarray:
        """Whether the output is finite, bool (N,)."""
        return self.worst_classes != NO_CLASS

    @property
    def is_right(self) -> np.ndarray:
        """Whether just the classes that an image has are said, bool (N,)."""
        return (self.labels == self.said).all(axis=1) & self.is_finite

    def by_class(self) -> ByClass:
        """Returns the figures of each class."""
        return counted(self.labels.sum(0), self.said.sum(0), (self.labels & self.said).sum(0))

    def worst(self, count: int) -> np.ndarray:
        """Returns the places of the wrong ones, the one with the largest error first, the not finite ones last."""
        wrong = np.flatnonzero(~self.is_right)
        classes = np.maximum(self.worst_classes[wrong], 0)
        error = np.abs(self.labels[wrong, classes] - self.worst_probabilities[wrong])
        return wrong[np.argsort(-error, kind="stable")[:count]]
