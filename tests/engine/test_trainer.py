"""The loop, its logs and its checkpoints, on a network that trains in milliseconds."""

import contextlib
import json
import math
import os
import re
import resource
import signal

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore import nn

from mindcv.engine import (
    CheckpointSaver,
    Evaluator,
    LossScale,
    LossWithNetwork,
    RunReporter,
    Schedule,
    Trainer,
    TrainState,
    TrainStep,
    load_state,
    read_checkpoint,
    resume_weights,
)
from mindcv.engine.feed import HostFeed, SinkFeed, can_sink
from mindcv.engine.finite import require_finite
from mindcv.optim import create_optimizer
from mindcv.utils.errors import RunError, RunStopped
from mindcv.utils.lock import FolderLock
from mindcv.utils.writing import WriteRule
from mindcv.weights import write_ckpt

SAMPLES, BATCH, CLASSES = 20, 4, 3
STEPS = SAMPLES // BATCH


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        random = np.random.RandomState(1)
        self.dense = nn.Dense(6, CLASSES, bias_init="zeros")
        self.dense.weight.set_data(ms.Tensor(random.standard_normal((CLASSES, 6)).astype(np.float32)))

    def construct(self, x):
        return self.dense(x)


def data(samples=SAMPLES, bad=None):
    random = np.random.RandomState(0)
    x = random.standard_normal((samples, 6)).astype(np.float32)
    if bad is not None:
        x[bad] = np.nan
    y = (x[:, 0] > 0).astype(np.int32)
    return ds.NumpySlicesDataset((x, y), ["image", "label"], shuffle=False).batch(BATCH)


def batches(loader, first):
    loader.set_init_step(first)
    return loader.create_tuple_iterator(num_epochs=1)


class Run:
    """A whole run in a folder."""

    def __init__(self, folder, epochs=2, ema=False, bad=None, state=None, policy="latest_k", keep=10, **options):
        options = {
            "val_interval": 1,
            "save_steps": None,
            "save_interval": 1,
            "read_interval": 1,
            "log_interval": 2,
            "on_step": None,
            **options,
        }
        self.network = Net()
        rates = [0.1 / (1 + i) for i in range(STEPS * epochs)]
        optimizer = nn.SGD(self.network.trainable_params(), rates, momentum=0.9)
        loss = nn.CrossEntropyLoss()
        scale = options.get("scale", 1.0)
        accumulation = options.get("accumulation", 1)
        self.step = TrainStep(
            *(LossWithNetwork(self.network, loss), optimizer, scale), ema=ema, gradient_accumulation_steps=accumulation
        )
        if state is not None:
            load_state(self.step, *state[:2])
            self.state = state[2]
        else:
            self.state = TrainState()
        evaluator = Evaluator(self.network, nn.CrossEntropyLoss(reduction="none"), data(10), CLASSES, BATCH)
        rule = options.get("rule")
        reporter = RunReporter(
            *(folder, epochs, BATCH, options["log_interval"], list(evaluator.accuracies)),
            tensorboard=options.get("tensorboard", False),
            rule=rule,
        )
        self.saver = CheckpointSaver(
            *(folder, "net", policy, keep, {"config": {"lr": 0.1}}, options.get("is_async", False), rule)
        )
        feed = HostFeed(self.step, lambda epoch, first: batches(data(bad=bad), first))
        if options["on_step"]:
            run_step = feed.run_step
            feed.run_step = lambda: (options["on_step"](), run_step())[1]
        keys = ("val_interval", "save_interval", "save_steps", "read_interval")
        schedule = Schedule(epochs, **{key: options[key] for key in keys})
        self.trainer = Trainer(self.step, feed, STEPS, rates, schedule, reporter, self.saver, evaluator)

    def fit(self):
        return self.trainer.fit(self.state)


def events(folder, name):
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == name]


