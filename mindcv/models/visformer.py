"""Visformer.

Visformer: The Vision-friendly Transformer, arXiv:2104.12533

Reference implementations: MindCV (parameter names, which are timm's too) and timm.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.weights.resize import Planes

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    DropPath,
    activation,
    as_pair,
    batch_norm2d,
    classifier_head,
    conv2d,
    drop_path_rates,
    dropout,
    planes,
    require_image_size,
)
from .layers.weight_init import HeNormal
from .published.visformer import WEIGHTS

__all__ = [
    "Visformer",
    "visformer_small",
    "visformer_small_v2",
    "visformer_tiny",
    "visformer_tiny_v2",
]

_conv2d = partial(conv2d, weight_init=HeNormal(mode="fan_out", nonlinearity="relu"))


class SpatialMlp(nn.Cell):
    """An MLP of 1x1 convolutions, with a grouped 3x3 convolution in between or without: (N, C, H, W) to the same.

    Args:
        dim: Channels.
        hidden_dim: Channels between the layers; with the 3x3 convolution 2 * `dim`.
        group: Groups of the 3x3 convolution; 0 leaves it out.
        act: Activation.
        drop_rate: Dropout behind the first and the last layer.
    """

    def __init__(self, dim: int, hidden_dim: int, group: int, act: str, drop_rate: float) -> None:
        super().__init__()
        hidden_dim = 2 * dim if group else hidden_dim
        self.has_space = bool(group)
        self.conv1 = _conv2d(dim, hidden_dim, 1)
        self.act1 = activation(act)
        self.drop1 = dropout("drop_rate", drop_rate)
        if group:
            self.conv2 = _conv2d(hidden_dim, hidden_dim, 3, 1, 1, group)
            self.act2 = activation(act)
        self.conv3 = _conv2d(hidden_dim, dim, 1)
        self.drop2 = dropout("drop_rate", drop_rate)

    def construct(self, x: Tensor) -> Tensor:
        x = self.drop1(self.act1(self.conv1(x)))
        if self.has_space:
            x = self.act2(self.conv2(x))
        return self.drop2(self.conv3(x))


class MapAttention(nn.Cell):
    """Self-attention over the pixels of a map, by 1x1 convolutions without biases: (N, C, H, W) to the same.

    Args:
        dim: Channels.
        num_heads: Number of heads.
        head_dim_ratio: Size of a head over `dim / num_heads`.
        qk_exponent: Queries and keys are each multiplied by this power of a head's size.
        attn_drop_rate: Dropout of the attention's weights.
        drop_rate: Dropout behind the projection.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        head_dim_ratio: float,
        qk_exponent: float,
        attn_drop_rate: float,
        drop_rate: float,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = round(dim // num_heads * head_dim_ratio)
        self.inner_dim = self.head_dim * num_heads
        self.scale = self.head_dim**qk_exponent
        self.qkv = _conv2d(dim, 3 * self.inner_dim, 1)
        self.softmax = nn.Softmax(axis=-1)
        self.attn_drop = dropout("attn_drop_rate", attn_drop_rate)
        self.proj = _conv2d(self.inner_dim, dim, 1)
        self.proj_drop = dropout("drop_rate", drop_rate)

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the two products of pixels with pixels; those of the layers are their own."""
        return 2 * shape[0] * (shape[2] * shape[3]) ** 2 * self.inner_dim

    def construct(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        qkv = self.qkv(x).reshape((-1, 3, self.num_heads, self.head_dim, height * width))
        qkv = ops.transpose(qkv, (1, 0, 2, 4, 3))
        query, key, value = qkv[0] * self.scale, qkv[1] * self.scale, qkv[2]
        weights = self.softmax(ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))))
        x = ops.transpose(ops.matmul(self.attn_drop(weights), value), (0, 1, 3, 2))
        return self.proj_drop(self.proj(x.reshape((-1, self.inner_dim, height, width))))


class Block(nn.Cell):
    """Attention, where there is some, then an MLP, each behind a norm and beside a shortcut: (N, C, H, W) to the same.

    Args:
        dim: Channels.
        attn: The attention; None leaves it out.
        mlp: The MLP.
        drop_path_rate: Probability of dropping each of the branches for a sample while training.
    """

    def __init__(self, dim: int, attn: nn.Cell | None, mlp: nn.Cell, drop_path_rate: float) -> None:
        super().__init__()
        self.has_attn = attn is not None
        if attn is not None:
            self.norm1 = batch_norm2d(dim)
            self.attn = attn
            self.drop_path1 = DropPath(drop_path_rate)
        self.norm2 = batch_norm2d(dim)
        self.mlp = mlp
        self.drop_path2 = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        if self.has_attn:
            x = x + self.drop_path1(self.attn(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))


class Place(nn.Cell):
    """Adds a table of positions: (N, C, H, W) and (1, C, H, W) to (N, C, H, W).

    Args:
        drop_rate: Dropout behind it.
    """

    def __init__(self, drop_rate: float) -> None:
        super().__init__()
        self.drop = dropout("pos_drop_rate", drop_rate)

    def construct(self, x: Tensor, table: Tensor) -> Tensor:
        return self.drop(x + table)


class Visformer(ImageClassifier):
    """Visformer: (N, in_channels, *image_size) to (N, num_classes).

    Args:
        image_size: Side of the images, or (height, width): multiples of 32.
        init_channels: Channels of the stem.
        embed_dim: Channels of the third stage; the others have a quarter, half and twice as many.
        depths: Number of blocks of the four stages; the first may have none, and is left out then.
        num_heads: Heads of the attention in each stage.
        mlp_ratio: Channels of the MLP's hidden layer over those of the stage.
        attention: Whether the blocks of each stage have attention ("0011").
        spatial_conv: Whether the MLPs of each stage have a 3x3 convolution ("1100").
        group: Groups of that convolution.
        qk_exponent: Queries and keys are each multiplied by this power of a head's size.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pos_drop_rate: Dropout behind the position embeddings.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        act: Activation of the weights' MLPs, "gelu_tanh" (MindCV) or "gelu" (timm).

    Raises:
        ValueError: An image whose sides are no multiples of 32, or another argument that cannot be.
    """

    reads_image, gives_logits = ("stem.0",), ("head",)
    torch_arguments = {"act": "gelu"}
    file_arguments = ("act",)
    resized = {"pos_embed*": Planes()}
    not_decayed = ("pos_embed*",)

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        init_channels: int = 32,
        embed_dim: int = 384,
        depths: Sequence[int] = (0, 7, 4, 4),
        num_heads: Sequence[int] = (6, 6, 6, 6),
        mlp_ratio: float = 4.0,
        attention: str = "0011",
        spatial_conv: str = "1100",
        group: int = 8,
        qk_exponent: float = -0.25,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act: str = "gelu_tanh",
    ) -> None:
        super().__init__()
        if not len(depths) == len(num_heads) == len(attention) == len(spatial_conv) == 4:
            raise ValueError(
                f"Visformer has four stages; got depths {list(depths)}, num_heads {list(num_heads)}, attention "
                f"{attention!r} and spatial_conv {spatial_conv!r}"
            )
        self.act = act
        self.image_size = as_pair(image_size)
        height, width = self.image_size
        if min(self.image_size) < 32 or height % 32 or width % 32:
            raise ValueError(f"image_size is {height}x{width}; give multiples of 32")
        self.stages = tuple(stage for stage in range(4) if depths[stage] or stage)
        self.stem = nn.SequentialCell(
            _conv2d(in_channels, init_channels, 7, 2, 3), batch_norm2d(init_channels), activation("relu")
        )
        rates = drop_path_rates(drop_path_rate, depths)
        channels, reduction = init_channels, 2
        blocks: list[nn.Cell | tuple[nn.Cell, nn.Cell]] = []
        maps = []
        for stage in self.stages:
            dim = embed_dim * 2**stage // 4
            ratio = min(2**stage / 4, 1.0)
            patch_size = 2 ** (stage + 2) // reduction
            reduction *= patch_size
            proj = _conv2d(channels, dim, patch_size, patch_size, bias=True)
            embed = nn.SequentialCell(OrderedDict(proj=proj, norm=batch_norm2d(dim)))
            cells = [
                Block(
                    dim,
                    MapAttention(dim, num_heads[stage], ratio, qk_exponent, attn_drop_rate, proj_drop_rate)
                    if attention[stage] == "1"
                    else None,
                    SpatialMlp(
                        dim, int(dim * mlp_ratio), group if spatial_conv[stage] == "1" else 0, act, proj_drop_rate
                    ),
                    rate,
                )
                for rate in rates[stage]
            ]
            setattr(self, f"pos_embed{stage}", planes(dim, (height // reduction, width // reduction)))
            setattr(self, f"patch_embed{stage}", embed)
            setattr(self, f"place{stage}", Place(pos_drop_rate))
            setattr(self, f"stage{stage}", nn.SequentialCell(cells))
            blocks += [(embed, cells[0]), *cells[1:]]
            maps.append(((f"patch_embed{stage}", f"place{stage}", f"stage{stage}"), dim, reduction))
            channels = dim
        self.norm = batch_norm2d(channels)
        self.add_head(
            channels, num_classes, drop_rate, name="head", make=partial(classifier_head, weight_init=TRUNC_NORMAL)
        )
        self.describe(blocks, maps, tail=("norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the stages: sides of 1/4 (where the first stage has blocks), 1/8, 1/16 and 1/32."""
        require_image_size(x, self.image_size)
        x = self.stem(x)
        outputs = []
        if 0 in self.stages:
            x = self.stage0(self.place0(self.patch_embed0(x), self.pos_embed0))
            outputs.append(x)
        x = self.stage1(self.place1(self.patch_embed1(x), self.pos_embed1))
        outputs.append(x)
        x = self.stage2(self.place2(self.patch_embed2(x), self.pos_embed2))
        outputs.append(x)
        outputs.append(self.stage3(self.place3(self.patch_embed3(x), self.pos_embed3)))
        return tuple(outputs)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the last map, (N, num_features, h, w)."""
        return self.norm(self.forward_stages(x)[-1])


variant = Family(Visformer, WEIGHTS).variant
# table 6; V2 is the authors' later version (github.com/danczs/Visformer)
_v2 = partial(variant, qk_exponent=-0.5)
visformer_tiny = variant("visformer_tiny", init_channels=16, embed_dim=192, num_heads=(3, 3, 3, 3), drop_path_rate=0.03)
visformer_small = variant("visformer_small", drop_path_rate=0.1)
visformer_tiny_v2 = _v2(
    "visformer_tiny_v2",
    init_channels=24,
    embed_dim=192,
    depths=(1, 4, 6, 3),
    num_heads=(1, 3, 6, 12),
    drop_path_rate=0.03,
)
visformer_small_v2 = _v2(
    "visformer_small_v2", embed_dim=256, depths=(1, 10, 14, 3), num_heads=(2, 4, 8, 16), drop_path_rate=0.1
)
