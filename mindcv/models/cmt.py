"""CMT.

CMT: Convolutional Neural Networks Meet Vision Transformers, arXiv:2107.06263

Reference implementation: MindCV (parameter names; the relative positions of equation 4 are nothing there, and so here).
"""

from collections.abc import Sequence
from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    DropPath,
    PatchConv,
    SplitAttention,
    activation,
    batch_norm2d,
    classifier_head,
    conv2d,
    drop_path_rates,
    dropout,
    layer_norm,
    split_heads,
)
from .published.cmt import WEIGHTS

__all__ = [
    "CMT",
    "cmt_base",
    "cmt_small",
    "cmt_tiny",
    "cmt_xsmall",
]

_conv2d = partial(conv2d, bias=True)
_NORM_EPS = 1e-7


class LightAttention(SplitAttention):
    """Self-attention over a map whose keys and values are of a smaller map (section 3.2): (N, H, W, C) to the same.

    Args:
        dim: Channels.
        num_heads: Number of heads; divides `dim`.
        reduction: Side of the map over that of the smaller one.
        attn_drop_rate: Dropout of the attention's weights.
        drop_rate: Dropout behind the projection.
    """

    def __init__(self, dim: int, num_heads: int, reduction: int, attn_drop_rate: float, drop_rate: float) -> None:
        super().__init__(dim, num_heads, attn_drop_rate=attn_drop_rate, drop_rate=drop_rate)
        self.reduction = reduction
        self.sr: nn.Cell = nn.Identity()
        if reduction > 1:
            conv = _conv2d(dim, dim, reduction, reduction, "same", dim)
            self.sr = nn.SequentialCell(conv, batch_norm2d(dim))

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the two products of pixels with pixels; those of the layers are their own."""
        pixels = shape[1] * shape[2]
        return 2 * shape[0] * pixels * (pixels // self.reduction**2) * shape[3]

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries of all pixels, keys and values of the smaller map's."""
        _, height, width, dim = x.shape
        query = split_heads(self.q(x).reshape((-1, height * width, dim)), self.num_heads)
        small = ops.transpose(self.sr(ops.transpose(x, (0, 3, 1, 2))), (0, 2, 3, 1))
        small = small.reshape((-1, small.shape[1] * small.shape[2], dim))
        return query, split_heads(self.k(small), self.num_heads), split_heads(self.v(small), self.num_heads)

    def construct(self, x: Tensor) -> Tensor:
        _, height, width, dim = x.shape
        return super().construct(x).reshape((-1, height, width, dim))


class ResidualMlp(nn.Cell):
    """An MLP of 1x1 convolutions with a depthwise one beside a shortcut in between (section 3.3).

    (N, C, H, W) to the same.

    Args:
        dim: Channels.
        hidden_dim: Channels between the layers.
        drop_rate: Dropout behind the first and the last layer.
    """

    def __init__(self, dim: int, hidden_dim: int, drop_rate: float) -> None:
        super().__init__()
        self.conv1 = nn.SequentialCell(_conv2d(dim, hidden_dim, 1), activation("gelu_tanh"), batch_norm2d(hidden_dim))
        self.drop1 = dropout("proj_drop_rate", drop_rate)
        self.proj = _conv2d(hidden_dim, hidden_dim, 3, 1, 1, hidden_dim)
        self.proj_act = activation("gelu_tanh")
        self.proj_bn = batch_norm2d(hidden_dim)
        self.conv2 = nn.SequentialCell(_conv2d(hidden_dim, dim, 1), batch_norm2d(dim))
        self.drop2 = dropout("proj_drop_rate", drop_rate)

    def construct(self, x: Tensor) -> Tensor:
        x = self.drop1(self.conv1(x))
        return self.drop2(self.conv2(self.proj_bn(self.proj_act(self.proj(x) + x))))


