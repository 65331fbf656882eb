"""StateMonitor and ValCallback: what they write, when they evaluate, what they keep."""

import json
import logging

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore import nn
from reference import Settings, batches
from stepping import Net, arrays, run, step_of

from mindcv.engine.upstream.callbacks import StateMonitor, ValCallback
from mindcv.loss import create_loss
from mindcv.utils.errors import RunError
from mindcv.weights import read_ckpt

STEPS = 3
SETTINGS = Settings(ema=True, ema_updates_before=0)


class Constant(ms.train.Metric):
    """Gives the figures of a list, one an evaluation."""

    def __init__(self, values):
        super().__init__()
        self.values = iter(values)

    def clear(self):
        pass

    def update(self, *inputs):
        pass

    def eval(self):
        return next(self.values)


class EvalNetwork(nn.Cell):
    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, image, label):
        return image.sum(), self.network(image), label


def loader(count=STEPS):
    x, y = (np.concatenate(parts) for parts in zip(*batches(count, SETTINGS), strict=True))
    return ds.NumpySlicesDataset((x, y), ["image", "label"], shuffle=False).batch(len(x) // count)


class Job:
    """Trains with a StateMonitor in a folder; the metric's values are given."""

    def __init__(self, folder, epochs, values=(), step=None, **options):
        self.step = step or step_of(SETTINGS)
        network = self.step.network.network
        self.model = ms.train.Model(
            self.step, eval_network=EvalNetwork(network), metrics={"hits": Constant(values)}, eval_indexes=[0, 1, 2]
        )
        arguments = {
            "model_name": "net",
            "dataset_sink_mode": False,
            "dataset_val": loader(1) if values else None,
            "metric_name": ["hits"],
            "ckpt_save_dir": str(folder),
            "summary_dir": str(folder / "summary"),
            **options,
        }
        self.folder = folder
        self.monitor = StateMonitor(self.model, **arguments)
        self.model.train(epochs, loader(), callbacks=[self.monitor], dataset_sink_mode=False)

    def names(self):
        return sorted(path.name for path in self.folder.glob("*.ckpt"))

    def rows(self):
        return [line.split() for line in (self.folder / "result.log").read_text().splitlines()]

    def events(self, name):
        lines = (self.folder / "summary" / "log.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]


def test_figures_of_the_logs_are_those_of_the_step(tmp_path):
    job = Job(tmp_path, 2, [0.25, 0.5], log_interval=2)
    losses = run(step_of(SETTINGS), [*batches(STEPS, SETTINGS)] * 2)
    rows = job.rows()
    assert rows[0] == ["Epoch", "TrainLoss", "hits", "TrainTime", "EvalTime", "TotalTime"]
    assert [float(row[1]) for row in rows[1:]] == pytest.approx([np.mean(losses[:3]), np.mean(losses[3:])], abs=1e-6)
    assert [float(row[2].rstrip("%")) for row in rows[1:]] in ([0.25, 0.5], [25.0, 50.0])
    steps = job.events("train")
    assert [(event["epoch"], event["step"]) for event in steps] == [(1, 2), (1, 3), (2, 2), (2, 3)]
    assert [event["loss"] for event in steps] == pytest.approx([losses[i] for i in (1, 2, 4, 5)])
    assert [event["lr"] for event in steps] == pytest.approx([SETTINGS.lrs[i] for i in (1, 2, 4, 5)])


def test_files_hold_the_weights_and_the_optimizer(tmp_path):
    job = Job(tmp_path, 2, [0.9, 0.1])
    assert job.names() == ["net-1_3.ckpt", "net-2_3.ckpt", "net_best.ckpt", "optim_net.ckpt"]
    saved = read_ckpt(tmp_path / "net-2_3.ckpt")
    for name, value in arrays(job.step).items():
        np.testing.assert_array_equal(saved[name], value)
    for name, value in arrays(job.step, "ema.").items():
        np.testing.assert_array_equal(saved[f"ema.{name}"], value)
    optimizer = read_ckpt(tmp_path / "optim_net.ckpt")
    assert int(optimizer["global_step"][0]) == 6
    np.testing.assert_array_equal(optimizer["moments.first.bias"], saved["moments.first.bias"])
    best, first = (read_ckpt(tmp_path / name) for name in ("net_best.ckpt", "net-1_3.ckpt"))
    assert best.keys() == first.keys()
    assert all(np.array_equal(best[name], first[name]) for name in best)
    assert set(ms.load_checkpoint(str(tmp_path / "net_best.ckpt"))) == set(best)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [1, 2, 3, 4]),
        ({"ckpt_save_interval": 3}, [3, 4]),
        ({"ckpt_save_policy": "latest_k", "ckpt_keep_max": 2}, [3, 4]),
        ({"ckpt_save_policy": "top_k", "ckpt_keep_max": 2}, [1, 3]),
        ({"ckpt_save_policy": "top_k", "ckpt_keep_max": 2, "val_interval": 3}, [1, 4]),
    ],
)
def test_what_is_kept(tmp_path, options, kept):
    values = [0.6, 0.3] if "val_interval" in options else [0.6, 0.2, 0.5, 0.3]
    job = Job(tmp_path, 4, values, save_best_ckpt=False, **options)
    assert job.names() == [*(f"net-{epoch}_3.ckpt" for epoch in kept), "optim_net.ckpt"]


