"""What a model says of images that have several labels each: sets of classes, and what they come to. In numpy."""

import dataclasses

import numpy as np

from ..weights.outputs import MULTIPLE
from .figures import NO_CLASS, ByClass, Outcomes, counted

__all__ = ["LabelSets"]


@dataclasses.dataclass(frozen=True)
class LabelSets(Outcomes):
    """What a model said of N images, each of which has any number of the classes: `labels` are bool (N, num_classes).

    Attributes:
        said: Those that the model says: of a probability of at least one half, bool (N, num_classes). None of them
            where the output is not finite.
        worst_classes: The class whose probability is farthest from the truth, int64 (N,); `NO_CLASS` where the output
            is not finite.
        worst_probabilities: Its probability, float32 (N,); NaN where the output is not finite.
    """

    said: np.ndarray
    worst_classes: np.ndarray
    worst_probabilities: np.ndarray

    @classmethod
    def of(
        cls, scores: np.ndarray, labels: np.ndarray, indices: np.ndarray, are_probabilities: bool = False
    ) -> "LabelSets":
        """Labels are zeros and ones, (N, num_classes)."""
        known, shares, fields = cls.ranked(scores, indices, MULTIPLE, are_probabilities)
        has, finite = labels > 0.5, fields["top_classes"][:, 0] != NO_CLASS
        worst = np.where(has, 1 - shares, shares).argmax(axis=1)
        worst_shares = np.take_along_axis(shares, worst[:, None], axis=1)[:, 0]
        return cls(
            **fields,
            labels=has,
            said=(known >= (0.5 if are_probabilities else 0)) & finite[:, None],
            worst_classes=np.where(finite, worst, NO_CLASS),
            worst_probabilities=worst_shares,
        )

    @property
    def is_right(self) -> np.ndarray:
        """Whether just the classes that an image has are said, bool (N,)."""
        return (self.labels == self.said).all(axis=1) & self.is_finite

    def by_class(self) -> ByClass:
        """Returns the figures of each class."""
        return counted(self.labels.sum(0), self.said.sum(0), (self.labels & self.said).sum(0))

    def worst(self, count: int) -> np.ndarray:
        """Returns the rows of the wrong ones, the one with the largest error first, the not finite ones last."""
        wrong = np.flatnonzero(~self.is_right)
        classes = np.maximum(self.worst_classes[wrong], 0)
        error = np.abs(self.labels[wrong, classes] - self.worst_probabilities[wrong])
        return wrong[np.argsort(-error, kind="stable")[:count]]
