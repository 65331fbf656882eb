"""Each mistake a user can make gives one clear line and an exit code, never a traceback."""

import os
import shutil

import numpy as np
import pytest
from script_runner import ROOT, run

RECIPE = ROOT / "configs/resnext/resnext50_32x4d_cpu.yaml"
# In one process, as starting MindSpore takes longer than everything else.
SMALL = [
    "--model",
    "resnet18",
    "--image_resize",
    "32",
    "--epoch_size",
    "1",
    "--warmup_epochs",
    "0",
    "--decay_epochs",
    "1",
]


@pytest.fixture
def attempt(tmp_path, capsys, monkeypatch, caplog):
    """Runs `train` or `validate` in this process and returns exit code and what it said on stderr."""
    from mindcv.cli import run_script

    def attempt(*arguments, script="train"):
        settings = ["-c", RECIPE, *SMALL, "--ckpt_save_dir", tmp_path / "run", *arguments]
        try:
            code = run_script(script, [str(value) for value in settings])
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().err

    monkeypatch.chdir(tmp_path)
    return attempt


def is_one_line(err: str) -> bool:
    """Whether the error is a single line; notes of MindSpore's own on stderr don't count."""
    lines = [line for line in err.splitlines() if "mindcv" in line]
    return len(lines) == 1 and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "imagenet", "--data_dir", "nowhere"], ["nowhere"]),
        (["--dataset", "imagenet", "--data_dir", "empty"], ["empty"]),
        (["--dataset", "imagenet", "--data_dir", "{images}", "--train_split", "trian"], ["trian", "train"]),
        (["--dataset", "imagenet", "--data_dir", "hollow"], ["digit3, digit7", "has an image"]),
        (
            ["--dataset", "imagenet", "--data_dir", "broken", "--batch_size", "4", "--bad_samples", "error"],
            ["digit3", "0.png"],
        ),
        (["--dataset", "cifar11", "--data_dir", "nowhere"], ["nowhere"]),
        (["--train_split", "tarin"], ["tarin", "train"]),
        (["--model", "resnet5O"], ["resnet5O", "resnet50"]),
        (["--num_classes", "9"], ["9", "10"]),
        (["--batch_size", "5000"], ["5000", "1437"]),
        (["--auto_augment", "randaugment"], ["randaugment", "randaug"]),
        (["--ckpt_path", "none.ckpt"], ["none.ckpt"]),
        (["--ckpt_path", "empty.ckpt"], ["empty.ckpt"]),
        (["--ckpt_path", "cut.ckpt"], ["cut.ckpt"]),
        (["--ckpt_path", "other.ckpt"], ["other.ckpt", "resnet18"]),
        (["--ckpt_save_dir", "/proc/mindcv"], ["ckpt_save_dir", "/proc/mindcv"]),
        (["--gradient_accumulation_steps", "100"], ["gradient_accumulation_steps"]),
        (["--distribute", "True"], ["mindcv launch", "--distribute False"]),
        (["--device_target", "Ascend"], ["Ascend", "CPU"]),
        (["--jit_level", "O2"], ["O2", "Ascend"]),
    ],
    ids=lambda value: "_".join(value[:2]).strip("-") if value and value[0].startswith("--") else "",
)
def test_training(arguments, words, attempt, image_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    shutil.copytree(image_folder, tmp_path / "hollow")
    for path in (tmp_path / "hollow/train").rglob("*.png"):
        path.unlink()
    shutil.copytree(image_folder, tmp_path / "broken")
    for path in (tmp_path / "broken/train/digit3").iterdir():
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 40 if path.name == "0.png" else path.read_bytes())
    (tmp_path / "empty.ckpt").write_bytes(b"")
    _write_checkpoints(tmp_path)
    code, err = attempt(*(str(value).format(images=image_folder) for value in arguments))
    assert code == 2, err
    assert is_one_line(err), err
    for word in words:
        assert word in err


def _write_checkpoints(folder):
    from mindcv.weights import write_ckpt

    write_ckpt(folder / "other.ckpt", {"features.0.weight": np.zeros((4, 3, 3, 3), np.float32)})
    whole = (folder / "other.ckpt").read_bytes()
    (folder / "cut.ckpt").write_bytes(whole[:-100])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--loss", "cross"], ["loss", "cross", "CE"]),
        (["--opt", "adamx"], ["opt", "adamx", "adam"]),
        (["--scheduler", "cosine"], ["scheduler", "cosine_decay"]),
        (["--interpolation", "bilinaer"], ["interpolation", "bilinear"]),
        (["--lr", "-0.1"], ["lr", "-0.1"]),
        (["--lr", "nan"], ["lr", "nan"]),
        (["--lable_smoothing", "0.1"], ["lable_smoothing", "label_smoothing"]),
    ],
    ids=lambda value: "_".join(value).strip("-") if value and value[0].startswith("--") else "",
)
def test_config(arguments, words, attempt):
    code, err = attempt(*arguments)
    assert code == 2
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_validation_needs_a_checkpoint_that_is_there(attempt):
    code, err = attempt("--ckpt_path", "none.ckpt", script="validate")
    assert code == 2
    assert "none.ckpt" in err


def test_validation_of_fresh_weights_is_refused_unless_it_is_meant(attempt):
    code, err = attempt(script="validate")
    assert code == 2
    assert "mindcv: error: no weights to evaluate: set ckpt_path, or pretrained for published ones; " in err
    assert is_one_line(err)
    assert attempt("--random-weights", script="validate")[0] == 0


def test_an_unwritable_folder_is_found_before_training(tmp_path):
    if os.geteuid() == 0:
        folder = "/proc/self/fd"
    else:
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o500)
    done = run("-c", RECIPE, *SMALL, "--ckpt_save_dir", f"{folder}/run")
    assert done.returncode == 2
    assert done.stderr.count("mindcv: error: ckpt_save_dir") == 1
    assert "Traceback" not in done.stderr
