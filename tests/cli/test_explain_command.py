"""`mindcv explain` on a checkpoint: names and probabilities are the classifier's, the map is Grad-CAM's."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from mindcv.cli import main
from mindcv.export import Classifier
from mindcv.models import create_model
from mindcv.report.grad_cam import grad_cam, overlay
from mindcv.report.grid import drawable
from mindcv.weights import write_weights

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
FILES = [str(PHOTOS / "china.jpg"), str(PHOTOS / "flower.jpg")]
SIDE = 128


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    network = create_model("mobilenet_v1_025", num_classes=3)
    generator = np.random.default_rng(0)
    for parameter in network.get_parameters():
        if parameter.name.endswith("weight"):
            value = generator.standard_normal(parameter.shape) * np.sqrt(2 / np.prod(parameter.shape[1:]))
            parameter.set_data(Tensor(value.astype(np.float32)))
    path = tmp_path / "net.ckpt"
    write_weights(path, {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()})
    (tmp_path / "names.txt").write_text("cat\ndog\nowl\n")
    (tmp_path / "config.yaml").write_text(f"model: mobilenet_v1_025\nnum_classes: 3\nimage_resize: {SIDE}\n")
    return path


def explained(checkpoint: Path, *words: str) -> int:
    names = str(checkpoint.parent / "names.txt")
    return main(["explain", str(checkpoint), *words, "--class_names", names, "--out", str(checkpoint.parent / "e.png")])


def test_the_picture(checkpoint, capsys):
    assert explained(checkpoint, *FILES, "--target", "dog", "--top_k", "1") == 0
    told = capsys.readouterr().out.splitlines()
    classifier = Classifier(checkpoint, class_names=("cat", "dog", "owl"))
    sheet = np.asarray(Image.open(checkpoint.parent / "e.png"))
    for index, (file, prediction) in enumerate(zip(FILES, classifier.predict(FILES, top_k=3), strict=True)):
        best = prediction.labels[0]
        shown = [best, *(label for label in prediction.labels[1:] if label.name == "dog")]
        path, *labels = told[index].split("  ")
        assert path == file
        assert [label.split(" ")[0] for label in labels] == [label.name for label in shown]
        # Two images at once and one alone differ in the last digits.
        assert [float(label.split(" ")[1]) for label in labels] == pytest.approx(
            [label.probability for label in shown], abs=2e-4
        )
        image = classifier.read(file)
        pixels = drawable(image[None], classifier.preprocess.mean, classifier.preprocess.std)[0]
        heat = grad_cam(classifier.network, image, 1)
        assert heat.max() > 0.5
        top = 10 + index * (sheet.shape[0] - 10) // 2
        np.testing.assert_array_equal(sheet[top : top + SIDE, 10 : 10 + SIDE], pixels)
        beside = sheet[top : top + SIDE, 14 + SIDE : 14 + 2 * SIDE].astype(int)
        assert np.abs(beside - overlay(pixels, heat)).max() <= 1
    assert told[2] == f"2 images: {checkpoint.parent / 'e.png'}"


def test_a_file_that_is_no_image_stops_nothing(checkpoint, tmp_path, capsys):
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    size, crc = (struct.pack(">I", number) for number in (len(header) - 4, zlib.crc32(header)))
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + size + header + crc)
    (tmp_path / "text.jpg").write_text("no image")
    bad = [str(tmp_path / name) for name in ("huge.png", "text.jpg", "nosuch.jpg")]
    assert explained(checkpoint, *bad, FILES[0]) == 3
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("mindcv:")]
    assert lines[0].startswith(f"mindcv: {bad[0]}: the image claims 50000 x 50000 pixels")
    assert lines[1].startswith(f"mindcv: {bad[1]}: ")
    assert lines[2:] == [
        f"mindcv: {bad[2]}: there is no such file",
        "mindcv: 3 of 4 files could not be read",
    ]
    assert out.splitlines()[-1].startswith("1 images: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--target", "dogg"],
            "--target: there is no class 'dogg'; did you mean 'dog'? Give a name or a number from 0 to 2",
        ),
        (["--target", "3"], "--target: there is no class '3'. Give a name or a number from 0 to 2"),
        (["--top_k", "0"], "--top_k: got 0; give a number from 1"),
        (["--font", "nosuch.ttf"], "nosuch.ttf: is no font file that can be read"),
    ],
)
def test_wrong_options(words, message, checkpoint, capsys):
    assert explained(checkpoint, FILES[0], *words) == 2
    assert message in capsys.readouterr().err
    assert not (checkpoint.parent / "e.png").exists()


def test_models_that_cannot_be_explained(checkpoint, tmp_path, capsys):
    assert main(["explain", "net.onnx", FILES[0]]) == 2
    assert "net.onnx: an exported file has no gradients; give the checkpoint or model it was made of" in (
        capsys.readouterr().err
    )
    assert main(["explain", str(tmp_path / "nosuch.ckpt"), FILES[0]]) == 2
    assert "is neither a file nor the name of a model" in capsys.readouterr().err
    network = create_model("mobilenet_v1_025", num_classes=3)
    arrays = {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}
    arrays["classifier.bias"][0] = np.nan
    write_weights(checkpoint, arrays)
    assert explained(checkpoint, FILES[0]) == 2
    assert "output is not finite, so there is nothing to explain" in capsys.readouterr().err
