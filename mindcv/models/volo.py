"""VOLO.

VOLO: Vision Outlooker for Visual Recognition, arXiv:2106.13112

Reference implementations: MindCV (parameter names; GELU by tanh, 1e-7 in the norms, and an auxiliary head that it does
not use, see `act`, `norm_eps` and `aux_weight`; it does not run on the CPU) and timm.
"""

from collections.abc import Sequence
from functools import partial

from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Initializer, initializer

from mindcv.weights.resize import Planes

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    FAN_IN_UNIFORM,
    TRUNC_NORMAL,
    ClassAttention,
    Mlp,
    TransformerBlock,
    as_pair,
    batch_norm2d,
    classifier_head,
    conv2d,
    dense,
    drop_path_rates,
    dropout,
    head_size,
    layer_norm,
    prepend_token,
    require_image_size,
    split_heads,
    tokens,
    tokens_as_map,
)
from .published.volo import WEIGHTS

__all__ = [
    "VOLO",
    "volo_d1",
    "volo_d2",
    "volo_d3",
    "volo_d4",
    "volo_d5",
]

_head = partial(classifier_head, weight_init=TRUNC_NORMAL)


def three_of_rows(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns for every second row the rows before it, itself and behind it: (N, H, W, C) to three (N, H / 2, W, C).

    In front of the first row there is nothing.
    """
    _, height, width, dim = x.shape
    pairs = x.reshape((-1, height // 2, 2, width, dim))
    even, odd = pairs[:, :, 0], pairs[:, :, 1]
    return ops.concat((odd[:, :1] * 0, odd[:, :-1]), 1), even, odd


def rows_of_three(before: Tensor, own: Tensor, behind: Tensor) -> Tensor:
    """Adds up what `three_of_rows` took apart: three (N, H, W, C) to (N, 2 H, W, C)."""
    _, height, width, dim = own.shape
    between = behind + ops.concat((before[:, 1:], before[:, -1:] * 0), 1)
    return ops.concat((own, between), 2).reshape((-1, 2 * height, width, dim))


def _turn(x: Tensor) -> Tensor:
    """Rows become columns: (N, H, W, C) to (N, W, H, C)."""
    return ops.transpose(x, (0, 2, 1, 3))


class OutlookAttention(nn.Cell):
    """Attention in windows of 3x3 pixels at every second pixel, told by their mean of 2x2 (section 3.1).

    (N, H, W, C) to the same, H and W even.

    Args:
        dim: Channels.
        num_heads: Number of heads; divides `dim`.
        attn_drop_rate: Dropout of the attention's weights.
    """

    def __init__(self, dim: int, num_heads: int, attn_drop_rate: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_size(dim, num_heads)
        self.scale = self.head_dim**-0.5
        self.v = dense(dim, dim, False, weight_init=TRUNC_NORMAL)
        self.attn = dense(dim, 81 * num_heads, weight_init=TRUNC_NORMAL)
        self.softmax = nn.Softmax(axis=-1)
        self.attn_drop = dropout("attn_drop_rate", attn_drop_rate)
        self.proj = dense(dim, dim, weight_init=TRUNC_NORMAL)

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the windows' products; those of the layers are their own."""
        return shape[0] * (shape[1] // 2) * (shape[2] // 2) * 81 * shape[3]

    def construct(self, x: Tensor) -> Tensor:
        _, height, width, dim = x.shape
        rows, columns, heads = height // 2, width // 2, self.num_heads
        above, own, below = three_of_rows(self.v(x))
        above, own, below = three_of_rows(_turn(above)), three_of_rows(_turn(own)), three_of_rows(_turn(below))
        value = ops.concat((*above, *own, *below), 3).reshape((-1, columns, rows, 9, heads, self.head_dim))
        value = ops.transpose(value, (0, 2, 1, 4, 3, 5)).reshape((-1, 9, self.head_dim))
        mean = x.reshape((-1, rows, 2, columns, 2, dim)).mean((2, 4))
        weights = self.attn_drop(self.softmax(self.attn(mean).reshape((-1, 9, 9)) * self.scale))
        out = ops.matmul(weights, value).reshape((-1, rows, columns, heads, 9, self.head_dim))
        out = ops.transpose(out, (4, 0, 2, 1, 3, 5)).reshape((9, -1, columns, rows, dim))
        above = _turn(rows_of_three(out[0], out[1], out[2]))
        own = _turn(rows_of_three(out[3], out[4], out[5]))
        below = _turn(rows_of_three(out[6], out[7], out[8]))
        return self.proj(rows_of_three(above, own, below))


class Outlooker(nn.Cell):
    """Outlook attention, then an MLP, each behind a norm and beside a shortcut (equation 1): (N, H, W, C) to the same.

    Args:
        dim: Channels.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `dim`.
        attn_drop_rate: Dropout of the attention's weights.
        act: Activation of the MLP.
        norm_eps: Added to the variance in the norms.
    """

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float, attn_drop_rate: float, act: str, norm_eps: float
    ) -> None:
        super().__init__()
        self.norm1 = layer_norm(dim, norm_eps)
        self.attn = OutlookAttention(dim, num_heads, attn_drop_rate)
        self.norm2 = layer_norm(dim, norm_eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), act=act)

    def construct(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class JointClassAttention(ClassAttention):
    """`ClassAttention` with one layer for keys and values, in front of that for queries: (N, 1 + L, D) to (N, 1, D)."""

    def add_layers(self, dim: int, bias: bool, weight_init: str | Initializer) -> None:
        """Adds what makes keys and values, and queries."""
        self.kv = dense(dim, 2 * dim, bias, weight_init=weight_init)
        self.q = dense(dim, dim, bias, weight_init=weight_init)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the class token's query, and keys and values of all tokens."""
        kv, dim = self.kv(x), x.shape[2]
        key, value = split_heads(kv[:, :, :dim], self.num_heads), split_heads(kv[:, :, dim:], self.num_heads)
        return split_heads(self.q(x[:, :1]), self.num_heads), key, value


class ClassBlock(nn.Cell):
    """Attention of the class token to all tokens, then an MLP, behind norms: (N, 1 + L, D) to the same.

    Args:
        dim: Size of a token.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `dim`.
        attn_drop_rate: Dropout of the attention's weights.
        act: Activation of the MLP.
        norm_eps: Added to the variance in the norms.
    """

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float, attn_drop_rate: float, act: str, norm_eps: float
    ) -> None:
        super().__init__()
        self.norm1 = layer_norm(dim, norm_eps)
        self.attn = JointClassAttention(dim, num_heads, False, attn_drop_rate)
        self.norm2 = layer_norm(dim, norm_eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), act=act)

    def construct(self, x: Tensor) -> Tensor:
        token = x[:, :1] + self.attn(self.norm1(x))
        token = token + self.mlp(self.norm2(token))
        return ops.concat((token, x[:, 1:]), 1)


