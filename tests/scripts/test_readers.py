"""Channels, figures of normalisation and broken images through every command: the right number, or one line."""

import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor, nn
from PIL import Image

from mindcv.cli import main
from mindcv.data import create_dataset
from mindcv.models import _registry, register_model
from mindcv.weights import write_weights

SIDE = 8
# The grey level of each class, one below and one above the mean of 127.
CLASSES = {"dark": 40, "light": 200}
SETTINGS = {
    "model": "level_net",
    "num_classes": 2,
    "mode": 1,
    "image_resize": SIDE,
    "crop_pct": 1.0,
    "batch_size": 2,
    "num_parallel_workers": 1,
    "warmup_epochs": 0,
    "epoch_size": 1,
    "lr": 1e-6,
    "drop_remainder": False,
    "dataset_sink_mode": False,
    "color_jitter": 0,
}
FIGURES = {"mean": [127], "std": [64]}
PHOTO = Path(__file__).parents[1] / "data" / "photos" / "china.jpg"


class LevelNet(nn.Cell):
    """Scores 0 for dark images and the mean of the normalised pixels for light ones."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        weight = np.zeros((num_classes, in_channels), np.float32)
        weight[1] = 1 / in_channels
        self.conv = nn.Conv2d(in_channels, in_channels, 1, weight_init=Tensor(identity(in_channels)), has_bias=False)
        self.classifier = nn.Dense(in_channels, num_classes, Tensor(weight), "zeros")

    def construct(self, x):
        return self.classifier(self.conv(x).mean((2, 3)))


def identity(channels):
    return np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)


def level_net(pretrained: bool = False, num_classes: int = 2, in_channels: int = 3, **kwargs) -> LevelNet:
    """The network above."""
    return LevelNet(num_classes, in_channels)


@pytest.fixture(autouse=True)
def _level_model():
    register_model(level_net)
    yield
    del _registry._entrypoints._things["level_net"], _registry._module_of["level_net"]


def png(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def level(value, dtype=np.uint8, channels=None):
    shape = (SIDE, SIDE) if channels is None else (SIDE, SIDE, channels)
    return np.full(shape, value, dtype)


@pytest.fixture
def folder(tmp_path):
    """train and val with dark and light images: RGB, grey, with alpha, and of 16 bits."""
    for split in ("train", "val"):
        for name, value in CLASSES.items():
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            (folder / "a.png").write_bytes(png(level(value, channels=3)))
            (folder / "b.png").write_bytes(png(level(value)))
            (folder / "c.png").write_bytes(png(level(value, channels=4)))
            (folder / "d.tiff").write_bytes(png(level(value * 256, np.uint16), "TIFF"))
    return tmp_path


@pytest.fixture
def call(capsys, folder, monkeypatch):
    """Runs a command and returns exit code, stdout and stderr."""
    monkeypatch.chdir(folder)

    def call(command, *words):
        try:
            code = main([command, *map(str, words), "--device_target", "CPU"])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


def recipe(folder, **changes):
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(SETTINGS | {"data_dir": str(folder / "data")} | changes))
    return path


def checkpoint(folder, channels):
    network = LevelNet(2, channels)
    path = folder / "net.ckpt"
    write_weights(path, {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()})
    return path


def rows_of(out):
    """The results on stdout, where the log goes in this process too."""
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def light(value):
    """Probability of the light class for a grey level."""
    return 1 / (1 + math.exp(-(value - 127) / 64))


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_number_counts_for_all_channels_in_every_command(channels, on_device, folder, call):
    config = recipe(folder, in_channels=channels, normalize_on_device=on_device, **FIGURES)
    code, out, err = call("train", "-c", config, "--ckpt_save_dir", "run", "--val_while_train", "True")
    assert code == 0, err
    history = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["Top_1_Accuracy"] for row in history if row["event"] == "epoch"] == [1.0]
    path = checkpoint(folder, channels)
    code, out, err = call("validate", "-c", config, "--ckpt_path", path)
    assert code == 0, err
    assert "'Top_1_Accuracy': 1.0" in out
    # Cross-entropy of the right class: the pixels and both figures are right.
    loss = -(math.log(1 - light(40)) + math.log(light(200))) / 2
    assert float(re.search(r"'loss': ([\d.]+)", out)[1]) == pytest.approx(loss, abs=1e-4)

    code, out, err = call("export", "-c", config, "--ckpt_path", path, "--out", "net.mindir", "--batch_size", "2")
    assert code == 0, err
    assert f"2x{channels}x{SIDE}x{SIDE}" in out
    code, out, err = call("validate", "--model", "net.mindir", "--data_dir", folder / "data")
    assert code == 0, err
    assert "Total data:8, top1 accuracy:1.0" in out
    for model in (path, "net.mindir"):
        words = ["-c", config] if model is path else []
        code, out, err = call("infer", model, folder / "data" / "val", "--output_format", "jsonl", *words)
        assert code == 0, err
        rows = rows_of(out)
        assert len(rows) == 8
        for row in rows:
            value = CLASSES[Path(row["image"]).parent.name]
            found = {entry["index"]: entry["probability"] for entry in row["predictions"]}
            assert found[1] == pytest.approx(light(value), abs=1e-5)


def test_grey_is_that_of_the_eye(folder, call):
    """0.299 R + 0.587 G + 0.114 B."""
    config = recipe(folder, in_channels=1, **FIGURES)
    colour = level(0, channels=3)
    colour[...] = (200, 40, 90)
    (folder / "colour.png").write_bytes(png(colour))
    code, out, err = call(
        "infer", checkpoint(folder, 1), folder / "colour.png", "-c", config, "--output_format", "jsonl"
    )
    assert code == 0, err
    found = {entry["index"]: entry["probability"] for entry in rows_of(out)[0]["predictions"]}
    assert found[1] == pytest.approx(light(round(0.299 * 200 + 0.587 * 40 + 0.114 * 90)), abs=1e-5)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused_before_anything_starts(channels, folder, call):
    config = recipe(folder, in_channels=channels, **FIGURES)
    path = checkpoint(folder, channels)
    words = f"in_channels is {channels}: images are read with 3 channels (RGB) or 1 (grey)"
    for command in (
        ("train", "-c", config, "--ckpt_save_dir", "run"),
        ("validate", "-c", config, "--ckpt_path", path),
        ("infer", path, folder / "data" / "val", "-c", config),
    ):
        code, _, err = call(*command)
        assert code == 2
        assert words in err.splitlines()[-1]
        assert "Traceback" not in err
        assert not list((folder / "run").glob("*.ckpt"))
    # What takes arrays of another program can be exported all the same.
    code, out, err = call("export", "-c", config, "--ckpt_path", path, "--out", "net.mindir")
    assert code == 0, err
    assert f"1x{channels}x{SIDE}x{SIDE}" in out
    for command in (
        ("validate", "--model", "net.mindir", "--data_dir", folder / "data"),
        ("infer", "net.mindir", folder / "data" / "val"),
    ):
        code, out, err = call(*command)
        assert code == 2
        assert words in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
            "mean 0.485,0.456,0.406 and std 0.229,0.224,0.225 are on the scale 0 to 1; give mean 123.675,116.28,103.53 "
            "and std 58.395,57.12,57.375",
        ),
        ({"mean": [0.5], "std": [0.5]}, "give mean 127.5 and std 127.5, on that of pixels, 0 to 255"),
        ({"mean": [1, 2], "std": [3, 4]}, "in_channels is 3, but mean has 2 values; give 3, or one for all channels"),
        ({"in_channels": 1, "mean": [1, 2], "std": [3, 4]}, "in_channels is 1, but mean has 2 values; give 1"),
    ],
)
def test_figures_that_cannot_be_meant(changes, words, folder, call):
    config = recipe(folder, **changes)
    path = checkpoint(folder, changes.get("in_channels", 3))
    for command in (
        ("train", "-c", config, "--ckpt_save_dir", "run"),
        ("validate", "-c", config, "--ckpt_path", path),
        ("infer", path, folder / "data" / "val", "-c", config),
        ("export", "-c", config, "--ckpt_path", path, "--out", "net.mindir"),
    ):
        code, _, err = call(*command)
        assert code == 2
        assert words in err
        assert "Traceback" not in err


def test_three_figures_for_one_channel_become_their_mean(folder, call):
    """So the defaults, ImageNet's, serve grey images."""
    config = recipe(folder, in_channels=1)
    code, out, err = call(
        "infer", checkpoint(folder, 1), folder / "data" / "val" / "dark", "-c", config, "--output_format", "jsonl"
    )
    assert code == 0, err
    mean, std = 255 * np.mean([0.485, 0.456, 0.406]), 255 * np.mean([0.229, 0.224, 0.225])
    assert len(rows_of(out)) == 4
    for row in rows_of(out):
        found = {entry["index"]: entry["probability"] for entry in row["predictions"]}
        assert found[1] == pytest.approx(1 / (1 + math.exp(-(40 - mean) / std)), abs=1e-5)