class Block(nn.Cell):
    """A depthwise convolution, attention and an MLP, each beside a shortcut (figure 2c): (N, H, W, C) to the same.

    Args:
        dim: Channels.
        num_heads: Heads of the attention.
        mlp_ratio: Channels of the MLP's hidden layer over `dim`.
        reduction: Side of the map over that which keys and values are of.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Probability of dropping attention or MLP for a sample while training.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        reduction: int,
        proj_drop_rate: float,
        attn_drop_rate: float,
        drop_path_rate: float,
    ) -> None:
        super().__init__()
        self.norm1 = layer_norm(dim, _NORM_EPS)
        self.attn = LightAttention(dim, num_heads, reduction, attn_drop_rate, proj_drop_rate)
        self.drop_path1 = DropPath(drop_path_rate)
        self.norm2 = layer_norm(dim, _NORM_EPS)
        self.mlp = ResidualMlp(dim, int(dim * mlp_ratio), proj_drop_rate)
        self.drop_path2 = DropPath(drop_path_rate)
        self.proj = _conv2d(dim, dim, 3, 1, 1, dim)

    def construct(self, x: Tensor) -> Tensor:
        x = x + ops.transpose(self.proj(ops.transpose(x, (0, 3, 1, 2))), (0, 2, 3, 1))
        x = x + self.drop_path1(self.attn(self.norm1(x)))
        out = self.mlp(ops.transpose(self.norm2(x), (0, 3, 1, 2)))
        return x + self.drop_path2(ops.transpose(out, (0, 2, 3, 1)))


class CMT(ImageClassifier):
    """CMT: (N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        embed_dims: Channels of each of the four stages.
        depths: Number of blocks in each stage.
        stem_channel: Channels of the stem.
        mlp_ratio: Channels of the MLPs' hidden layer over those of the stage.
        fc_dim: Channels in front of the classifier.
        num_heads: Heads of the attention in each stage.
        reductions: Side of the map over that which keys and values are of, in each stage.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last block; the first has 0.

    Raises:
        ValueError: An argument that cannot be.
    """

    reads_image, gives_logits = ("stem_conv1",), ("head",)
    mindcv_names = NameTable(("_fc.*", "conv_head.*"), ("_bn.*", "norm_head.*"))

    def __init__(
        self,
        embed_dims: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (3, 3, 16, 3),
        stem_channel: int = 32,
        mlp_ratio: float = 4.0,
        fc_dim: int = 1280,
        num_heads: Sequence[int] = (1, 2, 4, 8),
        reductions: Sequence[int] = (8, 4, 2, 1),
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if not len(embed_dims) == len(depths) == len(num_heads) == len(reductions) == 4:
            raise ValueError("CMT has four stages; give four embed_dims, depths, num_heads and reductions")
        for index in (1, 2, 3):
            conv = _conv2d(in_channels if index == 1 else stem_channel, stem_channel, 3, 2 if index == 1 else 1, 1)
            setattr(self, f"stem_conv{index}", conv)
            setattr(self, f"stem_relu{index}", activation("gelu_tanh"))
            setattr(self, f"stem_norm{index}", batch_norm2d(stem_channel))
        for before, dim, stage in zip((stem_channel, *embed_dims), embed_dims, _STAGES, strict=False):
            setattr(self, f"patch_embed_{stage}", PatchConv(before, dim, 2, _NORM_EPS))
        in_order: list[nn.Cell | tuple[nn.Cell, nn.Cell]] = []
        for index, (stage, rates) in enumerate(zip(_STAGES, drop_path_rates(drop_path_rate, depths), strict=True)):
            make = partial(Block, embed_dims[index], num_heads[index], mlp_ratio, reductions[index])
            blocks = nn.SequentialCell([make(proj_drop_rate, attn_drop_rate, rate) for rate in rates])
            setattr(self, f"blocks_{stage}", blocks)
            in_order += [(getattr(self, f"patch_embed_{stage}"), blocks[0]), *list(blocks)[1:]]
        self.conv_head = _conv2d(embed_dims[-1], fc_dim, 1)
        self.norm_head = batch_norm2d(fc_dim)
        self.act_head = activation("silu")
        self.add_head(
            fc_dim, num_classes, drop_rate, name="head", make=partial(classifier_head, weight_init=TRUNC_NORMAL)
        )
        maps = [
            ((f"patch_embed_{stage}", f"blocks_{stage}"), dim, 4 * 2**index)
            for index, (stage, dim) in enumerate(zip(_STAGES, embed_dims, strict=True))
        ]
        self.describe(in_order, maps, tail=("conv_head", "norm_head"))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the four stages, (N, h, w, C): sides of 1/4, 1/8, 1/16 and 1/32."""
        x = self.stem_norm1(self.stem_relu1(self.stem_conv1(x)))
        x = self.stem_norm2(self.stem_relu2(self.stem_conv2(x)))
        x = self.stem_norm3(self.stem_relu3(self.stem_conv3(x)))
        x1 = self.blocks_a(self.patch_embed_a(x))
        x2 = self.blocks_b(self.patch_embed_b(ops.transpose(x1, (0, 3, 1, 2))))
        x3 = self.blocks_c(self.patch_embed_c(ops.transpose(x2, (0, 3, 1, 2))))
        return x1, x2, x3, self.blocks_d(self.patch_embed_d(ops.transpose(x3, (0, 3, 1, 2))))

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the last map with more channels, (N, num_features, h, w)."""
        x = ops.transpose(self.forward_stages(x)[-1], (0, 3, 1, 2))
        return self.act_head(self.norm_head(self.conv_head(x)))

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns a stage's pixels as a map, (N, C, h, w)."""
        return ops.transpose(x, (0, 3, 1, 2))


_STAGES = "abcd"

variant = Family(CMT, WEIGHTS).variant
# table 1
cmt_tiny = variant("cmt_tiny", embed_dims=(46, 92, 184, 368), depths=(2, 2, 10, 2), stem_channel=16, mlp_ratio=3.6)
cmt_xsmall = variant("cmt_xsmall", embed_dims=(52, 104, 208, 416), depths=(3, 3, 12, 3), stem_channel=16, mlp_ratio=3.8)
cmt_small = variant("cmt_small")
cmt_base = variant("cmt_base", embed_dims=(76, 152, 304, 608), depths=(4, 4, 20, 4), stem_channel=38)
