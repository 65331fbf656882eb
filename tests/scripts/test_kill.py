"""A run that is killed again and again and resumed must not be told from one that was not."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from event_files import assert_equals_log
from time_limits import LIMIT_S

HERE = Path(__file__).parent
KILLS = 20
EPOCHS, SAMPLES, BATCH = 4, 96, 8
STEPS = SAMPLES // BATCH
RECIPE = {
    "model": "tiny_net",
    "dataset": "digits",
    "device_target": "CPU",
    "batch_size": BATCH,
    "num_samples": SAMPLES,
    "image_resize": 16,
    "num_parallel_workers": 2,
    "scale": [0.5, 1.0],
    "auto_augment": "randaug-m7-mstd0.5",
    "re_prob": 0.3,
    "drop_rate": 0.2,
    "drop_path_rate": 0.3,
    "mixup": 0.4,
    "cutmix": 0.4,
    "opt": "adamw",
    "weight_decay": 0.05,
    "lr": 0.01,
    "warmup_epochs": 1,
    "decay_epochs": EPOCHS - 1,
    "epoch_size": EPOCHS,
    "ema": True,
    "ema_decay": 0.9,
    "loss_scale_type": "dynamic",
    "loss_scale": 1024,
    "clip_grad": True,
    "gradient_accumulation_steps": 2,
    "val_while_train": True,
    "log_interval": 1,
    "keep_checkpoint_max": 2,
    "ckpt_save_steps": 5,
    "dataset_sink_mode": False,
    "num_classes": 10,
    "resume": "auto",
    "tensorboard": True,
}


def start(folder: Path, recipe: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, str(HERE / "tiny_run.py"), "-c", str(recipe), "--ckpt_save_dir", str(folder), *arguments]
    # A process group, so that the workers of the data pipeline are killed with it.
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def figures(folder: Path) -> dict:
    """Everything that must be equal: losses and rates of all steps, rows of all epochs, and the weights at the end."""
    from mindcv.engine import read_checkpoint

    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    steps = [[e["epoch"], e["step"], e["loss"], e["lr"]] for e in events if e["event"] == "train"]
    epochs = [
        [e["epoch"], e["loss"], e["val_loss"], e["Top_1_Accuracy"], e["best_metric"], e["best_epoch"]]
        for e in events
        if e["event"] == "epoch"
    ]
    assert_equals_log(folder)
    rows = [line.split()[:4] for line in (folder / "result.log").read_text().splitlines()]
    arrays, _ = read_checkpoint(folder / f"tiny_net-{EPOCHS}_{STEPS}.ckpt")
    return {"steps": steps, "epochs": epochs, "rows": rows, "arrays": arrays}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.mark.slow
def test_killed_runs_equal_one_that_was_not(tmp_path, recipe):
    whole = start(tmp_path / "whole", recipe, "--profile", "3:6")
    out, _ = whole.communicate(timeout=LIMIT_S)
    assert whole.returncode == 0, out
    expected = figures(tmp_path / "whole")
    assert len(expected["steps"]) == EPOCHS * STEPS
    assert_is_trace_of(out, "the steps 3 to 6")

    dice = random.Random(7)
    kills, runs = 0, 0
    while kills < KILLS:
        # Every other run saves in the background.
        folder, arguments = tmp_path / f"run{runs}", ["--ckpt_async", str(runs % 2 == 1)]
        while _is_killed(start(folder, recipe, *arguments), dice):
            kills += 1
        runs += 1
        got = figures(folder)
        for what in ("steps", "epochs", "rows"):
            assert got[what] == expected[what]
        assert set(got["arrays"]) == set(expected["arrays"])
        for name, array in expected["arrays"].items():
            np.testing.assert_array_equal(got["arrays"][name], array, err_msg=name)
        assert not list(folder.glob("*.damaged"))
        # Retention counts over all processes of the run, and nothing half written of a killed one is left.
        assert len(list(folder.glob("tiny_net-*.ckpt"))) == RECIPE["keep_checkpoint_max"]
        assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert runs >= 2


def assert_is_trace_of(out: str, steps: str) -> None:
    """The trace that the log names is there, and its events are operators of the network."""
    path = re.search(rf"Profile of {steps}: (\S+); open it in", out).group(1)
    spans = [event["name"] for event in json.loads(Path(path).read_text()) if event["ph"] == "X"]
    # The second name of either is that of the kernels, where they are built.
    forward = re.compile(r"Default/.*/conv-(Conv2d/Conv2D|_Conv2d/Custom)-op0")
    backward = re.compile(r"Gradients/.*(/Conv2DBackpropFilter-op0|/conv-_Conv2d/Grad_Custom/Custom-op\d)")
    assert sum(forward.fullmatch(name) is not None for name in spans) == 4
    assert any(backward.fullmatch(name) for name in spans)


def _is_killed(process: subprocess.Popen, dice: random.Random) -> bool:
    """Kills a run at a random instant, some lines after its start and then some; False when it had ended before."""
    lines = dice.randint(1, 25)
    printed = []
    for line in process.stdout:
        printed.append(line)
        lines -= "mindcv.engine" in line
        if lines == 0:
            break
    # Beyond a line there are steps, evaluation and saving, of some hundredths of a second each.
    time.sleep(dice.uniform(0, 0.3))
    if process.poll() is None and lines == 0:
        os.killpg(process.pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode in (0, -signal.SIGKILL), "".join(printed) + out
    return process.returncode != 0