def broken_amid():
    """A JPEG whose header, tables and end are whole, and whose picture no decoder takes."""
    data = bytearray(PHOTO.read_bytes())
    start = data.find(b"\xff\xda")
    data[start + 500 : start + 502] = b"\xff\xd8"
    return bytes(data)


def test_an_image_broken_amid_its_picture(folder, call, caplog):
    config = recipe(folder, **FIGURES)
    bad = folder / "data" / "val" / "light" / "bad.jpg"
    bad.write_bytes(broken_amid())
    path = checkpoint(folder, 3)
    train = ("train", "-c", config, "--ckpt_save_dir", "run", "--val_while_train", "True")
    code, _, err = call(*train)
    assert code != 0
    assert f"cannot use the image {bad}" in err
    # The epoch that was trained is not lost.
    assert [file.name for file in (folder / "run").glob("level_net-*.ckpt")] == ["level_net-1_4.ckpt"]
    code, _, err = call(*train, "--resume", "auto", "--bad_samples", "skip", "--resume_force", "True")
    assert code == 0, err
    assert f"skipped the bad image {bad}: the image cannot be decoded as JPEG" in caplog.text
    assert "'Top_1_Accuracy': 1.0" in call("validate", "-c", config, "--ckpt_path", path, "--bad_samples", "skip")[1]
    assert call("export", "-c", config, "--ckpt_path", path, "--out", "net.mindir", "--batch_size", "2")[0] == 0
    exported = ("validate", "--model", "net.mindir", "--data_dir", folder / "data")
    code, _, err = call(*exported)
    assert code == 2
    assert f"cannot use the image {bad}" in err
    code, out, err = call(*exported, "--bad_samples", "skip")
    assert code == 0, err
    assert "Total data:8, top1 accuracy:1.0" in out
    check = ["data", "check", str(folder / "data"), "--splits", "val"]
    assert [main(check), main([*check, "--headers-only"])] == [1, 0]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_training_replaces_what_the_decoder_refuses(interpolation, folder, call, caplog):
    config = recipe(folder, interpolation=interpolation, **FIGURES)
    bad = folder / "data" / "train" / "light" / "bad.jpg"
    bad.write_bytes(broken_amid())
    code, _, err = call("train", "-c", config, "--ckpt_save_dir", "run")
    assert code == 0, err
    assert f"replaced the bad image {bad}" in caplog.text
    assert (folder / "run" / "bad_samples.tsv").read_text().startswith(f"{bad}\tthe image cannot be decoded as JPEG")


def test_skipping_decodes_with_and_without_the_extension(folder, monkeypatch):
    (folder / "data" / "val" / "light" / "bad.jpg").write_bytes(broken_amid())
    for extension in (True, False):
        if not extension:
            monkeypatch.setattr("mindcv.data.images.decoding._jpeg", None)
        dataset = create_dataset("", str(folder / "data"), "val", bad_samples="skip")
        assert dataset.get_dataset_size() == 8