class PatchStem(nn.Cell):
    """Three convolutions and patches of their result: (N, in_channels, H, W) to (N, H / 8, W / 8, D).

    Args:
        in_channels: Channels of the image.
        hidden_dim: Channels of the convolutions.
        dim: Channels of the result.
    """

    def __init__(self, in_channels: int, hidden_dim: int, dim: int) -> None:
        super().__init__()
        cells: list[nn.Cell] = []
        for index in range(3):
            conv = conv2d(hidden_dim, hidden_dim, 3, 1, 1) if index else conv2d(in_channels, hidden_dim, 7, 2, 3)
            cells += [conv, batch_norm2d(hidden_dim), nn.ReLU()]
        self.conv = nn.SequentialCell(cells)
        self.proj = conv2d(hidden_dim, dim, 4, 4, bias=True, weight_init=FAN_IN_UNIFORM)

    def construct(self, x: Tensor) -> Tensor:
        return ops.transpose(self.proj(self.conv(x)), (0, 2, 3, 1))


class Downsample(nn.Cell):
    """Patches of 2x2 pixels: (N, H, W, C) to (N, H / 2, W / 2, D).

    Args:
        dim: Channels of the input.
        out_dim: Channels of the output.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.proj = conv2d(dim, out_dim, 2, 2, bias=True, weight_init=FAN_IN_UNIFORM)

    def construct(self, x: Tensor) -> Tensor:
        return ops.transpose(self.proj(ops.transpose(x, (0, 3, 1, 2))), (0, 2, 3, 1))


class VOLO(ImageClassifier):
    """VOLO: (N, in_channels, *image_size) to (N, num_classes).

    Args:
        image_size: Side of the images, or (height, width): multiples of 16.
        layers: Number of blocks in each of four stages; the first are outlookers, the others transformers.
        embed_dims: Channels of the outlookers and of the transformers.
        num_heads: Heads of the attention of both.
        mlp_ratio: Size of the MLPs' hidden layer over the channels.
        stem_hidden_dim: Channels of the stem's convolutions.
        num_classes: Number of classes; 0 leaves the heads out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pos_drop_rate: Dropout behind the position embeddings.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last transformer block; outlookers have none.
        act: Activation of the weights' MLPs, "gelu_tanh" (MindCV) or "gelu" (timm).
        norm_eps: Added to the variance in the weights' norms, 1e-7 (MindCV) or 1e-5 (timm).
        aux_weight: What the largest of the patches' own logits counts beside the class token's: 0 (MindCV, which then
            does not train their head) or 0.5 (timm).

    Raises:
        ValueError: An image whose sides are no multiples of 16, or another argument that cannot be.
    """

    reads_image, gives_logits = ("patch_embed.conv.0",), ("head", "aux_head")
    torch_arguments = {"act": "gelu", "norm_eps": 1e-5, "aux_weight": 0.5}
    file_arguments = ("act", "norm_eps", "aux_weight")
    resized = {"pos_embed": Planes(is_channels_last=True)}
    not_decayed = ("cls_token", "pos_embed")

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        layers: Sequence[int] = (4, 4, 8, 2),
        embed_dims: Sequence[int] = (192, 384),
        num_heads: Sequence[int] = (6, 12),
        mlp_ratio: float = 3.0,
        stem_hidden_dim: int = 64,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act: str = "gelu_tanh",
        norm_eps: float = 1e-7,
        aux_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if len(layers) != 4 or len(embed_dims) != 2 or len(num_heads) != 2:
            raise ValueError(
                f"VOLO has four stages of two kinds; got layers {list(layers)}, embed_dims {list(embed_dims)} and "
                f"num_heads {list(num_heads)}"
            )
        self.image_size = height, width = as_pair(image_size)
        if min(self.image_size) < 16 or height % 16 or width % 16:
            raise ValueError(f"image_size is {height}x{width}; give multiples of 16")
        self.act, self.norm_eps, self.aux_weight = act, norm_eps, aux_weight
        dim = self.dim = embed_dims[1]
        self.grid_size = (height // 16, width // 16)
        self.pos_embed = Parameter(initializer(TRUNC_NORMAL, (1, *self.grid_size, dim)))
        self.cls_token = tokens(1, dim)
        self.patch_embed = PatchStem(in_channels, stem_hidden_dim, embed_dims[0])
        self.pos_drop = dropout("pos_drop_rate", pos_drop_rate)
        outlooker = partial(Outlooker, embed_dims[0], num_heads[0], mlp_ratio, attn_drop_rate, act, norm_eps)
        transformer = partial(
            TransformerBlock,
            *(dim, num_heads[1], mlp_ratio, False, 0.0, attn_drop_rate),
            act=act,
            norm_eps=norm_eps,
        )
        rates = drop_path_rates(drop_path_rate, layers)
        stages = [nn.SequentialCell([transformer(drop_path_rate=rate) for rate in stage]) for stage in rates[1:]]
        self.network = nn.CellList(
            [nn.SequentialCell([outlooker() for _ in range(layers[0])]), Downsample(*embed_dims), *stages]
        )
        self.post_network = nn.CellList(
            [ClassBlock(dim, num_heads[1], mlp_ratio, attn_drop_rate, act, norm_eps) for _ in range(2)]
        )
        self.aux_head = _head(dim, num_classes)
        self.norm = layer_norm(dim, norm_eps)
        self.add_head(dim, num_classes, drop_rate, name="head", pool="token", make=_head)
        blocks = [
            (self.network[1], block) if index == 2 and not position else block
            for index in (0, 2, 3, 4)
            for position, block in enumerate(self.network[index])
        ]
        maps: list[tuple[str | tuple[str, ...], int, int]] = [
            ("network.0", embed_dims[0], 8),
            (("network.1", "network.2"), dim, 16),
            ("network.3", dim, 16),
            ("network.4", dim, 16),
        ]
        self.describe(
            [*blocks, *self.post_network], maps, tail=("post_network", "norm"), further_heads={"aux_head": dim}
        )

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the outlookers' map, (N, H / 8, W / 8, C), and three stages' tokens, (N, H / 16 * W / 16, D)."""
        require_image_size(x, self.image_size)
        x1 = self.network[0](self.patch_embed(x))
        if self.last_map == 0:
            return (x1,)
        x2 = self.pos_drop(self.network[1](x1) + self.pos_embed)
        x2 = self.network[2](x2.reshape((-1, self.grid_size[0] * self.grid_size[1], self.dim)))
        x3 = self.network[3](x2)
        return x1, x2, x3, self.network[4](x3)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of class token and patches, (N, 1 + patches, num_features)."""
        x = prepend_token(self.cls_token, self.forward_stages(x)[-1])
        for block in self.post_network:
            x = block(x)
        return self.norm(x)

    def forward_head(self, x: Tensor) -> Tensor:
        """Returns the class token's logits, with `aux_weight` times the largest of the patches' added."""
        logits = self.head(self.dropout(self.pool(x)))
        if self.aux_weight == 0 or self.num_classes == 0:
            return logits
        return logits + self.aux_weight * ops.amax(self.aux_head(x[:, 1:]), 1)

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns a stage's pixels as a map, (N, C, h, w)."""
        if index == 0:
            return ops.transpose(x, (0, 3, 1, 2))
        return tokens_as_map(x, self.grid_size)


variant = Family(VOLO, WEIGHTS).variant
# table 2
_D2 = {"embed_dims": (256, 512), "num_heads": (8, 16)}
_D4 = {"embed_dims": (384, 768), "num_heads": (12, 16)}
volo_d1 = variant("volo_d1")
volo_d2 = variant("volo_d2", layers=(6, 4, 10, 4), **_D2)
volo_d3 = variant("volo_d3", layers=(8, 8, 16, 4), **_D2)
volo_d4 = variant("volo_d4", layers=(8, 8, 16, 4), **_D4)
volo_d5 = variant("volo_d5", layers=(12, 12, 20, 4), **_D4, mlp_ratio=4.0, stem_hidden_dim=128)