def test_a_run_logs_evaluates_and_saves(tmp_path):
    run = Run(tmp_path, epochs=3)
    state = run.fit()
    assert (state.epoch, state.step, state.global_step) == (3, 0, 3 * STEPS)
    rows = [line.split() for line in (tmp_path / "result.log").read_text().splitlines()]
    assert rows[0] == ["Epoch", "TrainLoss", "Top_1_Accuracy", "TrainTime", "EvalTime", "TotalTime"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]
    losses = [float(row[1]) for row in rows[1:]]
    assert losses[2] < losses[1] < losses[0]
    assert [event["step"] for event in events(tmp_path, "train")] == [2, 4, 5] * 3
    epochs = events(tmp_path, "epoch")
    assert [event["epoch"] for event in epochs] == [1, 2, 3]
    assert epochs[-1]["Top_1_Accuracy"] == pytest.approx(float(rows[3][2]), abs=1e-6)
    assert epochs[-1]["val_samples"] == 10
    assert state.best_metric == max(event["Top_1_Accuracy"] for event in epochs)
    names = sorted(path.name for path in tmp_path.glob("*.ckpt"))
    assert names == ["net-1_5.ckpt", "net-2_5.ckpt", "net-3_5.ckpt", "net_best.ckpt", "optim_net.ckpt"]


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps_however_seldom_it_is_read(tmp_path):
    means = []
    for interval in (1, 2, 100):
        folder = tmp_path / str(interval)
        folder.mkdir()
        means.append([row["loss"] for row in Run(folder, read_interval=interval).fit().history])
    assert means[0] == means[1] == means[2]


def test_steps_between_checkpoints(tmp_path):
    Run(tmp_path, epochs=2, save_steps=3).fit()
    names = sorted(path.stem for path in tmp_path.glob("net-*.ckpt"))
    assert names == ["net-1_3", "net-1_5", "net-2_1", "net-2_4", "net-2_5"]


def test_a_step_that_ends_an_epoch_is_saved_too(tmp_path):
    Run(tmp_path, epochs=4, save_steps=10, save_interval=4).fit()
    assert sorted(path.stem for path in tmp_path.glob("net-*.ckpt")) == ["net-2_5", "net-4_5"]


def test_the_checkpoint_holds_everything_and_mindspore_reads_it(tmp_path):
    run = Run(tmp_path, epochs=1, ema=True, scale=LossScale(8.0, dynamic=True))
    run.fit()
    path = tmp_path / "net-1_5.ckpt"
    arrays, saved = read_checkpoint(path)
    assert {"dense.weight", "dense.bias", "ema.dense.weight", "accum.dense.weight", "global_step", "loss_scale"} <= set(
        arrays
    )
    assert not any(name.startswith("learning_rate") for name in arrays)
    assert (saved["epoch"], saved["step"], saved["config"]) == (1, 0, {"lr": 0.1})
    loaded = ms.load_checkpoint(str(path))
    np.testing.assert_array_equal(loaded["dense.weight"].asnumpy(), run.network.dense.weight.asnumpy())
    best = ms.load_checkpoint(str(tmp_path / "net_best.ckpt"))
    assert set(best) == {"dense.weight", "dense.bias", "ema.dense.weight", "ema.dense.bias"}


@pytest.mark.parametrize(
    ("policy", "keep", "left"),
    [("latest_k", 2, ["net-3_5", "net-4_5"]), ("none", 1, ["net-1_5", "net-2_5", "net-3_5", "net-4_5"])],
)
def test_policy_says_what_is_kept(tmp_path, policy, keep, left):
    Run(tmp_path, epochs=4, policy=policy, keep=keep).fit()
    assert sorted(path.stem for path in tmp_path.glob("net-*.ckpt")) == left
    manifest = json.loads((tmp_path / "checkpoints.json").read_text())
    assert [entry["file"] for entry in manifest["checkpoints"]] == [f"{name}.ckpt" for name in left]
    assert manifest["last"] == "net-4_5.ckpt"


def test_top_k_keeps_the_best_and_the_newest(tmp_path):
    run = Run(tmp_path)
    saver = CheckpointSaver(tmp_path, "net", "top_k", 2, {})
    for epoch, metric in enumerate([0.5, 0.9, 0.7, 0.1], 1):
        saver.save(run.step, TrainState(epoch=epoch, history=[{"steps": 5}]), metric)
    assert sorted(path.stem for path in tmp_path.glob("net-*.ckpt")) == ["net-2_5", "net-4_5"]


