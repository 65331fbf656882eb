"""The operators over lists of tensors against numpy, in both modes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindcv import kernels
from mindcv.kernels.multi_tensor import has_kernels, operator

pytestmark = pytest.mark.skipif(not kernels.built_library("multi_tensor"), reason="the kernels were not built")
MODES = pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
# Less than a chunk, some chunks with a rest, enough for threads, a scalar.
SHAPES = ((3, 4), (5,), (300, 701), ())


def arrays(seed):
    random = np.random.default_rng(seed)
    return [np.asarray(random.normal(size=shape), np.float32) for shape in SHAPES]


def parameters(values, name):
    return ms.ParameterTuple(
        [ms.Parameter(ms.Tensor(value), name=f"{name}{index}") for index, value in enumerate(values)]
    )


class Call(nn.Cell):
    """Calls an operator with parameters of its own before what it is given, and reads them before and after."""

    def __init__(self, function, targets=()):
        super().__init__()
        self.operator = operator(function)
        self.targets = targets
        self.has_targets = bool(targets)

    def construct(self, first, *tensors):
        if not self.has_targets:
            return self.operator(first, *tensors)
        before = self.targets[0] * 1.0
        done = self.operator(ops.depend(first, before), *self.targets, *tensors)
        return done, before, ops.depend(self.targets[0], done) * 1.0


@MODES
@pytest.mark.parametrize("dtype", [ms.float32, ms.float16, ms.bfloat16], ids=str)
def test_norm(mode, dtype):
    ms.set_context(mode=mode)
    tensors = [ms.Tensor(value, dtype) for value in arrays(0)]
    values = [tensor.astype(ms.float32).asnumpy().astype(np.float64) for tensor in tensors]
    expected = np.sqrt(sum((value**2).sum() for value in values))
    np.testing.assert_allclose(Call("norm")(*tensors).asnumpy(), expected, rtol=2e-7)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", [ms.float32, ms.float16, ms.bfloat16], ids=str)
def test_a_norm_is_not_finite_where_one_value_is_not(bad, dtype):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    for index in range(len(SHAPES)):
        values = arrays(0)
        values[index].flat[-1] = bad
        assert not np.isfinite(operator("norm")(*[ms.Tensor(value, dtype) for value in values]).asnumpy())


def test_all_values_of_float16_are_read_as_they_are():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    values = values[np.isfinite(values)]
    (total,) = parameters([np.zeros(values.shape, np.float32)], "sum")
    operator("accumulate")(ms.Tensor(1.0, ms.float32), total, ms.Tensor(values))
    np.testing.assert_array_equal(total.asnumpy(), values.astype(np.float32))


@MODES
@pytest.mark.parametrize("dtype", [ms.float32, ms.float16], ids=str)
def test_accumulate(mode, dtype):
    ms.set_context(mode=mode)
    sums = parameters(arrays(1), "sum")
    tensors = [ms.Tensor(value, dtype) for value in arrays(2)]
    expected = [a + np.float32(0.5) * b.asnumpy().astype(np.float32) for a, b in zip(arrays(1), tensors, strict=True)]
    norm, before, after = Call("accumulate", sums)(ms.Tensor(0.5, ms.float32), *tensors)
    for total, value in zip(sums, expected, strict=True):
        np.testing.assert_array_equal(total.asnumpy(), value)
    np.testing.assert_array_equal(before.asnumpy(), arrays(1)[0])
    np.testing.assert_array_equal(after.asnumpy(), expected[0])
    np.testing.assert_allclose(norm.asnumpy(), np.sqrt(sum((v.astype(float) ** 2).sum() for v in expected)), rtol=2e-7)


@MODES
@pytest.mark.parametrize("is_wanted", [0.0, 1.0])
def test_copy(mode, is_wanted):
    ms.set_context(mode=mode)
    targets = parameters([*arrays(1), np.array([1, 2], np.int64)], "target")
    sources = [*arrays(2), np.array([3, 4], np.int64)]
    _, _, after = Call("copy", targets)(ms.Tensor(is_wanted, ms.float32), *map(ms.Tensor, sources))
    expected = sources if is_wanted else [*arrays(1), np.array([1, 2], np.int64)]
    for target, value in zip(targets, expected, strict=True):
        np.testing.assert_array_equal(target.asnumpy(), value)
    np.testing.assert_array_equal(after.asnumpy(), expected[0])


@pytest.mark.parametrize(
    ("function", "dtypes", "shapes"),
    [
        ("norm", (ms.int32,), ((3,),)),
        ("accumulate", (ms.float32, ms.float32, ms.float32), ((), (3,), (4,))),
        ("accumulate", (ms.float32, ms.float16, ms.float16), ((), (3,), (3,))),
        ("copy", (ms.float32, ms.float32, ms.float16), ((), (3,), (3,))),
        ("copy", (ms.float32, ms.float32), ((), (3,))),
    ],
)
def test_what_does_not_fit_is_refused(function, dtypes, shapes):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    tensors = [ms.ops.ones(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    with pytest.raises(RuntimeError):
        operator(function)(*tensors).asnumpy()


def test_the_switch(monkeypatch, tmp_path):
    assert has_kernels()
    assert kernels.describe_kernels().startswith("on; multi_tensor (updates of all parameters at once): built")
    monkeypatch.setenv("MS_CUSTOM_AOT_WHITE_LIST", str(tmp_path))
    assert not has_kernels()
    monkeypatch.setenv("MS_CUSTOM_AOT_WHITE_LIST", str(kernels.built_library("multi_tensor").parent))
    assert has_kernels()
    monkeypatch.setenv("MINDCV_CPU_KERNELS", "0")
    assert not has_kernels()
    assert kernels.describe_kernels().startswith("off (MINDCV_CPU_KERNELS); ")
