"""What a run tells: the same figures in log, `log.jsonl` and TensorBoard."""

import fcntl
import functools
import json
import os
import pty
import shlex
import struct
import sys
import termios

import pytest
from event_files import assert_equals_log, read_points
from tqdm import tqdm

from mindcv.engine import RunReporter, TrainState

STEPS, EPOCHS, IMAGES = 4, 3, 8


class Story:
    """A run that only tells."""

    def __init__(self, folder, state=None, **options):
        self.state = state or TrainState()
        log_bytes = self.state.log_bytes if state else None
        options = {"tensorboard": True, **options}
        self.reporter = RunReporter(folder, EPOCHS, IMAGES, 1, ["Top_1_Accuracy"], log_bytes=log_bytes, **options)
        self.begin_epoch()

    def begin_epoch(self):
        self.reporter.begin_epoch(self.state.epoch + 1, STEPS, self.state)

    def steps(self, count):
        for _ in range(count):
            self.state.step += 1
            self.state.global_step += 1
            step = self.state.global_step
            self.reporter.step(self.state, [2.3 / step], lr=1e-6 * step, data_wait_s=0.001)

    def epoch(self):
        figures = {"val_loss": 1.5, "Top_1_Accuracy": 0.25, "Top_5_Accuracy": 1.0, "val_samples": 10, "eval_s": 0.5}
        speed = {"lr": 1e-6, "train_s": 1.0, "data_wait_s": 0.1, "images_per_s": 20.0, "total_s": 1.5}
        row = {"epoch": self.state.epoch + 1, "steps": STEPS, "loss": 2.0, **figures, **speed}
        self.state.finish_epoch(row)
        self.reporter.end_epoch(row, self.state)

    def save(self):
        """What a checkpoint of now would give back."""
        return TrainState(**{**vars(self.state), "log_bytes": self.reporter.log_bytes()})


def test_tensorboard_has_the_numbers_of_the_log(tmp_path):
    story = Story(tmp_path)
    story.steps(STEPS)
    story.epoch()
    # Nothing is closed: what a run has told is on disk when it is killed.
    assert_equals_log(tmp_path)
    points = read_points(tmp_path / "tensorboard")
    assert [point[1] for point in points if point[0] == "train/loss"] == [1, 2, 3, 4]
    assert {tag for tag, step, _, _ in points if tag.startswith("epoch/") and step == STEPS} == {
        *("epoch/loss", "epoch/val_loss", "epoch/Top_1_Accuracy", "epoch/Top_5_Accuracy", "epoch/lr"),
        *("epoch/train_s", "epoch/eval_s", "epoch/total_s", "epoch/data_wait_s", "epoch/images_per_s"),
        "epoch/host_peak_mb",
    }
    assert {tag for tag, *_ in points if tag.startswith("train/")} == {
        *("train/loss", "train/lr", "train/images_per_s", "train/data_wait_s", "train/data_wait_share")
    }


@pytest.mark.parametrize("was_on", [True, False])
def test_a_resumed_run_loses_and_doubles_no_point(tmp_path, was_on):
    first = Story(tmp_path, tensorboard=was_on)
    first.steps(STEPS)
    first.epoch()
    first.begin_epoch()
    first.steps(1)
    saved = first.save()
    first.steps(2)  # told, but not saved
    second = Story(tmp_path, saved)
    second.steps(STEPS - 1)
    second.epoch()
    assert_equals_log(tmp_path)
    points = read_points(tmp_path / "tensorboard")
    assert [point[1] for point in points if point[0] == "train/loss"] == list(range(1, 2 * STEPS + 1))
    assert [point[1] for point in points if point[0] == "epoch/loss"] == [STEPS, 2 * STEPS]


def test_a_new_run_in_the_same_folder_starts_anew(tmp_path):
    Story(tmp_path).steps(3)
    Story(tmp_path).steps(1)
    assert_equals_log(tmp_path)
    assert len(read_points(tmp_path / "tensorboard")) == 5


def test_other_ranks_write_nothing(tmp_path):
    story = Story(tmp_path, is_master=False)
    story.steps(STEPS)
    story.epoch()
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    with pytest.raises(ImportError, match=r"needs tensorboardX .*; pip install 'mindcv\[tensorboard\]'$"):
        Story(tmp_path)


def test_the_first_step_has_a_speed_but_no_estimate_of_the_end(tmp_path, caplog):
    caplog.set_level("INFO")
    Story(tmp_path).steps(2)
    lines = [record.message for record in caplog.records if record.message.startswith("Epoch: ")]
    assert [line.rsplit("ETA ", 1)[1] for line in lines] == ["?", "0:00:00"]
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(event["images_per_s"] > 0 for event in events if event["event"] == "train")


