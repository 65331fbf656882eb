"""`mindcv data show`: the picture holds what the pipeline gives, and what a checkpoint says of it."""

import re
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from mindcv.cli import _data_show, main
from mindcv.models import create_model
from mindcv.report import grid
from mindcv.weights import write_weights

SIDE = 48
WHOLE = f"image_resize: {SIDE}\nhflip: 0.0\nscale: [1.0, 1.0]\nratio: [1.25, 1.25]\ncolor_jitter: 0\n"


@pytest.fixture
def cells(monkeypatch) -> list:
    """The cells of the grids that are drawn."""
    drawn: list[grid.Cell] = []

    def draw(found, font=None):
        drawn.extend(found)
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(grid, "draw_grid", draw)
    return drawn


def texts(cell) -> list[str]:
    return [line.text for line in cell.lines]


def pixels_of(file: Path, side: int = SIDE) -> np.ndarray:
    return np.asarray(Image.open(file).resize((side, side), Image.Resampling.BILINEAR)).astype(int)


def test_training_images(image_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(WHOLE)
    assert main(["data", "show", str(image_folder), "-c", "recipe.yaml", "--count", "5"]) == 0
    assert capsys.readouterr().out == "5 training images: data.png\n"
    sheet = np.asarray(Image.open("data.png"))
    assert sheet.shape == (3 * (3 * SIDE + 2 * 18 + 10) + 10, 2 * (3 * SIDE + 10) + 10, 3)
    assert sheet[10 : 10 + 3 * SIDE, 10 : 10 + 3 * SIDE].std() > 10
    assert (sheet[-190:, -150:] == 255).all()  # the place of a sixth
    assert not (tmp_path / "ckpt").exists()


def test_each_training_image_stands_above_its_class_and_file(image_folder, tmp_path, cells):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(WHOLE)
    assert main(["data", "show", str(image_folder), "-c", str(recipe), "--out", str(tmp_path / "a.png")]) == 0
    assert sorted(texts(cell)[1] for cell in cells) == sorted(
        f"{name}/{index:03d}.jpg" for name, count in (("cat", 7), ("dog", 6)) for index in range(count)
    )
    for cell in cells:
        name, file = texts(cell)
        assert file.startswith(f"{name}/")
        assert np.abs(cell.pictures[0] - pixels_of(image_folder / "train" / file)).mean() < 3


def test_mixed_images_have_the_shares_of_their_classes(image_folder, tmp_path, cells):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{WHOLE}mixup: 0.8\nloss: BCE\n")
    assert main(["data", "show", str(image_folder), "-c", str(recipe), "--out", str(tmp_path / "a.png")]) == 0
    mixed = [cell for cell in cells if len(cell.lines) == 3]
    assert len(cells) == 13
    assert mixed
    for cell in mixed:
        shares = [line.share for line in cell.lines[:2]]
        assert sum(shares) == pytest.approx(1)
        assert shares[0] >= shares[1] > 0
        assert texts(cell)[:2] == [
            f"{name} {share:.2f}"
            for name, share in zip(("cat", "dog") if "cat" in texts(cell)[0] else ("dog", "cat"), shares, strict=True)
        ]


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """Says cat, with a probability of 0.75, of whatever there is."""
    network = create_model("mobilenet_v1_025", num_classes=2)
    network.classifier.weight.set_data(Tensor(np.zeros((2, 256), np.float32)))
    network.classifier.bias.set_data(Tensor(np.array([np.log(3), 0], np.float32)))
    folder = tmp_path / "run"
    folder.mkdir()
    write_weights(folder / "net.ckpt", {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()})
    (folder / "config.yaml").write_text(f"model: mobilenet_v1_025\nimage_resize: {SIDE}\ncrop_pct: 1.0\nmode: 1\n")
    return folder / "net.ckpt"


def shown(folder: Path, checkpoint: Path, *words: str) -> int:
    out = str(checkpoint.parent / "p.png")
    return main(["data", "show", str(folder), "--predictions", str(checkpoint), "--out", out, *words])


def test_predictions(image_folder, checkpoint, cells, capsys):
    assert shown(image_folder, checkpoint) == 0
    assert capsys.readouterr().out.startswith("5 validation images, 3 right: ")
    by_file = {texts(cell)[-1]: cell for cell in cells}
    assert sorted(by_file) == ["cat/000.jpg", "cat/001.jpg", "cat/002.jpg", "dog/000.jpg", "dog/001.jpg"]
    for file, cell in by_file.items():
        is_cat = file.startswith("cat")
        assert texts(cell)[:-1] == ["cat 0.75", "dog 0.25", *([] if is_cat else ["true: dog"])]
        assert [line.mark for line in cell.lines[:2]] == (["right", ""] if is_cat else ["wrong", "right"])
        assert [line.share for line in cell.lines[:2]] == pytest.approx([0.75, 0.25])
        # The shorter side fills the square.
        picture = Image.open(image_folder / "val" / file).resize((60, 48), Image.Resampling.BILINEAR)
        assert np.abs(cell.pictures[0] - np.asarray(picture)[:, 6:54].astype(int)).mean() < 3


def test_only_wrong_predictions(image_folder, checkpoint, cells, capsys):
    assert shown(image_folder, checkpoint, "--wrong", "--count", "2") == 0
    assert re.match(r"[2-5] validation images, [0-3] right: ", capsys.readouterr().out)
    assert sorted(texts(cell)[-1] for cell in cells) == ["dog/000.jpg", "dog/001.jpg"]
    for file in (image_folder / "val" / "dog").iterdir():
        file.unlink()
    (image_folder / "val" / "dog").rmdir()
    assert shown(image_folder, checkpoint, "--wrong") == 2
    assert "gets all of the 3 validation images right; leave out --wrong" in capsys.readouterr().err


def test_several_labels_are_right_when_all_are():
    pixels = np.zeros((2, 2, 3), np.uint8)
    names = ["cat", "dog", "owl", "fox"]
    told = _data_show._predicted(
        pixels, np.array([0.9, 0.2, 0.7, 0.1]), np.array([1.0, 0, 1, 0]), "a/b.jpg", names, several=True
    )
    assert told[0]
    assert texts(told[1]) == ["cat 0.90", "owl 0.70", "dog 0.20", "a/b.jpg"]
    told = _data_show._predicted(
        pixels, np.array([0.9, 0.2, 0.4, 0.1]), np.array([1.0, 0, 1, 0]), "a/b.jpg", names, several=True
    )
    assert not told[0]
    assert texts(told[1]) == ["cat 0.90", "owl 0.40", "dog 0.20", "true: cat, owl", "a/b.jpg"]


def test_what_is_refused(image_folder, checkpoint, capsys):
    for words, message in (
        (["--count", "0"], "--count: got 0; give a number from 1"),
        (["--font", "nosuch.ttf"], "nosuch.ttf: is no font file"),
    ):
        assert shown(image_folder, checkpoint, *words) == 2
        assert message in capsys.readouterr().err
    assert main(["data", "show", str(image_folder), "--wrong"]) == 2
    assert "--wrong: needs --predictions CKPT" in capsys.readouterr().err
    assert shown(image_folder, checkpoint.parent.parent / "nosuch.ckpt") == 2
    assert "nosuch.ckpt: a checkpoint needs the recipe that it was trained with; there is no such file either" in (
        capsys.readouterr().err
    )
    other = create_model("mobilenet_v1_025", num_classes=7)
    write_weights(checkpoint, {parameter.name: parameter.asnumpy() for parameter in other.get_parameters()})
    assert shown(image_folder, checkpoint) == 2
    assert re.search(r"error: .*net\.ckpt.* 7 .*", capsys.readouterr().err)
