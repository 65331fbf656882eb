"""Convolutions of few pixels that give channels last are products with the weight as it lies."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.kernels import onednn
from mindcv.kernels.convolution import configuration, convolution, kernel_names
from mindcv.kernels.operators import as_tensor

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)


def last(array):
    return Tensor(np.ascontiguousarray(array.transpose(0, 2, 3, 1)))


def first(tensor):
    return tensor.asnumpy().transpose(0, 3, 1, 2)


# 1x1 to 7x7, one pixel, strides over nothing, dilation, all kinds of padding, kernels larger than the map.
@pytest.mark.parametrize("source_last", [True, False])
@pytest.mark.parametrize(
    ("shape", "out", "settings"),
    [
        ((2, 24, 4, 5), 48, {"kernel_size": 1}),
        ((2, 24, 4, 5), 48, {"kernel_size": 1, "has_bias": True}),
        ((2, 24, 5, 4), 40, {"kernel_size": 1, "stride": 2}),
        ((3, 16, 1, 1), 48, {"kernel_size": 1}),
        ((2, 16, 2, 2), 24, {"kernel_size": 3, "pad_mode": "pad", "padding": 1}),
        ((2, 16, 4, 3), 24, {"kernel_size": 3, "pad_mode": "pad", "padding": 1, "stride": 2, "has_bias": True}),
        ((1, 16, 6, 7), 24, {"kernel_size": 3, "pad_mode": "pad", "padding": (0, 2, 1, 0), "dilation": 2}),
        ((1, 16, 7, 5), 8, {"kernel_size": (3, 1), "pad_mode": "valid", "stride": (3, 2)}),
        ((2, 8, 4, 4), 8, {"kernel_size": 7, "pad_mode": "same", "stride": 2}),
    ],
)
def test_it_equals_mindspores(shape, out, settings, source_last):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    cell = nn.Conv2d(shape[1], out, **settings)
    config = configuration(cell, source_last, True)
    operator, tensor = convolution(config, cell.has_bias), as_tensor(config)
    parameters = cell.trainable_params()
    random = np.random.RandomState(0)
    x = random.standard_normal(shape).astype(np.float32)
    source = last(x) if source_last else Tensor(x)
    wanted = cell(Tensor(x))
    dout = random.standard_normal(wanted.shape).astype(np.float32)

    def ours(x, *parameters):
        return (operator(x, *parameters, tensor) * last(dout)).sum()

    def theirs(x):
        return (cell(x) * Tensor(dout)).sum()

    _, names = kernel_names(source.shape, cell.weight.shape, config, cell.has_bias)
    assert names.count("columns:") == 3, names
    of_x, of_parameters = ops.grad(theirs, 0, parameters)(Tensor(x))
    got_x, *got_parameters = ops.grad(ours, tuple(range(1 + len(parameters))))(source, *parameters)
    got_x = first(got_x) if source_last else got_x.asnumpy()
    pairs = [(first(operator(source, *parameters, tensor)), wanted), (got_x, of_x)]
    pairs += [(got.asnumpy(), of) for got, of in zip(got_parameters, of_parameters, strict=True)]
    for got, expected in pairs:
        expected = expected.asnumpy()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(2, 9, 8, 160), (2, 8, 8, 64)])
def test_many_pixels_are_a_convolution(shape):
    cell = nn.Conv2d(shape[3], shape[3], 3, pad_mode="pad", padding=1)
    _, names = kernel_names(shape, cell.weight.shape, configuration(cell, True, True), False)
    assert "columns" not in names
