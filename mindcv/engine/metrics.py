"""Accuracy as sums of correct and count, so that every sample counts once on any number of ranks; average precision."""

import math
from collections.abc import Sequence

import numpy as np
from mindspore import train

__all__ = ["average_precision", "by_class", "count_all_correct", "count_correct", "get_metrics", "metric_names"]

MEAN_AVERAGE_PRECISION = "mAP"
SUBSET_ACCURACY = "Subset_Accuracy"

_MOST_NAMED = 20


def metric_names(num_classes: int) -> dict[str, int]:
    """Returns the accuracies that make sense for that many classes, by upstream's names: name -> k."""
    return {f"Top_{k}_Accuracy": k for k in (1, 5) if k == 1 or num_classes >= k}


def count_correct(logits: np.ndarray, labels: np.ndarray, k: int) -> int:
    """Counts the rows whose label is among the `k` largest logits; of equal ones the lower class comes first.

    Args:
        logits: Scores, `(N, num_classes)`. A row with a NaN in it is wrong.
        labels: Classes, `(N,)`; or `(N, num_classes)` with 1 for each class that is right, where any of them counts.
        k: How many classes are looked at.
    """
    if labels.ndim == 2:
        order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
        hits = np.take_along_axis(labels, order, axis=1).max(axis=1) > 0.5
    else:
        own = logits[np.arange(len(labels)), labels][:, None]
        before = np.arange(logits.shape[1]) < labels[:, None]
        hits = ((logits > own) | ((logits == own) & before)).sum(axis=1) < k
    return int((hits & np.isfinite(logits).all(axis=1)).sum())


def count_all_correct(logits: np.ndarray, labels: np.ndarray) -> int:
    """Counts the rows all of whose labels are right: those of a probability of at least one half, and no others.

    Args:
        logits: Scores before the sigmoid, `(N, num_classes)`. A row with a NaN in it is wrong.
        labels: Zeros and ones, `(N, num_classes)`.
    """
    return int((((logits >= 0) == (labels > 0.5)) & np.isfinite(logits)).all(axis=1).sum())


def average_precision(scores: np.ndarray, is_positive: np.ndarray) -> float:
    """Returns the average precision of one class: the sum over thresholds of precision times the rise of recall.

    Samples of equal scores are found at one threshold, so that their order does not matter. Nothing is interpolated.

    Args:
        scores: `(N,)`; a NaN counts as the lowest.
        is_positive: `(N,)`, of which at least one is true.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores)
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    found = np.cumsum(is_positive[order].astype(np.int64))
    # The last sample of each run of equal scores.
    ends = np.flatnonzero(np.append(sorted_scores[1:] != sorted_scores[:-1], True))
    hits = found[ends]
    precision = hits / (ends + 1)
    return float(np.sum(precision * np.diff(hits, prepend=0)) / found[-1])


def by_class(average_precisions: Sequence[float], class_names: Sequence[str] | None) -> str:
    """Returns the average precision of each class in words, of many the lowest ones, and which have no image.

    Args:
        average_precisions: By index; NaN of a class without an image.
        class_names: By index; None where classes have no names.
    """
    names = [(class_names[index] if class_names else "") or str(index) for index in range(len(average_precisions))]
    found = [(value, index) for index, value in enumerate(average_precisions) if not math.isnan(value)]
    shown = found if len(found) <= _MOST_NAMED else sorted(found)[:_MOST_NAMED]
    which = f" (lowest {_MOST_NAMED} of {len(found)})" if len(shown) < len(found) else ""
    text = f"average precision{which}: " + ", ".join(f"{names[index]} {value:.4f}" for value, index in shown)
    missing = [names[index] for index, value in enumerate(average_precisions) if math.isnan(value)]
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    return f"{text}; no image of {', '.join(missing[:_MOST_NAMED])}{more}" if missing else text


def get_metrics(num_classes: int) -> dict[str, train.Metric]:
    """Returns MindSpore metrics for `mindspore.Model`, by upstream's names; top-5 only where there are 5 classes."""
    classes = {1: train.Top1CategoricalAccuracy, 5: train.Top5CategoricalAccuracy}
    return {name: classes[k]() for name, k in metric_names(num_classes).items()}
