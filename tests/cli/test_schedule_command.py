"""`mindcv schedule`: the rates are the run's, and so is the decay of the average."""

import numpy as np
import pytest
from PIL import Image

from mindcv.cli import main
from mindcv.report.plot import Panel, text_plot

RECIPE = "resnet18_cpu"  # 1437 images of digits in batches of 32, cosine to 1e-5


def test_in_the_terminal(capsys):
    assert main(["schedule", "-c", RECIPE, "--ema", "True", "--ema_warmup", "timm", "--ema_interval", "4"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == (
        "528 updates in 12 epochs of 44 steps; learning rate 0, at most 0.001 (epoch 1.023), last 1.001e-05"
    )
    assert out[0] == "learning rate"
    assert out[1].startswith("0.001 |")
    second = out.index("EMA decay")
    assert out[second + 1].startswith(f"{1 - 132 ** (-2 / 3):.4g} |")
    assert out[second + 12].lstrip() == "0 |"  # the first column has the mean of two moves


def test_accumulation_and_batch_size_count(capsys):
    words = ["--steps_per_epoch", "100", "--gradient_accumulation_steps", "4", "--lr_base_batch_size", "64"]
    assert main(["schedule", "-c", RECIPE, *words]) == 0
    out = capsys.readouterr().out.splitlines()[-1]
    assert out.startswith("300 updates in 12 epochs of 100 steps; learning rate 6e-05, at most 0.002 (")
    assert out.endswith("last 2e-05")  # twice lr and min_lr: 128 images an update


def test_as_a_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for name, ema in (("one.png", "False"), ("two.png", "True")):
        assert main(["schedule", "-c", RECIPE, "--ema", ema, "--out", str(tmp_path / name)]) == 0
        assert capsys.readouterr().out.rstrip().endswith(f": {tmp_path / name}")
    one, two = (np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int) for name in ("one.png", "two.png"))
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] > 1.7 * one.shape[0]
    for picture in (one, two):
        blue = (np.abs(picture - (31, 90, 180)).sum(-1) < 30).any(0)
        assert blue.mean() > 0.8  # the curve goes over most of the width


@pytest.mark.no_mindspore
def test_text_plot_of_a_line():
    lines = text_plot(Panel("y", np.array([1.0, 10.0, 100.0]), np.array([0.0, 0.5, 1.0]), log_x=True))
    rows = {line.index("*"): number for number, line in enumerate(lines) if "*" in line}
    first = lines[1].index("|") + 1
    assert rows == {first: 12, first + 32: 6, first + 63: 1}
    assert lines[-1].split() == ["1", "100"]
    assert text_plot(Panel("y", np.array([1.0]), np.array([np.nan])))[1] == "  (no finite value)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-c", RECIPE, "--steps_per_epoch", "0"], "--steps_per_epoch: got 0; give a number from 1"),
        (["-c", "nosuch.yaml"], "nosuch.yaml"),
        (["-c", RECIPE, "--lrr", "3"], "unknown key 'lrr' (got '3'); did you mean 'lr'?"),
        (["-c", "resnet_50_ascend", "--data_dir", "nosuch"], "--steps_per_epoch N draws without data"),
    ],
)
def test_what_is_refused(words, message, capsys):
    assert main(["schedule", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
