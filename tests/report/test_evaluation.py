"""What an evaluation writes: figures equal to scikit-learn's, files that say the same, damaged parts told in a line."""

import csv
import json
import re

import numpy as np
import pytest
from evaluations import Samples, draw, evaluate, scores_of
from PIL import Image
from sklearn import calibration as sk_calibration
from sklearn import metrics as sk

from mindcv.report import write_report
from mindcv.report.evaluation import Facts, PredictionRecorder, read_evaluation
from mindcv.report.figures import Predictions, averages, calibration, confusion, neighbours

pytestmark = pytest.mark.no_mindspore

EXACT = 1e-9


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def random_case(tmp_path_factory):
    """300 images of 8 classes, of which one has no image and one is never predicted."""
    rng = np.random.default_rng(3)
    labels = rng.choice([0, 1, 2, 3, 4, 6, 7], 300)
    scores = scores_of(labels, 8, strength=1.5)
    scores[:, 7] -= 50
    folder = tmp_path_factory.mktemp("evaluation")
    return folder, labels, scores, evaluate(folder, labels, scores, class_names=list("abcdefgh"))


@pytest.mark.parametrize("num_classes", [2, 10, 120, 21_841])
def test_figures_are_scikit_learns(tmp_path, num_classes):
    labels = np.random.default_rng(num_classes).integers(0, num_classes, 700)
    found = evaluate(tmp_path, labels, scores_of(labels, num_classes, strength=1.0))
    # From predictions.csv, as anybody would compute them.
    rows = rows_of(tmp_path / "predictions.csv")
    assert len(rows) == 700
    true, said = (np.array([int(row[name]) for row in rows]) for name in ("label", "prediction"))
    assert true.tolist() == labels.tolist()
    assert found.top_1_accuracy == pytest.approx(sk.accuracy_score(true, said), abs=EXACT)
    every = list(range(num_classes))
    columns = sk.precision_recall_fscore_support(true, said, labels=every, zero_division=0)
    for name, expected in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        np.testing.assert_allclose([getattr(row, name) for row in found.classes], expected, rtol=0, atol=EXACT)
    for kind in ("macro", "weighted"):
        expected = sk.precision_recall_fscore_support(true, said, average=kind, zero_division=0)[:3]
        means = getattr(found, kind)
        np.testing.assert_allclose([means.precision, means.recall, means.f1], expected, rtol=0, atol=EXACT)
    seen = np.unique([true, said]).tolist()
    matrix = np.zeros((len(seen), len(seen)), int)
    for label, prediction, count in found.confusion:
        matrix[seen.index(label), seen.index(prediction)] = count
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(true, said, labels=seen))
    confidence = np.array([float(row["probability"]) for row in rows])
    right, sure = sk_calibration.calibration_curve(true == said, confidence, n_bins=15)
    filled = [part for part in found.calibration if part.count]
    np.testing.assert_allclose([part.accuracy for part in filled], right, rtol=0, atol=EXACT)
    np.testing.assert_allclose([part.confidence for part in filled], sure, rtol=0, atol=EXACT)
    weights = np.array([part.count for part in filled]) / 700
    assert found.expected_calibration_error == pytest.approx(float(weights @ np.abs(right - sure)), abs=EXACT)
    if num_classes >= 5:
        scores = scores_of(labels, num_classes, strength=1.0)
        expected = sk.top_k_accuracy_score(labels, scores, k=5, labels=every)
        assert found.top_5_accuracy == pytest.approx(expected, abs=EXACT)
    else:
        assert found.top_5_accuracy is None


def test_a_class_without_images_and_one_that_is_never_said(random_case):
    folder, _, _, found = random_case
    rows = rows_of(folder / "predictions.csv")
    true, said = ([int(row[name]) for row in rows] for name in ("label", "prediction"))
    assert 5 not in true
    assert 7 not in said
    expected = sk.precision_recall_fscore_support(true, said, average="macro", zero_division=0)
    assert [found.macro.precision, found.macro.recall, found.macro.f1] == pytest.approx(expected[:3], abs=EXACT)
    assert found.classes[5].support == 0
    assert found.classes[7].precision == found.classes[7].recall == 0
    assert [text for text in found.problems() if "without images" in text] == [
        "Classes without images, of which nothing is known: f."
    ]


