"""Counting hits, against the definition."""

import numpy as np
import pytest

from mindcv.engine import count_correct, get_metrics, metric_names

SIZES = [(50, 10), (40, 3), (1, 1), (30, 5)]


def hits_by_definition(row, label, k):
    """Sorts by score, then by class; a row with a number that is not finite is wrong."""
    if not np.isfinite(row).all():
        return False
    first = sorted(range(len(row)), key=lambda c: (-row[c], c))[:k]
    return any(label[c] == 1 for c in first) if np.ndim(label) else label in first


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize(("rows", "classes"), SIZES)
@pytest.mark.parametrize("kind", ["distinct", "ties", "not finite"])
@pytest.mark.parametrize("labels", ["classes", "one-hot", "several"])
def test_hits_are_those_of_the_definition(labels, kind, rows, classes, k):
    random = np.random.RandomState(rows * classes)
    logits = random.standard_normal((rows, classes)).astype(np.float32)
    if kind == "ties":
        logits = np.round(logits)
    if kind == "not finite":
        logits[::3, 0] = np.nan
        logits[1::5, -1] = np.inf
        logits[2::7] = -np.inf
    y = random.randint(0, classes, rows).astype(np.int32)
    if labels == "one-hot":
        y = np.eye(classes, dtype=np.float32)[y]
    if labels == "several":
        y = (random.random_sample((rows, classes)) < 0.4).astype(np.float32)
    assert count_correct(logits, y, k) == sum(hits_by_definition(*pair, k) for pair in zip(logits, y, strict=True))


def test_equal_scores_go_to_the_lower_class():
    """A network that answers nothing must not be right by chance."""
    assert [count_correct(np.zeros((6, 6), np.float32), np.arange(6), k) for k in (1, 2, 5, 6)] == [1, 2, 5, 6]


def test_no_rows():
    assert count_correct(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), 1) == 0


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (2, {"Top_1_Accuracy": 1}),
        (4, {"Top_1_Accuracy": 1}),
        (5, {"Top_1_Accuracy": 1, "Top_5_Accuracy": 5}),
        (1000, {"Top_1_Accuracy": 1, "Top_5_Accuracy": 5}),
    ],
)
def test_names(classes, names):
    assert metric_names(classes) == names
    assert list(get_metrics(classes)) == list(names)


def test_metrics_for_a_model_agree():
    random = np.random.RandomState(0)
    logits, y = random.standard_normal((30, 7)).astype(np.float32), random.randint(0, 7, 30)
    for name, metric in get_metrics(7).items():
        for part in (slice(0, 20), slice(20, 30)):
            metric.update(logits[part], y[part])
        assert metric.eval() == count_correct(logits, y, metric_names(7)[name]) / 30
