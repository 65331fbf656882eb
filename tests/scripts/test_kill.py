"""A run that is killed again and again and resumed must not be told from one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

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
    rows = [line.split()[:4] for line in (folder / "result.log").read_text().splitlines()]
    arrays, _ = read_checkpoint(folder / f"tiny_net-{EPOCHS}_{STEPS}.ckpt")
    return {"steps": steps, "epochs": epochs, "rows": rows, "arrays": arrays}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("is_async", [False, True], ids=["saving", "saving_in_the_background"])
def test_killed_runs_equal_one_that_was_not(tmp_path, recipe, is_async):
    arguments = ["--ckpt_async", str(is_async)]
    whole = start(tmp_path / "whole", recipe, *arguments)
    begin = time.monotonic()
    out, _ = whole.communicate(timeout=180)
    assert whole.returncode == 0, out
    seconds = time.monotonic() - begin

    dice = random.Random(7 + is_async)
    kills, resumed = 0, 0
    while kills < KILLS // 2:
        process = start(tmp_path / "parts", recipe, *arguments)
        if _killed(process, dice, seconds):
            kills += 1
        resumed += 1
        assert resumed < 6 * KILLS, "the run makes no progress"
        if process.returncode == 0 and kills < KILLS // 2:
            # Ended before its kill: the last checkpoints go, so that there is something left to kill.
            _go_back(tmp_path / "parts", dice)
    final = start(tmp_path / "parts", recipe, *arguments)
    out, _ = final.communicate(timeout=180)
    assert final.returncode == 0, out

    expected, got = figures(tmp_path / "whole"), figures(tmp_path / "parts")
    assert got["steps"] == expected["steps"]
    assert len(got["steps"]) == EPOCHS * STEPS
    assert got["epochs"] == expected["epochs"]
    assert got["rows"] == expected["rows"]
    assert set(got["arrays"]) == set(expected["arrays"])
    for name, array in expected["arrays"].items():
        np.testing.assert_array_equal(got["arrays"][name], array, err_msg=name)
    assert not list((tmp_path / "parts").glob("*.damaged"))


def _killed(process: subprocess.Popen, dice: random.Random, seconds: float) -> bool:
    """Kills a run at a random instant after its start-up; False when it had ended before."""
    for line in process.stdout:
        if "Configuration" in line:
            break
    time.sleep(dice.uniform(0, 0.8 * seconds))
    alive = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL) if alive else None
    process.communicate()
    return alive and process.returncode == -signal.SIGKILL


def _go_back(folder: Path, dice: random.Random) -> None:
    """Removes all checkpoints but the first that is kept, as if the run had been killed much earlier."""
    manifest = json.loads((folder / "checkpoints.json").read_text())
    manifest["checkpoints"] = manifest["checkpoints"][:1]
    (folder / "checkpoints.json").write_text(json.dumps(manifest))
