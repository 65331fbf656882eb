"""amp_dtype bfloat16 on a CPU that has it: products are rounded, sums and all tensors are fp32."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.engine import auto_mixed_precision
from mindcv.kernels import onednn
from mindcv.kernels.cells import KernelCells

pytestmark = pytest.mark.skipif(not onednn.start().has_bf16, reason=f"no bfloat16: {onednn.start().text}")


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        # No BatchNorm, whose gradients are small differences of large numbers
        self.row = nn.SequentialCell(
            nn.Conv2d(3, 32, 3, stride=2), nn.Conv2d(32, 32, 1), nn.Conv2d(32, 32, 3, group=32)
        )
        self.head = nn.Dense(32, 5)

    def construct(self, x):
        return self.head(self.row(x).mean((2, 3)))


class Gradients(nn.Cell):
    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        self.gradients = ops.value_and_grad(self.loss, None, list(network.trainable_params()), has_aux=True)
        self.kernel_cells = KernelCells(network)

    def loss(self, x):
        y = self.network(x)
        return (y * y * (y + 1.0)).mean(), y

    def construct(self, x):
        return self.gradients(x)

    def __call__(self, x):
        with self.kernel_cells:
            self.kernel_cells.compile(self, (x,))
            return super().__call__(x)


def gradients(network, x):
    (value, y), of_weights = Gradients(network.set_train(True))(x)
    assert {y.dtype, *(gradient.dtype for gradient in of_weights)} == {ms.float32}
    return [tensor.asnumpy() for tensor in (value, y, *of_weights)]


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_gradients_are_those_of_fp32_to_two_digits(mode):
    ms.set_context(mode=mode)
    network = Net()
    x = Tensor(np.random.RandomState(0).standard_normal((4, 3, 18, 18)).astype(np.float32))
    wanted = gradients(network, x)
    assert auto_mixed_precision(network, "O2", amp_dtype="bfloat16") is network
    got = gradients(network, x)
    for index, (a, b) in enumerate(zip(got, wanted, strict=True)):
        error = np.linalg.norm(a - b) / np.linalg.norm(b)
        assert 1e-5 < error < 2e-2, (index, error)


def test_a_level_leaves_out_what_its_list_says():
    network = Net()
    auto_mixed_precision(network, "O1", "nn.Dense", amp_dtype="bfloat16")
    assert network.head.kernel_in_bf16
    assert not hasattr(network.row[2], "kernel_in_bf16")
    with pytest.raises(ValueError, match=r"the CPU kernels have it at amp_level O1 and O2\)"):
        auto_mixed_precision(Net(), "O3", amp_dtype="bfloat16")
