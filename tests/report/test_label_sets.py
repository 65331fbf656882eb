"""An evaluation of several labels an image: figures equal to scikit-learn's, files and a page that say the same."""

import csv
import math

import numpy as np
import pytest
from evaluations import Samples, draw, evaluate
from sklearn import metrics as sk

from mindcv.cli import main
from mindcv.report.evaluation import Facts, PredictionRecorder, read_evaluation
from mindcv.report.label_sets import LabelSets

pytestmark = pytest.mark.no_mindspore

EXACT = 1e-9


class SetSamples(Samples):
    """Images that are nowhere, each with zeros and ones."""

    def name(self, index):
        return f"val/{index}.jpg"


def random_case(num_classes, count=200):
    """Labels and scores; the last class is that of no image, and the one before it is never said."""
    rng = np.random.default_rng(num_classes)
    labels = (rng.random((count, num_classes)) < 0.3).astype(np.float32)
    labels[:, -1] = 0
    scores = (rng.standard_normal((count, num_classes)) + 2 * labels - 1).astype(np.float32)
    scores[:, -2] -= 50
    return labels, scores


def average_precisions_of(labels, scores):
    return [
        float(sk.average_precision_score(*column)) if column[0].any() else math.nan
        for column in zip(labels.T, scores.T, strict=True)
    ]


def evaluate_sets(folder, labels, scores, **options):
    found = average_precisions_of(labels, scores)
    samples = SetSamples(labels)
    return evaluate(folder, labels, scores, samples=samples, average_precisions=found, is_multi_label=True, **options)


@pytest.mark.parametrize("num_classes", [3, 12, 130])
def test_figures_are_scikit_learns(tmp_path, num_classes):
    labels, scores = random_case(num_classes)
    found = evaluate_sets(tmp_path, labels, scores)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    true, said = np.zeros((2, len(rows), num_classes), int)
    for sets, column in ((true, "labels"), (said, "predictions")):
        for own, row in zip(sets, rows, strict=True):
            own[[int(index) for index in row[column].split(";") if index]] = 1
    np.testing.assert_array_equal(true, labels)
    np.testing.assert_array_equal(said, scores >= 0)
    columns = sk.precision_recall_fscore_support(true, said, zero_division=0)
    for name, expected in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        np.testing.assert_allclose([getattr(row, name) for row in found.classes], expected, rtol=0, atol=EXACT)
    occurs = np.flatnonzero(true.any(0) | said.any(0))
    for kind in ("macro", "weighted"):
        expected = sk.precision_recall_fscore_support(true, said, labels=occurs, average=kind, zero_division=0)[:3]
        means = getattr(found, kind)
        np.testing.assert_allclose([means.precision, means.recall, means.f1], expected, rtol=0, atol=EXACT)
    assert found.subset_accuracy == pytest.approx(sk.accuracy_score(true, said), abs=EXACT)
    expected = sk.average_precision_score(labels[:, :-1], scores[:, :-1], average="macro")
    assert found.mean_average_precision == pytest.approx(expected, abs=EXACT)
    assert found.classes[-1].average_precision is None
    if num_classes <= 100:
        shares = [[float(row[f"probability_{index}"]) for index in range(num_classes)] for row in rows]
        np.testing.assert_allclose(shares, 1 / (1 + np.exp(-scores.astype(np.float64))), rtol=1e-6)
    else:
        assert [int(rows[0][f"class_{k}"]) for k in range(1, 6)] == np.argsort(-scores[0])[:5].tolist()
    with (tmp_path / "classes.csv").open(newline="") as file:
        column = [row["average_precision"] for row in csv.DictReader(file)]
    assert column[-1] == ""
    assert [float(cell) for cell in column[:-1]] == [row.average_precision for row in found.classes[:-1]]
    assert not (tmp_path / "confusion.csv").exists()
    assert read_evaluation(tmp_path) == found


def test_parts_of_several_ranks_are_those_of_one(tmp_path):
    for num_classes in (9, 130):
        labels, scores = random_case(num_classes, 90)
        scores[17] = np.nan
        whole = evaluate_sets(tmp_path / f"one{num_classes}", labels, np.nan_to_num(scores, nan=-1e9))
        parts = []
        for rank in range(3):
            indices = np.flatnonzero(np.arange(90) // 8 % 3 == rank)
            parts.append(LabelSets.of(scores[indices], labels[indices], indices))
        rows = np.concatenate([part.to_rows() for part in parts])
        folder = tmp_path / f"three{num_classes}"
        recorder = PredictionRecorder(
            folder, num_classes, SetSamples(labels), np.arange(90), Facts(), draw, is_multi_label=True
        )
        found = recorder.write(lambda own, rows=rows: rows)
        direct = LabelSets.of(scores, labels, np.arange(90))
        joined = LabelSets.joined([LabelSets.from_rows(rows, num_classes)])
        for name in ("indices", "labels", "said", "worst_classes", "worst_probabilities", "top_classes"):
            np.testing.assert_array_equal(getattr(joined, name), getattr(direct, name))
        np.testing.assert_array_equal(joined.probabilities, direct.probabilities)
        # The one whose output is not finite says nothing, as one that is sure of nothing.
        assert found.num_not_finite == 1
        assert [row.hits for row in found.classes] == [row.hits for row in whole.classes]


def test_the_worst_images_and_those_that_are_not_finite(tmp_path):
    labels = np.float32([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1]])
    scores = np.float32([[4, -4, 4], [3, 5, -5], [6, -1, -6], [np.nan, 0, 0]])
    found = evaluate(
        tmp_path, labels, scores, samples=SetSamples(labels), average_precisions=[1.0, 0.5, 0.25], is_multi_label=True
    )
    told = [(shown.path, shown.labels, shown.predictions, shown.label, shown.prediction) for shown in found.worst]
    assert told == [
        ("val/1.jpg", [1], [0, 1], 0, 0),  # sure of a class that it has not: 0.95
        ("val/2.jpg", [0, 1], [0], 1, 1),  # misses a class: 0.27
        ("val/3.jpg", [2], [], 0, None),
    ]
    assert found.worst[0].probability == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-6)
    assert (found.subset_accuracy, found.num_not_finite) == (0.25, 1)
    assert list(found.problems()) == ["The output for 1 of 4 images is not finite: they count as wrong."]


def test_the_page_has_what_there_is(tmp_path, capsys):
    labels, scores = random_case(4, 40)
    evaluate_sets(tmp_path / "found", labels, scores, class_names=["cat", "dog", "owl", "fox"])
    assert main(["report", str(tmp_path / "found"), "--out", str(tmp_path / "page.html")]) == 0
    assert "Classes without images, of which nothing is known: fox." in capsys.readouterr().err
    page = (tmp_path / "page.html").read_text()
    assert "<dt>mAP</dt>" in page
    assert page.count("average precision") == 1
    for absent in ("top-1 accuracy", "What is taken for what", "calibration error"):
        assert absent not in page
    # Images and what is said of them.
    assert page.count('<figure class="photo">') == 24
    assert "cat, owl" in page
