"""`class_weights`: from a file by name or by number, and from how often classes occur."""

import numpy as np
import pytest

from mindcv.data.class_weights import balanced_weights, read_class_weights

pytestmark = pytest.mark.no_mindspore

NAMES = ["cat", "dog", "wild boar"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0.5\n1\n2e0\n", NAMES),
        ("0.5\r\n\r\n1\n2", None),
        ("\ufeffwild boar,2\ncat, 0.5\ndog,1\n", NAMES),
        ("wild boar 2\ncat\t0.5\ndog ,  1\n", NAMES),
        ("1,2\n2,1\n0,0.5\n", ["0", "2", "1"]),
    ],
)
def test_file(text, names, tmp_path):
    path = tmp_path / "weights.txt"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_class_weights(path, names, 3).tolist() == [0.5, 1, 2]


def test_outputs_without_a_class_have_one(tmp_path):
    path = tmp_path / "weights.txt"
    path.write_text("cat,3\ndog,4\n")
    assert read_class_weights(path, ["cat", "dog"], 4).tolist() == [3, 4, 1, 1]
    path.write_text("cat,3\ndog,4\n")
    assert read_class_weights(path, ["cat", "dog", ""], 3).tolist() == [3, 4, 1]


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("1\n2\n", NAMES, "has 2 numbers, the model 3 classes"),
        ("cat,1\ndog,2\n", NAMES, r"has no number for wild boar \(1 in all\)"),
        ("cat,1\ndogs,2\nwild boar,1\n", NAMES, "has a class 'dogs', the data not; did you mean 'dog'"),
        ("cat,1\ndog,2\ncat,1\n", NAMES, "has the class 'cat' twice"),
        ("cat,1\n2\n3\n", NAMES, "lines with a name and lines without"),
        ("cat,1\n", None, "has names, the classes have none; give 3 numbers alone"),
        ("1\n0\n1\n", NAMES, "'0' does not end in a number above 0"),
        ("1\n-1\n1\n", NAMES, "'-1' does not end in a number above 0"),
        ("1\nnan\n1\n", NAMES, "'nan' does not end in a number above 0"),
        ("1\ninf\n1\n", NAMES, "'inf' does not end in a number above 0"),
        ("cat,x\n", NAMES, "'cat,x' does not end in a number above 0"),
        ("", NAMES, "is empty; it has one line for each class"),
    ],
)
def test_refused(text, names, message, tmp_path):
    path = tmp_path / "weights.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_class_weights(path, names, 3)
    assert "\n" not in str(error.value)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"class_weights: there is no file .*; give one, or 'balanced'"):
        read_class_weights(tmp_path / "weights.txt", NAMES, 3)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([0, 0, 0, 1, 2, 2], np.int32), [6 / 9, 6 / 3, 6 / 6, 1]),
        (np.array([1, 1], np.int32), [1, 1, 1, 1]),
        (np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0]], np.float32), [2 / 3, 2, 1, 1]),
    ],
)
def test_balanced(labels, expected):
    """n / (k * n_c); the mean over the labels is 1, and a class that does not occur has 1."""
    weights = balanced_weights(labels, 4)
    np.testing.assert_allclose(weights, expected, rtol=1e-12)
    if labels.ndim == 1:
        assert weights[labels].mean() == pytest.approx(1)
