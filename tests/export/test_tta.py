"""Test-time augmentation: what the views are, and that all roads average the same probabilities."""

from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image
from small_networks import build

from mindcv import validate
from mindcv.cli import main
from mindcv.config import read_config
from mindcv.data import EvalPreprocess
from mindcv.data.tta import Views
from mindcv.export import Classifier, export_model
from mindcv.export.source import source_from_checkpoint
from mindcv.models import create_model
from mindcv.weights import write_weights
from mindcv.weights.outputs import mean_scores, probabilities

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
FILES = [str(PHOTOS / "china.jpg"), str(PHOTOS / "flower.jpg")]
PREPROCESS = EvalPreprocess(32, crop_pct=0.8)  # 40 pixels, of which 32
KINDS = {"flip": 2, "five_crop": 5, "ten_crop": 10, "scales": 3}


def pixels(seed: int = 0, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("tta", KINDS)
def test_views(tta):
    """The image has the size that it is resized to, so the crops are its own pixels."""
    image = pixels()
    views = Views(PREPROCESS, tta, normalise=False, channels_last=True)(image)
    assert views.shape == (KINDS[tta], 32, 32, 3)
    centre = image[4:36, 14:46]
    corners = [image[:32, :32], image[:32, 28:], image[8:, :32], image[8:, 28:]]
    if tta == "scales":
        np.testing.assert_array_equal(views[1], centre)
        for view, side in ((views[0], 35), (views[2], round(40 * 8 / 7))):
            size = (int(side * 60 / 40), side)
            resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
            top, left = round((side - 32) / 2), round((size[0] - 32) / 2)
            np.testing.assert_array_equal(view, resized[top : top + 32, left : left + 32])
        return
    expected = [centre, *(corners if tta.endswith("_crop") else [])]
    if tta in ("flip", "ten_crop"):
        expected += [view[:, ::-1] for view in expected]
    np.testing.assert_array_equal(views, expected)


def test_views_are_normalised_as_one_image_is():
    image = pixels()
    expected = image
    for operation in PREPROCESS.operations(encoded=False):
        expected = operation(expected)
    views = Views(PREPROCESS, "flip")(image)
    assert views.dtype == np.float32
    np.testing.assert_allclose(views[0], expected, atol=1e-6)
    np.testing.assert_allclose(views[1], expected[:, :, ::-1], atol=1e-6)
    grey = EvalPreprocess(32, crop_pct=0.8, mean=(100,), std=(50,))
    assert Views(grey, "ten_crop")(image).shape == (10, 1, 32, 32)


def test_scales_never_leave_a_border():
    view = Views(EvalPreprocess(32, crop_pct=1.0), "scales", normalise=False)(np.full((50, 50, 3), 9, np.uint8))
    assert (view == 9).all()


def test_mean_scores():
    scores = np.random.default_rng(0).normal(0, 4, (3, 2, 5)).astype(np.float32)
    for head in ("single", "multiple"):
        expected = np.mean([probabilities(view, head) for view in scores], axis=0)
        np.testing.assert_allclose(probabilities(mean_scores(scores, head), head), expected, atol=1e-6)
    huge = np.array([[[2e4, -2e4]], [[2e4, -2e4]]], np.float32)
    assert np.isfinite(mean_scores(huge, "multiple")).all()
    assert np.isfinite(mean_scores(huge, "single")).all()


@pytest.mark.parametrize("tta", ["flip", "ten_crop"])
@pytest.mark.parametrize("kind", ["live", "onnx", "static"])
def test_classifier(kind, tta, tmp_path):
    network = build("basic")
    plain = Classifier(network, preprocess=PREPROCESS)
    views = [Views(PREPROCESS, tta)(np.asarray(Image.open(file))) for file in FILES]
    expected = np.stack([probabilities(network(Tensor(each)).asnumpy(), "single").mean(0) for each in views])
    if kind == "live":
        classifier = Classifier(network, preprocess=PREPROCESS, tta=tta)
    else:
        pytest.importorskip("onnxruntime")
        path = tmp_path / "net.onnx"
        export_model(network, path, preprocess=PREPROCESS, batch_size=3 if kind == "static" else "dynamic")
        classifier = Classifier(path, tta=tta)
    found = classifier.predict(FILES, top_k=7)
    for prediction, row in zip(found, expected, strict=True):
        for label in prediction.labels:
            assert label.probability == pytest.approx(row[label.index], abs=2e-5)
    one = plain.predict(FILES, top_k=7)
    assert max(abs(a.probability - b.probability) for a, b in zip(found[0].labels, one[0].labels, strict=True)) > 1e-4


@pytest.fixture
def recipe(tmp_path) -> Path:
    """A checkpoint with its recipe, and the photographs as a validation split."""
    network = create_model("mobilenet_v1_025", num_classes=2)
    generator = np.random.default_rng(0)
    for parameter in network.get_parameters():
        if parameter.name.endswith("weight"):
            value = generator.standard_normal(parameter.shape) * np.sqrt(2 / np.prod(parameter.shape[1:]))
            parameter.set_data(Tensor(value.astype(np.float32)))
    write_weights(tmp_path / "net.ckpt", {p.name: p.asnumpy() for p in network.get_parameters()})
    for index, file in enumerate(FILES):
        folder = tmp_path / "data" / "val" / f"class{index}"
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(Path(file).read_bytes())
    text = "model: mobilenet_v1_025\nmode: 1\nimage_resize: 64\ncrop_pct: 0.8\nbatch_size: 2\n"
    text += f"data_dir: {tmp_path / 'data'}\nckpt_path: {tmp_path / 'net.ckpt'}\n"
    (tmp_path / "config.yaml").write_text(text)
    return tmp_path / "config.yaml"


@pytest.mark.parametrize(
    "words", [[], ["--tta", "flip"], ["--tta", "scales"], ["--tta", "ten_crop", "--normalize_on_device", "True"]]
)
@pytest.mark.parametrize("size", [None, 96])
def test_validate_and_infer_are_one(words, size, recipe):
    """The loss of validation is that of the probabilities that infer gives, at the size of evaluation."""
    if size:
        words = [*words, "--val_image_resize", str(size)]
        with recipe.open("a") as file:
            file.write(f"val_image_resize: {size}\n")
    result = validate.validate(read_config(["-c", str(recipe), *words]))
    classifier = Classifier(recipe.parent / "net.ckpt", tta=words[1] if words[:1] == ["--tta"] else None)
    assert classifier.preprocess.image_size == (size or 64,) * 2
    found = classifier.predict(FILES, top_k=2)
    right = [next(x.probability for x in prediction.labels if x.index == i) for i, prediction in enumerate(found)]
    assert result["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-3)
    assert result["Top_1_Accuracy"] == np.mean([prediction.labels[0].index == i for i, prediction in enumerate(found)])


def test_validate_of_an_exported_file(recipe, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    out = tmp_path / "net.onnx"
    source = source_from_checkpoint(tmp_path / "net.ckpt")
    export_model(source.network, out, preprocess=source.preprocess, batch_size=2)
    words = ["--model", str(out), "--data_dir", str(tmp_path / "data"), "--tta", "ten_crop"]
    assert main(["validate", *words]) == 0
    told = capsys.readouterr().out
    result = validate.validate(read_config(["-c", str(recipe), "--tta", "ten_crop"]))
    assert f"Total data:2, top1 accuracy:{result['Top_1_Accuracy']}" in told


def test_what_is_refused(recipe, capsys):
    with pytest.raises(ValueError, match="unknown tta 'flips'; did you mean 'flip'"):
        Classifier(build("basic"), preprocess=PREPROCESS, tta="flips")
    with pytest.raises(
        ValueError, match="tta 'five_crop': with crop_pct 1 the crops are the same; set crop_pct below 1"
    ):
        Classifier(build("basic"), preprocess=EvalPreprocess(32, crop_pct=1.0), tta="five_crop")
    for words, message in (
        (["--crop_pct", "1.0", "--tta", "ten_crop"], "tta 'ten_crop': with crop_pct 1 the crops are the same"),
    ):
        assert main(["validate", "-c", str(recipe), *words]) == 2
        assert message in capsys.readouterr().err
    for words, message in (
        (["--tta", "flop"], "tta: got 'flop'; allowed: one of flip, five_crop, ten_crop, scales or None"),
        (["--val_image_resize", "0"], "val_image_resize: got '0'"),
    ):
        with pytest.raises(SystemExit):
            main(["validate", "-c", str(recipe), *words])
        assert message in capsys.readouterr().err
    words = [
        "--model",
        "vit_b_32_224",
        "--image_resize",
        "224",
        "--val_image_resize",
        "256",
        "--random_weights",
        "True",
    ]
    assert main(["validate", "-c", str(recipe), *words, "--ckpt_path", ""]) == 2
    error = capsys.readouterr().err
    assert "val_image_resize: got 256, but vit_b_32_224 is built for images of one size, 224; leave it out" in error
