"""Self-attention over tokens."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Initializer, initializer

from .conv import conv2d
from .dense import TRUNC_NORMAL, dense
from .drop import dropout
from .norm import layer_norm


def head_size(dim: int, num_heads: int) -> int:
    """Returns the size of a token's part in each head.

    Raises:
        ValueError: `num_heads` does not divide `dim`.
    """
    if dim % num_heads:
        raise ValueError(f"num_heads is {num_heads}, which does not divide the size of a token, {dim}")
    return dim // num_heads


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Splits tokens into heads: (N, L, D) to (N, heads, L, D / heads)."""
    _, length, dim = x.shape
    return ops.transpose(x.reshape((-1, length, num_heads, dim // num_heads)), (0, 2, 1, 3))


def merge_heads(x: Tensor) -> Tensor:
    """Puts the heads of tokens side by side; inverts `split_heads`."""
    _, num_heads, length, dim = x.shape
    return ops.transpose(x, (0, 2, 1, 3)).reshape((-1, length, num_heads * dim))


def unit_length(x: Tensor) -> Tensor:
    """Scales the last axis to the length 1, in float32: (..., D) to the same."""
    wide = ops.cast(x, ms.float32)  # a half cannot hold the sum of the squares of many values
    return wide / ops.sqrt(ops.maximum((wide * wide).sum(-1, keepdims=True), 1e-12))


class Attention(nn.Cell):
    """Multi-head self-attention with one layer for queries, keys and values: (N, L, D) to the same.

    Attention Is All You Need, arXiv:1706.03762.

    Args:
        dim: Size of a token.
        num_heads: Number of heads; divides `dim`.
        qkv_bias: Whether queries, keys and values have a bias.
        attn_drop_rate: Dropout of the attention's weights.
        drop_rate: Dropout behind the projection.
        weight_init: Initialiser of the weights.

    Raises:
        ValueError: `num_heads` does not divide `dim`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool = True,
        attn_drop_rate: float = 0.0,
        drop_rate: float = 0.0,
        weight_init: str | Initializer = TRUNC_NORMAL,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_size(dim, num_heads)
        self.scale = self.head_dim**-0.5
        self.add_layers(dim, qkv_bias, weight_init)
        self.softmax = nn.Softmax(axis=-1)
        self.attn_drop = dropout("attn_drop_rate", attn_drop_rate)
        self.proj = dense(dim, dim, weight_init=weight_init)
        self.proj_drop = dropout("drop_rate", drop_rate)

    def add_layers(self, dim: int, bias: bool, weight_init: str | Initializer) -> None:
        """Adds what makes queries, keys and values."""
        self.qkv = dense(dim, 3 * dim, bias, weight_init=weight_init)

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the two products of tokens with tokens; those of the layers are their own."""
        return 2 * shape[0] * shape[1] * shape[1] * shape[2]

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries, keys and values, (N, heads, L, D / heads) each."""
        qkv = self.qkv(x).reshape((-1, x.shape[1], 3, self.num_heads, self.head_dim))
        qkv = ops.transpose(qkv, (2, 0, 3, 1, 4))
        return qkv[0], qkv[1], qkv[2]

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        """Returns the softmax of the products of queries and keys, (N, heads, L, L)."""
        return self.softmax(ops.matmul(query * self.scale, ops.transpose(key, (0, 1, 3, 2))))

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Returns what each token takes of each other one, (N, heads, L, L)."""
        return self.similarity(query, key)

    def construct(self, x: Tensor) -> Tensor:
        query, key, value = self.heads(x)
        return self.proj_drop(self.proj(merge_heads(ops.matmul(self.attn_drop(self.scores(query, key)), value))))


class SplitAttention(Attention):
    """`Attention` with a layer each for queries, keys and values: (N, L, D) to the same."""

    def add_layers(self, dim: int, bias: bool, weight_init: str | Initializer) -> None:
        """Adds what makes queries, keys and values."""
        self.q = dense(dim, dim, bias, weight_init=weight_init)
        self.k = dense(dim, dim, bias, weight_init=weight_init)
        self.v = dense(dim, dim, bias, weight_init=weight_init)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries, keys and values, (N, heads, L, D / heads) each."""
        query, key = split_heads(self.q(x), self.num_heads), split_heads(self.k(x), self.num_heads)
        return query, key, split_heads(self.v(x), self.num_heads)


class ClassAttention(SplitAttention):
    """Attention of the class token to all tokens (arXiv:2103.17239, section 3.2): (N, 1 + L, D) to (N, 1, D)."""

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the two products of the class token with all tokens."""
        return 2 * shape[0] * shape[1] * shape[2]

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the class token's query, and keys and values of all tokens."""
        query, key = split_heads(self.q(x[:, :1]), self.num_heads), split_heads(self.k(x), self.num_heads)
        return query, key, split_heads(self.v(x), self.num_heads)


class ReducedAttention(Attention):
    """Self-attention over a map whose keys and values are of a smaller map (arXiv:2102.12122).

    (N, H, W, C) to the same.

    Args:
        dim: Channels.
        num_heads: Number of heads; divides `dim`.
        reduction: Side of the map over that of the smaller one.
        norm_eps: Added to the variance in the smaller map's norm.
        pad: What happens to a rest of the map: "same" pads it, "valid" leaves it out.
        attn_drop_rate: Dropout of the attention's weights.
        drop_rate: Dropout behind the projection.

    Raises:
        ValueError: `num_heads` does not divide `dim`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        reduction: int,
        norm_eps: float,
        pad: str = "same",
        attn_drop_rate: float = 0.0,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__(dim, num_heads, attn_drop_rate=attn_drop_rate, drop_rate=drop_rate)
        self.reduction = reduction
        if reduction > 1:
            self.sr = conv2d(dim, dim, reduction, reduction, "same" if pad == "same" else 0, bias=True)
            self.norm = layer_norm(dim, norm_eps)

    def add_layers(self, dim: int, bias: bool, weight_init: str | Initializer) -> None:
        """Adds what makes queries, and keys and values."""
        self.q = dense(dim, dim, bias, weight_init=weight_init)
        self.kv = dense(dim, 2 * dim, bias, weight_init=weight_init)

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the two products of pixels with pixels; those of the layers are their own."""
        pixels = shape[1] * shape[2]
        return 2 * shape[0] * pixels * (pixels // self.reduction**2) * shape[3]

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries of all pixels, keys and values of the smaller map's."""
        _, height, width, dim = x.shape
        query = split_heads(self.q(x).reshape((-1, height * width, dim)), self.num_heads)
        if self.reduction > 1:
            x = self.norm(ops.transpose(self.sr(ops.transpose(x, (0, 3, 1, 2))), (0, 2, 3, 1)))
        kv = self.kv(x).reshape((-1, x.shape[1] * x.shape[2], 2, self.num_heads, self.head_dim))
        kv = ops.transpose(kv, (2, 0, 3, 1, 4))
        return query, kv[0], kv[1]

    def construct(self, x: Tensor) -> Tensor:
        _, height, width, dim = x.shape
        return super().construct(x).reshape((-1, height, width, dim))


class CrossCovarianceAttention(nn.Cell):
    """Attention of channels to channels, whose cost grows with the number of tokens (arXiv:2106.09681, section 3.2).

    (N, L, D) to the same.

    Args:
        dim: Size of a token.
        num_heads: Number of heads; divides `dim`.
        attn_drop_rate: Dropout of the attention's weights.
        drop_rate: Dropout behind the projection.
        qk_norm: Whether each channel's queries and keys are scaled to the length 1 over the tokens.

    Raises:
        ValueError: `num_heads` does not divide `dim`.
    """

    def __init__(
        self, dim: int, num_heads: int, attn_drop_rate: float = 0.0, drop_rate: float = 0.0, qk_norm: bool = True
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_size(dim, num_heads)
        self.qk_norm = qk_norm
        self.temperature = Parameter(initializer("ones", (num_heads, 1, 1)))
        self.qkv = dense(dim, 3 * dim, weight_init=TRUNC_NORMAL)
        self.softmax = nn.Softmax(axis=-1)
        self.attn_drop = dropout("attn_drop_rate", attn_drop_rate)
        self.proj = dense(dim, dim, weight_init=TRUNC_NORMAL)
        self.proj_drop = dropout("drop_rate", drop_rate)

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the two products of channels with channels; those of the layers are their own."""
        return 2 * shape[0] * shape[1] * self.head_dim * shape[2]

    def scaled(self, x: Tensor) -> Tensor:
        """Scales each channel to the length 1 over the tokens where it is to: (N, heads, D / heads, L) in float32."""
        return unit_length(x) if self.qk_norm else ops.cast(x, ms.float32)

    def construct(self, x: Tensor) -> Tensor:
        _, length, dim = x.shape
        qkv = self.qkv(x).reshape((-1, length, 3, self.num_heads, self.head_dim))
        qkv = ops.transpose(qkv, (2, 0, 3, 4, 1))
        query, key, value = self.scaled(qkv[0]), self.scaled(qkv[1]), qkv[2]
        weights = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) * self.temperature
        weights = ops.cast(self.softmax(weights), value.dtype)
        x = ops.transpose(ops.matmul(self.attn_drop(weights), value), (0, 3, 1, 2))
        return self.proj_drop(self.proj(x.reshape((-1, length, dim))))
