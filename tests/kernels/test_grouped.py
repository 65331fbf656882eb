"""Convolutions of 3x3 in small groups with channels last equal MindSpore's own, with gradients."""

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


# Rows shorter and longer than what is summed at once, more rows than are, sides of 1, all kinds of padding.
@pytest.mark.parametrize(
    ("shape", "group", "stride", "padding", "has_bias"),
    [
        ((2, 32, 9, 17), 8, 1, 1, False),
        ((2, 32, 10, 17), 8, 2, 1, False),
        ((3, 48, 14, 15), 6, 1, 1, False),
        ((3, 48, 15, 14), 6, 2, 1, False),
        ((1, 16, 5, 1), 4, 1, 1, False),
        ((1, 16, 3, 23), 2, 2, (1, 0, 2, 1), False),
        ((2, 16, 8, 9), 4, 1, (0, 0, 2, 1), False),
        ((1, 16, 7, 8), 2, 1, 3, False),
        ((2, 16, 8, 9), 4, 2, "same", False),
        ((2, 32, 9, 17), 8, 1, 1, True),
        ((2, 16, 8, 9), 2, 2, 1, True),
    ],
)
def test_it_equals_mindspores(shape, group, stride, padding, has_bias):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    pads = {"pad_mode": "same"} if padding == "same" else {"pad_mode": "pad", "padding": padding}
    cell = nn.Conv2d(shape[1], shape[1], 3, stride=stride, group=group, has_bias=has_bias, **pads)
    config = configuration(cell, True, True)
    operator, tensor = convolution(config, has_bias), as_tensor(config)
    parameters = cell.trainable_params()
    random = np.random.RandomState(0)
    x = random.standard_normal(shape).astype(np.float32)
    wanted = cell(Tensor(x))
    dout = random.standard_normal(wanted.shape).astype(np.float32)

    def ours(x, *parameters):
        return (operator(x, *parameters, tensor) * last(dout)).sum()

    def theirs(x):
        return (cell(x) * Tensor(dout)).sum()

    _, names = kernel_names((shape[0], *shape[2:], shape[1]), cell.weight.shape, config, has_bias)
    is_wide = "AVX-512" in onednn.start().text
    assert names.count("grouped") == ((1 - has_bias) + (stride == 1) + 1 if is_wide else 0)
    of_x, of_parameters = ops.grad(theirs, 0, parameters)(Tensor(x))
    got_x, *got_parameters = ops.grad(ours, tuple(range(1 + len(parameters))))(last(x), *parameters)
    pairs = [(first(operator(last(x), *parameters, tensor)), wanted), (first(got_x), of_x)]
    pairs += [(got.asnumpy(), of) for got, of in zip(got_parameters, of_parameters, strict=True)]
    for got, expected in pairs:
        expected = expected.asnumpy()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
