"""What the predictions of an evaluation come to: figures by class, confusions, calibration. In numpy.

No matrix of all classes by all classes is made, which for 21,841 of them would take gigabytes: confusions are kept as
the pairs that occur.
"""

import abc
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ..weights.outputs import SINGLE, probabilities

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "ALL_CLASSES_UP_TO",
    "NO_CLASS",
    "Averages",
    "Bin",
    "ByClass",
    "Outcomes",
    "Predictions",
    "averages",
    "calibration",
    "confusion",
    "counted",
    "expected_calibration_error",
    "largest",
    "neighbours",
]

# The prediction for an image whose output is not finite.
NO_CLASS = -1
# For more classes than this only the most probable ones of each image are kept.
ALL_CLASSES_UP_TO = 100
TOP_CLASSES = 5
NUM_BINS = 15


@dataclasses.dataclass(frozen=True)
class Outcomes(abc.ABC):
    """What a model said of N images, whether they have one label each or several.

    Attributes:
        indices: Which samples they are, int64 (N,).
        labels: What they have.
        top_classes: The most probable classes, the first one first, int64 (N, K); `NO_CLASS` where the output is not
            finite. K is 5, or the number of classes where there are fewer.
        top_probabilities: Their probabilities, float32 (N, K); NaN where the output is not finite.
        probabilities: Of all classes, float32 (N, num_classes), where there are at most 100; else (N, 0).
        num_classes: Number of classes.
    """

    indices: np.ndarray
    labels: np.ndarray
    top_classes: np.ndarray
    top_probabilities: np.ndarray
    probabilities: np.ndarray
    num_classes: int

    def __len__(self) -> int:
        return len(self.indices)

    @classmethod
    @abc.abstractmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray, indices: np.ndarray, are_probabilities: bool = False) -> "Self":
        """Returns what is said of a batch.

        Args:
            scores: float32 (N, num_classes); of equal ones the lower class comes first.
            labels: What the images have.
            indices: Which samples they are, (N,).
            are_probabilities: Whether scores are probabilities already.
        """

    @staticmethod
    def ranked(
        scores: np.ndarray, indices: np.ndarray, head: str, are_probabilities: bool
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Returns scores, float64, and probabilities, float32, (N, num_classes) each, and the fields but the labels.

        Where an output is not finite, its scores are 0 and its probabilities NaN.
        """
        num_classes = scores.shape[1]
        finite = np.isfinite(scores).all(axis=1)
        known = np.where(finite[:, None], scores, 0).astype(np.float64)
        # A softmax in half precision may round to more than 1.
        shares = (known.clip(0, 1) if are_probabilities else probabilities(known, head)).astype(np.float32)
        shares[~finite] = np.nan
        top = largest(known, min(TOP_CLASSES, num_classes))
        top_shares = np.take_along_axis(shares, top, axis=1)
        top[~finite] = NO_CLASS
        fields = {
            "indices": indices.astype(np.int64),
            "top_classes": top,
            "top_probabilities": top_shares,
            "probabilities": shares if num_classes <= ALL_CLASSES_UP_TO else shares[:, :0],
            "num_classes": num_classes,
        }
        return known, shares, fields

    @classmethod
    def empty(cls, num_classes: int) -> "Self":
        """Returns those of no image."""
        nothing = np.zeros((0, num_classes), np.float32)
        return cls.of(nothing, nothing, np.zeros(0, np.int64))

    @classmethod
    def columns(cls) -> list[str]:
        """Names of the fields that have a row an image."""
        return [field.name for field in dataclasses.fields(cls) if field.name != "num_classes"]

    @classmethod
    def joined(cls, parts: "list[Self]") -> "Self":
        """Returns several as one, in the order of the samples; one at least is given."""
        order = np.argsort(np.concatenate([part.indices for part in parts]), kind="stable")
        columns = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in cls.columns()}
        return cls(**columns, num_classes=parts[0].num_classes)

    def to_rows(self) -> np.ndarray:
        """Returns all of it as numbers, float64 (N, width), for the way from rank to rank; of bool eight bits each."""
        columns = [_packed(getattr(self, name)) for name in self.columns()]
        return np.concatenate(columns, axis=1, dtype=np.float64)

    @classmethod
    def from_rows(cls, rows: np.ndarray, num_classes: int) -> "Self":
        """Returns what `to_rows` was given."""
        empty = cls.empty(num_classes)
        forms = [getattr(empty, name) for name in cls.columns()]
        parts = np.split(rows, np.cumsum([_packed(form).shape[1] for form in forms])[:-1], axis=1)
        columns = (_unpacked(part, form) for part, form in zip(parts, forms, strict=True))
        return cls(**dict(zip(cls.columns(), columns, strict=True)), num_classes=num_classes)

    @property
    def is_finite(self) -> np.ndarray:
        """Whether the output is finite, bool (N,)."""
        return self.top_classes[:, 0] != NO_CLASS


def _packed(column: np.ndarray) -> np.ndarray:
    """Returns a column as (N, width), bits as bytes."""
    column = column if column.ndim == 2 else column[:, None]
    return np.packbits(column, axis=1) if column.dtype == bool else column


def _unpacked(rows: np.ndarray, form: np.ndarray) -> np.ndarray:
    """Returns the column that `_packed` was given, of the dtype and the width of `form`."""
    if form.dtype == bool:
        return np.unpackbits(rows.astype(np.uint8), axis=1, count=form.shape[1]).astype(bool)
    return rows.reshape((len(rows), *form.shape[1:])).astype(form.dtype)


@dataclasses.dataclass(frozen=True)
class Predictions(Outcomes):
    """What a model said of N images, each of which has one class: `labels` are int64 (N,).

    Attributes:
        label_probabilities: The probability of the label, float32 (N,).
    """

    label_probabilities: np.ndarray

    @classmethod
    def of(
        cls, scores: np.ndarray, labels: np.ndarray, indices: np.ndarray, are_probabilities: bool = False
    ) -> "Predictions":
        """Labels are (N,), or (N, num_classes) of probabilities, which stand for the most probable class."""
        labels = (labels.argmax(1) if labels.ndim == 2 else labels).astype(np.int64)
        _, shares, fields = cls.ranked(scores, indices, SINGLE, are_probabilities)
        label_shares = np.take_along_axis(shares, labels[:, None], axis=1)[:, 0]
        return cls(**fields, labels=labels, label_probabilities=label_shares)

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class, int64 (N,); `NO_CLASS` where the output is not finite."""
        return self.top_classes[:, 0]

    def accuracy(self, k: int) -> float:
        """The share of images whose label is among the k most probable classes; k is at most 5."""
        return float((self.top_classes[:, :k] == self.labels[:, None]).any(axis=1).mean())

    def by_class(self) -> "ByClass":
        """Returns the figures of each class."""
        labels, predicted, classes = self.labels, self.predicted, self.num_classes
        support = np.bincount(labels, minlength=classes)
        said = np.bincount(predicted[self.is_finite], minlength=classes)
        return counted(support, said, np.bincount(labels[labels == predicted], minlength=classes))

    def worst(self, count: int) -> np.ndarray:
        """Returns the rows of the wrong ones whose label has the lowest probability, the not finite ones last."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        return wrong[np.argsort(self.label_probabilities[wrong], kind="stable")[:count]]


def largest(scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` classes of the largest scores, int64 (N, count), the largest first and of equal ones the lower."""
    least = -np.partition(-scores, count - 1, axis=1)[:, count - 1] if len(scores) else np.zeros(0)
    top = np.empty((len(scores), count), np.int64)
    for row, values, limit in zip(top, scores, least, strict=True):
        among = np.flatnonzero(values >= limit)
        row[:] = among[np.argsort(-values[among], kind="stable")[:count]]
    return top


@dataclasses.dataclass(frozen=True)
class ByClass:
    """Figures of each class, (num_classes,) each. What has no meaning, such as the recall of no image, is 0.

    Attributes:
        support: Images of the class.
        predicted: Images that are said to be of it.
        hits: Images for which both is so.
        precision: hits / predicted.
        recall: hits / support.
        f1: 2 hits / (support + predicted).
    """

    support: np.ndarray
    predicted: np.ndarray
    hits: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


@dataclasses.dataclass(frozen=True)
class Averages:
    """Means of the figures of the classes."""

    precision: float
    recall: float
    f1: float


def counted(support: np.ndarray, said: np.ndarray, hits: np.ndarray) -> ByClass:
    """Returns the figures of each class from how many images have it, are said to have it, and both, (num_classes,)."""
    return ByClass(
        *(support, said, hits),
        precision=_shares(hits, said),
        recall=_shares(hits, support),
        f1=_shares(2 * hits, support + said),
    )


def averages(figures: ByClass) -> tuple[Averages, Averages]:
    """Returns the plain mean over the classes that occur, as label or as prediction, and that weighted by images."""
    occurs = (figures.support + figures.predicted) > 0
    values = np.stack([figures.precision, figures.recall, figures.f1])
    macro = values[:, occurs].mean(axis=1)
    weighted = (values * figures.support).sum(axis=1) / figures.support.sum()
    return Averages(*macro.tolist()), Averages(*weighted.tolist())


def _shares(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    return np.divide(parts, wholes, out=np.zeros(len(parts)), where=wholes > 0)


def confusion(predictions: Predictions) -> np.ndarray:
    """Returns the cells of the confusion matrix that are not 0: rows (label, prediction, count), int64 (M, 3).

    They are in the order of label and prediction. Images without a prediction are in none.
    """
    finite = predictions.is_finite
    cells = predictions.labels[finite] * predictions.num_classes + predictions.predicted[finite]
    cells, counts = np.unique(cells, return_counts=True)
    return np.stack([*np.divmod(cells, predictions.num_classes), counts], axis=1)


@dataclasses.dataclass(frozen=True)
class Bin:
    """Images whose prediction has a probability above `lower` and up to `upper` (the first bin takes 0 too).

    Attributes:
        lower: Its lower end.
        upper: Its upper end.
        count: Number of images.
        confidence: Their mean probability; None without images.
        accuracy: The share of them that is right; None without images.
    """

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


def calibration(predictions: Predictions) -> list[Bin]:
    """Returns 15 bins of equal width over the probability of the prediction, arXiv:1706.04599."""
    finite = predictions.is_finite
    confidence = predictions.top_probabilities[finite, 0].astype(np.float64)
    is_right = predictions.predicted[finite] == predictions.labels[finite]
    edges = np.linspace(0, 1, NUM_BINS + 1)
    bins = np.searchsorted(edges[1:-1], confidence)
    counts = np.bincount(bins, minlength=NUM_BINS)
    sums = np.bincount(bins, confidence, minlength=NUM_BINS)
    rights = np.bincount(bins, is_right, minlength=NUM_BINS)
    return [
        Bin(
            *(float(lower), float(upper), int(count)),
            confidence=float(total / count) if count else None,
            accuracy=float(right / count) if count else None,
        )
        for lower, upper, count, total, right in zip(edges[:-1], edges[1:], counts, sums, rights, strict=True)
    ]


def expected_calibration_error(bins: list[Bin]) -> float | None:
    """Returns the mean distance of confidence and accuracy, weighted by images; None where there are no images."""
    total = sum(part.count for part in bins)
    parts = [
        part.count * abs(part.accuracy - part.confidence)
        for part in bins
        if part.accuracy is not None and part.confidence is not None
    ]
    return sum(parts) / total if total else None


def neighbours(cells: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns an order of the classes, int64 (num_classes,), in which those that are confused stand side by side.

    It is the order of the leaves when groups are joined (single linkage), the pair with the largest share of confused
    images first. Classes that are never confused stay in their order, at the end.

    Args:
        cells: What `confusion` returned.
        num_classes: Number of classes.
    """
    support = np.bincount(cells[:, 0], cells[:, 2], minlength=num_classes)
    wrong = cells[cells[:, 0] != cells[:, 1]]
    pairs = np.sort(wrong[:, :2], axis=1)
    keys, inverse = np.unique(pairs[:, 0] * num_classes + pairs[:, 1], return_inverse=True)
    # A class without images cannot lose any.
    shares = np.bincount(inverse, wrong[:, 2] / np.maximum(support[wrong[:, 0]], 1), minlength=len(keys))
    groups: dict[int, list[int]] = {}
    for key in keys[np.argsort(-shares, kind="stable")].tolist():
        one, other = divmod(key, num_classes)
        first, second = groups.setdefault(one, [one]), groups.setdefault(other, [other])
        if first is second:
            continue
        if len(first) < len(second):
            first, second = second, first
        first += second
        for member in second:
            groups[member] = first
    order = [member for group in {id(group): group for group in groups.values()}.values() for member in group]
    rest = np.setdiff1d(np.arange(num_classes), order)
    return np.concatenate([np.array(order, np.int64), rest])
