"""Layer scale, stochastic depth, gates and norms of maps by the kernels equal MindSpore's own, and so does ConvNeXt."""

import mindspore as ms
import numpy as np
import pytest
from kernel_gradients import Gradients, both_ways
from mindspore import Tensor, nn

from mindcv.kernels import onednn
from mindcv.kernels.cells import KernelCells
from mindcv.models.convnext import ConvNeXt
from mindcv.models.edgenext import EdgeNeXt
from mindcv.models.layers import DropPath, GlobalResponseNorm, LayerNorm2d, LayerScale, SqueezeExcite, SqueezeExciteV2

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)


class Weighed(nn.Cell):
    """A cell's output, and a number whose gradient by it is not constant; parameters are neither 0 nor 1."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell
        random = np.random.RandomState(1)
        for parameter in self.trainable_params():
            values = random.standard_normal(parameter.shape) / np.sqrt(parameter.shape[-1]) + 0.1
            parameter.set_data(Tensor(values.astype(np.float32)))

    def construct(self, x):
        y = self.cell(x)
        return (y * y * (y + 1.0)).mean(), y


def values(*shape):
    return Tensor((2 * np.random.RandomState(0).standard_normal(shape) + 1).astype(np.float32))


def check(cell, x, mode, tolerance=2e-5, is_whole=False):
    """`is_whole`: the cell is all that the kernels see, as if no user's cell were around it."""
    ms.set_context(mode=mode)
    network = Weighed(cell)
    for wanted, got in zip(*both_ways(network, x, cell if is_whole else network), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
    return network


# Odd sizes: not whole vectors; more rows than are summed at once; maps of more values than are.
@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: LayerScale(37, 0.1), (3, 50, 37)),
        (lambda: LayerScale(1, 0.1), (5, 1)),
        (lambda: LayerNorm2d(20), (3, 20, 5, 7)),
        (lambda: GlobalResponseNorm(24), (3, 5, 7, 24)),
        (lambda: SqueezeExcite(24, 0.5), (2, 24, 5, 7)),
        (lambda: SqueezeExciteV2(8, 0.5), (1, 8, 71, 67)),
    ],
)
def test_a_cell_equals_mindspores(make, shape, mode):
    cell = make()
    kind = type(cell)
    network = check(cell, values(*shape), mode)
    with KernelCells(network):
        assert type(cell) is not kind
    assert type(cell) is kind


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize("scale_by_keep", [True, False])
def test_stochastic_depth_drops_samples_and_their_gradients(scale_by_keep, mode):
    ms.set_context(mode=mode)
    ms.set_seed(1)
    network, x = Weighed(DropPath(0.5, scale_by_keep)).set_train(True), values(40, 3, 5)
    with KernelCells(network):
        assert type(network.cell) is not DropPath
    (_, y), (gradient, _) = Gradients(network, KernelCells(network))(x)
    x, y, gradient = x.asnumpy(), y.asnumpy(), gradient.asnumpy()
    kept = np.abs(y).max((1, 2)) > 0
    assert 8 < kept.sum() < 32
    factor = kept[:, None, None] * (2.0 if scale_by_keep else 1.0)
    np.testing.assert_allclose(y, x * factor, rtol=1e-6)
    np.testing.assert_allclose(gradient, factor * (3 * y * y + 2 * y) / y.size, rtol=1e-5, atol=1e-8)
    network.set_train(False)
    with KernelCells(network):
        np.testing.assert_array_equal(network(Tensor(x))[1].asnumpy(), x)


def small(**arguments):
    ms.set_seed(1)
    return ConvNeXt((1, 1, 2, 1), (8, 16, 24, 40), num_classes=5, **arguments)


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        ({"layer_scale_init_value": 1.0}, ms.GRAPH_MODE),
        ({"layer_scale_init_value": 0.0, "use_grn": True, "pad": "valid"}, ms.PYNATIVE_MODE),
    ],
)
def test_convnext_of_maps_with_channels_last(arguments, mode):
    network = small(**arguments)
    check(network, values(2, 3, 70, 64), mode, 1e-4, is_whole=True)
    block = network.feature[5][1]
    assert block.dwconv.kernel_takes_last
    assert block.dwconv.kernel_last
    ms.set_context(mode=ms.PYNATIVE_MODE)
    wanted = network.forward_stages(values(2, 3, 70, 64))
    with KernelCells(network):
        got = network.forward_stages(values(2, 3, 70, 64))
    assert [a.shape for a in got] == [a.shape for a in wanted]
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=0, atol=1e-4 * np.abs(b.asnumpy()).max())


def test_convnext_with_stochastic_depth_keeps_the_layout():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = small(drop_path_rate=0.3).set_train(False)
    wanted = network(values(2, 3, 64, 64)).asnumpy()
    with KernelCells(network):
        got = network(values(2, 3, 64, 64)).asnumpy()
    assert network.feature[5][1].dwconv.kernel_takes_last
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


class Reader(nn.Cell):
    """A user's cell, which reads a stage of a network by itself."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def construct(self, x):
        return self.network.feature[1](self.network.feature[0](x))


def test_convnext_in_a_users_cell_and_edgenext_keep_their_layout():
    reader = Reader(small())
    check(reader, values(2, 3, 64, 64), ms.PYNATIVE_MODE, tolerance=1e-4)
    assert not reader.network.feature[1][0].dwconv.kernel_takes_last
    check(EdgeNeXt((1, 2, 2, 2), (8, 16, 24, 40), num_heads=2), values(2, 3, 64, 64), ms.PYNATIVE_MODE, tolerance=1e-4)