@pytest.mark.parametrize(
    ("columns", "shown", "left_out"),
    [
        (80, ["loss=2.3000", " img/s", "ETA ?"], ["data wait"]),
        (100, ["loss=2.3000", "lr=1e-06", " img/s", "ETA ?"], []),
        (200, ["loss=2.3000", "lr=1e-06", " img/s", "data wait ", "ETA ?"], []),
        (60, ["loss=2.3000", "ETA ?"], ["lr=", "data wait"]),
    ],
)
def test_the_bar_is_whole_at_every_width(tmp_path, monkeypatch, columns, shown, left_out):
    ours, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with open(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setattr("mindcv.engine.report.tqdm", functools.partial(tqdm, mininterval=0, miniters=1))
        story = Story(tmp_path, tensorboard=False)
        story.steps(1)
        frames = read_until(ours, "ETA ?").replace("\x1b[A", "").split("\r")
        story.reporter.close()
    os.close(ours)
    frame = next(frame for frame in reversed(frames) if "loss=" in frame)
    assert columns - 2 <= len(frame.rstrip("\n")) <= columns
    bar = frame.split("|")[1]
    assert len(bar) >= 10
    assert [text in frame for text in shown] == [True] * len(shown)
    assert [text in frame for text in left_out] == [False] * len(left_out)


class _Saver:
    last_path = best_path = "net.ckpt"


@pytest.mark.parametrize(
    ("ranks", "peak", "text"),
    [
        (1, {"host_peak_mb": 512.4}, "Peak memory: host 512 MB"),
        (8, {"host_peak_mb": 512.4, "device_peak_mb": 9000.0}, "Peak memory of rank 0: host 512 MB, device 9000 MB"),
    ],
)
def test_the_end_tells_the_most_memory_used(tmp_path, monkeypatch, caplog, ranks, peak, text):
    monkeypatch.setattr("mindcv.engine.report.world_size", lambda: ranks)
    monkeypatch.setattr("mindcv.engine.report.peak_memory_mb", lambda: peak)
    caplog.set_level("INFO")
    story = Story(tmp_path)
    story.reporter.end_run(_Saver(), story.state)
    assert text in caplog.messages
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert {name: last[name] for name in peak} == peak


def read_until(terminal: int, text: str) -> str:
    """What has been drawn on a terminal, up to a text; a terminal hands it on piece by piece."""
    drawn = ""
    while text not in drawn:
        drawn += os.read(terminal, 10_000).decode()
    return drawn


@pytest.mark.parametrize("columns", [120, 0])
def test_a_bar_on_a_terminal_and_lines_where_none_can_be_drawn(tmp_path, monkeypatch, caplog, columns):
    caplog.set_level("INFO")
    ours, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", columns // 4, columns, 0, 0))
    with open(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        # A bar is drawn ten times a second at most, if nothing else is said.
        monkeypatch.setattr("mindcv.engine.report.tqdm", functools.partial(tqdm, mininterval=0, miniters=1))
        story = Story(tmp_path, tensorboard=False)
        story.steps(1)
        drawn = read_until(ours, "ETA ?") if columns else ""
        story.reporter.close()
    os.close(ours)
    lines = "\n".join(message for message in caplog.messages if message.startswith("Epoch: "))
    for text in ("loss=2.3000, lr=1e-06, ", " img/s, data wait ", "ETA ?"):
        assert (text in drawn, text in lines) == (columns > 0, columns == 0)
    assert ("Epoch 1/3:" in drawn, "[1/3], step: [1/4]" in lines) == (columns > 0, columns == 0)


@pytest.mark.parametrize(
    ("started", "has_script", "on_path", "command"),
    [
        ("train.py", True, True, "python {}/validate.py"),
        ("train.py", False, True, "mindcv validate"),
        ("mindcv", True, True, "mindcv validate"),
        ("mindcv", False, False, "python -m mindcv validate"),
    ],
)
def test_evaluate_with_names_a_command_that_is_there(
    tmp_path, monkeypatch, caplog, started, has_script, on_path, command
):
    folder = tmp_path / "my clone"
    folder.mkdir()
    if has_script:
        (folder / "validate.py").touch()
    monkeypatch.setattr(sys, "argv", [str(folder / started)])
    monkeypatch.setattr("mindcv.utils.commands.shutil.which", lambda name: "/bin/mindcv" if on_path else None)
    caplog.set_level("INFO")
    (tmp_path / "run 1").mkdir()
    story = Story(tmp_path / "run 1", tensorboard=False)
    story.reporter.end_run(_Saver(), story.state)
    (line,) = [message for message in caplog.messages if message.startswith("Evaluate with: ")]
    words = shlex.split(line.removeprefix("Evaluate with: "))
    expected = [word.format(folder) for word in command.split()]
    assert words == [*expected, "-c", str(tmp_path / "run 1" / "config.yaml"), "--ckpt_path", "net.ckpt"]
