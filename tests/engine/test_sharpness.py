"""Sharpness-aware minimisation against numpy: algorithm 1 of arXiv 2010.01412 with momentum."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from reference import STATISTICS, Reference, Settings, batches
from stepping import Net, assert_state, run, state_of

from mindcv.config import Config
from mindcv.engine import LossScale, LossWithNetwork, TrainStep, auto_mixed_precision
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer

GRAPH, PYNATIVE = ms.GRAPH_MODE, ms.PYNATIVE_MODE
RHO = 0.5


class SharpReference(Reference):
    """The gradient is that at w + rho * g / |g|; the loss and BatchNorm's statistics are those at w."""

    def loss_and_gradients(self, x, y):
        loss, gradients = super().loss_and_gradients(x, y)
        kept = {name: value.copy() for name, value in self.weights.items()}
        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
        for name, gradient in gradients.items():
            self.weights[name] = self.weights[name] + RHO * gradient / norm
        _, gradients = super().loss_and_gradients(x, y)
        self.weights.update(kept)
        return loss, gradients


def sharp_step(settings, **options):
    network = Net(settings.batch_norm)
    optimizer = create_optimizer(
        *(network, settings.opt, list(settings.lrs), settings.weight_decay), momentum=settings.momentum
    )
    scale = LossScale(settings.loss_scale, settings.dynamic, settings.drop_overflow, window=settings.window)
    step = TrainStep(
        LossWithNetwork(auto_mixed_precision(network, settings.amp_level), create_loss("CE")),
        *(optimizer, scale, settings.ema, settings.ema_decay),
        clip_grad=settings.clip_value is not None,
        clip_value=settings.clip_value or 15.0,
        sam_rho=RHO,
        **options,
    )
    if settings.ema:
        step.ema_updates.set_data(ms.Tensor(settings.ema_updates_before, ms.float32))
    return step.set_train(True)


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
@pytest.mark.parametrize(
    ("values", "tolerance"),
    [
        ({}, 2e-5),
        ({"batch_norm": True, "ema": True, "clip_value": 0.3}, 2e-5),
        ({"batch_norm": True, "dynamic": True, "loss_scale": 64.0, "overflow_at": (3,), "mixup": True}, 2e-5),
        ({"amp_level": "O2", "loss_scale": 64.0}, 3e-2),
    ],
    ids=str,
)
def test_updates_are_the_papers(values, tolerance, mode):
    ms.set_context(mode=mode)
    settings = Settings(**values)
    step, reference = sharp_step(settings), SharpReference(settings)
    names = set(step.parameters_dict())
    data = list(batches(6, settings))
    losses = run(step, data)
    for x, y in data:
        with np.errstate(invalid="ignore"):
            reference.call(x, y)
    state = state_of(step)
    assert_state(state, losses, reference, tolerance)
    plain = Reference(settings)
    for x, y in data:
        plain.call(x, y)
    assert np.abs(plain.weights["first.weight"] - reference.weights["first.weight"]).max() > 0.02
    assert set(step.parameters_dict()) == names
    assert not [name for name in names if "sam" in name]
    if settings.batch_norm:
        assert set(STATISTICS) <= names


class Noisy(nn.Cell):
    """A dropout, whose mask both passes must share."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(5, 4, has_bias=False)
        self.dropout = nn.Dropout(p=0.5)
        self.dense.weight.set_data(ms.Tensor(np.random.RandomState(1).standard_normal((4, 5)), ms.float32))

    def construct(self, x):
        return self.dense(self.dropout(x))


def gradient_of(weight, x):
    """Of the cross entropy of class 1."""
    logits = weight @ x
    p = np.exp(logits - logits.max())
    return np.outer(p / p.sum() - np.eye(4)[1], x)


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
def test_both_passes_drop_the_same(mode):
    """The columns that move tell the mask of the second pass; the values tell that of the first, which is the same."""
    ms.set_context(mode=mode)
    ms.set_seed(3)
    network = Noisy()
    optimizer = create_optimizer(network, "sgd", 0.01, momentum=0.0)
    step = TrainStep(LossWithNetwork(network, create_loss("CE")), optimizer, sam_rho=1.0).set_train(True)
    masks = set()
    for _ in range(6):
        before = network.dense.weight.asnumpy().astype(np.float64)
        step(ms.Tensor(np.ones((1, 5), np.float32)), ms.Tensor(np.array([1], np.int32)))
        moved = network.dense.weight.asnumpy() - before
        mask = np.abs(moved).max(0) > 0
        masks.add(tuple(mask))
        if mask.any():
            x = mask / 0.5
            gradient = gradient_of(before, x)
            uphill = gradient_of(before + gradient / np.linalg.norm(gradient), x)
            np.testing.assert_allclose(moved, -0.01 * uphill, rtol=2e-3, atol=1e-6)
    assert len(masks) > 2
    assert int(step.dropout_step.asnumpy()) == 6


def test_accumulation_is_refused():
    network = Net()
    optimizer = create_optimizer(network, "sgd", 0.1)
    with pytest.raises(ValueError, match=r"sam_rho is 0\.5 and gradient_accumulation_steps 2: .* leave one of them"):
        TrainStep(LossWithNetwork(network, create_loss("CE")), optimizer, sam_rho=0.5, gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match="sam_rho and gradient_accumulation_steps above 1 do not go together"):
        Config(sam_rho=0.05, gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match=r"sam_rho is -0\.5; it must be a finite number above 0"):
        TrainStep(LossWithNetwork(network, create_loss("CE")), optimizer, sam_rho=-0.5)
