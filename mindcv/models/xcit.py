"""XCiT.

XCiT: Cross-Covariance Image Transformers, arXiv:2106.09681

Reference implementations: MindCV (parameter names, which are the authors'; GELU by tanh and attention without the
scaling of section 3.2, see `act` and `qk_norm`) and timm.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Constant, initializer

from mindcv.weights.naming import NameTable, join_rows, split_rows

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    FAN_IN_UNIFORM,
    TRUNC_NORMAL,
    Attention,
    CrossCovarianceAttention,
    DropPath,
    FourierPositions,
    Mlp,
    activation,
    batch_norm2d,
    check_rate,
    classifier_head,
    conv2d,
    conv_norm,
    dropout,
    layer_norm,
    prepend_token,
    tokens,
)
from .published.xcit import WEIGHTS

__all__ = [
    "XCiT",
    "xcit_tiny_12_p16_224",
]


class ConvPatchEmbed(nn.Cell):
    """Patches by 3x3 convolutions that halve the side each: (N, C, H, W) to (N, H / patch, W / patch, D).

    Args:
        patch_size: Side of a patch, 8 or 16.
        in_channels: Channels of the image.
        embed_dim: Size of a token.
        act: Activation between the convolutions.
    """

    def __init__(self, patch_size: int, in_channels: int, embed_dim: int, act: str) -> None:
        super().__init__()
        if patch_size not in (8, 16):
            raise ValueError(f"patch_size is {patch_size}; give 8 or 16")
        cells: list[nn.Cell] = []
        before = in_channels
        for parts in (8, 4, 2, 1) if patch_size == 16 else (4, 2, 1):
            cells += [conv_norm(before, embed_dim // parts, 3, 2, 1), activation(act)]
            before = embed_dim // parts
        self.proj = nn.SequentialCell(cells[:-1])

    def construct(self, x: Tensor) -> Tensor:
        return ops.transpose(self.proj(x), (0, 2, 3, 1))


class LocalPatchInteraction(nn.Cell):
    """Two depthwise 3x3 convolutions (section 3.3): (N, H, W, D) to the same.

    Args:
        dim: Size of a token.
        act: Activation between them.
    """

    def __init__(self, dim: int, act: str) -> None:
        super().__init__()
        self.conv1 = conv2d(dim, dim, 3, 1, 1, dim, bias=True, weight_init=FAN_IN_UNIFORM)
        self.act = activation(act)
        self.bn = batch_norm2d(dim)
        self.conv2 = conv2d(dim, dim, 3, 1, 1, dim, bias=True, weight_init=FAN_IN_UNIFORM)

    def construct(self, x: Tensor) -> Tensor:
        x = self.conv2(self.bn(self.act(self.conv1(ops.transpose(x, (0, 3, 1, 2))))))
        return ops.transpose(x, (0, 2, 3, 1))


class Block(nn.Cell):
    """Attention of channels, convolutions, an MLP, each behind a norm, scaled and beside a shortcut (figure 1).

    (N, H, W, D) to the same.

    Args:
        dim: Size of a token.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `dim`.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Probability of dropping each of the three branches for a sample while training.
        layer_scale_init_value: What the scale of each channel of a branch starts with.
        act: Activation.
        qk_norm: Whether the attention scales queries and keys.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        proj_drop_rate: float,
        attn_drop_rate: float,
        drop_path_rate: float,
        layer_scale_init_value: float,
        act: str,
        qk_norm: bool,
    ) -> None:
        super().__init__()
        self.gamma1 = Parameter(initializer(Constant(layer_scale_init_value), (dim,)))
        self.gamma2 = Parameter(initializer(Constant(layer_scale_init_value), (dim,)))
        self.gamma3 = Parameter(initializer(Constant(layer_scale_init_value), (dim,)))
        self.norm1 = layer_norm(dim)
        self.attn = CrossCovarianceAttention(dim, num_heads, attn_drop_rate, proj_drop_rate, qk_norm)
        self.drop_path1 = DropPath(drop_path_rate)
        self.norm2 = layer_norm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), act=act, drop_rate=proj_drop_rate)
        self.drop_path2 = DropPath(drop_path_rate)
        self.norm3 = layer_norm(dim)
        self.local_mp = LocalPatchInteraction(dim, act)
        self.drop_path3 = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        _, height, width, dim = x.shape
        out = self.attn(self.norm1(x).reshape((-1, height * width, dim))).reshape((-1, height, width, dim))
        x = x + self.drop_path1(self.gamma1 * out)
        x = x + self.drop_path3(self.gamma3 * self.local_mp(self.norm3(x)))
        return x + self.drop_path2(self.gamma2 * self.mlp(self.norm2(x)))


class ClassAttention(Attention):
    """Attention of the class token to all tokens (arXiv:2103.17239): (N, 1 + L, D) to (N, 1, D)."""

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the two products of the class token with all tokens."""
        return 2 * shape[0] * shape[1] * shape[2]

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the class token's query, and keys and values of all tokens."""
        query, key, value = super().heads(x)
        return query[:, :, :1], key, value


