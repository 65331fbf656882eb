"""GELU by the kernels: equal to MindSpore's own and to its definition, with gradients, in both modes."""

import math

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.kernels import cells, onednn
from mindcv.kernels.cells import KernelCells

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)


class Weighed(nn.Cell):
    """The sum of the outputs, weighed so that each value has a gradient of its own."""

    def __init__(self, approximate, weights):
        super().__init__()
        self.act = nn.GELU(approximate)
        self.weights = Tensor(weights)

    def construct(self, x):
        y = self.act(x)
        return (y * self.weights).sum(), y


def output_and_gradient(network, x):
    ((_, y), gradient) = ops.value_and_grad(network, 0, None, has_aux=True)(Tensor(x))
    return y.asnumpy(), gradient.asnumpy()


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize("approximate", [True, False])
@pytest.mark.parametrize("shape", [(3, 5, 37), (1,), (2, 3, 4, 4)])
def test_it_equals_mindspores(shape, approximate, mode):
    ms.set_context(mode=mode)
    random = np.random.RandomState(0)
    x = (3 * random.standard_normal(shape)).astype(np.float32)
    weights = random.standard_normal(shape).astype(np.float32)
    y, dx = output_and_gradient(Weighed(approximate, weights), x)
    network = Weighed(approximate, weights)
    with KernelCells(network):
        assert type(network.act).__name__ == "_GELU"
        got_y, got_dx = output_and_gradient(network, x)
    assert type(network.act) is nn.GELU
    np.testing.assert_allclose(got_y, y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got_dx, dx, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("approximate", [True, False])
def test_it_is_the_definition_from_end_to_end(approximate):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    x = np.concatenate([np.linspace(-30, 30, 4001), [-1e4, 1e4, 0.0]]).astype(np.float32)
    network = Weighed(approximate, np.ones_like(x))
    with KernelCells(network):
        y, dx = output_and_gradient(network, x)
        assert np.isnan(network(Tensor(np.array([np.nan], np.float32)))[1].asnumpy()).all()
    wide = x.astype(np.float64)
    if approximate:
        root = math.sqrt(2 / math.pi)
        tanh = np.tanh(root * (wide + 0.044715 * wide**3))
        wanted = wide * (1 + tanh) / 2
        slope = (1 + tanh) / 2 + wide / 2 * (1 - tanh**2) * root * (1 + 3 * 0.044715 * wide**2)
    else:
        integral = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in wide])
        wanted, slope = wide * integral, integral + wide * np.exp(-(wide**2) / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(y, wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(dx, slope, rtol=1e-6, atol=2e-6)


def test_half_precision_is_left_to_mindspore_and_counted():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = Weighed(True, np.ones(4, np.float16))
    cells.missed.clear()
    with KernelCells(network):
        network(Tensor(np.ones(4, np.float16)))
    assert cells.missed == {"GELU of (4,), not in fp32": 1}
    cells.missed.clear()
