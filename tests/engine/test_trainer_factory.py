"""Scripts written for upstream: `create_trainer`, `StateMonitor`, `Model.train`, on 20 samples."""

import logging

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore import nn

from mindcv.engine import LossScale, LossWithNetwork, TrainStep
from mindcv.engine.upstream.trainer_factory import create_trainer, require_customized_train_step
from mindcv.loss import create_loss
from mindcv.utils import StateMonitor, get_metrics, set_seed

SAMPLES, BATCH, CLASSES, EPOCHS = 20, 4, 6, 2
STEPS = SAMPLES // BATCH


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        random = np.random.RandomState(1)
        self.dense = nn.Dense(8, CLASSES, bias_init="zeros")
        self.dense.weight.set_data(ms.Tensor(random.standard_normal((CLASSES, 8)).astype(np.float32)))

    def construct(self, x):
        return self.dense(x)


class NetWithAuxiliary(Net):
    def construct(self, x):
        return self.dense(x), self.dense(x) * 0.5


def samples():
    random = np.random.RandomState(0)
    x = random.standard_normal((SAMPLES, 8)).astype(np.float32)
    return x, np.argmax(x[:, :CLASSES], 1).astype(np.int32)


def loader(batch=BATCH):
    return ds.NumpySlicesDataset(samples(), ["image", "label"], shuffle=False).batch(batch)


def optimizer_of(network, loss_scale=1.0):
    rates = [0.1 / (1 + i) for i in range(STEPS * EPOCHS)]
    return nn.SGD(network.trainable_params(), rates, momentum=0.9, loss_scale=loss_scale)


def bare_losses(network, scale=1.0, epochs=EPOCHS, **options):
    step = TrainStep(LossWithNetwork(network, create_loss("CE")), optimizer_of(network), scale, **options)
    step.set_train(True)
    x, y = (a.reshape(STEPS, BATCH, *a.shape[1:]) for a in samples())
    return [float(step(ms.Tensor(x[i]), ms.Tensor(y[i])).asnumpy()) for _ in range(epochs) for i in range(STEPS)]


class Losses(ms.train.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_step_end(self, run_context):
        self.seen.append(float(run_context.original_args().net_outputs.asnumpy()))


def train_as_upstream(folder, network, val=True, optimizer_scale=1.0, **options):
    """What upstream's train.py does after it has its data."""
    set_seed(42, None)
    arguments = {"amp_level": "O0", "amp_cast_list": None, "loss_scale_type": "fixed", **options}
    metrics = get_metrics(CLASSES)
    trainer = create_trainer(network, create_loss("CE"), optimizer_of(network, optimizer_scale), metrics, **arguments)
    state_cb = StateMonitor(
        trainer,
        model_name="net",
        model_ema=options.get("ema", False),
        last_epoch=0,
        dataset_sink_mode=False,
        dataset_val=loader() if val else None,
        metric_name=list(metrics.keys()),
        ckpt_save_dir=str(folder),
        summary_dir=f"{folder}/summary",
        log_interval=2,
        rank_id=None,
        device_num=None,
    )
    losses = Losses()
    trainer.train(EPOCHS, loader(), callbacks=[state_cb, losses], dataset_sink_mode=False)
    return trainer, losses.seen


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_losses_equal_the_bare_loops_with_evaluation_between(tmp_path, mode):
    """The options are those with state, which an evaluation or a wrapper could disturb."""
    ms.set_context(mode=mode)
    options = {"ema": True, "clip_grad": True, "clip_value": 0.5}
    expected = bare_losses(Net(), LossScale(8.0, True, True), **options)
    _, losses = train_as_upstream(
        tmp_path, Net(), loss_scale_type="dynamic", loss_scale=8.0, drop_overflow_update=True, **options
    )
    assert losses == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "net-1_5.ckpt",
        "net-2_5.ckpt",
        "net_best.ckpt",
        "optim_net.ckpt",
        "result.log",
        "summary",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer_scale": 1024.0, "loss_scale": 1024.0},
        {"gradient_accumulation_steps": 1, "loss_scale": 1024.0, "drop_overflow_update": True},
    ],
    ids=["plain", "scale in the optimizer", "drop overflow"],
)
def test_loss_scale_does_not_change_the_losses(tmp_path, options):
    _, losses = train_as_upstream(tmp_path, Net(), val=False, **options)
    assert losses == pytest.approx(bare_losses(Net()), rel=1e-6)


def test_accumulation(tmp_path):
    _, losses = train_as_upstream(tmp_path, Net(), val=False, gradient_accumulation_steps=5)
    assert losses == bare_losses(Net(), gradient_accumulation_steps=5)
    assert losses != pytest.approx(bare_losses(Net()), rel=1e-3)


@pytest.mark.parametrize("network", [Net, NetWithAuxiliary])
def test_evaluation_equals_numpy(network):
    net = network()
    metrics = {**get_metrics(CLASSES), "loss": ms.train.Loss()}
    trainer = create_trainer(net, create_loss("CE"), optimizer_of(net), metrics, "O0", None, "fixed")
    got = trainer.eval(loader(), dataset_sink_mode=False)
    x, y = samples()
    logits = x @ net.dense.weight.asnumpy().T
    order = np.argsort(-logits, 1)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert got["Top_1_Accuracy"] == np.mean(order[:, 0] == y)
    assert got["Top_5_Accuracy"] == np.mean((order[:, :5] == y[:, None]).any(1))
    assert got["loss"] == pytest.approx(-np.mean(logs[np.arange(SAMPLES), y]), rel=1e-5)


def test_the_log_tells_losses_rates_and_accuracies(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="mindcv"):
        _, losses = train_as_upstream(tmp_path, Net())
    steps = [record.message for record in caplog.records if record.message.startswith("Epoch: [2/2]")]
    assert [line.split(", img")[0].split(" img")[0].rsplit(",", 1)[0] for line in steps] == [
        f"Epoch: [2/2], step: [{step}/5], loss={losses[4 + step]:.4f}, lr={0.1 / (5 + step):.3g}" for step in (2, 4, 5)
    ]
    assert "Finished training; the best validation was Top_1_Accuracy" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, False),
        ({"ema": True}, True),
        ({"clip_grad": True}, True),
        ({"gradient_accumulation_steps": 2}, True),
        ({"amp_cast_list": "Dense"}, True),
    ],
)
def test_require_customized_train_step(arguments, expected):
    assert require_customized_train_step(**arguments) is expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss_scale_type": "dynamc"}, "unknown loss_scale_type 'dynamc'; did you mean 'dynamic'"),
        ({"loss_scale": 0.5}, "loss_scale is 0.5; it must be at least 1"),
        ({"amp_level": "O7"}, "unknown amp_level 'O7'"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps is 0"),
    ],
)
def test_what_is_refused(arguments, message):
    net = Net()
    arguments = {"amp_level": "O0", "amp_cast_list": None, "loss_scale_type": "fixed", **arguments}
    with pytest.raises(ValueError, match=message):
        create_trainer(net, create_loss("CE"), optimizer_of(net), get_metrics(CLASSES), **arguments)
