"""The training step with one operator for all parameters against the one that is mapped over them."""

import logging

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from reference import Settings, batches, initial_weights
from stepping import Net, run, state_of, step_of

from mindcv import kernels
from mindcv.engine import LossScale, LossWithNetwork, TrainStep
from mindcv.loss import create_loss
from mindcv.optim import AdamW, Momentum, create_optimizer, list_optimizers

pytestmark = pytest.mark.skipif(not kernels.built_library("multi_tensor"), reason="the kernels were not built")

FEATURES = {
    "plain": {},
    "clip": {"clip_value": 0.3},
    "accumulation": {"accumulation": 2},
    "ema": {"ema": True},
    "dynamic": {"loss_scale": 64.0, "dynamic": True, "overflow_at": (3,)},
}
TOGETHER = {name: value for feature in FEATURES.values() for name, value in feature.items()}
CALLS = 8


def states(monkeypatch, settings, **options):
    """The state of a step, and its losses, with the kernels and without them."""
    found = []
    for switch in ("1", "0"):
        monkeypatch.setenv("MINDCV_CPU_KERNELS", switch)
        network = Net(True)
        # BatchNorm takes it away again, so that its gradients are rounding errors, which most optimizers magnify.
        network.first.bias.requires_grad = False
        step = step_of(settings, network=network, **options)
        assert step.is_at_once == (switch == "1")
        losses = run(step, batches(CALLS, settings))
        assert step.dropped_updates == len(settings.overflow_at)
        found.append({**state_of(step), "losses": np.array(losses)})
    return found


def assert_equal(got, expected):
    assert list(got) == list(expected)
    for name, value in expected.items():
        largest = np.abs(value[np.isfinite(value)]).max(initial=0.0)
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-6 * largest, err_msg=name)
        assert got[name].dtype == value.dtype
    for name, start in initial_weights("norm.gamma" in got).items():
        assert np.array_equal(got[name], start.astype(np.float32)) == (name == "first.bias"), name


@pytest.mark.parametrize("feature", [*FEATURES, "together"])
@pytest.mark.parametrize("opt", list_optimizers())
def test_each_optimizer_with_each_feature(opt, feature, monkeypatch):
    """All parameters, states, averages, counters and losses after several steps, one of them with an overflow."""
    values = TOGETHER if feature == "together" else FEATURES[feature]
    lrs = tuple(0.03 * lr for lr in Settings().lrs)
    settings = Settings(opt=opt, batch_norm=True, lrs=lrs, **values)
    assert_equal(*states(monkeypatch, settings))


