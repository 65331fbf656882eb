"""Blocks of MobileNets and EfficientNets, whose maps stay (N, H, W, C) between their cells, equal MindSpore's own."""

from functools import partial

import mindspore as ms
import numpy as np
import pytest
from kernel_gradients import Gradients
from mindspore import Tensor, nn, ops

from mindcv.kernels import cells, onednn
from mindcv.kernels.cells import KernelCells
from mindcv.kernels.convolution import configuration, convolution, kernel_names
from mindcv.kernels.operators import as_tensor
from mindcv.models.layers import InvertedResidual, SqueezeExcite, batch_norm2d
from mindcv.models.layers.conv import HE_NORMAL
from mindcv.models.layers.inverted_residual import DepthwiseSeparable, FusedInvertedResidual

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)

MODES = [ms.GRAPH_MODE, ms.PYNATIVE_MODE]


class Weighed(nn.Cell):
    """A block's output, and a number whose gradient by it is not constant."""

    def __init__(self, block):
        super().__init__()
        self.block = block
        random = np.random.RandomState(1)
        for name, parameter in self.parameters_and_names():
            values = random.standard_normal(parameter.shape) / np.sqrt(np.prod(parameter.shape[1:]))
            values = np.abs(values) + 0.5 if "moving" in name else values + 0.1
            parameter.set_data(Tensor(values.astype(np.float32)))

    def construct(self, x):
        y = self.block(x)
        return (y * y * (y + 1.0)).mean(), y


def values(*shape):
    return Tensor(np.random.RandomState(0).standard_normal(shape).astype(np.float32))


def gate(channels, **arguments):
    return SqueezeExcite(channels, 0.5, **arguments)


HARD = partial(gate, gate_layer="hard_sigmoid")


# Channels that are not whole vectors, fewer than one has, odd sides, one pixel; gates that the kernel has and has not.
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: InvertedResidual(12, 40, 12, 5, 1, "hard_swish", batch_norm2d, HARD), (3, 12, 7, 9)),
        (lambda: InvertedResidual(8, 72, 24, 5, 2, "relu", batch_norm2d, gate, "same"), (2, 8, 15, 10)),
        (lambda: InvertedResidual(6, 6, 20, 3, 2, "relu6", batch_norm2d, None, "same"), (2, 6, 9, 9)),
        (lambda: InvertedResidual(8, 24, 8, 3, 1, "silu", batch_norm2d, partial(gate, act_layer="silu")), (2, 8, 5, 5)),
        (lambda: InvertedResidual(16, 32, 16, 7, 1, "relu", batch_norm2d, HARD), (4, 16, 1, 1)),
        (lambda: FusedInvertedResidual(8, 20, 8, 3, 1, "relu", batch_norm2d), (2, 8, 7, 6)),
        (lambda: DepthwiseSeparable(20, 33, 2, "relu", batch_norm2d, HE_NORMAL), (2, 20, 8, 9)),
    ],
)
def test_a_block_equals_mindspores(make, shape, mode):
    ms.set_context(mode=mode)
    network = Weighed(make()).set_train(True)
    layers = list(network.block.layers)
    kinds = [type(cell) for cell in layers]
    first = {name: p.asnumpy().copy() for name, p in network.parameters_and_names()}
    cells.missed.clear()
    found = []
    for kernel_cells in (KernelCells(nn.Cell()), KernelCells(network)):
        (value, y), (of_x, of_weights) = Gradients(network, kernel_cells)(values(*shape))
        running = [p for name, p in network.parameters_and_names() if "moving" in name]
        found.append([tensor.asnumpy().copy() for tensor in (value, y, of_x, *of_weights, *running)])
        for name, parameter in network.parameters_and_names():
            parameter.set_data(Tensor(first[name]))
    assert not cells.missed
    assert layers[0].kernel_last
    assert not layers[0].kernel_takes_last
    assert [type(cell) for cell in layers] == kinds
    for wanted, got in zip(*found, strict=True):
        # What the next BatchNorm divides out has a gradient near 0, of large sums.
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * max(np.abs(wanted).max(), 1e-3))


def test_maps_stay_channels_last_from_the_first_norm_to_the_last_convolution():
    network = InvertedResidual(8, 24, 8, 5, 1, "relu", batch_norm2d, HARD)
    with KernelCells(network):
        pass
    convs = [cell for cell in network.layers if isinstance(cell, nn.Conv2d)]
    norms = [cell for cell in network.layers if isinstance(cell, nn.BatchNorm2d)]
    assert [cell.kernel_takes_last for cell in convs] == [False, True, True]
    assert [cell.kernel_gives_last for cell in norms] == [True, True, False]
    excite = network.layers[network.parts["se"]]
    assert excite.kernel_what == ("squeeze and excitation",)


def test_sides_known_only_when_it_runs_are_left_to_mindspore():
    ms.set_context(mode=ms.GRAPH_MODE)
    network = InvertedResidual(8, 24, 8, 3, 1, "relu", batch_norm2d, HARD).set_train(False)
    x = values(2, 8, 6, 5)
    wanted = network(x).asnumpy()
    cells.missed.clear()
    with KernelCells(network):
        network.set_inputs(Tensor(shape=(2, 8, None, None), dtype=ms.float32))
        got = network(x).asnumpy()
    assert cells.missed["squeeze and excitation of a shape known only when it runs"] == 1
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


# Sides of the kernel that have one of ours and that have not; sides of 1, all kinds of padding, more rows than threads.
@pytest.mark.parametrize(
    ("shape", "side", "stride", "padding"),
    [
        ((3, 16, 9, 17), 5, 1, 2),
        ((2, 40, 10, 7), 5, 2, "same"),
        ((1, 23, 5, 1), 5, 1, 2),
        ((2, 33, 8, 9), 7, 1, 3),
        ((2, 17, 13, 8), 7, 2, (3, 0, 2, 1)),
        ((2, 16, 3, 3), 7, 3, "same"),
        ((2, 24, 9, 8), 3, 1, 1),
        ((2, 15, 9, 8), 5, 1, 2),
    ],
)
def test_the_gradient_of_depthwise_weights_is_mindspores(shape, side, stride, padding):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    channels = shape[1]
    pads = {"pad_mode": "same"} if padding == "same" else {"pad_mode": "pad", "padding": padding}
    cell = nn.Conv2d(channels, channels, side, stride=stride, group=channels, **pads)
    config = configuration(cell, True, True)
    operator, tensor = convolution(config, False), as_tensor(config)
    random = np.random.RandomState(0)
    x = random.standard_normal(shape).astype(np.float32)
    dout = random.standard_normal(cell(Tensor(x)).shape).astype(np.float32)

    def last(array):
        return Tensor(np.ascontiguousarray(array.transpose(0, 2, 3, 1)))

    def ours(w):
        return (operator(last(x), w, tensor) * last(dout)).sum()

    def theirs(x):
        return (cell(x) * Tensor(dout)).sum()

    _, names = kernel_names((shape[0], *shape[2:], channels), cell.weight.shape, config, False)
    is_ours = side > 3 and channels >= 16 and "AVX-512" in onednn.start().text
    assert names.endswith("depthwise:avx512") == is_ours
    (wanted,) = ops.grad(theirs, None, [cell.weight])(Tensor(x))
    got, again = (ops.grad(ours)(cell.weight).asnumpy() for _ in range(2))
    np.testing.assert_allclose(got, wanted.asnumpy(), rtol=0, atol=1e-5 * np.abs(wanted.asnumpy()).max())
    np.testing.assert_array_equal(got, again)
