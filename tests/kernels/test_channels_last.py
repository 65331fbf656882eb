"""ResNets whose maps stay (N, H, W, C) between all cells, in fp32 and in bfloat16."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.engine import LossWithNetwork, auto_mixed_precision
from mindcv.kernels import onednn
from mindcv.kernels.batch_norm import batch_norm, batch_norm_configuration
from mindcv.kernels.cells import KernelCells, missed
from mindcv.kernels.convolution import configuration, convolution
from mindcv.kernels.operators import as_tensor
from mindcv.models.resnet import BasicBlock, Bottleneck, ResNet

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)
needs_bf16 = pytest.mark.skipif(not onednn.start().has_bf16, reason=f"no bfloat16: {onednn.start().text}")

RANDOM = np.random.RandomState(0)
IMAGES = Tensor(RANDOM.standard_normal((4, 3, 64, 64)).astype(np.float32))
LABELS = Tensor(np.arange(4, dtype=np.int32))


def small(block=Bottleneck, **arguments):
    ms.set_seed(1)
    np.random.seed(1)
    return ResNet(block, (1, 2, 1, 1), num_classes=5, channels=(8, 16, 24, 40), **arguments)


def loss_of(network):
    return LossWithNetwork(network, nn.CrossEntropyLoss()).set_train(True)


class Gradients(nn.Cell):
    def __init__(self, loss, kernel_cells):
        super().__init__(auto_prefix=False)
        self.gradients = ops.value_and_grad(loss, None, list(loss.trainable_params()))
        self.kernel_cells = kernel_cells

    def construct(self, x, y):
        return self.gradients(x, y)

    def __call__(self, x, y):
        with self.kernel_cells:
            return super().__call__(x, y)


def results(loss, kernel_cells):
    """Loss, gradients and running statistics by name, after one step; the network is as it was then."""
    before = {parameter.name: parameter.asnumpy().copy() for parameter in loss.get_parameters()}
    value, gradients = Gradients(loss, kernel_cells)(IMAGES, LABELS)
    found = {"loss": value.asnumpy()}
    found |= {p.name: g.asnumpy() for p, g in zip(loss.trainable_params(), gradients, strict=True)}
    found |= {p.name: p.asnumpy().copy() for p in loss.get_parameters() if "moving" in p.name}
    for parameter in loss.get_parameters():
        parameter.set_data(Tensor(before[parameter.name]))
    return found


def is_last(network):
    return network.layer1[0].conv1.kernel_takes_last


@pytest.mark.parametrize(
    ("block", "arguments", "mode"),
    [(Bottleneck, {"groups": 4, "base_width": 32}, ms.GRAPH_MODE), (BasicBlock, {}, ms.PYNATIVE_MODE)],
)
def test_gradients_and_statistics_are_mindspores(block, arguments, mode):
    ms.set_context(mode=mode)
    network = small(block, **arguments)
    loss = loss_of(network)
    wanted = results(loss, KernelCells(nn.Cell()))
    missed.clear()
    got = results(loss, KernelCells(loss))
    assert is_last(network)
    assert not missed
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-4 * np.abs(value).max(), err_msg=name)


def test_its_maps_and_logits_are_mindspores():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = small().set_train(False)
    wanted = [network(IMAGES), *network.forward_stages(IMAGES)]
    with KernelCells(network):
        got = [network(IMAGES), *network.forward_stages(IMAGES)]
    assert is_last(network)
    assert len(got) == 6
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == ms.float32
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=0, atol=1e-4 * np.abs(b.asnumpy()).max())


class Reader(nn.Cell):
    """A user's cell, which reads stages of a network by itself."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def construct(self, x):
        return self.network.layer1(self.network.max_pool(self.network.forward_stem(x)))


def test_parts_of_a_network_in_a_users_cell_are_run_as_they_are():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    reader = Reader(small()).set_train(False)
    wanted = reader(IMAGES).asnumpy()
    with KernelCells(reader):
        got = reader(IMAGES).asnumpy()
    assert not is_last(reader.network)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_stochastic_depth_leaves_the_layout():
    network = small(drop_path_rate=0.5)
    with KernelCells(network):
        assert not any(hasattr(cell, "kernel_fork") for _, cell in network.cells_and_names())


