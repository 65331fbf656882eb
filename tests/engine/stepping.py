"""The small network of reference.py as a cell, and training steps on it."""

import mindspore as ms
import numpy as np
from mindspore import nn
from reference import BN_EPS, BN_MOMENTUM, CLASSES, FEATURES, HIDDEN, initial_weights

from mindcv.engine import LossScale, LossWithNetwork, TrainStep, auto_mixed_precision
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer


class Net(nn.Cell):
    """Dense, BatchNorm or nothing, tanh, dense."""

    def __init__(self, batch_norm=False):
        super().__init__()
        self.first = nn.Dense(FEATURES, HIDDEN)
        self.norm = nn.BatchNorm1d(HIDDEN, BN_EPS, BN_MOMENTUM) if batch_norm else nn.Identity()
        self.tanh = nn.Tanh()
        self.second = nn.Dense(HIDDEN, CLASSES)
        for name, parameter in self.parameters_and_names():
            parameter.set_data(ms.Tensor(initial_weights(batch_norm)[name].astype(np.float32)))

    def construct(self, x):
        return self.second(self.tanh(self.norm(self.first(x))))


def step_of(settings, optimizer_scale=1.0, network=None, **options):
    network = network or Net(settings.batch_norm)
    optimizer = create_optimizer(
        network,
        settings.opt,
        list(settings.lrs),
        settings.weight_decay,
        momentum=settings.momentum,
        eps=settings.eps,
        loss_scale=optimizer_scale,
    )
    loss = create_loss("CE", label_smoothing=settings.smoothing)
    step = TrainStep(
        LossWithNetwork(auto_mixed_precision(network, settings.amp_level), loss),
        optimizer,
        LossScale(settings.loss_scale, settings.dynamic, settings.drop_overflow, window=settings.window),
        ema=settings.ema,
        ema_decay=settings.ema_decay,
        clip_grad=settings.clip_value is not None,
        clip_value=settings.clip_value or 15.0,
        gradient_accumulation_steps=settings.accumulation,
        **options,
        ema_warmup=settings.ema_warmup,
        ema_interval=settings.ema_interval,
    )
    if settings.ema:  # the decay has risen from 0, so that it counts
        step.ema_updates.set_data(ms.Tensor(settings.ema_updates_before, ms.float32))
    return step.set_train(True)


def run(step, data):
    return [float(step(ms.Tensor(x), ms.Tensor(y)).asnumpy()) for x, y in data]


def arrays(step, prefix=""):
    names = initial_weights("norm.gamma" in step.parameters_dict())
    return {name: step.parameters_dict()[prefix + name].asnumpy().copy() for name in names}


def state_of(step):
    """Weights, averages (`ema.*`), optimizer slots and counters of a step, by name."""
    parameters = step.parameters_dict().items()
    return {name: p.asnumpy().copy() for name, p in parameters if not name.startswith("learning_rate")}


def assert_state(state, losses, reference, tolerance):
    """Compares what `state_of` gave, and the losses, with the reference that saw the same batches."""
    settings, names = reference.settings, reference.weights
    np.testing.assert_allclose(losses, reference.losses, rtol=tolerance, atol=tolerance)
    assert_close({name: state[name] for name in names}, reference.weights, tolerance)
    assert int(state["global_step"][0]) == reference.updates
    if settings.ema:
        assert_close({name: state[f"ema.{name}"] for name in names}, reference.ema, tolerance)
        assert int(state["ema_updates"]) == reference.ema_updates
    if settings.dynamic or settings.drop_overflow:
        assert int(state["skipped_updates"]) == reference.skipped == len(settings.overflow_at)
    if settings.dynamic:
        assert float(state["loss_scale"]) == reference.loss_scale
        assert int(state["good_updates"]) == reference.good_updates


def assert_close(got, expected, tolerance):
    """Compares weights: errors as a part of the longest way that a weight of the tensor went."""
    start = initial_weights("norm.gamma" in got)
    for name, value in got.items():
        way = np.abs(expected[name] - start[name]).max()
        error = np.abs(value - expected[name]).max()
        assert error <= tolerance * way + 3e-7, f"{name}: off by {error:.2e} on a way of {way:.2e}"
