"""train.py, validate.py and `mindcv` as a user runs them."""

import ast
import csv
import json
import os
import re
import signal
import subprocess
import sys

import pytest
import yaml
from script_runner import ROOT, run, start
from time_limits import LIMIT_S, wait_until

from mindcv.report import write_report

pytestmark = pytest.mark.slow

RECIPE = ROOT / "configs/resnext/resnext50_32x4d_cpu.yaml"
# A recipe of a user's own on top of the packaged one.
SMALL = ["--model=resnet18", "--image_resize=32", "--warmup_epochs=0", "--decay_epochs=2", "--log_interval=1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, image_folder):
    """A finished training of two epochs on a folder of images, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    settings = ["--dataset", "imagenet", "--data_dir", image_folder, "--num_classes", "2", "--batch_size", "8"]
    done = run("-c", RECIPE, *SMALL, *settings, "--epoch_size", "2", "--ckpt_save_dir", folder, "--report", "True")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_training_leaves_what_it_says(trained):
    folder, out = trained
    for name in ("resnet18_best.ckpt", "resnet18-2_3.ckpt", "result.log", "log.jsonl", "config.yaml"):
        assert (folder / name).is_file()
        assert str(folder / name) in out
    assert out.count("CPU runtime: set") == 1
    rows = [line.split() for line in (folder / "result.log").read_text().splitlines()]
    assert rows[0][:3] == ["Epoch", "TrainLoss", "Top_1_Accuracy"]
    assert [row[0] for row in rows[1:]] == ["1", "2"]
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "train"] == [1, 2, 3, 1, 2, 3]
    assert [event["val_samples"] for event in events if event["event"] == "epoch"] == [10, 10]
    step = next(event for event in events if event["event"] == "train")
    assert {"loss", "lr", "images_per_s", "data_wait_s", "data_wait_share"} <= set(step)
    assert 100 < next(event for event in events if event["event"] == "epoch")["host_peak_mb"] < 20_000
    assert re.search(r"Peak memory: host \d+ MB\n", out)
    assert "img/s" in out
    assert "data wait" in out
    assert "ETA" in out
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["model"], config["batch_size"]) == ("resnet18", 8)


def test_the_printed_command_gives_the_accuracy_of_the_run(trained):
    folder, out = trained
    command = re.search(r"Evaluate with: python \S*validate.py (.*)", out).group(1).split()
    done = run(*command, "--report", folder / "evaluation", script="validate.py")
    assert done.returncode == 0, done.stderr
    printed = ast.literal_eval(done.stdout.strip().splitlines()[-1])
    assert set(printed) == {"Top_1_Accuracy", "loss"}
    rows = [line.split() for line in (folder / "result.log").read_text().splitlines()][1:]
    assert printed["Top_1_Accuracy"] == max(float(row[2]) for row in rows)
    # The page of the run, once without and once with what the evaluation left in its folder.
    assert str(folder / "report.html") in out
    before = (folder / "report.html").read_text()
    assert all(title in before for title in ("<h3>Loss</h3>", "<h3>Data wait</h3>", "<h2>Environment</h2>"))
    assert "<h2>Evaluation</h2>" not in before
    found = json.loads((folder / "evaluation/evaluation.json").read_text())
    assert (found["top_1_accuracy"], found["num_images"]) == (printed["Top_1_Accuracy"], 10)
    assert found["facts"]["loss"] == printed["loss"]
    assert found["facts"]["class_names"] == ["digit3", "digit7"]
    with (folder / "evaluation/predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["path"].split("/")[-2] for line in lines] == [line["label_name"] for line in lines]
    right = sum(line["label"] == line["prediction"] for line in lines)
    assert right == 10 * printed["Top_1_Accuracy"]
    notes = [note.partition("the network's")[2] for note in write_report([folder], folder / "report.html")]
    # The page would show where the network looked in images that it took for others.
    assert notes == [" last map is one place for images of 32 x 32"] * (right < 10)
    assert "<h2>Evaluation</h2>" in (folder / "report.html").read_text()


def test_resume_opt_goes_on_from_the_checkpoint(trained, tmp_path, image_folder):
    folder, _ = trained
    settings = ["-c", folder / "config.yaml", "--ckpt_path", folder / "resnet18-2_3.ckpt", "--resume_opt", "True"]
    done = run(*settings, "--epoch_size", "3", "--ckpt_save_dir", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in (tmp_path / "result.log").read_text().splitlines()]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]
    assert rows[1:3] == [line.split() for line in (folder / "result.log").read_text().splitlines()][1:]
    assert [path.name for path in tmp_path.glob("resnet18-*.ckpt")] == ["resnet18-3_3.ckpt"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_cleanly_and_keeps_a_checkpoint(tmp_path, number, code):
    process = start("-c", RECIPE, *SMALL, "--mode", "1", "--epoch_size", "3", "--ckpt_save_dir", tmp_path)
    for line in process.stdout:
        if "step: [3/" in line:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    path = re.search(r"mindcv: stopped by SIG\w+ at epoch 1, step \d+; saved (\S+)", err).group(1)
    assert os.path.getsize(path) > 1_000_000
    wait_until(lambda: not _group_is_alive(process.pid), "the end of all processes of the run")
    done = run("-c", RECIPE, *SMALL, "--ckpt_path", path, script="validate.py")
    assert done.returncode == 0, done.stderr


def _group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def losses_of(folder) -> list[float]:
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [event["loss"] for event in events if event["event"] == "train"]


# BatchNorm over 8 samples blows rounding up from step to step: fp16 is compared at a rate that hardly moves weights.
AMP = ["--amp_level=O2", "--loss_scale_type=dynamic", "--loss_scale=1024", "--lr=1e-5"]
EVERYTHING = [*AMP, "--ema", "--clip_grad", "--gradient_accumulation_steps=2", "--mixup=0.8", "--loss=BCE"]


@pytest.mark.parametrize(
    ("options", "steps", "tolerance"), [([], 20, 1e-4), (EVERYTHING, 6, 1e-2)], ids=["fp32", "everything"]
)
def test_graph_and_pynative_give_the_same_losses(options, steps, tolerance, tmp_path):
    losses = {}
    for mode in (0, 1):
        folder = tmp_path / str(mode)
        settings = [f"--mode={mode}", "--opt=momentum", "--lr=0.001", "--batch_size=8", f"--num_samples={8 * steps}"]
        settings += ["--epoch_size=1", "--val_while_train=False", f"--ckpt_save_dir={folder}"]
        done = run("-c", RECIPE, *SMALL, *settings, *options)
        assert done.returncode == 0, done.stderr
        losses[mode] = losses_of(folder)
    assert len(losses[0]) == steps
    assert losses[0] == pytest.approx(losses[1], abs=tolerance)


def test_print_config_stops_before_training(tmp_path):
    done = run("-c", "resnext/resnext50_32x4d_cpu.yaml", "--lr", "0.5", "--print-config", cwd=tmp_path)
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout)["lr"] == 0.5
    assert list(tmp_path.iterdir()) == []


def test_help_answers_without_mindspore():
    code = "import sys; sys.argv = ['train.py', '--help']; import runpy\n"
    code += "try: runpy.run_path('train.py', run_name='__main__')\n"
    code += "except SystemExit: print('mindspore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("False")
    assert "--label_smoothing" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--version"], 0, "mindcv 0."),
        ([], 0, "doctor"),
        (["modles"], 2, "did you mean 'models'?"),
        (["models", "resnext50*"], 0, "resnext50_32x4d"),
        (["train", "-c", "none.yaml"], 2, "none.yaml"),
    ],
)
def test_the_command(arguments, code, words):
    done = subprocess.run([sys.executable, "-m", "mindcv", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
