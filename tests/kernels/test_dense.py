"""Dense layers by the kernels equal MindSpore's own."""

import mindspore as ms
import numpy as np
import pytest
from kernel_gradients import both_ways
from mindspore import Tensor, nn

from mindcv.engine import auto_mixed_precision
from mindcv.kernels import cells, onednn
from mindcv.kernels.cells import KernelCells
from mindcv.models.layers import ConvNeXtBlock, Mlp, upstream

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.first = nn.Dense(24, 40, activation="relu")
        self.second = nn.Dense(40, 7, has_bias=False)

    def construct(self, x):
        y = self.second(self.first(x))
        return (y * y * (y + 1.0)).mean(), y


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24)])
def test_they_equal_mindspores(shape, mode):
    ms.set_context(mode=mode)
    network = Net()
    x = Tensor(np.random.RandomState(0).standard_normal(shape).astype(np.float32))
    found = both_ways(network, x)
    assert found[0][1].shape == (*shape[:-1], 7)
    for wanted, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    with KernelCells(network):
        assert type(network.first) is not nn.Dense
    assert type(network.first) is nn.Dense


class Squared(nn.Cell):
    """A loss of a layer's output, and the output."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def construct(self, x):
        y = self.layer(x)
        return (y * y * (y + 1.0)).mean(), y


# 1100 rows: parts of 384, 384 and 332; 2 * 9: one part
@pytest.mark.parametrize(
    ("layer", "shape", "mode"),
    [
        (lambda: Mlp(24, 1024, 7, act="gelu", weight_init="he_uniform"), (1100, 24), ms.GRAPH_MODE),
        (lambda: Mlp(24, 1024, act="gelu_tanh", weight_init="he_uniform"), (10, 110, 24), ms.PYNATIVE_MODE),
        (lambda: upstream.Mlp(24, 40), (2, 9, 24), ms.PYNATIVE_MODE),
    ],
)
def test_a_gelu_before_one_is_done_by_it(layer, shape, mode):
    ms.set_context(mode=mode)
    layer = layer()
    x = Tensor(np.random.RandomState(0).standard_normal(shape).astype(np.float32))
    for wanted, got in zip(*both_ways(Squared(layer), x), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    with KernelCells(layer):
        assert type(layer.act) is cells.Passed
    assert type(layer.act) is nn.GELU


@pytest.mark.skipif(not onednn.start().has_bf16, reason="no bfloat16")
def test_a_gelu_before_one_in_bfloat16_is_that_of_fp32_to_two_digits():
    ms.set_context(mode=ms.GRAPH_MODE)
    layer = Mlp(24, 1024, weight_init="he_uniform")
    x = Tensor(np.random.RandomState(0).standard_normal((5000, 24)).astype(np.float32))  # parts of 2528 and 2472
    wanted = both_ways(Squared(layer), x)[0]
    auto_mixed_precision(layer, "O2", amp_dtype="bfloat16")
    got = both_ways(Squared(layer), x)[1]
    for a, b in zip(got, wanted, strict=True):
        assert 1e-5 < np.linalg.norm(a - b) / np.linalg.norm(b) < 2e-2


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Mlp(8, 16, drop_rate=0.5),
        lambda: Mlp(8, 16, act="relu"),
        lambda: ConvNeXtBlock(8, 0.0, 1.0, use_grn=True),
    ],
)
def test_what_is_between_or_another_activation_leaves_them_two(layer):
    layer = layer()
    with KernelCells(layer):
        assert type(layer.act) is not cells.Passed


def test_a_gelu_with_another_reader_stays():
    layer = Mlp(8, 16)
    network = nn.SequentialCell(layer, layer.act)
    with KernelCells(network):
        assert type(layer.act) is not cells.Passed
