"""CrossViT.

CrossViT: Cross-Attention Multi-Scale Vision Transformer for Image Classification, arXiv:2103.14899

Reference implementations: MindCV (parameter names; GELU by tanh, 1e-7 in the norms of the blocks, and images resized
with their corners in place, see `act`, `norm_eps` and `resample`) and timm.
"""

from collections.abc import Sequence
from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable
from mindcv.weights.resize import Tokens

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    ClassAttention,
    DropPath,
    PatchEmbed,
    TransformerBlock,
    activation,
    as_pair,
    classifier_head,
    dense,
    drop_path_rates,
    dropout,
    layer_norm,
    prepend_token,
    resize_bicubic,
    resize_bilinear,
    tokens,
    tokens_as_map,
)
from .published.crossvit import WEIGHTS

__all__ = [
    "CrossViT",
    "crossvit_9",
    "crossvit_15",
    "crossvit_18",
]

PATCH_SIZES = (12, 16)
# Side of the coarse branch's image over the fine one's: 224 of 240.
COARSE_SCALE = 14 / 15
Pair = tuple[Tensor, Tensor]

_head = partial(classifier_head, weight_init=TRUNC_NORMAL)


def _project(dim: int, out_dim: int, act: str) -> nn.SequentialCell:
    """Makes the norm, activation and layer that bring a class token to the size of the other branch and back."""
    return nn.SequentialCell(layer_norm(dim), activation(act), dense(dim, out_dim, weight_init=TRUNC_NORMAL))


class CrossAttentionBlock(nn.Cell):
    """Attention of a class token to the other branch's patches, behind a norm: (N, 1 + L, D) to (N, 1, D).

    Args:
        dim: Size of a token.
        num_heads: Heads of the attention.
        proj_drop_rate: Dropout behind the projection.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Probability of dropping the branch for a sample while training.
        norm_eps: Added to the variance in the norm.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        proj_drop_rate: float,
        attn_drop_rate: float,
        drop_path_rate: float,
        norm_eps: float,
    ) -> None:
        super().__init__()
        self.norm1 = layer_norm(dim, norm_eps)
        self.attn = ClassAttention(dim, num_heads, True, attn_drop_rate, proj_drop_rate)
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        return x[:, :1] + self.drop_path(self.attn(self.norm1(x)))


class MultiScaleBlock(nn.Cell):
    """Blocks in both branches, whose class tokens then look at the other branch's patches (figure 3).

    Two of (N, 1 + L, D) to the same.

    Args:
        dims: Size of a token in each branch.
        num_heads: Heads of the attention in each branch.
        depths: Number of blocks in each branch.
        mlp_ratios: Size of the MLPs' hidden layer over the token's, in each branch.
        proj_drop_rate: Dropout behind the attention's projections and in the MLPs.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rates: Stochastic depth of each block; the last's is that of the fusion.
        act: Activation of the MLPs and of the projections of class tokens.
        norm_eps: Added to the variance in the norms of blocks and fusion.
    """

    def __init__(
        self,
        dims: Sequence[int],
        num_heads: Sequence[int],
        depths: Sequence[int],
        mlp_ratios: Sequence[float],
        proj_drop_rate: float,
        attn_drop_rate: float,
        drop_path_rates: Sequence[float],
        act: str,
        norm_eps: float,
    ) -> None:
        super().__init__()
        rates = (proj_drop_rate, attn_drop_rate)
        self.blocks = nn.CellList(
            [
                nn.SequentialCell(
                    [
                        TransformerBlock(dim, heads, ratio, True, *rates, rate, act, norm_eps)
                        for rate in drop_path_rates[:depth]
                    ]
                )
                for dim, heads, depth, ratio in zip(dims, num_heads, depths, mlp_ratios, strict=True)
            ]
        )
        (fine, coarse), last = dims, drop_path_rates[-1]
        self.projs = nn.CellList([_project(fine, coarse, act), _project(coarse, fine, act)])
        self.fusion = nn.CellList(
            [
                nn.SequentialCell(CrossAttentionBlock(dims[other], num_heads[other], *rates, last, norm_eps))
                for other in (1, 0)
            ]
        )
        self.revert_projs = nn.CellList([_project(coarse, fine, act), _project(fine, coarse, act)])

    def construct(self, xs: Pair) -> Pair:
        fine, coarse = self.blocks[0](xs[0]), self.blocks[1](xs[1])
        return self.cross(0, fine, coarse), self.cross(1, coarse, fine)

    def cross(self, branch: int, x: Tensor, other: Tensor) -> Tensor:
        """Returns the tokens of a branch with the class token that has seen the other branch's patches."""
        token = self.fusion[branch](ops.concat((self.projs[branch](x[:, :1]), other[:, 1:]), 1))
        return ops.concat((self.revert_projs[branch](token), x[:, 1:]), 1)