@needs_bf16
def test_maps_are_bfloat16_and_the_loss_is_that_of_fp32_to_two_digits():
    ms.set_context(mode=ms.GRAPH_MODE)
    network = small()
    loss = loss_of(network)
    wanted = results(loss, KernelCells(nn.Cell()))
    auto_mixed_precision(network, "O2", amp_dtype="bfloat16")
    missed.clear()
    got = results(loss, KernelCells(loss))
    assert network.layer1[0].conv1.kernel_dtype == ms.bfloat16
    assert not missed
    assert 0 < abs(got["loss"] - wanted["loss"]) < 2e-2 * wanted["loss"]
    assert {value.dtype for value in got.values()} == {np.dtype(np.float32)}
    cosines = {}
    for name in wanted:
        a, b = got[name].ravel(), wanted[name].ravel()
        error, cosines[name] = np.linalg.norm(a - b) / np.linalg.norm(b), a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        if "moving" in name:  # means are near nothing
            assert error < (3e-2 if name.endswith("mean") else 1e-2), (name, error)
    # Gradients of a random network with BatchNorm are small differences of large numbers, those of its few scales above
    # all: over seven draws of the weights the least cosine was 0.86 of a weight and 0.37 of a scale or a shift.
    assert np.median(list(cosines.values())) > 0.95
    for name, cosine in cosines.items():
        assert cosine > (0.8 if name.endswith("weight") else 0.2), (name, cosine)


@needs_bf16
def test_convolution_of_bfloat16_maps_is_that_of_fp32_maps_rounded_once():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    random = np.random.RandomState(0)
    cell = nn.Conv2d(16, 24, 3, stride=2, padding=1, pad_mode="pad", group=2)
    x, dout = (
        Tensor(random.standard_normal(shape).astype(np.float32)).astype(ms.bfloat16)
        for shape in ((2, 9, 11, 16), (2, 5, 6, 24))
    )
    found = []
    for is_half in (False, True):
        config = configuration(cell, True, True, True, is_half)
        operator, tensor = convolution(config, False), as_tensor(config)
        dtype = ms.bfloat16 if is_half else ms.float32

        def weighed(x, w, operator=operator, tensor=tensor):
            y = operator(x, w, tensor)
            return (y.astype(ms.float32) * dout.astype(ms.float32)).sum(), y

        (_, y), gradients = ops.value_and_grad(weighed, (0, 1), None, has_aux=True)(x.astype(dtype), cell.weight)
        assert (y.dtype, gradients[0].dtype, gradients[1].dtype) == (dtype, dtype, ms.float32)
        found.append([tensor.astype(ms.float32).asnumpy() for tensor in (y, *gradients)])
    for full, half in zip(*found, strict=True):
        np.testing.assert_allclose(half, full, rtol=2**-8, atol=1e-5 * np.abs(full).max())


@needs_bf16
@pytest.mark.parametrize("channels", [64, 36])  # 36: not whole vectors
@pytest.mark.parametrize("adds", [False, True])
def test_batch_norm_of_bfloat16_is_that_of_fp32_rounded_once(adds, channels):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    random = np.random.RandomState(0)
    cell = nn.BatchNorm2d(channels)

    def maps():
        return Tensor(random.standard_normal((3, 7, 5, channels)).astype(np.float32)).astype(ms.bfloat16)

    def scales(low):
        return Tensor(random.uniform(low, low + 1, channels).astype(np.float32))

    x, other, dout = maps(), maps(), maps()
    parameters = [scales(0.5), scales(-0.5), scales(-0.5), scales(0.5)]
    found = []
    for is_half in (False, True):
        config = batch_norm_configuration(cell, 1, adds, True, True, False, True, is_half)
        operator, tensor = batch_norm(config), as_tensor(config)
        dtype = ms.bfloat16 if is_half else ms.float32

        def run(x, other, gamma, beta, operator=operator, tensor=tensor):
            inputs = (x, gamma, beta, *parameters[2:], *((other,) if adds else ()), tensor)
            return operator(*inputs)

        def weighed(x, other, gamma, beta, run=run):
            return (run(x, other, gamma, beta)[0].astype(ms.float32) * dout.astype(ms.float32)).sum()

        inputs = (x.astype(dtype), other.astype(dtype), *parameters[:2])
        outputs = run(*inputs)
        gradients = ops.grad(weighed, (0, 1, 2, 3) if adds else (0, 2, 3))(*inputs)
        assert (outputs[0].dtype, gradients[0].dtype) == (dtype, dtype)
        found.append([tensor.astype(ms.float32).asnumpy() for tensor in (*outputs, *gradients)])
    for index, (full, half) in enumerate(zip(*found, strict=True)):
        # Half a unit of 8 bits; a ReLU may open or close where the sum is next to 0.
        error = np.abs(full - half) / (np.abs(full) + 0.05 * np.abs(full).max())
        assert np.mean(error > 2**-8) < 0.01, (index, error.max())
