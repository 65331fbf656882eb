"""Shared cells against numpy."""

import itertools

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.models.layers import (
    DropPath,
    GlobalAvgPooling,
    GlobalResponseNorm,
    SqueezeExciteV2,
    StemMaxPool,
    Swish,
    batch_norm2d,
    conv2d,
    drop_path_rates,
    make_divisible,
    resize_bilinear,
    resize_nearest,
)

MODES = pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def max_pool(x: np.ndarray, before: int, after: int) -> np.ndarray:
    """3x3 max pooling with stride 2, padded with minus infinity."""
    x = np.pad(x, ((0, 0), (0, 0), (before, after), (before, after)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    return windows.max(axis=(4, 5))


@MODES
def test_resize_bilinear(mode: int):
    ms.set_context(mode=mode)
    x = Tensor(np.array([[0, 4], [8, 12], [16, 20]], np.float32)[None, None])
    aligned = resize_bilinear(x, (5, 3), True).asnumpy()[0, 0]
    np.testing.assert_allclose(aligned, np.arange(5)[:, None] * 4 + np.arange(3) * 2, atol=1e-5)
    by_edges = resize_bilinear(x, (6, 4), False).asnumpy()[0, 0]
    np.testing.assert_allclose(by_edges[:, 0], [0, 2, 6, 10, 14, 16], atol=1e-5)
    np.testing.assert_allclose(by_edges[0], [0, 1, 3, 4], atol=1e-5)
    np.testing.assert_allclose(resize_bilinear(x, (1, 1), False).asnumpy()[0, 0], [[10]], atol=1e-5)


class _Nearest(nn.Cell):
    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def construct(self, x: Tensor) -> Tensor:
        return resize_nearest(x, self.size)


@MODES
@pytest.mark.parametrize("size", [(6, 8), (3, 4), (5, 7), (12, 4), (4, 3)])
def test_resize_nearest(mode: int, size: tuple[int, int]):
    ms.set_context(mode=mode)
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 4)).astype(np.float32)
    rows, columns = (np.floor(np.arange(new) * (old / new)).astype(int) for new, old in zip(size, (3, 4), strict=True))
    np.testing.assert_array_equal(_Nearest(size)(Tensor(x)).asnumpy(), x[:, :, rows][:, :, :, columns])
    gradient = ms.grad(_Nearest(size))(Tensor(x)).asnumpy()
    times = np.bincount(rows, minlength=3)[:, None] * np.bincount(columns, minlength=4)
    np.testing.assert_array_equal(gradient, np.broadcast_to(times, gradient.shape))


@MODES
@pytest.mark.parametrize(
    ("pad", "side", "before", "after"), [("same", 8, 0, 1), ("same", 7, 1, 1), ("both", 8, 1, 1), ("both", 7, 1, 1)]
)
def test_stem_max_pool(mode: int, pad: str, side: int, before: int, after: int):
    ms.set_context(mode=mode)
    x = np.maximum(np.random.randn(2, 3, side, side), 0).astype(np.float32)
    np.testing.assert_array_equal(StemMaxPool(pad)(Tensor(x)).asnumpy(), max_pool(x, before, after))


@MODES
def test_stem_max_pool_gradient(mode: int):
    ms.set_context(mode=mode)
    pool = StemMaxPool("both")
    x = np.random.permutation(64).reshape(1, 1, 8, 8).astype(np.float32) + 1

    def total(x: Tensor) -> Tensor:
        return pool(x).sum()

    gradient = ms.grad(total)(Tensor(x)).asnumpy()
    values, counts = np.unique(max_pool(x, 1, 1), return_counts=True)
    expected = np.zeros_like(x)
    for value, count in zip(values, counts, strict=True):
        expected[x == value] = count
    np.testing.assert_array_equal(gradient, expected)


@MODES
def test_swish(mode: int):
    ms.set_context(mode=mode)
    x = np.linspace(-20, 20, 41).astype(np.float32)
    np.testing.assert_allclose(Swish()(Tensor(x)).asnumpy(), x * sigmoid(x), rtol=1e-5, atol=1e-6)


@MODES
def test_squeeze_excite(mode: int):
    ms.set_context(mode=mode)
    cell = SqueezeExciteV2(6, rd_channels=4)
    x = np.random.randn(2, 6, 3, 3).astype(np.float32)
    hidden = np.maximum(x.mean((2, 3)) @ cell.conv_reduce.weight.asnumpy().T, 0)
    gate = sigmoid(hidden @ cell.conv_expand.weight.asnumpy().T)
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), x * gate[:, :, None, None], rtol=1e-4, atol=1e-5)


def test_global_avg_pooling():
    x = np.random.randn(2, 3, 5, 4).astype(np.float32)
    np.testing.assert_allclose(GlobalAvgPooling()(Tensor(x)).asnumpy(), x.mean((2, 3)), atol=1e-6)


