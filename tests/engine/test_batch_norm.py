"""A batch of one value a channel against numpy: the moving variance stays."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindcv.engine import LossScale, TrainStep, auto_mixed_precision, keep_variance_of_one_value
from mindcv.optim import create_optimizer

MODES = [pytest.param(ms.GRAPH_MODE, id="graph"), pytest.param(ms.PYNATIVE_MODE, id="pynative")]
MOMENTUM = 0.7


class Net(nn.Cell):
    """BatchNorm of maps and of features; the loss is a sum of squares."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3, momentum=MOMENTUM)
        self.bn1d = nn.BatchNorm1d(3, momentum=MOMENTUM)
        for index, parameter in enumerate(self.get_parameters()):
            value = np.random.RandomState(index).rand(*parameter.shape) + 0.5
            parameter.set_data(ms.Tensor(value.astype(np.float32)))

    def construct(self, x):
        return ops.square(self.bn1d(self.bn(x).mean((2, 3)))).sum()


def moved(mean, value):
    return MOMENTUM * mean + (1 - MOMENTUM) * value


@pytest.mark.parametrize("mode", MODES)
def test_one_image_at_1x1_maps_moves_the_mean_and_not_the_variance(mode):
    ms.set_context(mode=mode)
    network = Net()
    assert keep_variance_of_one_value(network) == 2
    before = {name: p.asnumpy().copy() for name, p in network.parameters_dict().items()}
    step = TrainStep(network, create_optimizer(network, "sgd", 0.1, momentum=0.0), LossScale(drop_overflow=True))
    x = np.array([[0.5], [-2.0], [30.0]], np.float32).reshape(1, 3, 1, 1)
    loss = step.set_train()(ms.Tensor(x))
    after = {name: p.asnumpy() for name, p in network.parameters_dict().items()}
    # The output of either is its beta, so the loss is that of bn1d's.
    np.testing.assert_allclose(loss.asnumpy(), (before["bn1d.beta"] ** 2).sum(), rtol=1e-6)
    np.testing.assert_allclose(after["bn.moving_mean"], moved(before["bn.moving_mean"], x.reshape(-1)), rtol=1e-6)
    mean = moved(before["bn1d.moving_mean"], before["bn.beta"])
    np.testing.assert_allclose(after["bn1d.moving_mean"], mean, rtol=1e-6)
    for name in ("bn.moving_variance", "bn1d.moving_variance", "bn.gamma", "bn.beta", "bn1d.gamma"):
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    np.testing.assert_allclose(after["bn1d.beta"], before["bn1d.beta"] * (1 - 0.1 * 2), rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (2, 3, 1, 1)], ids=str)
def test_all_other_batches_are_treated_as_before(mode, shape):
    ms.set_context(mode=mode)
    own, plain = nn.BatchNorm2d(3, momentum=MOMENTUM), nn.BatchNorm2d(3, momentum=MOMENTUM)
    keep_variance_of_one_value(nn.SequentialCell(own))
    x = ms.Tensor(np.random.RandomState(0).randn(*shape).astype(np.float32))
    for training in (True, False):
        out = own.set_train(training)(x).asnumpy()
        np.testing.assert_array_equal(out, plain.set_train(training)(x).asnumpy())
    variance = plain.moving_variance.asnumpy()
    np.testing.assert_array_equal(own.moving_variance.asnumpy(), variance)
    assert (variance != 1).all()


def test_an_infinite_value_is_not_hidden():
    network = nn.SequentialCell(nn.BatchNorm2d(1))
    keep_variance_of_one_value(network)
    x = ms.Tensor(np.full((1, 1, 1, 1), np.inf, np.float32))
    assert np.isnan(network.set_train()(x).asnumpy()).all()


@pytest.mark.parametrize("level", ["O2", "O3"])
def test_mixed_precision_keeps_them_as_it_keeps_mindspores(level):
    x = ms.Tensor(np.random.RandomState(0).randn(4, 3, 2, 2).astype(np.float32))
    losses = []
    for is_guarded in (False, True):
        network = Net()
        if is_guarded:
            keep_variance_of_one_value(network)
        losses.append(auto_mixed_precision(network, level).set_train()(x).asnumpy())
    np.testing.assert_array_equal(losses[0], losses[1])