def test_going_on_from_a_checkpoint_gives_the_same_losses(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = Run(tmp_path / "whole", epochs=4, ema=True)
    history = whole.fit().history
    first = Run(tmp_path / "parts", epochs=4, ema=True, on_step=None)
    steps = iter(range(100))
    first.trainer.feed.run_step = _stopping(first.trainer.feed.run_step, steps, 8)
    with pytest.raises(RunStopped) as stopped:
        first.fit()
    assert stopped.value.exit_code == 143
    arrays, saved = read_checkpoint(tmp_path / "parts" / "net-2_3.ckpt")
    state = TrainState.of(saved)
    assert (state.epoch, state.step, state.global_step) == (1, 3, 8)
    second = Run(tmp_path / "parts", epochs=4, ema=True, state=(arrays, "x", state))
    second.fit()
    assert [row["loss"] for row in state.history] == [row["loss"] for row in history]
    for a, b in zip(whole.step.get_parameters(), second.step.get_parameters(), strict=True):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy(), err_msg=a.name)


def _stopping(run_step, steps, at):
    def stopping():
        if next(steps) + 1 == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return run_step()

    return stopping


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_and_saves(tmp_path, number, code):
    counter = iter(range(100))

    def on_step():
        if next(counter) == 1:
            os.kill(os.getpid(), number)

    run = Run(tmp_path, on_step=on_step)
    with pytest.raises(RunStopped, match=r"epoch 1, step 2; saved .*net-1_2\.ckpt") as stopped:
        run.fit()
    assert stopped.value.exit_code == code
    _, saved = read_checkpoint(tmp_path / "net-1_2.ckpt")
    assert (saved["epoch"], saved["step"]) == (0, 2)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    def on_step():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, on_step=on_step).fit()
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(tmp_path):
    with pytest.raises(RunError, match=r"the loss is nan at epoch 1, step 3 \(learning rate 0\.0333, loss scale 1\)"):
        Run(tmp_path, bad=2 * BATCH).fit()


@pytest.mark.parametrize(("size", "more"), [(3, ""), (10, " and 2 more")])
@pytest.mark.parametrize("read_interval", [1, 100])
def test_the_batch_of_such_a_loss_is_named(tmp_path, read_interval, size, more):
    run = Run(tmp_path, bad=2 * BATCH, read_interval=read_interval)
    run.trainer.batch_names = lambda epoch, step: [f"{epoch}/{step}/{index}.jpg" for index in range(size)]
    names = [f"0/2/{index}.jpg" for index in range(size)]
    listing = tmp_path / "non_finite_batch.txt"
    said = "the loss is nan at epoch 1, step 3 (learning rate 0.0333, loss scale 1)"
    said += f" with the batch {', '.join(names[:8])}{more}, listed in {listing}; lower lr or set clip_grad"
    with pytest.raises(RunError, match=re.escape(said)):
        run.fit()
    assert listing.read_text().splitlines() == names


@pytest.mark.parametrize(
    ("name", "last"), [("dense.weight", "net-1_3.ckpt"), ("ema.dense.bias", "net-1_3.ckpt"), ("accum.dense.bias", None)]
)
@pytest.mark.parametrize("evaluated", [True, False])
def test_what_is_not_finite_is_neither_evaluated_nor_saved(tmp_path, name, last, evaluated):
    """The entry is named, and the checkpoint before stays the newest."""
    run = Run(tmp_path, ema=True, save_steps=3 if last else None)
    if not evaluated:
        run.trainer.evaluator = None
    run_step, count = run.trainer.feed.run_step, iter(range(100))

    def breaking():
        loss = run_step()
        if next(count) == 4:
            values = run.step.parameters_dict()[name].asnumpy().copy()
            values.flat[1] = np.inf
            ms.ops.assign(run.step.parameters_dict()[name], ms.Tensor(values))
        return loss

    run.trainer.feed.run_step = breaking
    words = rf"^{re.escape(name)} is not finite \(1 of \d+ values, the first one inf\) at .*before the checkpoint"
    with pytest.raises(RunError, match=words):
        run.fit()
    assert [path.name for path in tmp_path.glob("net-*.ckpt")] == ([last] if last else [])
    assert not (tmp_path / "net_best.ckpt").exists()


