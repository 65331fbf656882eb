"""Weights into networks."""

import dataclasses
import logging
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mindcv.models import _create, _loading, _registry, create_model, get_pretrained_cfg, to_timm_names
from mindcv.models._loading import load_arrays
from mindcv.models.helpers import auto_map, load_model_checkpoint, load_pretrained
from mindcv.weights import write_ckpt, write_weights

TINY = {"channels": (8, 8, 16, 16), "layers": (1, 1, 1, 1)}
URL = "https://example.org/resnet18-0123abcd.ckpt"


def tiny(name: str = "resnet18", **kwargs):
    return create_model(name, **{"num_classes": 10, **TINY, **kwargs})


def arrays_of(model) -> dict[str, np.ndarray]:
    return {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}


@pytest.fixture
def published(monkeypatch, tmp_path: Path):
    """Serves a tiny resnet18 as the published weights of the address above; returns its arrays."""
    arrays = arrays_of(tiny())
    write_ckpt(tmp_path / "published.ckpt", arrays)

    def fetch(url: str, sha256_prefix: str | None = None) -> Path:
        assert (url, sha256_prefix) == (URL, "0123abcd")
        return tmp_path / "published.ckpt"

    monkeypatch.setattr(_loading, "fetch", fetch)
    monkeypatch.setattr(_create, "fetch", fetch)
    return arrays


CFG = {"url": URL, "sha256": "0123abcd", "num_classes": 10, "first_conv": "conv1", "classifier": "classifier"}


def test_file_of_mindspore(tmp_path: Path):
    source, target = tiny(), tiny()
    ms.save_checkpoint(source, str(tmp_path / "w.ckpt"))
    report = load_model_checkpoint(target, str(tmp_path / "w.ckpt"))
    assert len(report.loaded) == len(list(target.get_parameters()))
    for name, array in arrays_of(target).items():
        np.testing.assert_array_equal(array, arrays_of(source)[name])


def test_average_of_a_training(tmp_path: Path):
    model = tiny()
    raw = arrays_of(model)
    averaged = {name: array + 1 for name, array in raw.items()}
    slots = {f"moments.{name}": array for name, array in raw.items()}
    ema = {f"ema.{name}": array for name, array in averaged.items()}
    write_ckpt(tmp_path / "w.ckpt", {**raw, **ema, **slots, "learning_rate": np.float32(0.1)})
    load_model_checkpoint(model, str(tmp_path / "w.ckpt"), ema=True)
    np.testing.assert_array_equal(arrays_of(model)["conv1.weight"], averaged["conv1.weight"])
    load_model_checkpoint(model, str(tmp_path / "w.ckpt"))
    np.testing.assert_array_equal(arrays_of(model)["conv1.weight"], raw["conv1.weight"])


def test_type_is_converted():
    model = tiny()
    load_arrays(model, {name: array.astype(np.float64) for name, array in arrays_of(model).items()}, "here")
    assert {parameter.dtype for parameter in model.get_parameters()} == {ms.float32}


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        ("seresnet18", ["does not fit resnet18", "missing", "conv1.weight", "unexpected", "layer0.0.weight", "more"]),
        ("resnet50", ["does not fit resnet18", "unexpected", "layer1.0.conv3.weight", "(8, 8, 3, 3)", "(8, 8, 1, 1)"]),
    ],
)
def test_checkpoint_of_another_model(other: str, parts: list[str], tmp_path: Path):
    path = str(tmp_path / "other.ckpt")
    write_ckpt(path, arrays_of(tiny(other)))
    model = tiny()
    before = arrays_of(model)
    with pytest.raises(ValueError, match=r"other\.ckpt") as error:
        load_model_checkpoint(model, path)
    assert all(part in str(error.value) for part in parts), str(error.value)
    assert "\n" not in str(error.value)
    for name, array in arrays_of(model).items():
        np.testing.assert_array_equal(array, before[name])