def test_files_say_the_same(random_case):
    folder, labels, scores, found = random_case
    assert read_evaluation(folder) == found
    saved = json.loads((folder / "evaluation.json").read_text())
    assert saved["top_1_accuracy"] == found.top_1_accuracy
    assert saved["facts"]["class_names"] == list("abcdefgh")
    classes = rows_of(folder / "classes.csv")
    assert [row["name"] for row in classes] == list("abcdefgh")
    assert [float(row["f1"]) for row in classes] == [row.f1 for row in found.classes]
    cells = rows_of(folder / "confusion.csv")
    assert sum(int(row["count"]) for row in cells) == 300
    bins = rows_of(folder / "calibration.csv")
    assert sum(int(row["count"]) for row in bins) == 300
    rows = rows_of(folder / "predictions.csv")
    assert (rows[0]["path"], rows[0]["label_name"]) == (f"val/{labels[0]}/0.jpg", "abcdefgh"[labels[0]])
    shares = np.array([[float(row[f"probability_{index}"]) for index in range(8)] for row in rows])
    powers = np.exp(scores.astype(np.float64))
    np.testing.assert_allclose(shares, powers / powers.sum(1, keepdims=True), rtol=1e-6, atol=1e-12)


def test_of_many_classes_the_best_five_are_written(tmp_path):
    labels = np.random.default_rng(0).integers(0, 150, 60)
    scores = scores_of(labels, 150)
    evaluate(tmp_path, labels, scores)
    row, order = rows_of(tmp_path / "predictions.csv")[0], np.argsort(-scores[0])[:5]
    assert [int(row[f"class_{k}"]) for k in range(1, 6)] == order.tolist()
    powers = np.exp(scores[0].astype(np.float64))
    expected = (powers / powers.sum())[order]
    assert [float(row[f"class_{k}_probability"]) for k in range(1, 6)] == pytest.approx(expected.tolist(), rel=1e-6)
    assert "probability_0" not in row


def test_equal_scores_count_as_the_evaluation_counts_them():
    """Of equal scores the lower class comes first, as in `count_correct`."""
    scores = np.float32([[1, 1, 1, 1, 1, 1, 1], [0, 2, 2, 0, 0, 0, 0]])
    found = Predictions.of(scores, np.array([5, 2]), np.arange(2))
    assert found.top_classes.tolist() == [[0, 1, 2, 3, 4], [1, 2, 0, 3, 4]]
    assert found.accuracy(1) == 0
    assert found.accuracy(5) == 0.5


def test_outputs_that_are_not_finite_are_wrong_and_told(tmp_path):
    labels = np.array([0, 1, 2, 0, 1, 2])
    scores = scores_of(labels, 3, strength=9.0)
    scores[1] = np.nan
    scores[2, 0] = np.inf
    found = evaluate(tmp_path, labels, scores)
    assert found.top_1_accuracy == pytest.approx(4 / 6)
    assert found.num_not_finite == 2
    assert [row.recall for row in found.classes] == [1.0, 0.5, 0.5]
    assert sum(count for _, _, count in found.confusion) == sum(part.count for part in found.calibration) == 4
    assert [(shown.label, shown.prediction, shown.probability) for shown in found.worst] == [
        (1, None, None),
        (2, None, None),
    ]
    assert next(found.problems()).startswith("The output for 2 of 6 images is not finite")
    rows = rows_of(tmp_path / "predictions.csv")
    assert (rows[1]["prediction"], rows[1]["prediction_name"], rows[1]["probability_0"]) == ("-1", "", "nan")
    assert read_evaluation(tmp_path) == found


def test_one_class(tmp_path):
    labels = np.zeros(5, int)
    found = evaluate(tmp_path, labels, np.ones((5, 1), np.float32))
    assert (found.top_1_accuracy, found.macro.f1, found.confused, found.worst) == (1.0, 1.0, [], [])
    assert list(found.problems()) == ["There is one class, so that every answer is right."]


def test_soft_labels_stand_for_their_most_probable_class(tmp_path):
    soft = np.float32([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6]])
    samples = Samples(soft)
    samples.name = lambda index: f"{index}.jpg"
    found = evaluate(tmp_path, soft, np.float32([[0, 1], [1, 0], [1, 0]]), samples=samples)
    assert found.confusion == [(0, 0, 1), (1, 0, 1), (1, 1, 1)]


def test_probabilities_of_an_exported_file_are_taken_as_they_are(tmp_path):
    shares = np.float32([[0.7, 0.3], [0.1, 0.9]])
    evaluate(tmp_path, np.array([0, 1]), shares, are_probabilities=True)
    rows = rows_of(tmp_path / "predictions.csv")
    assert [float(row["probability"]) for row in rows] == pytest.approx([0.7, 0.9], abs=1e-7)


