"""Real runs with compile_cache: the second start takes the graph and gives the same bits; what differs shares none."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from script_runner import ROOT
from test_distributed_scripts import free_port
from time_limits import LIMIT_S

pytestmark = pytest.mark.slow

TINY = ROOT / "tests/scripts/tiny_run.py"
RECIPE = {
    "model": "tiny_net",
    "dataset": "digits",
    "device_target": "CPU",
    "batch_size": 8,
    "num_samples": 32,
    "image_resize": 16,
    "num_parallel_workers": 1,
    "drop_rate": 0.2,
    "drop_path_rate": 0.3,
    "mixup": 0.4,
    "opt": "adamw",
    "weight_decay": 0.05,
    "lr": 0.01,
    "warmup_epochs": 0,
    "decay_epochs": 1,
    "epoch_size": 1,
    "ema": True,
    "ema_decay": 0.9,
    "clip_grad": True,
    "clip_value": 1.0,
    "val_while_train": True,
    "log_interval": 1,
    "dataset_sink_mode": False,
    "num_classes": 10,
    "report": False,
}
TAKEN = "compile_cache: the training step taken from "
KEPT = "compile_cache: the training step compiled in "


class Runs:
    """Starts trainings and reads what they wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = folder / "recipe.yaml"
        self.recipe.write_text(yaml.safe_dump(RECIPE))
        self.count = 0

    def start(self, cache: object, *words: str, ranks: int = 1, **environment: str) -> tuple[Path, subprocess.Popen]:
        self.count += 1
        out = self.folder / f"run{self.count}"
        script = [str(TINY), "-c", str(self.recipe), "--ckpt_save_dir", str(out), "--compile_cache", str(cache), *words]
        environment = {**os.environ, **environment}
        if ranks == 1:
            command = [sys.executable, *script]
        else:
            command = ["msrun", f"--worker_num={ranks}", f"--local_worker_num={ranks}", "--join=True"]
            command += [f"--master_port={free_port()}", f"--log_dir={out}/msrun", *script, "--distribute", "True"]
            environment["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), environment["PATH"]])
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=self.folder
        )
        return out, process

    def end(self, started: tuple[Path, subprocess.Popen]) -> tuple[list, str]:
        """Returns losses and accuracies as they were logged, and the text of all ranks' logs."""
        out, process = started
        text, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, text
        rows = map(json.loads, (out / "log.jsonl").read_text().splitlines())
        kept = ("loss", "Top_1_Accuracy", "Top_5_Accuracy", "norm")
        figures = [[row["event"], *(row.get(name) for name in kept)] for row in rows if "loss" in row]
        # num_samples is what each rank sees; the epoch's row comes last.
        assert len(figures) == RECIPE["num_samples"] // RECIPE["batch_size"] + 1
        return figures, "".join(path.read_text() for path in sorted(out.glob("rank*.log"))) + text

    def run(self, cache: object, *words: str, **options) -> tuple[list, str]:
        return self.end(self.start(cache, *words, **options))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def without_cache(runs) -> list:
    figures, text = runs.run("off")
    assert "compile_cache:" not in text
    return figures


@pytest.fixture(scope="module")
def filled(runs, without_cache) -> Path:
    """A folder with the graphs of the recipe."""
    folder = runs.folder / "graphs"
    figures, text = runs.run(folder)
    assert KEPT in text
    assert figures == without_cache
    return folder


def test_the_second_start_takes_the_graphs(runs, without_cache, filled):
    figures, text = runs.run(filled)
    assert TAKEN in text
    assert "compile_cache: the network's evaluation taken from " in text
    assert figures == without_cache


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("label_smoothing", "0.1"),
        ("drop_path_rate", "0.1"),
        ("weight_decay", "0.1"),
        ("image_resize", "20"),
    ],
)
def test_a_run_that_differs_in_one_constant_shares_nothing(runs, without_cache, filled, key, value):
    expected, _ = runs.run("off", f"--{key}", value)
    found, text = runs.run(filled, f"--{key}", value)
    assert TAKEN not in text
    assert KEPT in text
    assert found == expected != without_cache


def test_another_learning_rate_is_no_constant_and_is_right(runs, without_cache, filled):
    expected, _ = runs.run("off", "--lr", "0.02")
    found, _ = runs.run(filled, "--lr", "0.02")
    assert found == expected != without_cache


def test_two_runs_at_once(runs, without_cache):
    folder = runs.folder / "at_once"
    started = [runs.start(folder) for _ in range(2)]
    for figures, _ in [runs.end(one) for one in started]:
        assert figures == without_cache
    figures, text = runs.run(folder)
    assert TAKEN in text
    assert figures == without_cache
    assert all(path.suffix == ".graph" for path in folder.iterdir())


def test_two_ranks(runs):
    folder = runs.folder / "ranks"
    expected, _ = runs.run("off", ranks=2)
    first, _ = runs.run(folder, ranks=2)
    second, text = runs.run(folder, ranks=2)
    assert second == first == expected
    assert text.count(TAKEN) >= 2


def test_files_that_are_cut_or_of_another_version(runs, without_cache, filled):
    folder = runs.folder / "damaged"
    shutil.copytree(filled, folder)
    for index, path in enumerate(sorted(folder.glob("*.graph"))):
        content = path.read_bytes()
        path.write_bytes(content.replace(b'"format": 1', b'"format": 9', 1) if index % 2 else content[:-100])
    figures, text = runs.run(folder)
    assert figures == without_cache
    assert TAKEN not in text
    assert "Traceback" not in text
    assert len(list(folder.glob("*.bad"))) == 2


def test_a_home_that_cannot_be_written(runs, without_cache):
    (runs.folder / "file").write_text("")
    home = str(runs.folder / "file" / "home")
    figures, text = runs.run("auto", MINDCV_COMPILE_CACHE=home)
    assert figures == without_cache
    lines = [line for line in text.splitlines() if f"compile_cache: off, {home}" in line]
    assert lines
    assert "Traceback" not in text
