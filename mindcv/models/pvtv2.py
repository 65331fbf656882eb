"""PVTv2.

PVT v2: Improved Baselines with Pyramid Vision Transformer, arXiv:2106.13797

Reference implementations: MindCV (parameter names; GELU by tanh, padding and the norms' epsilon, see `act`, `pad` and
`norm_eps`) and timm.
"""

from collections.abc import Sequence
from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    PreNormBlock,
    ReducedAttention,
    activation,
    classifier_head,
    conv2d,
    dense,
    drop_path_rates,
    dropout,
    layer_norm,
)
from .layers.weight_init import Normal
from .published.pvtv2 import WEIGHTS

__all__ = [
    "PyramidVisionTransformerV2",
    "pvt_v2_b0",
    "pvt_v2_b1",
    "pvt_v2_b2",
    "pvt_v2_b3",
    "pvt_v2_b4",
    "pvt_v2_b5",
]


class DepthwiseConv(nn.Cell):
    """A depthwise 3x3 convolution: (N, H, W, C) to the same.

    Args:
        dim: Channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = conv2d(dim, dim, 3, 1, 1, dim, bias=True, weight_init=Normal((2 / 9) ** 0.5))

    def construct(self, x: Tensor) -> Tensor:
        return ops.transpose(self.dwconv(ops.transpose(x, (0, 3, 1, 2))), (0, 2, 3, 1))


class SpatialMlp(nn.Cell):
    """An MLP with a depthwise convolution in front of its activation (figure 1): (N, H, W, C) to the same.

    Args:
        dim: Channels.
        hidden_dim: Channels between the two layers.
        act: Activation.
        drop_rate: Dropout behind each layer.
    """

    def __init__(self, dim: int, hidden_dim: int, act: str, drop_rate: float) -> None:
        super().__init__()
        self.fc1 = dense(dim, hidden_dim, weight_init=TRUNC_NORMAL)
        self.dwconv = DepthwiseConv(hidden_dim)
        self.act = activation(act)
        self.fc2 = dense(hidden_dim, dim, weight_init=TRUNC_NORMAL)
        self.drop1, self.drop2 = dropout("drop_rate", drop_rate), dropout("drop_rate", drop_rate)

    def construct(self, x: Tensor) -> Tensor:
        return self.drop2(self.fc2(self.drop1(self.act(self.dwconv(self.fc1(x))))))


class OverlapPatchEmbed(nn.Cell):
    """Overlapping patches behind a norm: (N, C, H, W) to (N, smaller H, W, D).

    Args:
        in_channels: Channels of the input.
        dim: Channels of the output.
        patch_size: Side of a patch.
        stride: Distance of the patches.
        pad: "same" (MindCV) or "both" (timm), see `PyramidVisionTransformerV2`.
        norm_eps: Added to the variance in the norm.
    """

    def __init__(self, in_channels: int, dim: int, patch_size: int, stride: int, pad: str, norm_eps: float) -> None:
        super().__init__()
        padding: int | str = "same" if pad == "same" else patch_size // 2
        self.proj = conv2d(in_channels, dim, patch_size, stride, padding, bias=True)
        self.norm = layer_norm(dim, norm_eps)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(ops.transpose(self.proj(x), (0, 2, 3, 1)))


class PyramidVisionTransformerV2(ImageClassifier):
    """Pyramid Vision Transformer V2: (N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        embed_dims: Channels of each of the four stages.
        depths: Number of blocks in each stage.
        num_heads: Heads of the attention in each stage.
        mlp_ratios: Channels of the MLP's hidden layer over those of the stage.
        reductions: Side of the map over that which keys and values are of, in each stage.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        act: Activation of the weights' MLPs, "gelu_tanh" (MindCV) or "gelu" (timm).
        pad: Zeros around the weights' patches: "same" (MindCV: more at the bottom and right) or "both" (timm: as many
            on all sides).
        norm_eps: Added to the variance in the norms of the weights' patches and smaller maps, 1e-7 (MindCV) or 1e-5
            (timm); the blocks' have 1e-6.

    Raises:
        ValueError: A rate, a number of classes or a list of stages that cannot be.
    """

    reads_image, gives_logits = ("patch_embed_list.0.proj",), ("head",)
    torch_names = NameTable(
        ("patch_embed.**", "patch_embed_list.0.**"),
        ("stages.*.downsample.**", "patch_embed_list.*.**"),
        ("stages.*.blocks.*.mlp.dwconv.*", "block_list.*.*.mlp.dwconv.dwconv.*"),
        ("stages.*.blocks.**", "block_list.*.**"),
        ("stages.*.norm.*", "norm_list.*.*"),
    )
    torch_arguments = {"act": "gelu", "pad": "both", "norm_eps": 1e-5}
    file_arguments = ("act", "pad", "norm_eps")

    def __init__(
        self,
        embed_dims: Sequence[int] = (64, 128, 320, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (1, 2, 5, 8),
        mlp_ratios: Sequence[float] = (8, 8, 4, 4),
        reductions: Sequence[int] = (8, 4, 2, 1),
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act: str = "gelu_tanh",
        pad: str = "same",
        norm_eps: float = 1e-7,
    ) -> None:
        super().__init__()
        if not len(embed_dims) == len(depths) == len(num_heads) == len(mlp_ratios) == len(reductions) == 4:
            raise ValueError(
                "PVTv2 has four stages; give four embed_dims, depths, num_heads, mlp_ratios and reductions"
            )
        if pad not in ("same", "both"):
            raise ValueError(f"pad is {pad!r}; give 'same' (MindCV's weights) or 'both' (timm's weights)")
        self.act, self.pad, self.norm_eps = act, pad, norm_eps
        embeds, stages = [], []
        for index, (dim, rates) in enumerate(zip(embed_dims, drop_path_rates(drop_path_rate, depths), strict=True)):
            embeds.append(
                OverlapPatchEmbed(embed_dims[index - 1], dim, 3, 2, pad, norm_eps)
                if index
                else OverlapPatchEmbed(in_channels, dim, 7, 4, pad, norm_eps)
            )
            stages.append(
                nn.SequentialCell(
                    [
                        PreNormBlock(
                            dim,
                            ReducedAttention(
                                dim,
                                num_heads[index],
                                reductions[index],
                                norm_eps,
                                "same" if pad == "same" else "valid",
                                attn_drop_rate,
                                proj_drop_rate,
                            ),
                            SpatialMlp(dim, int(dim * mlp_ratios[index]), act, proj_drop_rate),
                            rate,
                        )
                        for rate in rates
                    ]
                )
            )
        self.patch_embed_list = nn.CellList(embeds)
        self.block_list = nn.CellList(stages)
        self.norm_list = nn.CellList([layer_norm(dim) for dim in embed_dims])
        self.add_head(
            embed_dims[-1],
            num_classes,
            drop_rate,
            name="head",
            pool="none",
            make=partial(classifier_head, weight_init=TRUNC_NORMAL),
        )
        blocks = []
        for index, stage in enumerate(stages):
            for position, block in enumerate(stage):
                group = [self.patch_embed_list[index]] if index and not position else []
                group.append(block)
                if position == depths[index] - 1:
                    group.append(self.norm_list[index])
                blocks.append(tuple(group))
        maps = [
            ((f"patch_embed_list.{index}", f"block_list.{index}", f"norm_list.{index}"), dim, 4 * 2**index)
            for index, dim in enumerate(embed_dims)
        ]
        self.describe(blocks, maps)

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the four stages, (N, h, w, C): sides of 1/4, 1/8, 1/16 and 1/32."""
        outputs = []
        for index in range(4):
            image = ops.transpose(x, (0, 3, 1, 2)) if index else x
            x = self.norm_list[index](self.block_list[index](self.patch_embed_list[index](image)))
            outputs.append(x)
        return tuple(outputs)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the mean of the last map, (N, num_features)."""
        return self.forward_stages(x)[-1].mean((1, 2))

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns a map of a stage as (N, C, h, w)."""
        return ops.transpose(x, (0, 3, 1, 2))


variant = Family(PyramidVisionTransformerV2, WEIGHTS).variant
# table 1
pvt_v2_b0 = variant("pvt_v2_b0", embed_dims=(32, 64, 160, 256))
pvt_v2_b1 = variant("pvt_v2_b1")
pvt_v2_b2 = variant("pvt_v2_b2", depths=(3, 4, 6, 3))
pvt_v2_b3 = variant("pvt_v2_b3", depths=(3, 4, 18, 3))
pvt_v2_b4 = variant("pvt_v2_b4", depths=(3, 8, 27, 3))
pvt_v2_b5 = variant("pvt_v2_b5", depths=(3, 6, 40, 3), mlp_ratios=(4, 4, 4, 4))
