"""What a run's folder has, whatever its list says, over all processes of the run."""

import errno
import json
import os
import shutil
import zlib

import numpy as np
import pytest
from mindspore import nn

from mindcv.engine import CheckpointSaver, TrainState, checkpoint_list
from mindcv.engine.checkpoint import read_checkpoint
from mindcv.engine.checkpoint_list import list_checkpoints
from mindcv.engine.resume import find_checkpoint
from mindcv.utils.errors import RunError
from mindcv.weights import formats, write_ckpt


@pytest.fixture
def cell():
    return nn.Dense(3, 2)


class Process:
    """One process of a run: begins where the one before ended, and saves some epochs with their metrics."""

    def __init__(self, folder, cell, policy="latest_k", keep=2, state=None):
        self.saver = CheckpointSaver(folder, "net", policy, keep, {"config": {}, "world_size": 1})
        self.cell, self.state = cell, state or TrainState(run_id="aaa")
        self.saver.begin(self.state)

    def save(self, *metrics):
        for metric in metrics:
            self.state.finish_epoch({"steps": 5})
            self.state.global_step += 5
            self.saver.save(self.cell, self.state, metric)
        return self

    def next(self, **options):
        """The process that goes on from the newest whole checkpoint."""
        found = find_checkpoint(self.saver.folder, is_master=True)
        return Process(self.saver.folder, self.cell, state=TrainState.of(found[2]), **options)


def names(folder, pattern="net-*.ckpt"):
    return sorted(path.name for path in folder.glob(pattern))


def epochs(*numbers):
    return [f"net-{number}_5.ckpt" for number in numbers]


def test_retention_counts_over_all_processes(tmp_path, cell):
    process = Process(tmp_path, cell).save(None, None, None)
    assert names(tmp_path) == epochs(2, 3)
    process = process.next().save(None)
    assert names(tmp_path) == epochs(3, 4)
    process.next().save(None, None)
    assert names(tmp_path) == epochs(5, 6)


def test_top_k_remembers_its_best_over_all_processes(tmp_path, cell):
    process = Process(tmp_path, cell, "top_k", 2).save(0.9, 0.1)
    for _ in range(3):
        process = process.next(policy="top_k").save(0.2)
    assert names(tmp_path) == epochs(1, 5)
    entries = json.loads((tmp_path / "checkpoints.json").read_text())["checkpoints"]
    assert [entry["metric"] for entry in entries] == [0.9, 0.2]


def test_the_fallback_of_a_resumed_run_are_all_its_checkpoints(tmp_path, cell):
    """One that a process wrote, which saved once only, is damaged: three whole ones are beside it."""
    Process(tmp_path, cell, keep=4).save(None, None, None).next(keep=4).save(None)
    (tmp_path / "net-4_5.ckpt").write_bytes(b"")
    path, _, saved = find_checkpoint(tmp_path, is_master=True)
    assert (path.name, saved["epoch"]) == ("net-3_5.ckpt", 3)
    assert names(tmp_path, "*.damaged") == ["net-4_5.ckpt.damaged"]


@pytest.mark.parametrize("is_gone", [True, False])
def test_without_the_list_the_files_tell(tmp_path, cell, is_gone):
    Process(tmp_path, cell, "top_k", 3).save(0.5, 0.9, 0.1)
    path = tmp_path / "checkpoints.json"
    path.unlink() if is_gone else path.write_text('{"format": 1, "chec')
    assert find_checkpoint(tmp_path, is_master=True)[0].name == "net-3_5.ckpt"
    entries = list_checkpoints(tmp_path)
    assert [(entry.file, entry.metric) for entry in entries] == list(zip(epochs(1, 2, 3), (0.5, 0.9, 0.1), strict=True))
    # Copied files have other times; what counts is when they were saved.
    os.utime(tmp_path / "net-1_5.ckpt")
    assert list_checkpoints(tmp_path) == entries


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"3",
        b'{"checkpoints": 3}',
        b'{"checkpoints": {"file": 1}}',
        b'{"checkpoints": [1, null, [], "net-1_5.ckpt"], "run": "aaa"}',
        b'{"checkpoints": [{"file": 5}, {"file": "net-1_5.ckpt"}], "run": "aaa"}',
        b'{"checkpoints": [{"file": "net-1_5.ckpt", "epoch": "1", "step": 0, "global_step": 5}], "run": "aaa"}',
        b'{"checkpoints": [{"file": "net-1_5.ckpt", "epoch": true, "step": -1, "global_step": 5}], "run": "aaa"}',
        b'{"checkpoints": [], "run": 7}',
        b"[" * 100_000,
        b"\xff\xfe\x00",
    ],
    ids=lambda text: text[:24].decode("latin-1"),
)
def test_a_damaged_list_gives_no_traceback(tmp_path, cell, text):
    Process(tmp_path, cell).save(None, None)
    (tmp_path / "checkpoints.json").write_bytes(text)
    assert find_checkpoint(tmp_path, is_master=True)[0].name == "net-2_5.ckpt"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_list_that_is_no_file_is_not_waited_for(tmp_path, cell, make, caplog):
    Process(tmp_path, cell).save(None, None)
    (tmp_path / "checkpoints.json").unlink()
    make(tmp_path / "checkpoints.json")
    assert [entry.file for entry in list_checkpoints(tmp_path, "aaa")] == epochs(1, 2)
    assert "cannot be read (it is no file); the folder's own files tell what there is" in caplog.text


