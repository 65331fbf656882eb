"""A run that goes on with another number of workers, and back, is the run of one worker with the same global batch."""

import json
import subprocess
import sys

import numpy as np
import pytest
import yaml
from script_runner import ROOT, run
from time_limits import LIMIT_S

from mindcv.engine import read_checkpoint

# First, so that the two processes that run the suite do not share this module and start its runs twice.
pytestmark = pytest.mark.slow

EPOCHS, STEPS, GLOBAL_BATCH = 3, 6, 8
# The ends of fp32 sums over 8 images or twice 4, in 18 steps; the weights go some 0.1.
TOLERANCE = 1e-5
RECIPE = {
    "model": "tiny_net",
    "dataset": "digits",
    "device_target": "CPU",
    "image_resize": 16,
    "num_parallel_workers": 1,
    # Nothing is drawn for each image, so that a batch is the same one on any number of workers.
    "scale": [1.0, 1.0],
    "ratio": [1.0, 1.0],
    "hflip": 0.0,
    "color_jitter": None,
    "shuffle": True,
    "sync_bn": True,
    "opt": "momentum",
    "lr": 0.1,
    "warmup_epochs": 1,
    "decay_epochs": EPOCHS - 1,
    "epoch_size": EPOCHS,
    "ema": True,
    "ema_decay": 0.9,
    "loss_scale_type": "dynamic",
    "loss_scale": 1024,
    "clip_grad": True,
    # Saved at steps 5, 10, 15: in an epoch, and 5 and 15 between the two batches of an update.
    "gradient_accumulation_steps": 2,
    "ckpt_save_steps": 5,
    "val_while_train": True,
    "log_interval": 1,
    "num_classes": 10,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def runs(folder):
    """Runs by name: whole on 1 worker, two on 2; back goes on with two's on 1, and forth with back's on 2."""
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    logs = {}
    for name, workers, mode, start in (
        ("whole", 1, 1, None),
        ("two", 2, 0, None),
        ("back", 1, 1, "two/tiny_net-1_5.ckpt"),
        ("forth", 2, 1, "back/tiny_net-3_3.ckpt"),
    ):
        options = ["-c", recipe, "--ckpt_save_dir", folder / name, "--mode", mode, "--ckpt_save_on", "all"]
        options += ["--batch_size", GLOBAL_BATCH // workers, "--num_samples", GLOBAL_BATCH * STEPS // workers]
        options += ["--resume", folder / start] if start else []
        logs[name] = train(folder / f"{name}_logs", workers, options)
    return logs


def train(log_folder, workers, options):
    """Runs tiny_run.py to its end and returns what it printed."""
    if workers == 1:
        done = run(*options, script="tests/scripts/tiny_run.py")
    else:
        launch = [sys.executable, "-m", "mindcv", "launch", "--nproc", workers, "--log_dir", log_folder]
        command = [*launch, ROOT / "tests/scripts/tiny_run.py", *options]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["two", "back", "forth"])
def test_it_ends_as_the_run_of_one_worker_does(runs, folder, name):
    """Weights, average, momentum, the loss of each step, and the figures of the epochs' evaluations."""
    last = f"tiny_net-{EPOCHS}_{STEPS}.ckpt"
    arrays, state = read_checkpoint(folder / name / last)
    expected, whole = read_checkpoint(folder / "whole" / last)
    assert set(arrays) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(arrays[key], value, rtol=0, atol=TOLERANCE, err_msg=key)
    assert state["global_step"] == whole["global_step"] == EPOCHS * STEPS
    assert state["steps_per_epoch"] == STEPS
    for row, other in zip(state["history"], whole["history"], strict=True):
        assert row["epoch"] == other["epoch"]
        assert row["lr"] == other["lr"]
        assert row["val_samples"] == other["val_samples"]
        for key in ("loss", "val_loss"):
            assert row[key] == pytest.approx(other[key], rel=TOLERANCE)
    losses = steps(folder / "whole")
    for step, loss in steps(folder / name).items():
        assert loss == pytest.approx(losses[step], rel=TOLERANCE)


def steps(folder):
    """The losses that a run has logged, by step."""
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {event["global_step"]: event["loss"] for event in events if event["event"] == "train"}


def test_what_changed_is_told(runs):
    words = "resume with other settings: "
    told = {name: next((x for x in log.splitlines() if words in x), "") for name, log in runs.items()}
    assert [name for name, line in told.items() if line] == ["back", "forth"]
    for change in ("batch_size 4 -> 8", "num_samples 24 -> 48", "ranks 2 -> 1 (the global batch is 8 as before)"):
        assert change in told["back"]
    for change in ("batch_size 8 -> 4", "num_samples 48 -> 24", "ranks 1 -> 2 (the global batch is 8 as before)"):
        assert change in told["forth"]


def test_all_steps_are_logged_once(runs, folder):
    for name, first in (("whole", 1), ("two", 1), ("back", 6), ("forth", 16)):
        assert list(steps(folder / name)) == list(range(first, EPOCHS * STEPS + 1))


@pytest.mark.parametrize("name", ["two", "forth"])
def test_both_ranks_have_the_same_weights(runs, folder, name):
    """Each makes its network with a seed of its own: without rank 0's weights at the start, those of `two` differed."""
    last = f"tiny_net-{EPOCHS}_{STEPS}.ckpt"
    first, second = (read_checkpoint(folder / name / part / last)[0] for part in ("", "rank_1"))
    for key, value in first.items():
        np.testing.assert_array_equal(second[key], value, err_msg=key)
