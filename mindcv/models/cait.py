"""CaiT.

Going deeper with Image Transformers, arXiv:2103.17239

Reference implementations: MindCV (parameter names, which are timm's too; GELU by tanh and attention without biases, see
`act` and `attn_bias`) and timm.
"""

from functools import partial
from typing import Any

from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Constant, initializer

from mindcv.weights.resize import Tokens

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    ClassAttention,
    DropPath,
    Mlp,
    PatchEmbed,
    check_rate,
    classifier_head,
    dense,
    dropout,
    head_size,
    layer_norm,
    repeat_token,
    tokens,
    tokens_as_map,
)
from .published.cait import WEIGHTS

__all__ = [
    "CaiT",
    "cait_m36_384",
    "cait_m48_448",
    "cait_s24_224",
    "cait_s24_384",
    "cait_s36_384",
    "cait_xs24_384",
    "cait_xxs24_224",
]

_dense = partial(dense, weight_init=TRUNC_NORMAL)


class TalkingHeads(nn.Cell):
    """Self-attention whose heads are mixed before and behind the softmax (arXiv:2003.02436): (N, L, D) to the same.

    Args:
        dim: Size of a token.
        num_heads: Number of heads; divides `dim`.
        bias: Whether all its layers have biases.
        attn_drop_rate: Dropout of the attention's weights.
        drop_rate: Dropout behind the projection.
    """

    def __init__(self, dim: int, num_heads: int, bias: bool, attn_drop_rate: float, drop_rate: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_size(dim, num_heads)
        self.scale = self.head_dim**-0.5
        self.qkv = _dense(dim, 3 * dim, bias)
        self.attn_drop = dropout("attn_drop_rate", attn_drop_rate)
        self.proj = _dense(dim, dim, bias)
        self.proj_l = _dense(num_heads, num_heads, bias)
        self.proj_w = _dense(num_heads, num_heads, bias)
        self.proj_drop = dropout("drop_rate", drop_rate)
        self.softmax = nn.Softmax(axis=2)

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the two products of tokens with tokens; those of the layers are their own."""
        return 2 * shape[0] * shape[1] * shape[1] * shape[2]

    def construct(self, x: Tensor) -> Tensor:
        _, length, dim = x.shape
        qkv = ops.transpose(self.qkv(x).reshape((-1, length, 3, self.num_heads, self.head_dim)), (2, 0, 3, 1, 4))
        query, key, value = qkv[0], qkv[1], qkv[2]
        weights = ops.matmul(query * self.scale, ops.transpose(key, (0, 1, 3, 2)))
        weights = self.proj_w(self.softmax(self.proj_l(ops.transpose(weights, (0, 2, 3, 1)))))
        x = ops.matmul(self.attn_drop(ops.transpose(weights, (0, 3, 1, 2))), value)
        return self.proj_drop(self.proj(ops.transpose(x, (0, 2, 1, 3)).reshape((-1, length, dim))))


class Block(nn.Cell):
    """The cells of a block: attention, then an MLP, each behind a norm, scaled and beside a shortcut (figure 2).

    Args:
        dim: Size of a token.
        attn: The attention.
        mlp_ratio: Size of the MLP's hidden layer over `dim`.
        proj_drop_rate: Dropout in the MLP.
        drop_path_rate: Probability of dropping each of the two branches for a sample while training.
        layer_scale_init_value: What the scale of each channel of a branch starts with.
        act: Activation of the MLP.
    """

    def __init__(
        self,
        dim: int,
        attn: nn.Cell,
        mlp_ratio: float,
        proj_drop_rate: float,
        drop_path_rate: float,
        layer_scale_init_value: float,
        act: str,
    ) -> None:
        super().__init__()
        self.gamma_1 = Parameter(initializer(Constant(layer_scale_init_value), (dim,)))
        self.gamma_2 = Parameter(initializer(Constant(layer_scale_init_value), (dim,)))
        self.norm1 = layer_norm(dim)
        self.attn = attn
        self.drop_path1 = DropPath(drop_path_rate)
        self.norm2 = layer_norm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), act=act, drop_rate=proj_drop_rate)
        self.drop_path2 = DropPath(drop_path_rate)


class SelfBlock(Block):
    """Attention, then an MLP, each behind a norm, scaled and beside a shortcut: (N, L, D) to the same."""

    def construct(self, x: Tensor) -> Tensor:
        x = x + self.drop_path1(self.gamma_1 * self.attn(self.norm1(x)))
        return x + self.drop_path2(self.gamma_2 * self.mlp(self.norm2(x)))


class ClassBlock(Block):
    """The same for the class token alone, which reads all tokens: (N, L, D) and (N, 1, D) to (N, 1, D)."""

    def construct(self, x: Tensor, token: Tensor) -> Tensor:
        token = token + self.drop_path1(self.gamma_1 * self.attn(self.norm1(ops.concat((token, x), 1))))
        return token + self.drop_path2(self.gamma_2 * self.mlp(self.norm2(token)))


class CaiT(ImageClassifier):
    """Class-Attention in Image Transformers: (N, in_channels, *image_size) to (N, num_classes).

    Args:
        image_size: Side of the images, or (height, width): multiples of `patch_size`.
        patch_size: Side of a patch.
        embed_dim: Size of a token.
        depth: Number of blocks of self-attention.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `embed_dim`.
        depth_token_only: Number of blocks of class attention behind them.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pos_drop_rate: Dropout behind the position embeddings.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of each block of self-attention.
        layer_scale_init_value: What the scale of each channel of a branch starts with.
        act: Activation of the weights' MLP, "gelu_tanh" (MindCV) or "gelu" (timm).
        attn_bias: Whether the weights have biases in the attention (timm's have, MindCV's have not).

    Raises:
        ValueError: An image that is not made of whole patches, or another argument that cannot be.
    """

    reads_image, gives_logits = ("patch_embed.proj",), ("head",)
    torch_arguments = {"act": "gelu", "attn_bias": True}
    file_arguments = ("act", "attn_bias")
    resized = {"pos_embed": Tokens()}
    not_decayed = ("cls_token", "pos_embed")

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        embed_dim: int = 192,
        depth: int = 24,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        depth_token_only: int = 2,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1e-5,
        act: str = "gelu_tanh",
        attn_bias: bool = False,
    ) -> None:
        super().__init__()
        self.act, self.attn_bias = act, attn_bias
        self.embed_dim = embed_dim
        self.cls_token = tokens(1, embed_dim)
        self.patch_embed = PatchEmbed(image_size, patch_size, in_channels, embed_dim)
        self.grids = {"pos_embed": self.patch_embed.grid_size}
        self.pos_embed = tokens(self.patch_embed.num_patches, embed_dim)
        self.pos_drop = dropout("pos_drop_rate", pos_drop_rate)
        shared: dict[str, Any] = {"mlp_ratio": mlp_ratio, "layer_scale_init_value": layer_scale_init_value, "act": act}
        rate = check_rate("drop_path_rate", drop_path_rate)
        self.blocks = nn.CellList(
            [
                SelfBlock(
                    embed_dim,
                    TalkingHeads(embed_dim, num_heads, attn_bias, attn_drop_rate, proj_drop_rate),
                    proj_drop_rate=proj_drop_rate,
                    drop_path_rate=rate,
                    **shared,
                )
                for _ in range(depth)
            ]
        )
        self.blocks_token_only = nn.CellList(
            [
                ClassBlock(
                    embed_dim,
                    ClassAttention(embed_dim, num_heads, attn_bias),
                    proj_drop_rate=0.0,
                    drop_path_rate=0.0,
                    **shared,
                )
                for _ in range(depth_token_only)
            ]
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
        self.describe_blocks(
            embed_dim, patch_size, tail=("blocks_token_only", "norm"), further_blocks=self.blocks_token_only
        )

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the patches' tokens behind each block of self-attention, (N, patches, embed_dim)."""
        return self.forward_blocks(self.pos_drop(self.patch_embed(x) + self.pos_embed))

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the class token, (N, 1, embed_dim)."""
        x = self.forward_stages(x)[-1]
        token = repeat_token(self.cls_token, x)
        for block in self.blocks_token_only:
            token = block(x, token)
        return self.norm(token)

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns the tokens as a map, (N, embed_dim, rows, columns)."""
        return tokens_as_map(x, self.patch_embed.grid_size)


variant = Family(CaiT, WEIGHTS).variant
# tables 1 and 3; the names say depth and side
cait_xxs24_224 = variant("cait_xxs24_224")
cait_xs24_384 = variant("cait_xs24_384", image_size=384, embed_dim=288, num_heads=6)
_small = partial(variant, embed_dim=384, num_heads=8)
cait_s24_224 = _small("cait_s24_224")
cait_s24_384 = _small("cait_s24_384", image_size=384)
cait_s36_384 = _small("cait_s36_384", image_size=384, depth=36, layer_scale_init_value=1e-6)
_medium = partial(variant, embed_dim=768, num_heads=16, layer_scale_init_value=1e-6)
cait_m36_384 = _medium("cait_m36_384", image_size=384, depth=36)
cait_m48_448 = _medium("cait_m48_448", image_size=448, depth=48)