@pytest.mark.parametrize("num_classes", [7, 130])
def test_parts_of_several_ranks_are_those_of_one(tmp_path, num_classes):
    """Ranks take turns with batches; what they have travels as rows of numbers."""
    labels = np.random.default_rng(1).integers(0, num_classes, 90)
    scores = scores_of(labels, num_classes)
    scores[17] = np.nan
    whole = evaluate(tmp_path / "one", labels, scores, batch_size=8)
    recorders = []
    for rank in range(3):
        indices = np.flatnonzero(np.arange(90) // 8 % 3 == rank)
        facts = Facts(model="resnet18", dataset="imagenet", data_dir="photos", split="val")
        recorder = PredictionRecorder(tmp_path / "three", num_classes, Samples(labels), indices, facts, draw)
        for begin in range(0, len(indices), 8):
            part = indices[begin : begin + 8]
            recorder.add(scores[part], labels[part])
        recorders.append(recorder)
    rows = np.concatenate([Predictions.joined(recorder._parts).to_rows() for recorder in recorders])
    found = [recorder.write(lambda own: rows, rank == 0, 0.5) for rank, recorder in enumerate(recorders)]
    assert found[1:] == [None, None]
    assert found[0].model_copy(update={"created": whole.created}) == whole
    for name in ("predictions.csv", "classes.csv", "confusion.csv", "calibration.csv"):
        assert (tmp_path / "three" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_images_in_another_order_are_refused(tmp_path):
    recorder = PredictionRecorder(tmp_path, 3, Samples(np.array([0, 1, 2])), np.arange(3), Facts(), draw)
    with pytest.raises(ValueError, match="did not come in the order of the dataset"):
        recorder.add(np.zeros((3, 3), np.float32), np.array([0, 2, 1]))


def test_worst_images_and_confused_pairs(tmp_path):
    """Class 0 is taken for class 1 three times, class 2 for class 0 once, with certainty."""
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    said = np.array([1, 1, 1, 0, 1, 1, 0, 2])
    scores = np.zeros((8, 3), np.float32)
    scores[np.arange(8), said] = [1, 3, 2, 9, 9, 9, 8, 9]
    found = evaluate(tmp_path, labels, scores)
    assert [(pair.label, pair.prediction, pair.count, pair.share) for pair in found.confused] == [
        (0, 1, 3, 0.75),
        (2, 0, 1, 0.5),
    ]
    assert [shown.path for shown in found.confused[0].images] == ["val/0/1.jpg", "val/0/2.jpg", "val/0/0.jpg"]
    assert [shown.path for shown in found.worst] == ["val/2/6.jpg", "val/0/1.jpg", "val/0/2.jpg", "val/0/0.jpg"]
    with Image.open(tmp_path / "images/6.jpg") as picture:
        assert (picture.size, picture.format) == ((160, 120), "JPEG")
        assert np.abs(np.asarray(picture)[60, 80].astype(int) - [6, 80, 200]).max() < 8


def test_images_that_cannot_be_read_are_told(tmp_path):
    def broken(index):
        if index == 0:
            raise ValueError("the JPEG data is damaged\nfor several reasons")
        raise FileNotFoundError(2, "No such file or directory", "gone.jpg")

    found = evaluate(tmp_path, np.array([0, 1]), np.float32([[0, 1], [1, 0]]), picture_of=broken)
    assert {shown.error for shown in found.worst} == {"the JPEG data is damaged", "No such file or directory"}
    assert list(found.problems()) == ["2 of the images to show cannot be read."]


def test_where_the_network_looked_is_beside_the_worst_images(tmp_path):
    labels = np.array([0, 1, 2] * 10)
    scores = np.zeros((30, 3), np.float32)
    scores[np.arange(30), (labels + 1) % 3] = np.arange(30)
    scores[29] = np.nan
    asked = []

    def explain(indices, classes):
        asked.extend(zip(indices, classes, strict=True))
        return [np.full((8, 10, 3), 10 * index % 256, np.uint8) for index in indices]

    def picture_of(index):
        if index == 28:
            raise ValueError("damaged")
        return draw(index)

    found = evaluate(tmp_path, labels, scores, picture_of=picture_of, explain=explain)
    # The 24 worst but for the one that cannot be read, each for the class that was said.
    assert asked == [(index, (labels[index] + 1) % 3) for index in range(27, 4, -1)]
    assert [shown.is_explained for shown in found.worst] == [False] + [True] * 23
    assert len(list((tmp_path / "images").glob("*_cam.jpg"))) == 23
    with Image.open(tmp_path / "images/7_cam.jpg") as picture:
        assert np.abs(np.asarray(picture).astype(int) - 70).max() < 3
    write_report([tmp_path], tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count('alt="where the network looked"') == 23


def test_a_network_that_cannot_be_explained_is_told(tmp_path):
    def explain(indices, classes):
        raise ValueError("Net has no feature_info\nand more")

    found = evaluate(tmp_path, np.array([0, 1]), np.float32([[0, 1], [0, 1]]), explain=explain)
    assert list(found.problems()) == ["Where the network looks is not shown: Net has no feature_info"]
    assert [shown.is_explained for shown in found.worst] == [False]


def test_an_earlier_evaluations_images_are_replaced(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("77.jpg", "77_cam.jpg", "holiday.jpg"):
        (tmp_path / "images" / name).write_bytes(b"old")
    evaluate(tmp_path, np.array([0, 1]), np.float32([[0, 1], [0, 1]]))
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["0.jpg", "holiday.jpg"]


def test_memory_is_bounded_by_images_not_by_pairs_of_classes():
    """21,841 classes: a matrix of them would have 477 million cells."""
    labels = np.random.default_rng(0).integers(0, 21841, 400)
    parts = []
    for begin in range(0, 400, 100):
        some = labels[begin : begin + 100]
        parts.append(Predictions.of(scores_of(some, 21841), some, np.arange(begin, begin + 100)))
    found = Predictions.joined(parts)
    assert sum(column.nbytes for column in vars(found).values() if isinstance(column, np.ndarray)) < 400 * 200
    cells = confusion(found)
    assert cells[:, 2].sum() == 400
    figures = found.by_class()
    macro, weighted = averages(figures)
    expected = sk.precision_recall_fscore_support(labels, found.predicted, average="macro", zero_division=0)
    assert [macro.precision, macro.recall, macro.f1] == pytest.approx(expected[:3], abs=EXACT)
    assert weighted.recall == pytest.approx(sk.accuracy_score(labels, found.predicted), abs=EXACT)
    assert sorted(neighbours(cells, 21841).tolist()) == list(range(21841))
    assert sum(part.count for part in calibration(found)) == 400


def test_neighbours_puts_confused_classes_side_by_side():
    cells = np.array([[0, 0, 9], [0, 5, 4], [5, 5, 9], [1, 3, 5], [3, 3, 5], [2, 2, 7], [4, 4, 1]])
    order = neighbours(cells, 6).tolist()
    assert abs(order.index(0) - order.index(5)) == abs(order.index(1) - order.index(3)) == 1
    assert order[-2:] == [2, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: saved.pop("classes"), r"it is no evaluation of mindcv \(classes: Field required\)"),
        (lambda saved: saved["worst"][0].update(image=-1), "worst.0.image: Input should be greater than or equal to 0"),
        (
            lambda saved: saved["worst"][0].update(image="../../secret"),
            "worst.0.image: Input should be a valid integer",
        ),
        (lambda saved: saved["confusion"].append([0, 1, 10**30]), "confusion.*: Input should be less than or equal to"),
        (lambda saved: saved.update(created=1e300), "created: Input should be less than or equal to"),
        (lambda saved: saved["worst"][0].update(label=8), "it names classes that there are not"),
        (lambda saved: saved["confusion"].append([0, 999, 1]), "it names classes that there are not"),
        (lambda saved: saved.update(top_1_accuracy=float("nan")), "top_1_accuracy: Input should be a finite number"),
    ],
)
def test_damaged_evaluation_is_one_line(random_case, tmp_path, change, message):
    saved = json.loads((random_case[0] / "evaluation.json").read_text())
    change(saved)
    (tmp_path / "evaluation.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=message) as found:
        read_evaluation(tmp_path)
    assert "\n" not in str(found.value)


def test_cut_evaluation_is_one_line(random_case, tmp_path):
    text = (random_case[0] / "evaluation.json").read_text()
    (tmp_path / "evaluation.json").write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/evaluation.json: it cannot be read (")):
        read_evaluation(tmp_path)


def test_names_are_harmless_in_tables(tmp_path):
    names = ["=1+1", "a\x1b[31m"]
    evaluate(tmp_path, np.array([0, 1]), np.float32([[1, 0], [1, 0]]), class_names=names)
    rows = rows_of(tmp_path / "classes.csv")
    assert [row["name"] for row in rows] == ["'=1+1", "a\\x1b[31m"]
    assert read_evaluation(tmp_path).name(0) == "=1+1"