@MODES
@pytest.mark.parametrize("rate", [0.2, 0.5])
@pytest.mark.parametrize("shape", [(4000, 2, 1, 1), (4000, 3)])
def test_drop_path(mode: int, rate: float, shape: tuple[int, ...]):
    ms.set_context(mode=mode)
    cell = DropPath(rate).set_train()
    out = cell(ms.ops.ones(shape, ms.float32)).asnumpy().reshape(4000, -1)
    assert np.all(out == out[:, :1])  # a sample is dropped as a whole
    np.testing.assert_allclose(np.unique(out), [0, 1 / (1 - rate)], rtol=1e-6)
    np.testing.assert_allclose(out.mean(), 1, atol=0.07)
    x = Tensor(np.random.randn(*shape).astype(np.float32))
    np.testing.assert_array_equal(cell.set_train(False)(x).asnumpy(), x.asnumpy())


@pytest.mark.parametrize(
    ("rate", "depths", "expected"),
    [(0.3, (1, 2, 1), [[0.0], [0.1, 0.2], [0.3]]), (0.0, (2, 1), [[0, 0], [0]]), (0.5, (1,), [[0.0]])],
)
def test_drop_path_rates(rate: float, depths: tuple[int, ...], expected: list[list[float]]):
    rates = drop_path_rates(rate, depths)
    assert [len(stage) for stage in rates] == list(depths)
    np.testing.assert_allclose([*itertools.chain(*rates)], [*itertools.chain(*expected)])


@pytest.mark.parametrize(
    ("value", "divisor", "min_value", "expected"),
    [
        (4, 8, None, 8),
        (11, 8, None, 16),
        (12, 8, None, 16),
        (32, 8, None, 32),
        (3, 4, 2, 4),
        (1, 8, 16, 16),
        (22, 8, None, 24),
    ],
)
def test_make_divisible(value: float, divisor: int, min_value: int | None, expected: int):
    assert make_divisible(value, divisor, min_value) == expected


def test_nothing_rests_on_framework_defaults():
    conv = conv2d(4, 8, 3, stride=2, padding=1, groups=2)
    assert (conv.pad_mode, conv.padding, conv.stride, conv.group, conv.has_bias) == ("pad", 1, (2, 2), 2, False)
    norm = batch_norm2d(4)
    assert norm.eps == 1e-5
    x = np.random.randn(8, 4, 3, 3).astype(np.float32) + 2
    norm.set_train()(Tensor(x))
    np.testing.assert_allclose(norm.moving_mean.asnumpy(), 0.1 * x.mean((0, 2, 3)), rtol=1e-4)


def grn(half: bool = False) -> GlobalResponseNorm:
    cell = GlobalResponseNorm(3)
    cell.gamma.set_data(Tensor(np.array([0.5, 1.0, 2.0], np.float32).reshape(1, 1, 1, 3)))
    cell.beta.set_data(Tensor(np.array([0.1, 0.2, 0.3], np.float32).reshape(1, 1, 1, 3)))
    return cell.to_float(ms.float16) if half else cell


def grn_of(x: np.ndarray) -> np.ndarray:
    energy = np.sqrt((x**2).sum((1, 2), keepdims=True))
    share = energy / (energy.mean(-1, keepdims=True) + 1e-6)
    return np.array([0.5, 1.0, 2.0]) * x * share + np.array([0.1, 0.2, 0.3]) + x


@MODES
def test_global_response_norm(mode):
    ms.set_context(mode=mode)
    x = np.random.RandomState(0).standard_normal((2, 4, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(grn()(Tensor(x)).asnumpy(), grn_of(x), rtol=1e-5, atol=1e-5)


@MODES
def test_the_gradient_of_global_response_norm_is_its_slope(mode):
    ms.set_context(mode=mode)
    cell, x = grn(), np.random.RandomState(0).standard_normal((2, 4, 5, 3))

    def total(x):
        return (cell(x) ** 2).sum()

    gradient = ms.grad(total)(Tensor(x, ms.float32)).asnumpy()
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-5
        slope = ((grn_of(x + step) ** 2).sum() - (grn_of(x - step) ** 2).sum()) / 2e-5
        np.testing.assert_allclose(gradient[place], slope, rtol=1e-4, atol=1e-4)


def test_global_response_norm_of_a_channel_of_nothing_has_a_gradient():
    """The root of 0 has an infinite slope; 0 times it would be NaN."""
    x = np.random.RandomState(0).standard_normal((2, 4, 5, 3)).astype(np.float32)
    x[..., 1] = 0
    gradient = ms.grad(grn())(Tensor(x)).asnumpy()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[..., 1], 1.0, rtol=1e-6)


def test_global_response_norm_of_a_large_map_in_half_precision():
    """The squares' sum of a channel, 90,000, is above the largest half, 65,504."""
    x = np.full((1, 30, 100, 3), 30**0.5, np.float16)
    result = grn(half=True)(Tensor(x)).asnumpy()
    np.testing.assert_allclose(result, x * np.array([1.5, 2.0, 3.0]) + np.array([0.1, 0.2, 0.3]), rtol=3e-3)