_CELLS = ("blocks", "projs", "fusion", "revert_projs")
_QKV = ("q", "k", "v")


class CrossViT(ImageClassifier):
    """CrossViT: (N, in_channels, H, W) to (N, num_classes), for images of any size, which it resizes.

    The fine branch sees the image with `image_size`, in patches of 12x12; the coarse one with 14/15 of that, in patches
    of 16x16; both sizes are rounded to whole patches. Logits are the mean of both branches', maps are the fine one's.

    Args:
        image_size: Side of the image that the fine branch sees, or (height, width).
        embed_dims: Size of a token in each branch.
        depths: For each of the multi-scale blocks the number of blocks in each branch.
        num_heads: Heads of the attention in each branch.
        mlp_ratios: Size of the MLPs' hidden layer over the token's, in each branch.
        num_classes: Number of classes; 0 leaves the heads out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifiers.
        pos_drop_rate: Dropout behind the position embeddings.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        act: Activation of the weights' MLPs, "gelu_tanh" (MindCV) or "gelu" (timm).
        norm_eps: Added to the variance in the norms of the weights' blocks, 1e-7 (MindCV) or 1e-6 (timm).
        resample: How the weights' images were resized, "bilinear_corners" (MindCV) or "bicubic" (timm).

    Raises:
        ValueError: An argument that cannot be.
    """

    reads_image, gives_logits = ("patch_embed.0.proj", "patch_embed.1.proj"), ("head.0", "head.1")
    torch_names = NameTable(
        *((f"blocks.*.fusion.*.attn.w{word}.*", f"blocks.*.fusion.*.0.attn.{word}.*") for word in _QKV),
        ("blocks.*.fusion.*.attn.proj.*", "blocks.*.fusion.*.0.attn.proj.*"),
        ("blocks.*.fusion.*.norm1.*", "blocks.*.fusion.*.0.norm1.*"),
    )
    torch_arguments = {"act": "gelu", "norm_eps": 1e-6, "resample": "bicubic"}
    mindcv_names = NameTable(
        ("pos_embed.*", "pos_embed_*"),
        ("cls_token.*", "cls_token_*"),
        *(
            (f"{theirs}.fusion.*.*.attn.w{word}.*", f"{ours}.fusion.*.*.attn.{word}.*")
            for theirs, ours in (("0.blocks.0.1", "blocks.1"), ("0.blocks.0.2", "blocks.2"), ("0", "blocks.0"))
            for word in _QKV
        ),
        *((f"0.blocks.0.{index}.{cell}.**", f"blocks.{index}.{cell}.**") for index in (1, 2) for cell in _CELLS),
        *((f"0.{cell}.**", f"blocks.0.{cell}.**") for cell in _CELLS),
    )
    file_arguments = ("act", "norm_eps", "resample")
    resized = {"pos_embed_*": Tokens(prefix=1)}
    not_decayed = ("cls_token_*", "pos_embed_*")
    resizes_images = True

    def __init__(
        self,
        image_size: int | tuple[int, int] = 240,
        embed_dims: Sequence[int] = (128, 256),
        depths: Sequence[Sequence[int]] = ((1, 3), (1, 3), (1, 3)),
        num_heads: Sequence[int] = (4, 4),
        mlp_ratios: Sequence[float] = (3.0, 3.0),
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act: str = "gelu_tanh",
        norm_eps: float = 1e-7,
        resample: str = "bilinear_corners",
    ) -> None:
        super().__init__()
        if not len(embed_dims) == len(num_heads) == len(mlp_ratios) == 2 or any(len(depth) != 2 for depth in depths):
            raise ValueError("CrossViT has two branches; give two embed_dims, num_heads, mlp_ratios, and depths of two")
        if resample not in ("bilinear_corners", "bicubic"):
            raise ValueError(
                f"resample is {resample!r}; give 'bilinear_corners' (MindCV's weights) or 'bicubic' (timm's)"
            )
        self.act, self.norm_eps, self.resample = act, norm_eps, resample
        self.embed_dims = tuple(embed_dims)
        height, width = as_pair(image_size)
        if min(height, width) < 1:
            raise ValueError(f"image_size is {height}x{width}; give 1 or more pixels")
        self.branch_sizes = (
            (_whole(height, PATCH_SIZES[0]), _whole(width, PATCH_SIZES[0])),
            (_whole(height * COARSE_SCALE, PATCH_SIZES[1]), _whole(width * COARSE_SCALE, PATCH_SIZES[1])),
        )
        embeds = [
            PatchEmbed(size, patch_size, in_channels, dim)
            for size, patch_size, dim in zip(self.branch_sizes, PATCH_SIZES, embed_dims, strict=True)
        ]
        self.pos_embed_0 = tokens(1 + embeds[0].num_patches, embed_dims[0])
        self.pos_embed_1 = tokens(1 + embeds[1].num_patches, embed_dims[1])
        self.cls_token_0 = tokens(1, embed_dims[0])
        self.cls_token_1 = tokens(1, embed_dims[1])
        self.grids = {f"pos_embed_{branch}": embed.grid_size for branch, embed in enumerate(embeds)}
        self.patch_embed = nn.CellList(embeds)
        self.pos_drop = dropout("pos_drop_rate", pos_drop_rate)
        rates = drop_path_rates(drop_path_rate, [max(depth) for depth in depths])
        self.blocks = nn.CellList(
            [
                MultiScaleBlock(
                    *(embed_dims, num_heads, depth, mlp_ratios, proj_drop_rate, attn_drop_rate, rate, act, norm_eps)
                )
                for depth, rate in zip(depths, rates, strict=True)
            ]
        )
        self.norm = nn.CellList([layer_norm(dim) for dim in embed_dims])
        self.add_head(sum(embed_dims), num_classes, drop_rate, name="head", pool="none", make=self._fine_head)
        self.head = nn.CellList([self._cell("head"), _head(embed_dims[1], num_classes)])
        self.describe(
            list(self.blocks),
            [(f"blocks.{index}", embed_dims[0], PATCH_SIZES[0]) for index in range(len(depths))],
            tail=("norm",),
            further_heads={"head.1": embed_dims[1]},
        )

    def _fine_head(self, num_features: int, num_classes: int) -> nn.Cell:
        return _head(self.embed_dims[0], num_classes)

    def _image_of(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Brings images to the size of a branch: (N, C, H, W) to (N, C, *size)."""
        if self.resample == "bicubic":
            return resize_bicubic(x, size)
        return resize_bilinear(x, size, align_corners=True)

    def _branches(self, x: Tensor) -> list[Pair]:
        """Returns the tokens of both branches behind each of the multi-scale blocks."""
        fine = self.patch_embed[0](self._image_of(x, self.branch_sizes[0]))
        coarse = self.patch_embed[1](self._image_of(x, self.branch_sizes[1]))
        pair = (
            self.pos_drop(prepend_token(self.cls_token_0, fine) + self.pos_embed_0),
            self.pos_drop(prepend_token(self.cls_token_1, coarse) + self.pos_embed_1),
        )
        pairs = []
        for block in self.blocks:
            pair = block(pair)
            pairs.append(pair)
        return pairs

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the fine branch's tokens behind each of the multi-scale blocks, (N, 1 + patches, embed_dims[0])."""
        stages = []
        for pair in self._branches(x):
            stages.append(pair[0])
        return tuple(stages)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norms of both class tokens side by side, (N, num_features)."""
        fine, coarse = self._branches(x)[-1]
        return ops.concat((self.norm[0](fine)[:, 0], self.norm[1](coarse)[:, 0]), 1)

    def forward_head(self, x: Tensor) -> Tensor:
        """Returns the mean of both branches' logits of what `forward_features` gives."""
        x = self.dropout(x)
        if self.num_classes == 0:
            return x
        dim = self.embed_dims[0]
        return 0.5 * (self.head[0](x[:, :dim]) + self.head[1](x[:, dim:]))

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns the fine branch's patches as a map, (N, embed_dims[0], rows, columns)."""
        return tokens_as_map(x, self.grids["pos_embed_0"], 1)


def _whole(side: float, patch_size: int) -> int:
    """Returns the side of whole patches next to a side."""
    return max(round(side / patch_size), 1) * patch_size


variant = Family(CrossViT, WEIGHTS).variant
# table 2
crossvit_9 = variant("crossvit_9")
crossvit_15 = variant("crossvit_15", embed_dims=(192, 384), depths=((1, 5),) * 3, num_heads=(6, 6))
crossvit_18 = variant("crossvit_18", embed_dims=(224, 448), depths=((1, 6),) * 3, num_heads=(7, 7))
