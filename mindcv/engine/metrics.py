"""Accuracy as sums of correct and count, so that every sample counts once on any number of ranks."""

import numpy as np
from mindspore import train

__all__ = ["count_correct", "get_metrics", "metric_names"]


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


def get_metrics(num_classes: int) -> dict[str, train.Metric]:
    """Returns MindSpore metrics for `mindspore.Model`, by upstream's names; top-5 only where there are 5 classes."""
    classes = {1: train.Top1CategoricalAccuracy, 5: train.Top5CategoricalAccuracy}
    return {name: classes[k]() for name, k in metric_names(num_classes).items()}