def test_partial_load(tmp_path: Path, caplog):
    arrays = arrays_of(tiny(num_classes=12))
    arrays["layer1.0.conv1.weights"] = arrays.pop("layer1.0.conv1.weight")
    write_ckpt(tmp_path / "w.ckpt", arrays)
    model = tiny()
    before = arrays_of(model)
    with caplog.at_level(logging.WARNING):
        report = load_model_checkpoint(model, str(tmp_path / "w.ckpt"), strict=False)
    assert report.missing == ("layer1.0.conv1.weight",)
    assert report.unexpected == ("layer1.0.conv1.weights",)
    assert report.mismatched == (
        ("classifier.weight", (10, 16), (12, 16)),
        ("classifier.bias", (10,), (12,)),
    )
    assert len(report.loaded) == len(before) - 3
    assert "layer1.0.conv1.weight (closest: layer1.0.conv1.weights)" in caplog.text
    for name, array in arrays_of(model).items():
        np.testing.assert_array_equal(array, arrays[name] if name in report.loaded else before[name])


def test_partial_load_of_published_weights(published, monkeypatch):
    model = tiny("resnet18", layers=(1, 1, 1, 2))
    with pytest.raises(ValueError, match=r"does not fit resnet18; \d+ missing in the file: layer4\.1\.conv1\.weight"):
        load_pretrained(model, CFG, num_classes=10)
    report = load_pretrained(model, CFG, num_classes=10, strict=False)
    assert len(report.loaded) == len(published)
    assert all(name.startswith("layer4.1.") for name in report.missing)


def test_head_of_another_size(tmp_path: Path):
    write_ckpt(tmp_path / "w.ckpt", arrays_of(tiny(num_classes=12)))
    with pytest.raises(ValueError, match="the file has 12 classes, the model 10"):
        tiny(checkpoint_path=str(tmp_path / "w.ckpt"))


@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
def test_no_weight_file(content: bytes, tmp_path: Path):
    (tmp_path / "w.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.ckpt"):
        tiny(checkpoint_path=str(tmp_path / "w.ckpt"))


def test_auto_mapping(tmp_path: Path, caplog):
    source = tiny()
    renamed = {
        name.replace("classifier", "classifer").replace("down_sample", "downsampl"): array
        for name, array in arrays_of(source).items()
    }
    write_weights(tmp_path / "w.npz", renamed)
    with pytest.raises(ValueError, match=r"layer2.0.down_sample.0.weight \(closest: layer2.0.downsampl.0.weight\)"):
        tiny(checkpoint_path=str(tmp_path / "w.npz"))
    with caplog.at_level(logging.WARNING):
        target = tiny(checkpoint_path=str(tmp_path / "w.npz"), auto_mapping=True)
    assert "classifier.weight is loaded from classifer.weight" in caplog.text
    for name, array in arrays_of(target).items():
        np.testing.assert_array_equal(array, arrays_of(source)[name])


def test_auto_mapping_minds_shapes():
    model = tiny()
    arrays = arrays_of(model)
    arrays["classifier.weights"] = arrays.pop("classifier.weight")[:5]
    with pytest.raises(
        ValueError, match=r"no unused entry of shape \(10, 16\) has a name close to 'classifier.weight'"
    ):
        auto_map(model, arrays)


def test_pretrained_weights(published):
    model = tiny()
    load_pretrained(model, CFG, num_classes=10)
    np.testing.assert_array_equal(arrays_of(model)["conv1.weight"], published["conv1.weight"])


def test_pretrained_weights_with_another_head(published):
    model = tiny(num_classes=4)
    head = arrays_of(model)["classifier.weight"]
    report = load_pretrained(model, CFG, num_classes=4)
    assert report.missing == ("classifier.weight", "classifier.bias")
    np.testing.assert_array_equal(arrays_of(model)["classifier.weight"], head)
    np.testing.assert_array_equal(arrays_of(model)["layer4.0.conv1.weight"], published["layer4.0.conv1.weight"])