def test_a_sum_that_overflows_is_no_fault():
    cell = nn.Dense(2, 2, weight_init="zeros")
    cell.weight.set_data(ms.Tensor(np.full((2, 2), 3e38, np.float32)))
    require_finite(cell, "here")


def test_dropped_updates_are_counted_in_events_lines_and_end(tmp_path, caplog):
    caplog.set_level("INFO")
    run = Run(tmp_path, epochs=2, bad=2 * BATCH, scale=LossScale(4.0, drop_overflow=True))
    state = run.fit()
    run.trainer.reporter.end_run(run.saver, state)
    assert [event["dropped_updates"] for event in events(tmp_path, "train")] == [0, 1, 1, 1, 2, 2]
    assert [event["dropped_updates"] for event in events(tmp_path, "epoch")] == [1, 2]
    assert events(tmp_path, "run_end")[0]["dropped_updates"] == 2
    assert "Dropped updates: 2, as their gradients were not finite" in caplog.text
    assert "1 updates dropped so far" in caplog.text
    assert "step: [4/5]" in caplog.text
    assert ", 1 dropped" in caplog.text


def test_a_run_whose_updates_were_mostly_dropped_does_not_end_well(tmp_path, caplog):
    run = Run(tmp_path, epochs=2, bad=slice(0, 3 * BATCH), scale=LossScale(4.0, drop_overflow=True))
    with pytest.raises(RunError, match=r"6 of the run's 10 updates were dropped, as their gradients were not finite"):
        run.fit()
    assert caplog.text.count("3 of 5 updates were dropped") == 2
    assert (tmp_path / "net-2_5.ckpt").exists()


@pytest.mark.parametrize(("accumulation", "left"), [(3, 1), (5, 0)])
def test_gradients_that_are_left_over_at_the_end_are_named(tmp_path, caplog, accumulation, left):
    run = Run(tmp_path, epochs=2, accumulation=accumulation)
    run.fit()
    words = f"the last {left} batches of the run are in no update, as gradient_accumulation_steps is {accumulation}"
    assert (words in caplog.text) == bool(left)
    assert [event.get("accumulated_batches", 0) for event in events(tmp_path, "checkpoint")][-1] == left
    assert int(read_checkpoint(tmp_path / "net-2_5.ckpt")[0]["accumulated_batches"]) == left


def test_a_few_overflows_are_dropped_when_asked(tmp_path):
    run, losses = Run(tmp_path, bad=2 * BATCH, scale=LossScale(4.0, drop_overflow=True)), []
    run_step = run.trainer.feed.run_step
    run.trainer.feed.run_step = lambda: (loss := run_step(), losses.append(float(loss.asnumpy())))[0]
    state = run.fit()
    assert int(run.step.skipped_updates.asnumpy()) == 2
    # The loss of an epoch is the mean of the steps that made an update.
    assert all(math.isfinite(row["loss"]) for row in state.history)
    assert state.history[0]["loss"] == pytest.approx(np.mean([loss for loss in losses[:STEPS] if math.isfinite(loss)]))
    assert sum(map(math.isnan, losses)) == 2
    assert np.isfinite(run.network.dense.weight.asnumpy()).all()


def test_intervals(tmp_path):
    run = Run(tmp_path, epochs=5, val_interval=2, save_interval=3)
    state = run.fit()
    assert ["Top_1_Accuracy" in row for row in state.history] == [False, True, False, True, True]
    assert sorted(path.stem for path in tmp_path.glob("net-*.ckpt")) == ["net-3_5", "net-5_5"]


