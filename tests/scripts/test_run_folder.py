"""A run's folder over several processes: what the next one finds, and whom it belongs to."""

import os
import re
import shlex
from pathlib import Path

import pytest
from mindspore import nn

from mindcv.config import Config
from mindcv.engine import run_folder
from mindcv.train import train
from mindcv.utils.lock import FolderLock


class Tiny(nn.Cell):
    """A classifier of the mean colour."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Dense(3, 10)

    def construct(self, x):
        return self.classifier(x.mean((2, 3)))


@pytest.fixture
def run(tmp_path, monkeypatch, caplog):
    """Runs `train` in a folder whose name needs quotes, and returns what it logged."""
    monkeypatch.setattr("mindcv.train.build_network", lambda cfg, num_classes, **_: Tiny())
    monkeypatch.setattr("mindcv.train.set_logger", lambda *args, **options: None)
    caplog.set_level("INFO")

    def run(**values):
        caplog.clear()
        settings = {
            "model": "resnet18",
            "dataset": "digits",
            "ckpt_save_dir": str(tmp_path / "a run"),
            "device_target": "CPU",
            "mode": 1,
            "num_samples": 16,
            "batch_size": 8,
            "image_resize": 16,
            "epoch_size": 2,
            "warmup_epochs": 0,
            "decay_epochs": 2,
            "keep_checkpoint_max": 2,
            "resume": "auto",
            **values,
        }
        return train(Config(**settings)), caplog.text

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def evaluation_in(text):
    """The files that the printed command names."""
    arguments = shlex.split(re.search(r"Evaluate with: (.*)", text)[1])
    return [Path(arguments[arguments.index(option) + 1]) for option in ("-c", "--ckpt_path")]


@pytest.mark.parametrize("values", [{}, {"epoch_size": 1}], ids=["finished", "lower epoch_size"])
@pytest.mark.parametrize("is_evaluated", [True, False])
def test_a_finished_run_has_nothing_left_to_do_and_names_a_command_that_works(run, tmp_path, values, is_evaluated):
    folder = tmp_path / "a run"
    run(val_while_train=is_evaluated)
    before = contents(folder)
    state, text = run(val_while_train=is_evaluated, **values)
    assert (state.epoch, state.global_step) == (2, 4)
    assert f"nothing is left to do: the run has made 2 epochs and epoch_size is {values.get('epoch_size', 2)}" in text
    best = "resnet18_best.ckpt" if is_evaluated else "resnet18-2_2.ckpt"
    assert evaluation_in(text) == [folder / "config.yaml", folder / best]
    assert all(path.is_file() for path in evaluation_in(text))
    assert contents(folder) == before


def test_a_finished_run_of_another_folder_is_named_there(run, tmp_path):
    run()
    for source in (tmp_path / "a run", tmp_path / "a run" / "resnet18-2_2.ckpt"):
        _, text = run(resume=str(source), ckpt_save_dir=str(tmp_path / "other"))
        assert evaluation_in(text) == [tmp_path / "a run" / "config.yaml", tmp_path / "a run" / "resnet18-2_2.ckpt"]


def test_a_restarted_run_keeps_no_more_than_it_may(run, tmp_path):
    for epochs in (2, 3, 4):
        run(epoch_size=epochs, decay_epochs=4, scheduler="constant")
    names = sorted(path.name for path in (tmp_path / "a run").glob("resnet18-*.ckpt"))
    assert names == ["resnet18-3_2.ckpt", "resnet18-4_2.ckpt"]


def test_two_runs_in_one_folder_at_once_are_refused(run, tmp_path):
    folder = tmp_path / "a run"
    folder.mkdir()
    lock = FolderLock(folder, "another job", "ckpt_save_dir")
    lock.acquire()
    words = rf"ckpt_save_dir: .*a run is in use by process {os.getpid()} on host {os.uname().nodename} since \d{{4}}"
    with pytest.raises(ValueError, match=words):
        run()
    assert [path.name for path in folder.iterdir()] == [".run.lock"]
    lock.release()
    run()
    assert not (folder / ".run.lock").exists()


def test_the_lock_is_given_back_after_an_error(run, tmp_path):
    with pytest.raises(ValueError, match="num_classes"):
        run(num_classes=3)
    assert not (tmp_path / "a run" / ".run.lock").exists()


def test_what_a_killed_process_left_half_written_is_cleared(tmp_path):
    (tmp_path / "rank_1").mkdir()
    left = [
        ".net-1_5.ckpt.abcdefgh.tmp",
        ".checkpoints.json.a_cdefgh.tmp",
        ".optim_net.ckpt.tmp",
        "rank_1/.net-1_5.ckpt.12345678.tmp",
    ]
    others = ["net-1_5.ckpt", ".notes.abcdefgh.tmp", ".net.onnx.abcdefgh.tmp", "rank_1/net-1_5.ckpt"]
    for name in left + others:
        (tmp_path / name).write_text("x")
    with run_folder(tmp_path):
        there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {*others, ".run.lock"}


def test_left_over_gradients_are_named_when_the_run_goes_on(run):
    values = {"num_samples": 32, "gradient_accumulation_steps": 3, "scheduler": "constant", "decay_epochs": 3}
    _, text = run(epoch_size=1, **values)
    assert "the last 1 batches of the run are in no update, as gradient_accumulation_steps is 3" in text
    _, text = run(epoch_size=2, **values)
    assert "1 batches wait for an update" in text
    assert "the last 2 batches of the run are in no update" in text
