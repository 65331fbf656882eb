"""train.py and validate.py on several workers: real processes on the CPU, by msrun, by mindcv launch, on two hosts."""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml
from script_runner import ROOT, run
from time_limits import LIMIT_S, wait_until

from mindcv.engine import read_checkpoint

pytestmark = pytest.mark.slow

BATCH, STEPS = 8, 2
RECIPE = {
    "model": "resnet18",
    "dataset": "digits",
    "device_target": "CPU",
    "mode": 1,
    "num_parallel_workers": 1,
    "batch_size": BATCH,
    "num_samples": BATCH * STEPS,
    "image_resize": 16,
    "num_classes": 10,
    "lr": 0.01,
    "warmup_epochs": 0,
    "decay_epochs": 1,
    "epoch_size": 1,
    "log_interval": 1,
    "dataset_sink_mode": False,
    "val_while_train": True,
}
TINY = ROOT / "tests/scripts/tiny_run.py"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, recipe, image_folder):
    """A training on two workers that msrun started, on ten images to evaluate, and what it printed."""
    folder = tmp_path_factory.mktemp("msrun")
    data = ["--dataset", "imagenet", "--data_dir", image_folder, "--num_classes", "2", "--batch_size", "6"]
    command = ["msrun", "--worker_num=2", "--local_worker_num=2", f"--master_port={free_port()}", "--join=True"]
    script = [ROOT / "train.py", "-c", recipe, *data, "--sync_bn", "True", "--ckpt_save_dir", folder]
    # msrun starts the `python` that is first on PATH.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        [*command, f"--log_dir={folder}/msrun", *map(str, script)],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def launch(*arguments):
    """Starts `mindcv launch` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mindcv", "launch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def test_msrun_is_found_by_itself_and_rank_0_writes(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"resnet18-1_2.ckpt", "resnet18_best.ckpt", "result.log", "log.jsonl", "config.yaml", "report.html"} <= names
    assert {"rank0.log", "rank1.log"} <= names
    assert not any(name.startswith("rank_") for name in names)
    rows = [line.split() for line in (trained / "result.log").read_text().splitlines()]
    assert [row[0] for row in rows] == ["Epoch", "1"]
    events = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert next(event for event in events if event["event"] == "run_begin")["world_size"] == 2
    assert [event["step"] for event in events if event["event"] == "train"] == [1, 2]
    assert [event["val_samples"] for event in events if event["event"] == "epoch"] == [10]
    logs = [(trained / f"rank{rank}.log").read_text() for rank in (0, 1)]
    assert all("CPU x 2" in log and "sync_bn: 20 BatchNorm cells" in log for log in logs)
    assert "Epoch: [1/1], step: [2/2]" in logs[0]
    assert "Epoch: [1/1]" not in logs[1]
    # The scheduler, as which msrun starts the script once more, trains nothing.
    assert "Configuration" not in (trained / "msrun/scheduler.log").read_text()


@pytest.mark.parametrize("hosts", [False, True], ids=["three workers", "two hosts"])
def test_evaluation_gives_the_figures_of_one_process_to_the_last_digit(trained, tmp_path, hosts, one_process):
    # 10 images in batches of 3: 4 batches, the last one of a single image.
    command = [*validation(trained), "--report", tmp_path / "report"]
    if hosts:
        cluster = ["--nproc", 1, "--nnodes", 2, "--master_addr", "localhost", "--master_port", free_port()]
        folders = [tmp_path / "host0", tmp_path / "host1"]
        jobs = [launch(*cluster, "--node_rank", i, "--log_dir", folders[i], *command) for i in (0, 1)]
    else:
        # On the CPU the last digits depend on the number of cores too.
        jobs = [launch("--nproc", 3, "--no_bind_core", "--log_dir", tmp_path / "log", *command)]
    results = [job.communicate(timeout=LIMIT_S) for job in jobs]
    assert [job.returncode for job in jobs] == [0] * len(jobs), results
    assert last_dict(results[0][0]) == one_process
    # What is reported too: no image is lost or counted twice, whoever evaluated it.
    for name in ("predictions.csv", "classes.csv", "confusion.csv", "calibration.csv"):
        assert (tmp_path / "report" / name).read_bytes() == (trained / "report" / name).read_bytes()
    found, expected = (
        json.loads((folder / "report/evaluation.json").read_text()) | {"created": 0} for folder in (tmp_path, trained)
    )
    assert found == expected
    assert found["num_images"] == 10
    if hosts:
        assert "ranks 1 to 1 of 2" in results[1][0]
        assert "{" not in results[1][0]


def validation(folder):
    checkpoint = folder / "resnet18_best.ckpt"
    return [ROOT / "validate.py", "-c", folder / "config.yaml", "--batch_size", 3, "--ckpt_path", checkpoint]


@pytest.fixture(scope="module")
def one_process(trained):
    done = run(*validation(trained)[1:], "--report", trained / "report", script="validate.py")
    assert done.returncode == 0, done.stderr
    return last_dict(done.stdout)


def last_dict(text):
    return ast.literal_eval([line for line in text.splitlines() if line.startswith("{")][-1])


@pytest.fixture
def running(tmp_path, recipe):
    """A training on two workers in its third epoch of many: the launcher, and the process ids of the workers."""
    settings = ["--model", "tiny_net", "--epoch_size", 1000, "--val_while_train", False, "--keep_checkpoint_max", 2]
    settings += ["--ckpt_save_dir", tmp_path]
    job = launch("--nproc", 2, "--log_dir", tmp_path / "log", TINY, "-c", recipe, *settings)
    log = tmp_path / "log/worker_0.log"
    try:
        wait_until(
            lambda: job.poll() is not None or (log.is_file() and "Epoch: [3/1000]" in log.read_text()),
            "the third epoch",
        )
        assert job.poll() is None, job.communicate()
        listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
        children = [int(line.split()[0]) for line in listed.splitlines() if line.split()[1] == str(job.pid)]
        yield job, {environment(pid).get("RANK_ID", "scheduler"): pid for pid in children}
    finally:
        if job.poll() is None:
            job.terminate()
            job.communicate(timeout=LIMIT_S)


def test_a_worker_that_is_killed_ends_the_job(running):
    job, children = running
    begin = time.monotonic()
    os.kill(children["1"], signal.SIGKILL)
    _, err = job.communicate(timeout=LIMIT_S)
    assert job.returncode == 137
    assert time.monotonic() - begin < 29  # MindSpore's own heartbeat takes 30 s
    assert "rank 1 (device 1) was the first to end, killed by SIGKILL" in err
    assert not any(is_alive(pid) for pid in children.values())


def test_sigterm_stops_all_ranks_at_the_same_step_and_saves(running, tmp_path):
    job, children = running
    job.terminate()
    _, err = job.communicate(timeout=LIMIT_S)
    assert job.returncode == 143, err
    stops = [
        re.search(r"stopped by SIGTERM at (epoch \d+, step \d+|the end of epoch \d+)", path.read_text())
        for path in (tmp_path / "log/worker_0.log", tmp_path / "log/worker_1.log")
    ]
    assert stops[0].group(1) == stops[1].group(1)
    manifest = json.loads((tmp_path / "checkpoints.json").read_text())
    _, state = read_checkpoint(tmp_path / manifest["last"])
    epoch, step = state["epoch"], state["step"]
    where = f"epoch {epoch + 1}, step {step}" if step else f"the end of epoch {epoch}"
    assert where == stops[0].group(1)
    assert not any(is_alive(pid) for pid in children.values())


def environment(pid):
    with open(f"/proc/{pid}/environ", encoding="utf-8", errors="replace") as file:
        return dict(entry.partition("=")[::2] for entry in file.read().split("\0"))


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
