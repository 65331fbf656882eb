"""Dense layers by the kernels equal MindSpore's own."""

import mindspore as ms
import numpy as np
import pytest
from kernel_gradients import Gradients
from mindspore import Tensor, nn

from mindcv.kernels import cells, onednn
from mindcv.kernels.cells import KernelCells

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.first = nn.Dense(24, 40, activation="relu")
        self.second = nn.Dense(40, 7, has_bias=False)

    def construct(self, x):
        y = self.second(self.first(x))
        return (y * y * (y + 1.0)).mean(), y


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24)])
def test_they_equal_mindspores(shape, mode):
    ms.set_context(mode=mode)
    network = Net()
    x = Tensor(np.random.RandomState(0).standard_normal(shape).astype(np.float32))
    cells.missed.clear()
    found = []
    for kernel_cells in (KernelCells(nn.Cell()), KernelCells(network)):
        (value, y), (of_x, of_weights) = Gradients(network, kernel_cells)(x)
        found.append([tensor.asnumpy() for tensor in (value, y, of_x, *of_weights)])
    assert not cells.missed
    assert found[0][1].shape == (*shape[:-1], 7)
    for wanted, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    with KernelCells(network):
        assert type(network.first) is not nn.Dense
    assert type(network.first) is nn.Dense