class ClassBlock(nn.Cell):
    """Class attention, then an MLP of the class token, as the authors trained it: (N, 1 + L, D) to the same.

    The other tokens are not left alone: each norm's result is added to them.

    Args:
        dim: Size of a token.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `dim`.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        layer_scale_init_value: What the scale of each channel of a branch starts with.
        act: Activation of the MLP.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        proj_drop_rate: float,
        attn_drop_rate: float,
        layer_scale_init_value: float,
        act: str,
    ) -> None:
        super().__init__()
        self.gamma1 = Parameter(initializer(Constant(layer_scale_init_value), (dim,)))
        self.gamma2 = Parameter(initializer(Constant(layer_scale_init_value), (dim,)))
        self.norm1 = layer_norm(dim)
        self.attn = ClassAttention(dim, num_heads, attn_drop_rate=attn_drop_rate, drop_rate=proj_drop_rate)
        self.norm2 = layer_norm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), act=act, drop_rate=proj_drop_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.norm1(x)
        x = self.norm2(x + self.gamma1 * ops.concat((self.attn(out), out[:, 1:]), 1))
        token = x[:, :1]
        return ops.concat((token + self.gamma2 * self.mlp(token), 2 * x[:, 1:]), 1)


class XCiT(ImageClassifier):
    """Cross-Covariance Image Transformer: (N, in_channels, H, W) to (N, num_classes), with H and W at least a patch.

    Args:
        patch_size: Side of a patch, 8 or 16.
        embed_dim: Size of a token.
        depth: Number of blocks.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `embed_dim`.
        cls_attn_layers: Number of blocks of class attention behind them.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pos_drop_rate: Dropout behind the positions.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of each block but those of class attention.
        layer_scale_init_value: What the scale of each channel of a branch starts with.
        act: Activation of the weights, "gelu_tanh" (MindCV) or "gelu" (timm).
        qk_norm: Whether the weights' attention scales queries and keys to the length 1 (timm's does, MindCV's not).

    Raises:
        ValueError: An argument that cannot be.
    """

    reads_image, gives_logits = ("patch_embed.proj.0.0",), ("head",)
    torch_names = NameTable(("pos_embed.**", "pos_embeder.**"))
    torch_arguments = {"act": "gelu", "qk_norm": True}
    file_arguments = ("act", "qk_norm")
    not_decayed = ("cls_token", "pos_embeder.*")

    def __init__(
        self,
        patch_size: int = 16,
        embed_dim: int = 192,
        depth: int = 12,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        cls_attn_layers: int = 2,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1.0,
        act: str = "gelu_tanh",
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        self.act, self.qk_norm = act, qk_norm
        self.embed_dim = embed_dim
        self.cls_token = tokens(1, embed_dim)
        self.patch_embed = ConvPatchEmbed(patch_size, in_channels, embed_dim, act)
        self.pos_drop = dropout("pos_drop_rate", pos_drop_rate)
        shared = (embed_dim, num_heads, mlp_ratio, proj_drop_rate, attn_drop_rate)
        rate = check_rate("drop_path_rate", drop_path_rate)
        self.blocks = nn.CellList([Block(*shared, rate, layer_scale_init_value, act, qk_norm) for _ in range(depth)])
        self.cls_attn_blocks = nn.CellList(
            [ClassBlock(*shared, layer_scale_init_value, act) for _ in range(cls_attn_layers)]
        )
        self.norm = layer_norm(embed_dim)
        self.add_head(
            embed_dim,
            num_classes,
            drop_rate,
            name="head",
            pool="token",
            make=partial(classifier_head, weight_init=TRUNC_NORMAL),
        )
        self.pos_embeder = FourierPositions(embed_dim, weight_init=FAN_IN_UNIFORM)
        self.describe_blocks(
            embed_dim, patch_size, tail=("cls_attn_blocks", "norm"), further_blocks=self.cls_attn_blocks
        )

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the patches' tokens behind each block, (N, rows, columns, embed_dim)."""
        x = self.pos_drop(self.pos_embeder(self.patch_embed(x)))
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return tuple(outputs)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the class token, (N, 1, embed_dim)."""
        x = self.forward_stages(x)[-1]
        x = prepend_token(self.cls_token, x.reshape((-1, x.shape[1] * x.shape[2], self.embed_dim)))
        for block in self.cls_attn_blocks:
            x = block(x)
        return self.norm(x[:, :1])

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns the tokens as a map, (N, embed_dim, rows, columns)."""
        return ops.transpose(x, (0, 3, 1, 2))

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns timm's or the authors' arrays under our names; timm's class attention has split layers."""
        return join_rows(super().from_torch(arrays), "qkv", _SPLIT)

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays by the paths of our cells under timm's names."""
        joint = {name: array for name, array in arrays.items() if name.startswith("cls_attn_blocks.")}
        others = {name: array for name, array in arrays.items() if name not in joint}
        return super().to_torch({**others, **split_rows(joint, "qkv", _SPLIT)})


_SPLIT = ("q", "k", "v")

variant = Family(XCiT, WEIGHTS).variant
# table 1
xcit_tiny_12_p16_224 = variant("xcit_tiny_12_p16_224")
