"""Checkpoints as files: damage, full disks, saving in the background, and which settings a run may be resumed with."""

import errno
import json
import threading

import numpy as np
import pytest
from mindspore import nn
from time_limits import LIMIT_S

from mindcv.config import Config
from mindcv.engine import CheckpointSaver, TrainState, checkpoint, read_checkpoint
from mindcv.engine.resume import check_same_run, find_checkpoint, find_run, resume_run
from mindcv.utils.errors import RunError
from mindcv.utils.writing import WriteRule


@pytest.fixture
def saver(tmp_path):
    return CheckpointSaver(tmp_path, "net", "latest_k", 5, {"config": {}, "world_size": 1})


@pytest.fixture
def cell():
    return nn.Dense(3, 2)


def save(saver, cell, epochs):
    return [
        saver.save(cell, TrainState(epoch=e, global_step=5 * e, history=[{"steps": 5}] * e), 0.1 * e) for e in epochs
    ]


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def damages(path):
    size = path.stat().st_size
    return {
        "empty": lambda: path.write_bytes(b""),
        "cut": lambda: path.write_bytes(path.read_bytes()[: size // 2]),
        "gone": path.unlink,
        **{f"byte {offset}": lambda offset=offset: flip(path, offset) for offset in range(0, size, max(size // 40, 1))},
    }


def test_any_damage_is_noticed_and_the_checkpoint_before_is_used(saver, cell, tmp_path, caplog):
    *_, before, last = save(saver, cell, [1, 2, 3])
    whole = last.read_bytes()
    for name, damage in damages(last).items():
        last.write_bytes(whole)
        damage()
        caplog.clear()
        path, arrays, saved = find_checkpoint(tmp_path, is_master=True)
        assert path == before, name
        assert saved["epoch"] == 2
        np.testing.assert_array_equal(arrays["weight"], cell.weight.asnumpy())
        assert str(last) in caplog.text
        assert not last.exists(), "the damaged file is put aside"
        assert name == "gone" or last.with_name("net-3_5.ckpt.damaged").exists()


def test_all_damaged_is_an_error(saver, cell, tmp_path):
    for path in save(saver, cell, [1, 2]):
        flip(path, 100)
    with pytest.raises(ValueError, match=r"none of the 2 checkpoints in .* can be read"):
        find_checkpoint(tmp_path, is_master=False)
    assert len(list(tmp_path.glob("*.ckpt"))) == 3, "other ranks leave files alone"


def test_a_named_file_must_be_whole(saver, cell, tmp_path):
    (path,) = save(saver, cell, [1])
    assert find_checkpoint(path, True)[0] == path
    flip(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"net-1_5\.ckpt"):
        find_checkpoint(path, True)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_checkpoint(tmp_path / "nowhere", True)


def test_weights_alone_have_no_position(saver, cell):
    path = saver.save_best(cell, cell)
    with pytest.raises(ValueError, match=r"no position to go on from; start from its weights with --ckpt_path"):
        find_checkpoint(path, True)


def test_a_new_folder_has_nothing_to_go_on_from(tmp_path):
    assert find_checkpoint(tmp_path, True) is None


def test_upstreams_names_are_there(saver, cell, tmp_path):
    (path,) = save(saver, cell, [4])
    assert path.name == "net-4_5.ckpt"
    assert (tmp_path / "optim_net.ckpt").read_bytes() == path.read_bytes()


def full_disk(monkeypatch, after):
    """The disk has room for so many more files."""
    real = checkpoint.write_ckpt
    left = iter(range(after))

    def write(path, arrays):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, arrays)

    monkeypatch.setattr(checkpoint, "write_ckpt", write)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_full_disk_stops_the_run_and_keeps_what_is_there(tmp_path, cell, monkeypatch, is_async):
    saver = CheckpointSaver(tmp_path, "net", "latest_k", 1, {}, is_async=is_async)
    (good,) = save(saver, cell, [1])
    saver.finish()
    full_disk(monkeypatch, 0)
    with pytest.raises(
        RunError,
        match=r"net-2_5\.ckpt could not be written \(No space left on device\); what was there before is intact",
    ):
        save(saver, cell, [2])
        saver.finish()
    assert read_checkpoint(good)[1]["epoch"] == 1
    assert find_checkpoint(tmp_path, True)[0] == good


def test_a_full_disk_can_be_lived_with(tmp_path, cell, monkeypatch, caplog):
    saver = CheckpointSaver(tmp_path, "net", "latest_k", 3, {}, rule=WriteRule(stop=False))
    full_disk(monkeypatch, 1)
    save(saver, cell, [1, 2])
    assert "net-2_5.ckpt could not be written (No space left on device)" in caplog.text
    assert find_checkpoint(tmp_path, True)[2]["epoch"] == 1


def test_saving_in_the_background_takes_the_values_of_the_call(tmp_path, cell, monkeypatch):
    import mindspore as ms

    gate = threading.Event()
    real = checkpoint.write_ckpt
    monkeypatch.setattr(checkpoint, "write_ckpt", lambda path, arrays: (gate.wait(LIMIT_S), real(path, arrays)))
    saver = CheckpointSaver(tmp_path, "net", "latest_k", 3, {}, is_async=True)
    before = cell.weight.asnumpy().copy()
    (path,) = save(saver, cell, [1])
    assert not path.exists()
    ms.ops.assign(cell.weight, ms.ops.zeros_like(cell.weight))
    gate.set()
    saver.finish()
    np.testing.assert_array_equal(read_checkpoint(path)[0]["weight"], before)
    assert cell.weight.asnumpy().sum() == 0


def test_random_state_comes_back(saver, cell):
    import random

    random.seed(5)
    np.random.seed(6)
    (path,) = save(saver, cell, [1])
    expected = (random.random(), np.random.rand())
    random.seed(0)
    np.random.seed(0)
    checkpoint.restore_random_state(read_checkpoint(path)[1]["random"])
    assert (random.random(), np.random.rand()) == expected


@pytest.mark.parametrize("rank", [0, 1])
def test_other_ranks_keep_the_random_state_of_their_own_seeds(saver, cell, tmp_path, monkeypatch, rank):
    config = as_saved()
    saver.run_info = {"config": config, "world_size": 1, "steps_per_epoch": 5}
    np.random.seed(6)
    save(saver, cell, [1])
    saved, own = np.random.get_state()[1], np.random.RandomState(7).get_state()[1]
    np.random.seed(7)
    monkeypatch.setattr("mindcv.engine.resume.rank", lambda: rank)
    resume_run(cell, tmp_path, config, Config.free_keys(), 5)
    np.testing.assert_array_equal(np.random.get_state()[1], own if rank else saved)


def as_saved(**values):
    """A config as it comes back from a checkpoint's JSON."""
    return json.loads(json.dumps(Config(**values).model_dump()))


@pytest.mark.parametrize(
    ("old", "new", "worlds", "refused"),
    [
        ({}, {}, (1, 1), None),
        (
            {"epoch_size": 10, "decay_epochs": 7},
            {"epoch_size": 20, "decay_epochs": 7, "log_interval": 5, "num_parallel_workers": 3},
            (1, 1),
            None,
        ),
        ({"batch_size": 64}, {"batch_size": 32}, (1, 2), None),
        ({"batch_size": 32}, {"batch_size": 64}, (2, 1), None),
        (
            {"batch_size": 64},
            {"batch_size": 32},
            (1, 1),
            r"global batch 64 -> 32 \(batch_size 64 on 1 ranks -> 32 on 1\)",
        ),
        ({}, {}, (1, 2), r"global batch 128 -> 256"),
        ({"batch_size": 8, "num_samples": 48}, {"batch_size": 4, "num_samples": 24}, (1, 2), None),
        (
            {"batch_size": 8, "num_samples": 48},
            {"batch_size": 4, "num_samples": 48},
            (1, 2),
            r"samples of all ranks 48 -> 96 \(num_samples 48 on 1 ranks -> 48 on 2\)",
        ),
        ({}, {"num_samples": 48}, (1, 1), r"samples of all ranks None -> 48"),
        ({"lr": 0.1}, {"lr": 0.2}, (1, 1), r"lr 0\.1 -> 0\.2"),
        (
            {"model": "resnet18", "opt": "sgd"},
            {"model": "resnet50"},
            (1, 1),
            r"model resnet18 -> resnet50, opt sgd -> adam",
        ),
        ({"scale": (0.5, 1.0)}, {"scale": (0.5, 1.0)}, (1, 1), None),
        ({"seed": 1}, {"seed": 2}, (1, 1), r"seed 1 -> 2"),
        ({"val_split": 0.1}, {"val_split": 0.2}, (1, 1), r"val_split 0\.1 -> 0\.2"),
        (
            {"epoch_size": 2},
            {"epoch_size": 6},
            (1, 1),
            r"settings: warmup_epochs 0 -> 2, decay_epochs 2 -> 4; where they are not set, some follow from "
            r"epoch_size 2 -> 6: keep them with --decay_epochs 2 --warmup_epochs 0, or go on",
        ),
        ({"epoch_size": 2}, {"epoch_size": 6, "decay_epochs": 2, "warmup_epochs": 0}, (1, 1), None),
    ],
)
def test_what_may_change(old, new, worlds, refused, caplog):
    caplog.set_level("INFO")
    saved, current = as_saved(**old), Config(**new).model_dump()
    if refused is None:
        check_same_run(saved, current, Config.free_keys(), *worlds)
        changed = {key for key in {**old, **new} if old.get(key) != new.get(key) or worlds[0] != worlds[1]}
        assert len(caplog.records) == bool(changed)
        if worlds[0] != worlds[1]:
            batch = new["batch_size"] * worlds[1]
            assert f"ranks {worlds[0]} -> {worlds[1]} (the global batch is {batch} as before)" in caplog.text
    else:
        with pytest.raises(ValueError, match=refused):
            check_same_run(saved, current, Config.free_keys(), *worlds)
        check_same_run(saved, current, Config.free_keys(), *worlds, force=True)
        assert "resume with other settings" in caplog.text


def test_a_key_that_the_saving_version_did_not_have_was_at_its_default(tmp_path, cell, caplog):
    caplog.set_level("INFO")
    config = as_saved()
    earlier = {name: value for name, value in config.items() if name != "teacher"}
    saver = CheckpointSaver(tmp_path, "net", "none", 5, {"config": earlier, "world_size": 1, "steps_per_epoch": 5})
    save(saver, cell, [1])
    found = find_run(tmp_path, Config().model_dump())
    assert resume_run(cell, found, config, Config.free_keys(), 5).epoch == 1
    assert "other settings" not in caplog.text
    with pytest.raises(ValueError, match=r"started with other settings: teacher  -> resnet50; take them back"):
        resume_run(cell, found, {**config, "teacher": "resnet50"}, Config.free_keys(), 5)


def test_a_run_whose_epochs_have_other_lengths_is_not_gone_on_with(tmp_path, cell):
    """As when images were added, or when the last samples make a batch on two ranks but not on one."""
    config = as_saved()
    saver = CheckpointSaver(tmp_path, "net", "none", 5, {"config": config, "world_size": 1, "steps_per_epoch": 5})
    save(saver, cell, [1])
    free = Config.free_keys()
    with pytest.raises(ValueError, match=r"started with other settings: steps in an epoch 5 -> 4; take them back"):
        resume_run(cell, tmp_path, config, free, 4)
    assert resume_run(cell, tmp_path, config, free, 4, force=True).epoch == 1
    assert resume_run(cell, tmp_path, config, free, 5).epoch == 1
