"""Convolutions by the kernels: equal to MindSpore's own, in both modes, in threads and after a fork."""

import ctypes
import logging
import os
import threading

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.kernels import cells, onednn
from mindcv.kernels.cells import KernelCells
from mindcv.kernels.convolution import configuration, kernel_names
from mindcv.models.bit import StdConv2d

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)

PAD = {"pad_mode": "pad"}
# What the families have: 1x1 to 7x7, strides, dilation, groups, depthwise, all ways of padding, bias, odd sides
CASES = {
    "1x1": {"kernel_size": 1},
    "1x1 bias": {"kernel_size": 1, "has_bias": True},
    "1x1 stride 2": {"kernel_size": 1, "stride": 2},
    "1x1 groups": {"kernel_size": 1, "group": 4},
    "3x3": {"kernel_size": 3, **PAD, "padding": 1},
    "3x3 stride 2": {"kernel_size": 3, "stride": 2, **PAD, "padding": 1, "has_bias": True},
    "3x3 groups": {"kernel_size": 3, "group": 4, **PAD, "padding": 1},
    "3x3 depthwise": {"kernel_size": 3, "group": 16, **PAD, "padding": 1, "stride": 2},
    "3x3 dilation 2": {"kernel_size": 3, "dilation": 2, **PAD, "padding": 2},
    "3x3 valid": {"kernel_size": 3, "pad_mode": "valid", "stride": (2, 1)},
    "5x5 unequal padding": {"kernel_size": 5, **PAD, "padding": (1, 2, 0, 2), "has_bias": True},
    "5x5 depthwise same": {"kernel_size": 5, "group": 16, "pad_mode": "same", "stride": 2},
    "7x7 same": {"kernel_size": 7, "stride": 2, "pad_mode": "same"},
    "7x7 depthwise bias": {"kernel_size": 7, "group": 16, **PAD, "padding": 3, "has_bias": True},
    "1x7": {"kernel_size": (1, 7), "pad_mode": "same"},
}


class Branches(nn.Cell):
    """The sum of the squared outputs of several convolutions, weighed so that no gradient is alike."""

    def __init__(self, convolutions):
        super().__init__()
        self.branches = nn.CellList(convolutions)

    def construct(self, x):
        total = x.sum() * 0.0
        for branch in self.branches:
            y = branch(x)
            total = total + (y * y * (y + 1.0)).mean()
        return total


class Gradients(nn.Cell):
    """Value and gradients, by the kernels where they are given."""

    def __init__(self, network, kernel_cells=None):
        super().__init__(auto_prefix=False)
        self.network = network
        self.gradients = ops.value_and_grad(network, 0, list(network.trainable_params()))
        self.kernel_cells = kernel_cells

    def construct(self, x):
        return self.gradients(x)

    def __call__(self, x):
        if self.kernel_cells is None:
            return super().__call__(x)
        with self.kernel_cells:
            self.kernel_cells.compile(self, (x,))
            return super().__call__(x)


def gradients(network, x, kernel_cells=None):
    value, (of_x, of_weights) = Gradients(network, kernel_cells)(Tensor(x))
    return [tensor.asnumpy() for tensor in (value, of_x, *of_weights)]


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_they_equal_mindspores(mode):
    ms.set_context(mode=mode)
    rng = np.random.RandomState(0)
    network = Branches([nn.Conv2d(16, 16, **case) for case in CASES.values()])
    for parameter in network.get_parameters():
        parameter.set_data(Tensor(0.3 * rng.standard_normal(parameter.shape).astype(np.float32)))
    x = rng.standard_normal((3, 16, 13, 11)).astype(np.float32)
    names = [parameter.name for parameter in network.get_parameters()]
    cells.missed.clear()
    wanted, got = gradients(network, x), gradients(network, x, KernelCells(network))
    assert not cells.missed  # all of them ran by the kernels
    for name, a, b in zip(["loss", "x", *names], wanted, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * np.abs(a).max(), err_msg=name)
    # Outside of the block the network is what it was.
    assert {type(cell) for cell in network.branches} == {nn.Conv2d}
    assert [parameter.name for parameter in network.get_parameters()] == names


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_a_standardised_weight_equals_mindspores(mode):
    ms.set_context(mode=mode)
    network = Branches([StdConv2d(16, 16, kernel_size, stride, 1e-8) for kernel_size, stride in ((3, 2), (1, 1))])
    kernel_cells = KernelCells(network)
    with kernel_cells:
        assert {type(cell) for cell in network.branches} != {StdConv2d}
    x = np.random.RandomState(0).standard_normal((3, 16, 13, 11)).astype(np.float32)
    cells.missed.clear()
    wanted, got = gradients(network, x), gradients(network, x, kernel_cells)
    assert not cells.missed
    for a, b in zip(wanted, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * np.abs(a).max())


