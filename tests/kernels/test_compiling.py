"""`KernelCells.compile`: a graph without questions where the kernels have all, else one with MindSpore's part."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.kernels import onednn
from mindcv.kernels.cells import KernelCells, missed

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)


class Net(nn.Cell):
    """All kinds of cells; what `cast` gives goes through a GELU, and pooling gets (C, H, W) where `is_flat` is set."""

    def __init__(self, dtype=ms.float32, is_flat=False):
        super().__init__()
        self.features = nn.SequentialCell(nn.Conv2d(3, 4, 3, has_bias=True), nn.BatchNorm2d(4), nn.ReLU())
        self.pool = nn.MaxPool2d(2, 2)
        self.act = nn.GELU()
        self.head = nn.Dense(4, 5)
        self.dtype = dtype
        self.is_flat = is_flat

    def construct(self, x):
        y = self.features(x)
        y = ops.stack([self.pool(y[0]), self.pool(y[1])]) if self.is_flat else self.pool(y)
        y = ops.cast(self.act(ops.cast(y, self.dtype)), ms.float32)
        return self.head(y.mean((2, 3)))


@pytest.fixture(autouse=True)
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)
    missed.clear()
    yield
    missed.clear()


def images(side=8):
    return Tensor(np.random.RandomState(side).standard_normal((2, 3, side, side)).astype(np.float32))


def check(network, kernel_cells, x, graphs):
    """Compiles into so many graphs, and gives what MindSpore's cells give."""
    was_missed = missed.copy()
    with KernelCells(nn.Cell()):
        ms.set_context(mode=ms.PYNATIVE_MODE)
        wanted = network(x).asnumpy()
        ms.set_context(mode=ms.GRAPH_MODE)
    assert missed == was_missed
    with kernel_cells:
        assert kernel_cells.compile(network, (x,)) == graphs
        got = network(x).asnumpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_cells_ask_nothing_where_the_kernels_have_all(monkeypatch):
    network = Net().set_train(False)
    asked = []
    monkeypatch.setattr("mindcv.kernels.classes._takes_in_graph", asked.append)
    kernel_cells = KernelCells(network)
    check(network, kernel_cells, images(), 1)
    assert not asked
    assert not missed
    assert type(network.head) is nn.Dense


def test_other_shapes_and_training_are_other_graphs():
    network = Net().set_train(False)
    kernel_cells = KernelCells(network)
    check(network, kernel_cells, images(8), 1)
    check(network, kernel_cells, images(10), 1)
    check(network, kernel_cells, images(8), 0)
    network.set_train(True)
    mean = network.features[1].moving_mean.asnumpy().copy()
    with kernel_cells:
        assert kernel_cells.compile(network, (images(8),)) == 1
        network(images(8))
    assert np.abs(network.features[1].moving_mean.asnumpy() - mean).max() > 1e-3
    network.set_train(False)
    check(network, kernel_cells, images(8), 0)
    assert not missed


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"dtype": ms.float16}, {"GELU of (2, 4, 4, 4), not in fp32": 1}),
        ({"is_flat": True}, {"max pooling of (4, 8, 8)": 1}),
    ],
)
def test_what_the_kernels_do_not_have_is_left_to_mindspore_and_counted(options, left):
    for _ in range(2):  # another network too: MindSpore must not remember what the first one's shapes gave
        missed.clear()
        network = Net(**options).set_train(False)
        kernel_cells = KernelCells(network)
        check(network, kernel_cells, images(), 2)
        assert missed == left
        check(network, kernel_cells, images(10), 1)  # asked at once


def test_sizes_known_only_when_it_runs():
    network = Net().set_train(False)
    x = images()
    wanted = network(x).asnumpy()
    network.set_inputs(Tensor(shape=[2, 3, None, None], dtype=ms.float32))
    kernel_cells = KernelCells(network)
    with kernel_cells:
        assert kernel_cells.compile(network, (x,)) == 2
        np.testing.assert_allclose(network(x).asnumpy(), wanted, rtol=1e-4, atol=1e-4)
    assert missed["convolution of a shape known only when it runs"] == 1


def test_a_networks_own_error_is_raised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MindSpore writes there what failed

    class Wrong(Net):
        def construct(self, x):
            return ops.matmul(self.features(x), ops.ones((3, 3)))

    network = Wrong().set_train(False)
    kernel_cells = KernelCells(network)
    with kernel_cells, pytest.raises(RuntimeError, match="MatMulExt"):
        kernel_cells.compile(network, (images(),))
    assert type(network.head) is nn.Dense
