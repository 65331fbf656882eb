"""Halo attention against numpy: each pixel looks at its block and the halo around it, by what they are and where."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindcv.models import create_model
from mindcv.models.halonet import HaloAttention


def by_loops(x, query_weight, kv_weight, rel_height, rel_width, heads, block, halo):
    """Attention pixel by pixel; what lies outside of the map is a pixel of zeros."""
    batch, dim, height, width = x.shape
    head_dim = dim // heads
    query = np.einsum("oc,nchw->nohw", query_weight, x).reshape(batch, heads, head_dim, height, width)
    kv = np.einsum("oc,nchw->nohw", kv_weight, x).reshape(batch, heads, 2 * head_dim, height, width)
    kv = np.pad(kv, ((0, 0), (0, 0), (0, 0), (halo, halo), (halo, halo)))
    out = np.zeros((batch, heads, head_dim, height, width))
    window = block + 2 * halo
    for row in range(height):
        for column in range(width):
            top, left = row // block * block, column // block * block
            seen = kv[:, :, :, top : top + window, left : left + window]
            key, value = seen[:, :, :head_dim], seen[:, :, head_dim:]
            own = query[:, :, :, row, column]
            down = rel_height[np.arange(window) - row % block + window - 1]
            across = rel_width[np.arange(window) - column % block + window - 1]
            scores = np.einsum("nkd,nkdij->nkij", own, key) * head_dim**-0.5
            scores += (np.einsum("nkd,id->nki", own, down))[..., None] + np.einsum("nkd,jd->nkj", own, across)[
                :, :, None
            ]
            weights = np.exp(scores - scores.max((2, 3), keepdims=True))
            weights /= weights.sum((2, 3), keepdims=True)
            out[:, :, :, row, column] = np.einsum("nkij,nkdij->nkd", weights, value)
    return out.reshape(batch, dim, height, width)


@pytest.mark.parametrize(("block", "halo", "size"), [(4, 2, (8, 12)), (2, 2, (4, 6)), (4, 3, (4, 4)), (4, 0, (8, 4))])
def test_attention_equals_loops(block, halo, size):
    generator = np.random.RandomState(0)
    attention = HaloAttention(16, 2, block, halo)
    for parameter in attention.get_parameters():
        values = generator.standard_normal(parameter.shape) * (0.5 if "rel" in parameter.name else 0.25)
        parameter.set_data(Tensor(values.astype(np.float32)))
    x = generator.standard_normal((2, 16, *size)).astype(np.float32)
    weights = [attention.q.weight.asnumpy()[:, :, 0, 0], attention.kv.weight.asnumpy()[:, :, 0, 0]]
    positions = [attention.pos_embed.rel_height.asnumpy(), attention.pos_embed.rel_width.asnumpy()]
    expected = by_loops(x, *weights, *positions, 2, block, halo)
    np.testing.assert_allclose(attention(Tensor(x)).asnumpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("halo", "side"), [(1, 4), (0, 4), (1, 8)])
def test_gradient_where_there_is_one_block(halo, side):
    """The slope along a direction, by the gradient and by two values beside it."""
    generator = np.random.RandomState(0)
    attention = HaloAttention(16, 2, 4, halo)
    x, direction = generator.standard_normal((2, 1, 16, side, side)).astype(np.float32)
    loss = lambda array: (attention(array) ** 2).sum()  # noqa: E731
    slope = float((ms.grad(loss)(Tensor(x)).asnumpy() * direction).sum())
    ahead, behind = (float(loss(Tensor(x + step * direction))) for step in (0.01, -0.01))
    assert abs(slope) > 0.1
    assert slope == pytest.approx((ahead - behind) / 0.02, rel=0.02)


def test_what_cannot_be():
    small = {"block_types": ("b", "b", "b", "ba"), "channels": (32, 32, 32, 32), "num_heads": (0, 0, 0, 2)}
    model = create_model("halonet_50t", **small, block_size=2, halo_size=1)
    with pytest.raises(ValueError, match="images of 64x96; give multiples of 64 pixels"):
        model(Tensor(np.zeros((1, 3, 64, 96), np.float32)))
    with pytest.raises(ValueError, match="halo_size is 3; give 0 to block_size, 2"):
        create_model("halonet_50t", **small, block_size=2, halo_size=3)
    with pytest.raises(ValueError, match="a stage that halves the map starts with b"):
        create_model("halonet_50t", block_types=("b", "ab", "b", "b"))
    with pytest.raises(ValueError, match="give four stages, each of a and b"):
        create_model("halonet_50t", block_types=("b", "c", "b", "b"))