@contextlib.contextmanager
def room_for(size):
    """Files may grow up to so many bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_full_disk_that_is_lived_with_ends_no_run(tmp_path, caplog, is_async):
    """Each file that cannot be written is named, and what is there is whole."""
    run = Run(tmp_path, epochs=4, rule=WriteRule(stop=False), tensorboard=True, is_async=is_async, save_steps=3)
    with room_for(1200):
        state = run.fit()
        run.trainer.reporter.end_run(run.saver, state)
        run.trainer.reporter.close()
    assert state.global_step == 4 * STEPS
    for name in ("net-1_3.ckpt", "net-1_5.ckpt", "net-4_5.ckpt", "log.jsonl", "tensorboard"):
        assert f"{tmp_path / name} could not be written (File too large)" in caplog.text, name
    # The weights alone have room.
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".ckpt", ".tmp")] == ["net_best.ckpt"]
    assert len((tmp_path / "result.log").read_text().splitlines()) == 5
    assert {event["epoch"] for event in events(tmp_path, "train")} >= {1}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_full_disk_ends_the_run_by_the_first_file_that_has_no_room(tmp_path, is_async):
    with room_for(1200), pytest.raises(RunError, match=r"net-1_5\.ckpt could not be written \(File too large\)"):
        Run(tmp_path, is_async=is_async).fit()
    with room_for(100), pytest.raises(RunError, match=r"log\.jsonl could not be written \(File too large\)"):
        Run(tmp_path).fit()


def test_a_folder_that_another_job_has_taken_over_is_not_written_to(tmp_path):
    lock = FolderLock(tmp_path, "mine", "ckpt_save_dir")
    lock.acquire()
    run = Run(tmp_path)
    run.saver.before_write = lock.require
    lock.path.write_text('{"owner": "theirs", "host": "far", "pid": 3}')
    with pytest.raises(RunError, match=r"has been taken over by process 3 on host far since unknown"):
        run.fit()
    assert not list(tmp_path.glob("*.ckpt"))
    lock.release()


def test_weights_of_upstream_go_on_with_the_state_of_its_optimizer(tmp_path, caplog):
    """Of the optimizer's file, which has weights too, and powers of beta that ours has not, the state alone counts."""
    network = Net()
    step = TrainStep(
        LossWithNetwork(network, nn.CrossEntropyLoss()),
        create_optimizer(network.trainable_params(), "adam", lr=[0.1] * 20),
        gradient_accumulation_steps=2,
    )
    weights = {name: p.asnumpy().copy() for name, p in network.parameters_dict().items()}
    write_ckpt(tmp_path / "net-1_5.ckpt", weights)
    state = {f"{slot}.{name}": array + 2 for name, array in weights.items() for slot in ("moment1", "moment2")}
    state |= {"global_step": np.array([7], np.int32), "beta1_power": np.ones(1, np.float32)}
    other = {name: array + 1 for name, array in weights.items()}
    write_ckpt(tmp_path / "optim_net.ckpt", {**state, **other})
    with caplog.at_level("WARNING", logger="mindcv"):
        found = resume_weights(step, str(tmp_path / "net-1_5.ckpt"), tmp_path / "optim_net.ckpt", STEPS)
    assert not caplog.records
    assert (found.epoch, found.step, found.global_step) == (2, 4, 14)  # 7 updates of 2 batches each, 5 an epoch
    for name, array in weights.items():
        np.testing.assert_array_equal(network.parameters_dict()[name].asnumpy(), array, err_msg=name)
    slots = step.optimizer.parameters_dict()
    np.testing.assert_array_equal(slots["moment1.dense.weight"].asnumpy(), weights["dense.weight"] + 2)
    with pytest.raises(ValueError, match=r"1 of 5 entries of the state of Adam .*'moment1\.dense\.weight'"):
        del state["moment1.dense.weight"]
        write_ckpt(tmp_path / "optim_net.ckpt", state)
        resume_weights(step, str(tmp_path / "net-1_5.ckpt"), tmp_path / "optim_net.ckpt", STEPS)


