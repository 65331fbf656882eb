"""`mindcv find-lr`: what it suggests, that it ends where the loss runs away, and that a run's folder stays as it is."""

import json

import numpy as np
import pytest

from mindcv.cli import main
from mindcv.cli.find_lr import has_diverged, smooth, suggested
from mindcv.config import read_config
from mindcv.engine import setup_run
from mindcv.models import create_model

TINY = "mode: 1\ndataset: digits\nmodel: mobilenet_v1_025\nimage_resize: 32\nbatch_size: 16\nnum_parallel_workers: 1\n"
TINY += "opt: sgd\nmomentum: 0.0\nweight_decay: 0.0\n"


def test_smoothed_losses():
    np.testing.assert_allclose(smooth([1, 2, 4]), [1, (0.9 + 2) / 1.9, (0.81 + 1.8 + 4) / 2.71])


def test_the_suggestion_is_where_a_loss_falls_most_steeply():
    rates = np.geomspace(1e-6, 1, 61)
    logs = np.log10(rates)
    # Steepest at 1e-3, least at about 1e-1.5, and up again.
    losses = 2 - np.tanh(logs + 3) + np.maximum(logs + 1.5, 0) * 5
    suggestion, minimum = suggested(rates, losses)
    assert suggestion == pytest.approx(1e-3, rel=0.3)
    assert minimum == pytest.approx(10**-1.5, rel=0.3)
    assert suggested(rates, np.arange(61.0)) == (None, None)
    assert suggested(rates[:5], losses[:5]) == (None, None)
    wild = [*losses[:50], float("nan")]
    assert suggested(rates[:51], wild) == (suggestion, minimum)


def test_a_loss_runs_away():
    assert has_diverged([1.0, float("nan")])
    assert has_diverged([*[1.0] * 10, 4.1])
    assert not has_diverged([*[1.0] * 10, 3.9])
    assert not has_diverged([1.0, 9.0])


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "recipe.yaml"
    path.write_text(TINY)
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt" / "config.yaml").write_text("a run's\n")
    return path


def test_a_test_leaves_no_trace_and_its_figures_are_a_trainings(recipe, tmp_path, capsys):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    words = ["--updates", "24", "--from", "1e-6", "--to", "1e4", "--json", "-"]
    assert main(["find-lr", "-c", str(recipe), *words]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    count = len(figures["losses"])
    np.testing.assert_allclose(figures["learning_rates"], np.geomspace(1e-6, 1e4, 24)[:count])
    assert figures["has_diverged"]
    assert count < 24
    assert figures["batch_size"] == 16
    assert 1.5 < figures["losses"][0] < 4
    # The first losses are those of a training with rates near 0: of the weights that the seed draws.
    np.testing.assert_allclose(figures["losses"][:2], _losses_of_fresh_weights(recipe), rtol=2e-3)


def _losses_of_fresh_weights(recipe) -> list[float]:
    from mindspore import Tensor, ops

    from mindcv.build import build_train_loader
    from mindcv.data import epoch_batches

    cfg = read_config(["-c", str(recipe)])
    setup_run(cfg.device_target, cfg.mode, None, False, cfg.seed)
    loader, num_classes = build_train_loader(cfg)
    network = create_model(cfg.model, num_classes=num_classes).set_train(True)
    losses = []
    for _, (image, label) in zip(range(2), epoch_batches(loader, 0, seed=cfg.seed), strict=False):
        losses.append(float(ops.cross_entropy(network(image), Tensor(label.asnumpy())).asnumpy()))
    return losses


def test_accumulation_and_a_picture(recipe, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    words = ["--updates", "20", "--gradient_accumulation_steps", "2", "--lr_base_batch_size", "64", "--batch_size", "8"]
    assert main(["find-lr", "-c", str(recipe), *words, "--out", "lr.png", "--json", "lr.json"]) == 0
    figures = json.loads((tmp_path / "lr.json").read_text())
    assert len(figures["losses"]) == len(figures["smoothed"]) == 20
    assert figures["batch_size"] == 16
    assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")
    told = capsys.readouterr().out
    if figures["suggestion"] is None:
        assert "no suggestion: the loss does not fall" in told
    else:
        assert figures["lr"] == pytest.approx(4 * figures["suggestion"])
        assert f"(lr: {figures['lr']:.2g} with this lr_base_batch_size)" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "1", "--to", "0.1"], "--from 1 --to 0.1: give two rates above 0, the smaller one first"),
        (["--to", "inf"], "give two rates above 0"),
        (["--updates", "3"], "--updates: got 3; give a number from 20"),
        (["--loos", "CE"], "unknown key 'loos' (got 'CE'); did you mean 'loss'?"),
    ],
)
def test_what_is_refused(words, message, recipe, capsys):
    assert main(["find-lr", "-c", str(recipe), *words]) == 2
    assert message in capsys.readouterr().err