def test_no_reference_kernel_is_taken():
    for name, case in CASES.items():
        cell = nn.Conv2d(16, 16, **case)
        taken, kernels = kernel_names((3, 16, 13, 11), cell.weight.shape, configuration(cell), cell.has_bias)
        assert taken, name
        assert "ref" not in kernels, name
        assert len(kernels.split()) == 3, name


def test_what_they_do_not_know_falls_to_mindspore_and_is_counted():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = nn.SequentialCell(nn.Conv2d(4, 4, 3)).to_float(ms.float16)
    x = Tensor(np.ones((1, 4, 5, 5), np.float32))
    wanted = network(x).asnumpy()
    cells.missed.clear()
    with KernelCells(network):
        assert np.array_equal(network(x).asnumpy(), wanted)
    assert dict(cells.missed) == {"Conv2d in half precision": 1}


class OwnConvolution(nn.Conv2d):
    def construct(self, x):
        return super().construct(x) * 2


def test_layers_that_no_kernel_computes_are_counted(caplog):
    with KernelCells(nn.SequentialCell(nn.Dense(4, 4).to_float(ms.float16))):
        pass  # what another network leaves is not this one's
    caplog.clear()
    layers = [nn.Conv2d(4, 4, 1), OwnConvolution(4, 4, 1), OwnConvolution(4, 4, 1), nn.GroupNorm(2, 4), nn.ReLU()]
    with caplog.at_level(logging.INFO, logger="mindcv"), KernelCells(nn.SequentialCell(layers)):
        pass
    assert [record.getMessage() for record in caplog.records] == [
        "CPU kernels: 1 cells by them; left to MindSpore: OwnConvolution (2), GroupNorm (1)"
    ]


def test_a_batch_of_any_size_is_left_to_mindspore():
    ms.set_context(mode=ms.GRAPH_MODE)
    network = nn.SequentialCell(nn.Conv2d(4, 4, 3))
    x = np.random.RandomState(0).standard_normal((2, 4, 5, 5)).astype(np.float32)
    wanted = network(Tensor(x)).asnumpy()
    network.set_inputs(Tensor(shape=[None, 4, None, None], dtype=ms.float32))
    cells.missed.clear()
    with KernelCells(network):
        np.testing.assert_allclose(network(Tensor(x)).asnumpy(), wanted, atol=1e-6)
    assert dict(cells.missed) == {"convolution of a shape known only when it runs": 1}


def forward(x, w, config):
    """Calls the library as MindSpore does, and returns its result and its status."""
    y = np.full((x.shape[0], w.shape[0], *x.shape[2:]), np.nan, np.float32)
    arrays = [x, w, np.array(config, np.int64), y]
    shapes = [(ctypes.c_int64 * array.ndim)(*array.shape) for array in arrays]
    status = onednn.loaded(onednn.start().path).ConvolutionForward(
        4,
        (ctypes.c_void_p * 4)(*(array.ctypes.data for array in arrays)),
        (ctypes.c_int * 4)(*(array.ndim for array in arrays)),
        (ctypes.POINTER(ctypes.c_int64) * 4)(*(ctypes.cast(s, ctypes.POINTER(ctypes.c_int64)) for s in shapes)),
        (ctypes.c_char_p * 4)(*(str(array.dtype).encode() for array in arrays)),
        None,
        None,
    )
    return y, status


def small_problem(seed, dtype=np.float32):
    rng = np.random.RandomState(seed)
    config = configuration(nn.Conv2d(8, 8, 3, pad_mode="pad", padding=1))
    return rng.standard_normal((4, 8, 16, 16)).astype(dtype), rng.standard_normal((8, 8, 3, 3)).astype(dtype), config


def test_threads_at_once_get_what_one_gets():
    problems = [small_problem(seed) for seed in range(4)]
    wanted = [forward(*problem)[0] for problem in problems]
    got = [[] for _ in problems]

    def work(index):
        for _ in range(20):
            got[index].append(forward(*problems[index])[0])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own, want in zip(got, wanted, strict=True):
        assert len(own) == 20
        assert all(np.array_equal(y, want) for y in own)  # to the bit


def test_a_forked_process_computes_too():
    problem = small_problem(0)
    wanted = forward(*problem)[0]
    child = os.fork()
    if child == 0:
        y, status = forward(*problem)
        os._exit(0 if status == 0 and np.array_equal(y, wanted) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(forward(*problem)[0], wanted)


def test_bad_arguments_are_refused():
    x, w, config = small_problem(0, np.float16)
    assert forward(x, w, config)[1] == 102  # not fp32
    x, w, config = small_problem(0)
    assert forward(x, w[:, :3].copy(), config)[1] == 103  # channels that do not fit