@pytest.mark.parametrize("opt", ["momentum", "lamb"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_everything_in_graph_mode(opt, accumulation, monkeypatch):
    ms.set_context(mode=ms.GRAPH_MODE)
    settings = Settings(opt=opt, batch_norm=True, **{**TOGETHER, "accumulation": accumulation})
    assert_equal(*states(monkeypatch, settings, optimizer_scale=16.0))


@pytest.mark.parametrize("warmup", ["mindcv", "timm", "none"])
@pytest.mark.parametrize("interval", [1, 3])
def test_each_way_of_the_average(warmup, interval, monkeypatch):
    settings = Settings(batch_norm=True, ema=True, ema_warmup=warmup, ema_interval=interval, ema_updates_before=0)
    assert_equal(*states(monkeypatch, settings))


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def test_frozen_parameters_stay_and_are_averaged(mode):
    ms.set_context(mode=mode)
    settings = Settings(batch_norm=True, ema=True)
    network = Net(True)
    for parameter in network.first.get_parameters():
        parameter.requires_grad = False
    step = step_of(settings, network=network)
    assert step.is_at_once
    run(step, batches(3, settings))
    state, start = state_of(step), initial_weights(True)
    for name in ("first.weight", "first.bias"):
        np.testing.assert_array_equal(state[name], start[name].astype(np.float32))
        np.testing.assert_array_equal(state[f"ema.{name}"], state[name])
    for name in ("second.weight", "norm.gamma", "norm.moving_mean"):
        assert not np.array_equal(state[name], start[name].astype(np.float32))
        assert not np.array_equal(state[f"ema.{name}"], state[name])


class Counting(nn.Cell):
    """Counts its batches in a whole number, which the average takes over as it is."""

    def __init__(self):
        super().__init__()
        self.weight = ms.Parameter(ms.Tensor([1.0, 2.0], ms.float32), name="weight")
        self.batches = ms.Parameter(ms.Tensor([2**24 + 1], ms.int32), name="batches", requires_grad=False)

    def construct(self, x):
        count = ms.ops.assign_add(self.batches, ms.Tensor([1], ms.int32))
        return ms.ops.depend((self.weight * x).sum(), count)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def test_an_average_of_whole_numbers_is_the_last_one(mode):
    ms.set_context(mode=mode)
    network = Counting()
    step = TrainStep(network, create_optimizer(network, "sgd", 0.1), ema=True).set_train(True)
    assert step.is_at_once
    for _ in range(3):
        step(ms.Tensor([1.0, 1.0], ms.float32))
    assert step.parameters_dict()["ema.batches"].asnumpy() == network.batches.asnumpy() == 2**24 + 4


class Cosine(nn.learning_rate_schedule.LearningRateSchedule):
    def construct(self, step):
        return 0.01 / (1.0 + ms.ops.cast(step, ms.float32))


class Rising(nn.Cell):
    def construct(self, step):
        return 0.01 * ms.ops.cast(step, ms.float32)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
@pytest.mark.parametrize("cls", [Momentum, AdamW])
def test_rates_and_decays_that_are_cells(cls, mode, monkeypatch):
    ms.set_context(mode=mode)
    results = []
    for switch in ("1", "0"):
        monkeypatch.setenv("MINDCV_CPU_KERNELS", switch)
        network = Net()
        weights = network.trainable_params()
        groups = [{"params": weights[:1], "weight_decay": Rising()}, {"params": weights[1:], "lr": Cosine()}]
        optimizer = cls([*groups, {"order_params": weights}], Cosine(), weight_decay=0.1)
        step = TrainStep(LossWithNetwork(network, create_loss("CE")), optimizer).set_train(True)
        assert step.is_at_once == (switch == "1")
        run(step, batches(4, Settings()))
        results.append([weight.asnumpy().copy() for weight in weights])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


class Own(Momentum):
    def construct(self, gradients):
        return super().construct(tuple(0.0 * gradient for gradient in gradients))


def own(network):
    return Own(network.trainable_params(), 0.1)


def centralised(network):
    params = network.trainable_params()
    return Momentum([{"params": params, "grad_centralization": True}, {"order_params": params}], 0.1)


def of_mindspore(network):
    return nn.SGD(network.trainable_params(), 0.1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (own, "Own has an update of its own"),
        (centralised, "gradients are centralised"),
        (of_mindspore, "SGD is not one of mindcv.optim"),
    ],
)
def test_what_is_updated_one_by_one(make, reason, caplog):
    caplog.set_level(logging.INFO)
    network = Net()
    step = TrainStep(LossWithNetwork(network, create_loss("CE")), make(network)).set_train(True)
    assert not step.is_at_once
    assert f"parameters are updated one by one: {reason}" in caplog.text
    run(step, batches(2, Settings()))
    moved = not np.array_equal(network.second.weight.asnumpy(), initial_weights()["second.weight"].astype(np.float32))
    assert moved == (make is not own)


def test_parameters_of_other_types_are_updated_one_by_one():
    network = Net()
    network.second.bias.set_dtype(ms.float16)
    optimizer = create_optimizer(network, "momentum", 0.1)
    assert not optimizer.is_at_once
    assert optimizer.why_not_at_once == "it has parameters of Float16"


def test_the_switch_is_logged(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    step_of(Settings())
    assert "parameters are updated at once" in caplog.text
    monkeypatch.setenv("MINDCV_CPU_KERNELS", "0")
    assert not step_of(Settings()).is_at_once
    why = "its CPU kernel is off, not built, or from other sources (see mindcv doctor)"
    assert f"parameters are updated one by one: {why}" in caplog.text


@pytest.mark.parametrize("bad", ["first.weight", "second.bias"])
def test_a_gradient_that_is_not_finite_leaves_all_as_it_was(bad):
    settings = Settings(opt="adamw", ema=True, drop_overflow=True, clip_value=0.3)
    step = step_of(settings)
    run(step, batches(2, settings))
    before = state_of(step)
    index = [weight.name for weight in step.weights].index(bad)
    gradients = [ms.ops.ones_like(weight) for weight in step.weights]
    gradients[index] = gradients[index] * float("nan")
    step._update_at_once(tuple(gradients), step.one)
    after = state_of(step)
    assert after.pop("skipped_updates") == before.pop("skipped_updates") + 1
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_large_parameters_of_lamb(monkeypatch):
    """Those that all threads work on, and those whose directions are computed twice."""
    sizes = {"small": (3,), "whole": (1000, 1000), "large": (1200, 1000), "huge": (4200, 1000)}
    results = []
    for switch in ("1", "0"):
        monkeypatch.setenv("MINDCV_CPU_KERNELS", switch)
        random = np.random.default_rng(5)

        def draw(generator=random):
            return {name: generator.standard_normal(size, np.float32) for name, size in sizes.items()}

        params = [ms.Parameter(ms.Tensor(value), name=name) for name, value in draw().items()]
        optimizer = create_optimizer(params, "lamb", 0.1, weight_decay=0.05)
        for _ in range(2):
            optimizer(tuple(ms.Tensor(value) for value in draw().values()))
        results.append([param.asnumpy() for param in params])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_the_number_of_threads_changes_nothing(monkeypatch):
    import os

    results = []
    for processors in (None, {min(os.sched_getaffinity(0))}):
        before = os.sched_getaffinity(0)
        random = np.random.default_rng(6)
        param = ms.Parameter(ms.Tensor(random.standard_normal((1300, 1000), np.float32)), name="weight")
        optimizer = create_optimizer([param], "lamb", 0.1, weight_decay=0.05)
        assert optimizer.is_at_once
        gradient = ms.Tensor(random.standard_normal((1300, 1000), np.float32))
        os.sched_setaffinity(0, processors or before)
        try:
            optimizer((gradient,))
            results.append(param.asnumpy().copy())
        finally:
            os.sched_setaffinity(0, before)
    np.testing.assert_array_equal(*results)


def test_scale_of_the_optimizer_and_of_the_step_are_allowed_for():
    """As the step multiplies by the optimizer's scale what it will divide, alone it divides."""
    param = ms.Parameter(ms.Tensor([1.0, 2.0], ms.float32), name="weight")
    optimizer = create_optimizer([param], "sgd", 0.5, momentum=0.0, loss_scale=8.0)
    optimizer((ms.Tensor([8.0, 16.0], ms.float32),))
    np.testing.assert_array_equal(param.asnumpy(), [0.5, 1.0])
    network = Counting()
    optimizer = create_optimizer(network, "sgd", 0.5, momentum=0.0, loss_scale=8.0)
    TrainStep(network, optimizer, LossScale(4.0)).set_train(True)(ms.Tensor([1.0, 2.0], ms.float32))
    np.testing.assert_array_equal(network.weight.asnumpy(), [0.5, 1.0])
