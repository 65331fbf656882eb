"""What the predictions of an evaluation come to: figures by class, confusions, calibration. In numpy.

No matrix of all classes by all classes is made, which for 21,841 of them would take gigabytes: confusions are kept as
the pairs that occur.
"""

import dataclasses

import numpy as np

from ..weights.outputs import SINGLE, probabilities

__all__ = [
    "ALL_CLASSES_UP_TO",
    "NO_CLASS",
    "Averages",
    "Bin",
    "ByClass",
    "Predictions",
    "averages",
    "by_class",
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
class Predictions:
    """What a model said of N images.

    Attributes:
        numbers: Which samples they are, int64 (N,).
        labels: Their classes, int64 (N,).
        top_classes: The most probable classes, the first one first, int64 (N, K); `NO_CLASS` where the output is not
            finite. K is 5, or the number of classes where there are fewer.
        top_probabilities: Their probabilities, float32 (N, K); NaN where the output is not finite.
        label_probabilities: The probability of the label, float32 (N,).
        probabilities: Of all classes, float32 (N, num_classes), where there are at most 100; else (N, 0).
        num_classes: Number of classes.
    """

    numbers: np.ndarray
    labels: np.ndarray
    top_classes: np.ndarray
    top_probabilities: np.ndarray
    label_probabilities: np.ndarray
    probabilities: np.ndarray
    num_classes: int

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(
        cls, scores: np.ndarray, labels: np.ndarray, numbers: np.ndarray, are_probabilities: bool = False
    ) -> "Predictions":
        """Returns the predictions of a batch.

        Args:
            scores: float32 (N, num_classes); of equal ones the lower class comes first.
            labels: (N,), or (N, num_classes) of probabilities, which stand for the most probable class.
            numbers: Which samples they are, (N,).
            are_probabilities: Whether scores are probabilities already.
        """
        if labels.ndim == 2:
            labels = labels.argmax(1)
        num_classes = scores.shape[1]
        count = min(TOP_CLASSES, num_classes)
        finite = np.isfinite(scores).all(axis=1)
        known = np.where(finite[:, None], scores, 0).astype(np.float64)
        # A softmax in half precision may round to more than 1.
        shares = known.clip(0, 1) if are_probabilities else probabilities(known, SINGLE)
        shares = shares.astype(np.float32)
        shares[~finite] = np.nan
        top = largest(known, count)
        top_shares = np.take_along_axis(shares, top, axis=1)
        top[~finite] = NO_CLASS
        label_shares = np.take_along_axis(shares, labels[:, None].astype(np.int64), axis=1)[:, 0]
        kept = shares if num_classes <= ALL_CLASSES_UP_TO else shares[:, :0]
        return cls(
            *(numbers.astype(np.int64), labels.astype(np.int64), top, top_shares, label_shares, kept), num_classes
        )

    @classmethod
    def empty(cls, num_classes: int) -> "Predictions":
        """Returns those of no image."""
        return cls.of(np.zeros((0, num_classes), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))

    @classmethod
    def joined(cls, parts: "list[Predictions]") -> "Predictions":
        """Returns several as one, in the order of the samples; one at least is given."""
        order = np.argsort(np.concatenate([part.numbers for part in parts]), kind="stable")
        columns = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])[order]
            for field in dataclasses.fields(cls)
            if field.name != "num_classes"
        }
        return cls(**columns, num_classes=parts[0].num_classes)

    def to_rows(self) -> np.ndarray:
        """Returns all of it as numbers, float64 (N, width), for the way from rank to rank."""
        single = (self.numbers, self.labels, self.label_probabilities)
        columns = [column[:, None] for column in single]
        columns += [self.top_classes, self.top_probabilities, self.probabilities]
        return np.concatenate(columns, axis=1, dtype=np.float64)

    @classmethod
    def from_rows(cls, rows: np.ndarray, num_classes: int) -> "Predictions":
        """Returns what `to_rows` was given."""
        top = min(TOP_CLASSES, num_classes)
        numbers, labels, label_probabilities = rows[:, 0], rows[:, 1], rows[:, 2]
        return cls(
            numbers.astype(np.int64),
            labels.astype(np.int64),
            rows[:, 3 : 3 + top].astype(np.int64),
            rows[:, 3 + top : 3 + 2 * top].astype(np.float32),
            label_probabilities.astype(np.float32),
            rows[:, 3 + 2 * top :].astype(np.float32),
            num_classes,
        )

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class, int64 (N,); `NO_CLASS` where the output is not finite."""
        return self.top_classes[:, 0]

    @property
    def is_finite(self) -> np.ndarray:
        """Whether the output is finite, bool (N,)."""
        return self.predicted != NO_CLASS

    def accuracy(self, k: int) -> float:
        """The share of images whose label is among the k most probable classes; k is at most 5."""
        return float((self.top_classes[:, :k] == self.labels[:, None]).any(axis=1).mean())


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


def by_class(predictions: Predictions) -> ByClass:
    """Returns the figures of each class."""
    classes = predictions.num_classes
    labels, predicted = predictions.labels, predictions.predicted
    support = np.bincount(labels, minlength=classes)
    said = np.bincount(predicted[predictions.is_finite], minlength=classes)
    return counted(support, said, np.bincount(labels[labels == predicted], minlength=classes))


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
    places = np.searchsorted(edges[1:-1], confidence)
    counts = np.bincount(places, minlength=NUM_BINS)
    sums = np.bincount(places, confidence, minlength=NUM_BINS)
    rights = np.bincount(places, is_right, minlength=NUM_BINS)
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
    keys, place = np.unique(pairs[:, 0] * num_classes + pairs[:, 1], return_inverse=True)
    # A class without images cannot lose any.
    shares = np.bincount(place, wrong[:, 2] / np.maximum(support[wrong[:, 0]], 1), minlength=len(keys))
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