@pytest.mark.parametrize(
    ("options", "evaluated"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"val_interval": 2}, [1, 3, 5]),
        ({"val_start_epoch": 2, "val_interval": 2}, [2, 4]),
        ({"val_start_epoch": 9}, []),
    ],
)
def test_when_it_evaluates(tmp_path, options, evaluated):
    job = Job(tmp_path, 5, [0.1] * 5, **options)
    assert [row["epoch"] for row in job.monitor.state.history if "hits" in row] == evaluated


@pytest.mark.parametrize("model_ema", [True, False])
def test_what_is_evaluated_and_that_training_goes_on_as_if_it_were_not(tmp_path, model_ema):
    seen = []

    class Weight(Constant):
        def eval(self):
            seen.append(job_step.network.network.first.bias.asnumpy().copy())
            return 0.5

    job_step = step_of(SETTINGS)
    network = job_step.network.network
    model = ms.train.Model(
        job_step, eval_network=EvalNetwork(network), metrics={"hits": Weight([])}, eval_indexes=[0, 1, 2]
    )
    folder = str(tmp_path)
    monitor = StateMonitor(
        model, "net", model_ema, 0, False, loader(1), ["hits"], ckpt_save_dir=folder, summary_dir=folder
    )
    model.train(2, loader(), callbacks=[monitor], dataset_sink_mode=False)
    other, expected = step_of(SETTINGS), []
    for _ in range(2):
        run(other, batches(STEPS, SETTINGS))
        expected.append(arrays(other, "ema." if model_ema else "")["first.bias"])
    np.testing.assert_array_equal(seen, expected)
    assert all(np.array_equal(value, arrays(other)[name]) for name, value in arrays(job_step).items())


def test_going_on_from_an_earlier_run(tmp_path):
    """Epochs, result.log and the best metric count on."""
    Job(tmp_path, 2, [0.25, 0.75])
    job = Job(tmp_path, 2, [0.5, 0.875], last_epoch=2)
    assert [row[0] for row in job.rows()] == ["Epoch", "1", "2", "3", "4"]
    assert job.names() == [*(f"net-{epoch}_3.ckpt" for epoch in (1, 2, 3, 4)), "net_best.ckpt", "optim_net.ckpt"]
    assert (job.monitor.state.best_metric, job.monitor.state.best_epoch) == (0.875, 4)
    best = [event["best_epoch"] for event in job.events("epoch")]
    assert best == [1, 2, 2, 4]