@pytest.mark.parametrize("in_channels", [1, 6])
def test_pretrained_weights_for_another_image(published, in_channels: int):
    """An image of equal channels gives the features that it gives the published network."""
    model = tiny(in_channels=in_channels).set_train(False)
    load_pretrained(model, CFG, num_classes=10, in_channels=in_channels)
    whole = tiny().set_train(False)
    load_pretrained(whole, CFG, num_classes=10)
    grey = np.random.randn(2, 1, 32, 32).astype(np.float32)
    same = whole(ms.Tensor(np.repeat(grey, 3, axis=1))).asnumpy()
    np.testing.assert_allclose(model(ms.Tensor(np.repeat(grey, in_channels, axis=1))).asnumpy(), same, atol=1e-4)


def test_pretrained_weights_by_name(published, monkeypatch):
    weights = _registry._weights["resnet18"]
    default = next(iter(weights.values()))
    cfg = type(default)(**{**CFG, "architecture": "resnet18", "tag": "tiny", "model_args": {"drop_rate": 0.25}})
    monkeypatch.setitem(weights, "tiny", cfg)
    model = create_model("resnet18.tiny", num_classes=10, pretrained=True, **TINY)
    np.testing.assert_array_equal(arrays_of(model)["conv1.weight"], published["conv1.weight"])
    assert model.default_cfg is cfg
    assert model.dropout.p == 0.25


@pytest.mark.parametrize(
    ("name", "pad", "first", "last"),
    [
        ("resnet18", "both", "conv1.weight", "fc.bias"),
        ("seresnet50", "both", "conv1.weight", "fc.bias"),
        ("seresnext26_32x4d", "both", "conv1.weight", "fc.bias"),
        ("seresnext26_32x4d", "same", "layer0.conv1.weight", "last_linear.bias"),
        ("senet154", "both", "conv1.0.weight", "fc.bias"),
        ("senet154", "same", "layer0.conv1.weight", "last_linear.bias"),
        # timm's legacy_seresnet18 and 50 are other networks, so the names are those of its seresnet18 and 50.
        ("seresnet18", "same", "conv1.weight", "fc.bias"),
        ("seresnet50", "same", "conv1.weight", "fc.bias"),
    ],
)
def test_names_of_timm_and_back(name: str, pad: str, first: str, last: str):
    model = create_model(name, num_classes=5, channels=(32, 32, 64, 64), layers=(1, 1, 1, 2), stem_pool_pad=pad)
    theirs = to_timm_names(model, arrays_of(model))
    assert (next(iter(theirs)), next(reversed(theirs))) == (first, last)
    back = model.from_torch(theirs)
    assert set(back) == set(arrays_of(model))
    for key, array in arrays_of(model).items():
        np.testing.assert_array_equal(back[key], array)


def test_own_filter(published):
    model = tiny()
    load_pretrained(
        model, CFG, num_classes=10, filter_fn=lambda arrays: {name: array * 2 for name, array in arrays.items()}
    )
    np.testing.assert_array_equal(arrays_of(model)["conv1.weight"], 2 * published["conv1.weight"])


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        ({"label_offset": 1, "unused_classes": 0}, slice(1, None)),
        ({"label_offset": 0, "unused_classes": 1}, slice(1000)),
    ],
)
def test_a_file_of_1001_classes_for_1000(facts, kept, tmp_path, monkeypatch):
    """A class in front of the data's (TensorFlow's "background"), or one behind them, is cut off the head."""
    name, path = "mobilenet_v1_025", str(tmp_path / "w.ckpt")
    tag = next(iter(_registry._weights[name]))
    cfg = dataclasses.replace(get_pretrained_cfg(name), num_classes=1001, **facts)
    monkeypatch.setitem(_registry._weights[name], tag, cfg)
    model = create_model(name, num_classes=1001)
    write_weights(path, {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()})
    assert cfg.data_classes == 1000
    for classes, rows in ((1000, kept), (1001, slice(None))):
        other = create_model(name, num_classes=classes, pretrained=path)
        expected = model.classifier.weight.asnumpy()[rows]
        np.testing.assert_array_equal(other.classifier.weight.asnumpy(), expected)
        np.testing.assert_array_equal(other.classifier.bias.asnumpy(), model.classifier.bias.asnumpy()[rows])
