"""Norms and clipping of gradients, and what an update is written of."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindcv.optim import create_optimizer
from mindcv.optim.gradients import are_finite, clip_adaptively, clip_to_norm, global_norm

MODES = pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])


class _Clip(nn.Cell):
    """The clipped gradients and their norm before."""

    def __init__(self, largest):
        super().__init__()
        self.largest = Tensor(largest, ms.float32)

    def construct(self, *gradients):
        norm = global_norm(gradients)
        return norm, clip_to_norm(gradients, norm, self.largest)


class _AreFinite(nn.Cell):
    def construct(self, *statistics):
        return are_finite(statistics)


@MODES
def test_the_norm_of_many_values_keeps_its_digits(mode):
    """Half of the squares' sum, `ops.L2Loss`, is off by 2e-3 here on the CPU."""
    ms.set_context(mode=mode)
    values = np.random.default_rng(0).normal(size=(2304, 1024)).astype(np.float32)
    norm, (large, half, one) = _Clip(3.0)(Tensor(values), Tensor(values[:3, :5].astype(np.float16)), Tensor([4.0]))
    parts = (values, values[:3, :5].astype(np.float16), 4.0)
    wanted = np.sqrt(sum((np.asarray(part, np.float64) ** 2).sum() for part in parts))
    np.testing.assert_allclose(norm.asnumpy(), wanted, rtol=1e-6)
    np.testing.assert_allclose(large.asnumpy(), values * (3.0 / wanted), rtol=2e-6)
    assert half.dtype == ms.float16
    np.testing.assert_allclose(one.asnumpy(), [4.0 * 3.0 / wanted], rtol=2e-6)


@MODES
def test_a_norm_below_the_largest_changes_nothing(mode):
    ms.set_context(mode=mode)
    norm, clipped = _Clip(5.5)(Tensor([[3.0], [0.0]], ms.float32), Tensor(4.0, ms.float32))
    assert norm.asnumpy() == 5.0
    np.testing.assert_array_equal(clipped[0].asnumpy(), [[3.0], [0.0]])
    assert clipped[1].asnumpy() == 4.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_value_is_enough(bad):
    values = np.ones((3, 5), np.float32)
    values[1, 2] = bad
    norm, _ = _Clip(1.0)(Tensor(values), Tensor([1.0], ms.float32))
    assert not np.isfinite(norm.asnumpy())
    assert not _AreFinite()(Tensor([1.0], ms.float32), Tensor(values)).asnumpy()
    assert _AreFinite()(Tensor([1.0], ms.float32), Tensor([3e38, 3e38], ms.float32)).asnumpy()


def test_parameters_of_one_rate_and_decay_are_one_group():
    """A tuple with a rate for each parameter would take longer to compile than the updates."""
    params = [Parameter(Tensor(np.ones((2, 2), np.float32)), name=f"p{index}") for index in range(6)]
    groups = [
        {"params": [params[4], params[0]], "lr": [0.1, 0.2], "weight_decay": 0.3},
        {"params": [params[5]], "lr": [0.1, 0.2], "weight_decay": 0.0},
        {"params": [params[1], params[2], params[3]], "weight_decay": 0.3},
        {"order_params": params},
    ]
    optimizer = create_optimizer(groups, "momentum", lr=[0.3, 0.4])
    assert optimizer.groups == (0, 1, 1, 1, 0, 2)
    rates = [float(rate.asnumpy()) for rate in optimizer.advance()]
    np.testing.assert_allclose(rates, [0.1, 0.3, 0.1], rtol=1e-6)
    np.testing.assert_allclose([float(decay.asnumpy()) for decay in optimizer.decays()], [0.3, 0.3, 0.0], rtol=1e-6)
    assert create_optimizer(params, "adamw", lr=0.1).groups == (0,) * 6


@MODES
@pytest.mark.parametrize("shape", [(4, 3, 2, 2), (4, 3), (5,), ()])
def test_adaptive_clipping_is_the_papers(shape, mode):
    """Equation 3 of arXiv 2102.06171, row by row; a row of zeros may have a gradient of 1e-3 times the factor."""
    ms.set_context(mode=mode)
    random = np.random.RandomState(2)
    weight, gradient = (
        random.standard_normal(shape),
        10.0 ** random.uniform(-3, 1, shape) * random.standard_normal(shape),
    )
    weight, gradient = np.array(weight), np.array(gradient)
    if len(shape) > 1:
        weight[0] = 0
        gradient[1] = 0
    axes = tuple(range(1, len(shape))) or None
    norms = [np.sqrt((x**2).sum(axes, keepdims=True)) for x in (weight, gradient)]
    longest = 0.02 * np.maximum(norms[0], 1e-3)
    expected = np.where(norms[1] > longest, gradient * longest / np.maximum(norms[1], 1e-6), gradient).reshape(shape)
    given = [Tensor(x.astype(np.float32)) for x in (weight, gradient)]
    got = clip_adaptively(Tensor(0.02, ms.float32), True, *given).asnumpy()
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-9)
    assert np.array_equal(clip_adaptively(Tensor(0.02, ms.float32), False, *given).asnumpy(), given[1].asnumpy())
