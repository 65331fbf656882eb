"""Counting hits, against the definition."""

import numpy as np
import pytest

from mindcv.engine import Scores, count_correct, get_metrics, metric_names
from mindcv.engine.metrics import average_precision, by_class, count_all_correct

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


def precision_by_definition(scores, positive):
    """Goes through all thresholds, from the highest score down; what a NaN scores is lower than all."""
    scores = [-np.inf if np.isnan(score) else score for score in scores]
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        found = [p for score, p in zip(scores, positive, strict=True) if score >= threshold]
        total += (sum(found) / sum(positive) - recall) * sum(found) / len(found)
        recall = sum(found) / sum(positive)
    return total


@pytest.mark.parametrize("kind", ["distinct", "ties", "not a number"])
def test_average_precision_is_that_of_the_definition(kind):
    random = np.random.RandomState(7)
    for count in (1, 2, 9, 60):
        scores = random.standard_normal(count)
        if kind != "distinct":
            scores = np.round(scores)
        if kind == "not a number":
            scores[::4] = np.nan
        positive = random.random_sample(count) < 0.4
        positive[0] = True
        expected = precision_by_definition(scores.tolist(), positive.tolist())
        assert average_precision(scores, positive) == pytest.approx(expected, rel=1e-12)
        order = random.permutation(count)
        assert average_precision(scores[order], positive[order]) == average_precision(scores, positive)


@pytest.mark.parametrize(
    ("scores", "positive", "expected"),
    [
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 5 / 6),  # the example of scikit-learn's documentation, 0.83
        ([0.0, 0.0, 0.0], [1, 0, 1], 2 / 3),  # all at one threshold
        ([0.9, 0.5, 0.5, 0.1], [1, 0, 1, 0], 1 / 2 + 1 / 2 * 2 / 3),
        ([3.0, 2.0, 1.0], [0, 0, 1], 1 / 3),
    ],
)
def test_average_precision_of_small_cases(scores, positive, expected):
    assert average_precision(np.array(scores), np.array(positive, bool)) == pytest.approx(expected, rel=1e-12)


def test_average_precisions_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.RandomState(4)
    logits = random.standard_normal((300, 12)).astype(np.float32)
    logits[:, 6:] = np.round(logits[:, 6:])
    labels = (random.random_sample((300, 12)) < np.linspace(0.01, 0.6, 12)).astype(np.float32)
    scores = Scores(12, is_multi_label=True)
    for begin in range(0, 300, 77):
        scores.add(logits[begin : begin + 77], labels[begin : begin + 77])
    mean = scores.metric_values(300, scores.hits)["mAP"]
    expected = sklearn.average_precision_score(labels, logits, average=None)
    assert scores.average_precisions == pytest.approx(expected, abs=1e-9)
    assert mean == pytest.approx(sklearn.average_precision_score(labels, logits, average="macro"), abs=1e-9)


def test_average_precision_by_class_in_words():
    assert by_class([0.5, float("nan"), 1.0], ("cat", "dog", "")) == (
        "average precision: cat 0.5000, 2 1.0000; no image of dog"
    )
    values = [number / 30 for number in range(30, 0, -1)]
    text = by_class(values, None)
    assert text.startswith("average precision (lowest 20 of 30): 29 0.0333, 28 0.0667, ")
    assert text.endswith(", 10 0.6667")
    text = by_class([1.0] + [float("nan")] * 25, None)
    assert text == f"average precision: 0 1.0000; no image of {', '.join(map(str, range(1, 21)))} and 5 more"


def test_scores_of_several_labels():
    logits = np.array([[2.0, -1.0, -1.0], [1.0, 3.0, -2.0], [-1.0, 0.5, np.nan], [0.0, -2.0, -1.0]], np.float32)
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], np.float32)
    assert count_all_correct(logits, labels) == 2  # a score of 0 is a probability of one half, which is found
    scores = Scores(3, is_multi_label=True)
    scores.add(logits[:1], labels[:1])
    scores.add(logits[1:], labels[1:])
    # Of the first class all are found first, the second has 3.0 before 0.5, the third has no sample and does not count.
    assert scores.metric_values(4, scores.hits) == {"mAP": (1 + 1 / 2) / 2, "Subset_Accuracy": 2 / 4}
    assert scores.average_precisions[:2] == [1.0, 0.5]
    assert np.isnan(scores.average_precisions[2])
    empty = Scores(3, is_multi_label=True)
    empty.add(logits, np.zeros_like(labels))
    with pytest.raises(ValueError, match="no image of the evaluation has a label, so there is no mAP"):
        empty.metric_values(4, empty.hits)


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
