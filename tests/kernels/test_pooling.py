"""Max pooling by the kernels equals MindSpore's own, with its gradient at equal values too."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.kernels import cells, onednn
from mindcv.kernels.cells import KernelCells

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)


@pytest.mark.parametrize("pad_mode", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (2, 2), ((3, 1), (1, 2))])
def test_it_equals_mindspores(kernel, stride, pad_mode):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = nn.SequentialCell(nn.MaxPool2d(kernel, stride, pad_mode=pad_mode))
    x = np.random.RandomState(0).standard_normal((2, 3, 13, 10)).astype(np.float32)
    x = Tensor(np.maximum(x, 0))  # many zeros in one window, as behind a ReLU
    cells.missed.clear()

    def run():
        y = network(x)
        weight = Tensor(np.random.RandomState(1).standard_normal(y.shape).astype(np.float32))
        return y.asnumpy(), ops.grad(lambda image: (network(image) * weight).sum())(x).asnumpy()

    wanted = run()
    with KernelCells(network):
        assert type(network[0]) is not nn.MaxPool2d
        got = run()
    assert not cells.missed
    assert np.array_equal(got[0], wanted[0])
    np.testing.assert_allclose(got[1], wanted[1], rtol=0, atol=1e-6)