def test_a_checkpoint_of_an_earlier_version_between_two_updates_is_gone_on_with(tmp_path):
    """It does not say what the statistics were before the batches that wait; those of the file stand in."""
    scale = LossScale(4.0, drop_overflow=True)
    network = nn.SequentialCell(nn.BatchNorm1d(6), nn.Dense(6, CLASSES))
    optimizer = nn.SGD(network.trainable_params(), 0.1)
    step = TrainStep(LossWithNetwork(network, nn.CrossEntropyLoss()), optimizer, scale, gradient_accumulation_steps=2)
    saved = {name: p.asnumpy().copy() for name, p in step.parameters_dict().items()}
    kept = [name for name in saved if name.startswith("kept_statistics.")]
    assert kept == ["kept_statistics.0.moving_mean", "kept_statistics.0.moving_variance"]
    for name in kept:
        del saved[name]
    saved["0.moving_mean"] += 3
    load_state(step, saved, "here")
    np.testing.assert_array_equal(step.parameters_dict()[kept[0]].asnumpy(), saved["0.moving_mean"])
    del saved["0.moving_mean"]
    with pytest.raises(ValueError, match="entries are missing"):
        load_state(step, saved, "here")


@pytest.mark.parametrize(
    ("wanted", "device", "mode", "can"),
    [
        (True, "CPU", 0, False),
        (True, "Ascend", 0, True),
        (True, "Ascend", 1, False),
        (True, "GPU", 0, True),
        (False, "Ascend", 0, False),
    ],
)
def test_where_batches_come_from(wanted, device, mode, can, caplog):
    caplog.set_level("INFO")
    assert can_sink(wanted, device, mode) is can
    assert len(caplog.records) == (wanted and not can)


def test_the_sinking_feed_makes_the_documented_calls(monkeypatch):
    calls = []

    class Helper:
        def __init__(self, dataset, dataset_sink_mode, sink_size, epoch_num):
            calls.append((dataset_sink_mode, sink_size, epoch_num))

        def __iter__(self):
            yield ()

    def connect(step, helper):
        calls.append("connect")
        return lambda *inputs: (calls.append(inputs), "loss")[1]

    monkeypatch.setattr("mindcv.engine.feed.DatasetHelper", Helper)
    monkeypatch.setattr("mindcv.engine.feed.connect_network_with_dataset", connect)
    feed = SinkFeed(Net(), data(), 3)
    assert feed.run_step() == "loss"
    assert calls == [(True, 1, 3 * STEPS), "connect", ()]


@pytest.mark.parametrize("policy", ["latest_k", "top_k"])
def test_an_evaluation_that_fails_does_not_lose_its_epoch(tmp_path, policy):
    """The checkpoint of the epoch is there before the evaluation; going on from it is as if nothing had happened."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    expected = Run(whole, epochs=2, policy=policy).fit()
    run = Run(broken, epochs=2, policy=policy)
    evaluate = run.trainer.evaluator.run

    def fails_in_the_second_epoch(*args):
        if run.state.epoch == 1:
            raise ValueError("cannot use the image val/cat/0.jpg")
        return evaluate(*args)

    run.trainer.evaluator.run = fails_in_the_second_epoch
    with pytest.raises(ValueError, match="cannot use the image"):
        run.fit()
    run.saver.finish()
    assert sorted(path.stem for path in broken.glob("net-*.ckpt")) == ["net-1_5", "net-2_5"]
    weights, saved = read_checkpoint(broken / "net-2_5.ckpt")
    state = TrainState.of(saved)
    assert (state.epoch, state.step) == (1, STEPS)
    again = Run(broken, epochs=2, policy=policy, state=(weights, saved, state)).fit()
    assert (again.epoch, again.best_metric, again.best_epoch) == (2, expected.best_metric, expected.best_epoch)
    for name in ("loss", "Top_1_Accuracy", "val_loss"):
        assert [row[name] for row in again.history] == [row[name] for row in expected.history]
    files = [entry["file"] for entry in json.loads((broken / "checkpoints.json").read_text())["checkpoints"]]
    assert files.count("net-2_5.ckpt") == 1
