"""Other images and other heads."""

import logging

import numpy as np
import pytest

from mindcv.weights.adapt import adapt_classifier, adapt_first_conv

pytestmark = pytest.mark.no_mindspore

WEIGHT = np.random.RandomState(0).standard_normal((4, 3, 2, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("in_channels", "expected", "said"),
    [
        (1, WEIGHT.sum(axis=1, keepdims=True), "summed its 3 input channels for in_channels 1"),
        (2, WEIGHT[:, [0, 1]] * 1.5, "repeated its 3 input channels, times 3/2"),
        (3, WEIGHT, ""),
        (4, WEIGHT[:, [0, 1, 2, 0]] * 0.75, "repeated its 3 input channels, times 3/4"),
        (6, WEIGHT[:, [0, 1, 2, 0, 1, 2]] * 0.5, "repeated its 3 input channels, times 3/6"),
        (8, WEIGHT[:, [0, 1, 2, 0, 1, 2, 0, 1]] * 0.375, "repeated its 3 input channels, times 3/8"),
    ],
)
def test_first_convolution(in_channels: int, expected: np.ndarray, said: str, caplog) -> None:
    caplog.set_level(logging.INFO)
    given = {"conv1.weight": WEIGHT.copy(), "fc.bias": np.ones(2)}
    adapted = adapt_first_conv(given, "conv1", in_channels)
    np.testing.assert_allclose(adapted["conv1.weight"], expected, rtol=1e-6)
    assert adapted["conv1.weight"].dtype == np.float32
    assert adapted["fc.bias"] is given["fc.bias"]
    np.testing.assert_array_equal(given["conv1.weight"], WEIGHT)
    assert said in caplog.text
    assert bool(said) == bool(caplog.text)


def test_first_convolution_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"have no first convolution 'stem.0.weight' to fit to in_channels 1"):
        adapt_first_conv({"conv1.weight": WEIGHT}, "stem.0", 1)


@pytest.mark.parametrize(("num_classes", "dropped"), [(10, set()), (7, {"classifier.weight", "classifier.bias"})])
def test_classifier(num_classes: int, dropped: set[str], caplog) -> None:
    caplog.set_level(logging.INFO)
    given = {
        "aux_classifier.weight": np.ones((10, 4)),
        "classifier.weight": np.ones((10, 4)),
        "classifier.bias": np.ones(10),
    }
    kept, left_out = adapt_classifier(given, "classifier", num_classes)
    assert left_out == dropped
    assert set(kept) == set(given) - dropped
    assert ("left out, since it is for 10 classes, not 7" in caplog.text) == bool(dropped)


def test_classifier_whose_weight_and_bias_differ(caplog) -> None:
    caplog.set_level(logging.INFO)
    given = {"classifier.weight": np.ones((10, 4)), "classifier.bias": np.ones(9)}
    assert adapt_classifier(given, "classifier", 10) == ({}, set(given))
    assert "classifier: left out, since it is for 9 and 10 classes, not 10" in caplog.messages


def test_classifier_that_is_not_there(caplog) -> None:
    caplog.set_level(logging.INFO)
    fresh = {"classifier.weight", "classifier.bias"}
    assert adapt_classifier({"a": np.ones(2)}, "classifier", 7) == ({"a": pytest.approx(np.ones(2))}, fresh)
    assert caplog.messages == ["classifier: the file has none, so it starts fresh"]


def test_background_class_is_cut_off(caplog) -> None:
    """TensorFlow's networks have a class 0 that no image is of."""
    caplog.set_level(logging.INFO)
    given = {"classifier.weight": np.arange(11)[:, None], "classifier.bias": np.arange(11)}
    kept, left_out = adapt_classifier(given, "classifier", 10, label_offset=1)
    assert left_out == set()
    assert kept["classifier.weight"].ravel().tolist() == kept["classifier.bias"].tolist() == list(range(1, 11))
    assert "classifier: its first 1 classes, which are none of the data, are cut off" in caplog.messages
    assert adapt_classifier(given, "classifier", 9, label_offset=1)[1] == set(given)


def test_unused_last_class_is_cut_off(caplog) -> None:
    """MindCV's MobileNetV1 has 1001 classes and was trained with the labels 0 to 999."""
    caplog.set_level(logging.INFO)
    given = {"classifier.weight": np.arange(11)[:, None], "classifier.bias": np.arange(11)}
    kept, left_out = adapt_classifier(given, "classifier", 10, unused_classes=1)
    assert left_out == set()
    assert kept["classifier.weight"].ravel().tolist() == kept["classifier.bias"].tolist() == list(range(10))
    assert "classifier: its last 1 classes, which are none of the data, are cut off" in caplog.messages
    assert adapt_classifier(given, "classifier", 9, unused_classes=1)[1] == set(given)