def test_other_ranks_write_nothing(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="mindcv"):
        Job(tmp_path, 1, [0.5], rank_id=1, device_num=2)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not any(message.startswith("Epoch") for message in caplog.messages)


def test_with_mindspores_own_step_and_loss_scale(tmp_path):
    """Whose output is a tuple that begins with the loss, and whose optimizer `Model` knows."""
    network = Net()
    optimizer = nn.SGD(network.trainable_params(), 0.1)
    model = ms.train.Model(network, create_loss("CE"), optimizer, metrics={"hits": Constant([0.5])})
    monitor = StateMonitor(
        model,
        "net",
        metric_name=["hits"],
        dataset_val=loader(1),
        ckpt_save_dir=str(tmp_path),
        summary_dir=str(tmp_path),
    )
    model.train(1, loader(), callbacks=[monitor], dataset_sink_mode=False)
    assert monitor.state.history[0]["lr"] == pytest.approx(0.1)
    assert np.isfinite(monitor.state.history[0]["loss"])
    with pytest.raises(ValueError, match="model_ema needs a model that trains with TrainStep"):
        Job(tmp_path, 1, [0.5], step=_own_step(), model_ema=True)


def _own_step():
    class Step(nn.TrainOneStepCell):
        pass

    network = nn.WithLossCell(Net(), create_loss("CE"))
    network.network = network._backbone
    return Step(network, nn.SGD(network.trainable_params(), 0.1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ckpt_save_policy": "top_k"}, "ckpt_save_policy top_k needs a metric, but dataset_val is None"),
        ({"ckpt_save_policy": "best"}, "ckpt_save_policy is 'best'; allowed: None, 'top_k', 'latest_k'"),
        ({"ckpt_save_dir": "/proc/nowhere"}, "ckpt_save_dir: cannot write to the folder /proc/nowhere"),
    ],
)
def test_what_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        Job(tmp_path, 1, **options)


def test_an_unknown_metric_is_named(tmp_path):
    with pytest.raises(ValueError, match="unknown metric_name 'hit'; did you mean 'hits'"):
        Job(tmp_path, 1, [0.5], metric_name=["hit"])


def test_val_callback_tells_how_far_it_is(caplog):
    network = Net()
    model = ms.train.Model(
        network, eval_network=EvalNetwork(network), metrics={"hits": Constant([1.0])}, eval_indexes=[0, 1, 2]
    )
    with caplog.at_level(logging.INFO, logger="mindcv"):
        assert model.eval(loader(5), callbacks=[ValCallback(2)], dataset_sink_mode=False) == {"hits": 1.0}
    assert [message.split(", time")[0] for message in caplog.messages] == [f"Batch: [{n}/5]" for n in (2, 4, 5)]


def test_dropped_updates_and_what_is_not_finite_are_told_here_too(tmp_path):
    step = step_of(Settings(drop_overflow=True))
    weight = step.network.network.first.weight
    weight.set_data(ms.Tensor(np.full(weight.shape, np.inf, np.float32)))
    with pytest.raises(
        RunError, match=r"first\.weight is not finite \(35 of 35 values, the first one inf\) at the end of ep"
    ):
        Job(tmp_path / "a", 1, step=step)
    assert not list((tmp_path / "a").glob("*.ckpt"))

    class Overflowing(Net):
        def construct(self, x):
            return self.second(x @ self.first.weight.T * np.inf)

    step = step_of(Settings(drop_overflow=True), network=Overflowing())
    with pytest.raises(RunError, match=r"3 of the run's 3 updates were dropped"):
        Job(tmp_path / "b", 1, step=step)
    epoch = [json.loads(line) for line in (tmp_path / "b" / "summary" / "log.jsonl").read_text().splitlines()][-1]
    assert (epoch["event"], epoch["dropped_updates"]) == ("epoch", 3)