@pytest.mark.parametrize(
    "name", ["../outside-1_5.ckpt", ".", "..", "sub/net-1_5.ckpt", "config.yaml", "/etc/hostname", ""]
)
def test_an_entry_that_is_no_plain_name_of_a_checkpoint_is_not_touched(tmp_path, cell, name, caplog):
    folder = tmp_path / "run"
    folder.mkdir()
    Process(folder, cell).save(None, None)
    (folder / "sub").mkdir()
    for path in (tmp_path / "outside-1_5.ckpt", folder / "sub" / "net-1_5.ckpt", folder / "config.yaml"):
        path.write_text("mine")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    content = json.loads((folder / "checkpoints.json").read_text())
    content["checkpoints"].append({"file": name, "epoch": 9, "step": 0, "global_step": 45, "metric": None})
    (folder / "checkpoints.json").write_text(json.dumps(content))
    process = Process(folder, cell).next()
    assert [entry.file for entry in process.saver.entries] == epochs(1, 2)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert "1 entries make no sense and count for nothing" in caplog.text
    process.save(None)
    assert (tmp_path / "outside-1_5.ckpt").read_text() == "mine"


def test_a_link_is_no_checkpoint_of_the_folder(tmp_path, cell):
    (tmp_path / "run").mkdir()
    Process(tmp_path / "run", cell).save(None)
    shutil.copy(tmp_path / "run" / "net-1_5.ckpt", tmp_path / "elsewhere")
    (tmp_path / "run" / "net-2_5.ckpt").symlink_to(tmp_path / "elsewhere")
    assert [entry.file for entry in list_checkpoints(tmp_path / "run")] == epochs(1)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES])
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_file_that_cannot_be_read_for_a_moment_stays(tmp_path, cell, monkeypatch, code, is_listed):
    """It may be whole, and newer than the one before, so the run does not go on from that either."""
    Process(tmp_path, cell).save(None, None)
    if not is_listed:
        (tmp_path / "checkpoints.json").unlink()
    before = names(tmp_path, "*")
    real = formats.open_file

    def failing(path, mode="rb"):
        if str(path).endswith("net-2_5.ckpt"):
            raise OSError(code, os.strerror(code), str(path))
        return real(path, mode)

    monkeypatch.setattr(formats, "open_file", failing)
    with pytest.raises((RunError, OSError), match=os.strerror(code)) as error:
        find_checkpoint(tmp_path, is_master=True)
    assert "net-2_5.ckpt" in str(error.value)
    assert names(tmp_path, "*") == before
    monkeypatch.undo()
    assert find_checkpoint(tmp_path, is_master=True)[0].name == "net-2_5.ckpt"


def test_a_run_that_was_killed_between_a_file_and_its_list_goes_on_from_the_file(tmp_path, cell):
    Process(tmp_path, cell, keep=3).save(None, None)
    text = (tmp_path / "checkpoints.json").read_text()
    find = Process(tmp_path, cell).next(keep=3).save(None)
    (tmp_path / "checkpoints.json").write_text(text)
    assert find_checkpoint(tmp_path, is_master=True)[0].name == "net-3_5.ckpt"
    assert [entry.file for entry in find.next(keep=3).saver.entries] == epochs(1, 2, 3)


