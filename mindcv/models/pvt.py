"""PVT.

Pyramid Vision Transformer: A Versatile Backbone for Dense Prediction without Convolutions, arXiv:2102.12122

Reference implementation: MindCV (parameter names). timm has no such network.
"""

from collections.abc import Sequence
from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.weights.resize import Tokens

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    Mlp,
    PatchConv,
    PreNormBlock,
    ReducedAttention,
    as_pair,
    classifier_head,
    drop_path_rates,
    dropout,
    layer_norm,
    prepend_token,
    require_image_size,
    tokens,
)
from .published.pvt import WEIGHTS

__all__ = [
    "PyramidVisionTransformer",
    "pvt_large",
    "pvt_medium",
    "pvt_small",
    "pvt_tiny",
]

_head = partial(classifier_head, weight_init=TRUNC_NORMAL)


class Place(nn.Cell):
    """Adds a table of positions: (N, H, W, C) and (1, H * W, C) to (N, H, W, C).

    Args:
        drop_rate: Dropout behind it.
    """

    def __init__(self, drop_rate: float) -> None:
        super().__init__()
        self.drop = dropout("pos_drop_rate", drop_rate)

    def construct(self, x: Tensor, table: Tensor) -> Tensor:
        _, height, width, dim = x.shape
        return self.drop(x + table.reshape((1, height, width, dim)))


class ClassPlace(nn.Cell):
    """Puts the class token in front of the pixels and adds the positions: (N, H, W, C) to (N, 1 + H * W, 1, C).

    Args:
        drop_rate: Dropout behind it.
    """

    def __init__(self, drop_rate: float) -> None:
        super().__init__()
        self.drop = dropout("pos_drop_rate", drop_rate)

    def construct(self, x: Tensor, table: Tensor, token: Tensor) -> Tensor:
        _, height, width, dim = x.shape
        x = self.drop(prepend_token(token, x.reshape((-1, height * width, dim))) + table)
        return x.expand_dims(2)


class PyramidVisionTransformer(ImageClassifier):
    """Pyramid Vision Transformer: (N, in_channels, *image_size) to (N, num_classes).

    Args:
        image_size: Side of the images, or (height, width): multiples of 32.
        embed_dims: Channels of each of the four stages.
        depths: Number of blocks in each stage.
        num_heads: Heads of the attention in each stage.
        mlp_ratios: Channels of the MLP's hidden layer over those of the stage.
        reductions: Side of the map over that which keys and values are of, in each stage; 1 in the last.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pos_drop_rate: Dropout behind the position embeddings.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last block; the first has 0.

    Raises:
        ValueError: An image whose sides are no multiples of 32, or another argument that cannot be.
    """

    reads_image, gives_logits = ("patch_embed1.proj",), ("head",)
    resized = {"pos_embed4": Tokens(prefix=1), "pos_embed*": Tokens()}
    not_decayed = ("cls_token", "pos_embed*")

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        embed_dims: Sequence[int] = (64, 128, 320, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (1, 2, 5, 8),
        mlp_ratios: Sequence[float] = (8, 8, 4, 4),
        reductions: Sequence[int] = (8, 4, 2, 1),
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if not len(embed_dims) == len(depths) == len(num_heads) == len(mlp_ratios) == len(reductions) == 4:
            raise ValueError("PVT has four stages; give four embed_dims, depths, num_heads, mlp_ratios and reductions")
        if reductions[3] != 1:
            raise ValueError(f"the last of reductions is {reductions[3]}; give 1, for the class token is no pixel")
        self.image_size = height, width = as_pair(image_size)
        if min(self.image_size) < 32 or height % 32 or width % 32:
            raise ValueError(f"image_size is {height}x{width}; give multiples of 32")
        self.grids = {
            f"pos_embed{index + 1}": (height // (4 * 2**index), width // (4 * 2**index)) for index in range(4)
        }
        stages = []
        for index, (dim, rates) in enumerate(zip(embed_dims, drop_path_rates(drop_path_rate, depths), strict=True)):
            rows, columns = self.grids[f"pos_embed{index + 1}"]
            is_last = index == 3
            setattr(self, f"pos_embed{index + 1}", tokens(rows * columns + is_last, dim))
            setattr(
                self,
                f"patch_embed{index + 1}",
                PatchConv(embed_dims[index - 1] if index else in_channels, dim, 2 if index else 4, 1e-5),
            )
            setattr(self, f"place{index + 1}", ClassPlace(pos_drop_rate) if is_last else Place(pos_drop_rate))
            stages.append(
                nn.SequentialCell(
                    [
                        PreNormBlock(
                            dim,
                            ReducedAttention(
                                dim,
                                num_heads[index],
                                reductions[index],
                                1e-7,
                                attn_drop_rate=attn_drop_rate,
                                drop_rate=proj_drop_rate,
                            ),
                            Mlp(dim, int(dim * mlp_ratios[index]), act="gelu_tanh", drop_rate=proj_drop_rate),
                            rate,
                            attn_norm_eps=1e-5,
                        )
                        for rate in rates
                    ]
                )
            )
        self.cls_token = tokens(1, embed_dims[-1])
        self.Blocks = nn.CellList(stages)
        self.norm = layer_norm(embed_dims[-1])
        self.add_head(embed_dims[-1], num_classes, drop_rate, name="head", pool="none", make=_head)
        blocks = [
            (getattr(self, f"patch_embed{index + 1}"), block) if index and not position else block
            for index, stage in enumerate(stages)
            for position, block in enumerate(stage)
        ]
        maps = [
            ((f"patch_embed{index + 1}", f"place{index + 1}", f"Blocks.{index}"), dim, 4 * 2**index)
            for index, dim in enumerate(embed_dims)
        ]
        self.describe(blocks, maps, tail=("norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of three stages, (N, h, w, C), and the tokens of the last, (N, 1 + h * w, 1, C)."""
        require_image_size(x, self.image_size)
        x1 = self.Blocks[0](self.place1(self.patch_embed1(x), self.pos_embed1))
        x2 = self.Blocks[1](self.place2(self.patch_embed2(ops.transpose(x1, (0, 3, 1, 2))), self.pos_embed2))
        x3 = self.Blocks[2](self.place3(self.patch_embed3(ops.transpose(x2, (0, 3, 1, 2))), self.pos_embed3))
        x4 = self.place4(self.patch_embed4(ops.transpose(x3, (0, 3, 1, 2))), self.pos_embed4, self.cls_token)
        return x1, x2, x3, self.Blocks[3](x4)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the class token, (N, num_features)."""
        return self.norm(self.forward_stages(x)[-1][:, 0, 0])

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns a stage's pixels as a map, (N, C, h, w)."""
        if index == 3:
            x = x[:, 1:].reshape((-1, *self.grids["pos_embed4"], x.shape[3]))
        return ops.transpose(x, (0, 3, 1, 2))


variant = Family(PyramidVisionTransformer, WEIGHTS).variant
# table 1
pvt_tiny = variant("pvt_tiny")
pvt_small = variant("pvt_small", depths=(3, 4, 6, 3))
pvt_medium = variant("pvt_medium", depths=(3, 4, 18, 3))
pvt_large = variant("pvt_large", depths=(3, 8, 27, 3))
