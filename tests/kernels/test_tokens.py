"""LayerNorm and self-attention by the kernels equal MindSpore's own, with gradients, in both modes."""

import mindspore as ms
import numpy as np
import pytest
from kernel_gradients import both_ways
from mindspore import Tensor, nn

from mindcv.kernels import cells, onednn
from mindcv.kernels.cells import KernelCells
from mindcv.models.layers.attention import Attention, SplitAttention

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)


class Block(nn.Cell):
    """A norm and an attention, with parameters that are neither 0 nor 1."""

    def __init__(self, dim, heads, attention=Attention, drop_rate=0.0):
        super().__init__()
        self.norm = nn.LayerNorm((dim,), epsilon=1e-6)
        self.attn = attention(dim, heads, attn_drop_rate=drop_rate)
        random = np.random.RandomState(1)
        for parameter in self.trainable_params():
            values = random.standard_normal(parameter.shape) / np.sqrt(parameter.shape[-1]) + 0.1
            parameter.set_data(Tensor(values.astype(np.float32)))

    def construct(self, x):
        y = self.attn(self.norm(x))
        return (y * y * (y + 1.0)).mean(), y


def tokens(shape, dtype=np.float32):
    return Tensor((2 * np.random.RandomState(0).standard_normal(shape) + 1).astype(dtype))


# 37, 40 and 48: not whole vectors; (1, 1, 24): one token; 200: images in more than one chunk
@pytest.mark.parametrize(
    ("shape", "heads", "mode"),
    [
        ((3, 50, 48), 3, ms.GRAPH_MODE),
        ((5, 37, 40), 8, ms.PYNATIVE_MODE),
        ((1, 1, 24), 2, ms.PYNATIVE_MODE),
        ((7, 200, 64), 4, ms.PYNATIVE_MODE),
    ],
)
def test_they_equal_mindspores(shape, heads, mode):
    ms.set_context(mode=mode)
    network, x = Block(shape[-1], heads), tokens(shape)
    for wanted, got in zip(*both_ways(network, x), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())
    with KernelCells(network):
        assert type(network.norm).__name__ == "_LayerNorm"
        assert type(network.attn) is not Attention
    assert (type(network.norm), type(network.attn)) == (nn.LayerNorm, Attention)


def test_layer_norm_of_rows_far_from_zero_is_exact():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    x = 1000.0 + np.random.RandomState(0).standard_normal((4, 70))
    norm = nn.LayerNorm((70,), epsilon=1e-6)
    network = nn.SequentialCell(norm)
    with KernelCells(network):
        assert type(norm).__name__ == "_LayerNorm"
        y = network(Tensor(x.astype(np.float32))).asnumpy()
    wide = x.astype(np.float32).astype(np.float64)
    wanted = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=3e-4)  # the mean has the digits of fp32 at 1000


def test_attention_of_large_scores_does_not_overflow():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = Block(16, 2)
    with KernelCells(network):
        assert np.isfinite(network.attn(Tensor(np.full((1, 20, 16), 1e4, np.float32))).asnumpy()).all()
        assert np.isnan(network.attn(Tensor(np.full((1, 20, 16), np.nan, np.float32))).asnumpy()).all()


def test_what_they_do_not_have_is_left_to_mindspore():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    networks = (Block(16, 2, drop_rate=0.5), Block(16, 2, SplitAttention))
    for network in networks:
        kind = type(network.attn)
        with KernelCells(network):
            assert type(network.attn) is kind
    network = nn.SequentialCell(nn.LayerNorm((5, 16), begin_norm_axis=1, begin_params_axis=1))
    with KernelCells(network):
        assert type(network[0]) is nn.LayerNorm
    network = nn.SequentialCell(nn.LayerNorm((16,), epsilon=1e-6))
    cells.missed.clear()
    with KernelCells(network):
        network(tokens((2, 5, 16), np.float16))
    assert cells.missed == {"LayerNorm of (2, 5, 16), not in fp32": 1}
    cells.missed.clear()