def test_what_an_earlier_run_left_is_not_this_runs(tmp_path, cell, caplog):
    """A new run in a used folder: nothing is taken over, nothing of the other one is removed, and it is said."""
    Process(tmp_path, cell, keep=9).save(None, None, None, None)
    new = Process(tmp_path, cell, keep=2, state=TrainState(run_id="bbb"))
    assert "has checkpoints of an earlier run; this one begins anew" in caplog.text
    new.save(None)
    assert names(tmp_path) == epochs(1, 2, 3, 4)
    assert read_checkpoint(tmp_path / "net-1_5.ckpt")[1]["run_id"] == "bbb"
    assert find_checkpoint(tmp_path, is_master=True)[0].name == "net-1_5.ckpt"
    (tmp_path / "checkpoints.json").unlink()
    assert find_checkpoint(tmp_path, is_master=True)[0].name == "net-1_5.ckpt", "the run that wrote last"


def test_going_on_from_an_earlier_file_keeps_what_is_written_from_there(tmp_path, cell):
    """Those beyond it are older in the order of writing, and go first."""
    Process(tmp_path, cell, keep=4).save(None, None, None, None)
    saved = read_checkpoint(tmp_path / "net-1_5.ckpt")[1]
    Process(tmp_path, cell, keep=3, state=TrainState.of(saved)).save(None)
    assert names(tmp_path) == epochs(2, 3, 4)
    assert find_checkpoint(tmp_path, is_master=True)[0].name == "net-2_5.ckpt"


def test_a_list_of_an_earlier_version_counts_as_it_is(tmp_path, cell):
    process = Process(tmp_path, cell, keep=3, state=TrainState()).save(None, None)
    content = json.loads((tmp_path / "checkpoints.json").read_text())
    del content["run"]
    (tmp_path / "checkpoints.json").write_text(json.dumps(content))
    after = process.next(keep=2)
    assert [entry.file for entry in after.saver.entries] == epochs(1, 2)
    after.save(None)
    assert names(tmp_path) == epochs(2, 3)


def test_a_run_whose_id_has_its_first_name_goes_on(tmp_path, cell):
    """The id stood under `run` in a checkpoint at first; retention counts over what such a process has written."""
    process = Process(tmp_path, cell, keep=3).save(None, None)
    for name in epochs(1, 2):
        arrays = formats.read_ckpt(tmp_path / name)
        saved = json.loads(arrays[checkpoint_list.STATE_ENTRY].tobytes()[:-4])
        saved["run"] = saved.pop("run_id")
        text = json.dumps(saved).encode()
        blob = text + zlib.crc32(text).to_bytes(4, "little")
        write_ckpt(tmp_path / name, {**arrays, checkpoint_list.STATE_ENTRY: np.frombuffer(blob, np.uint8)})
    after = process.next(keep=2)
    assert after.state.run_id == "aaa"
    assert [entry.file for entry in after.saver.entries] == epochs(1, 2)
    after.save(None)
    assert names(tmp_path) == epochs(2, 3)
    (tmp_path / "checkpoints.json").unlink()
    assert [entry.file for entry in list_checkpoints(tmp_path, "aaa")] == epochs(2, 3)


def test_when_all_were_put_aside_a_run_does_not_start_anew_by_itself(tmp_path, cell):
    Process(tmp_path, cell).save(None, None)
    for name in epochs(1, 2):
        (tmp_path / name).write_bytes(b"nonsense")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"none of the 2 checkpoints .* can be read \(net-1_5.ckpt.damaged, net-2"):
            find_checkpoint(tmp_path, is_master=True)


def test_checkpoints_without_a_position_are_not_written_over(tmp_path):
    """Those of MindCV: `resume: auto` cannot go on from them, and a new run would take their names."""
    write_ckpt(tmp_path / "net-3_5.ckpt", {"w": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match=r"holds 1 checkpoints without a position, such as net-3_5\.ckpt; go on from"):
        find_checkpoint(tmp_path, is_master=True)


def test_a_state_that_makes_no_sense_is_damage(tmp_path, cell):
    for text in (b"[]", b"{}", b'{"checksums": 3}', b"[" * 50_000):
        blob = text + zlib.crc32(text).to_bytes(4, "little")
        write_ckpt(tmp_path / "net-1_5.ckpt", {checkpoint_list.STATE_ENTRY: np.frombuffer(blob, np.uint8)})
        with pytest.raises(ValueError, match=r"is damaged: train_state makes no sense"):
            read_checkpoint(tmp_path / "net-1_5.ckpt")
