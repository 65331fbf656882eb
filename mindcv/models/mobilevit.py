"""MobileViT.

MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer, arXiv:2110.02178

Reference implementations: MindCV (parameter names; a norm behind the tokens' embedding, 1e-7 in the norms of the tokens
and another interpolation of maps with a rest, see `embed_norm`, `norm_eps` and `align_corners`) and timm.
"""

import itertools
from collections.abc import Sequence
from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    InvertedResidual,
    TransformerBlock,
    activation,
    batch_norm2d,
    classifier_head,
    conv2d,
    conv_norm,
    drop_path_rates,
    layer_norm,
    make_divisible,
    resize_bilinear,
)
from .layers.weight_init import HeNormal
from .published.mobilevit import WEIGHTS

__all__ = [
    "MobileViT",
    "mobilevit_small",
    "mobilevit_x_small",
    "mobilevit_xx_small",
]

_HE = HeNormal(mode="fan_out", nonlinearity="leaky_relu")
# Transformer blocks of the last three stages (table 4), and side of a patch.
_DEPTHS, _PATCH = (2, 4, 3), 2


def _conv_norm_act(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.SequentialCell:
    cells = conv_norm(in_channels, out_channels, kernel_size, stride, kernel_size // 2, weight_init=_HE)
    return nn.SequentialCell(*cells, activation("silu"))


class MobileViTBlock(nn.Cell):
    """A convolution, a transformer over the pixels that have one position in their patches, and a fusion (figure 1b).

    (N, C, H, W) to the same.

    Args:
        channels: Channels.
        dim: Size of a token.
        rates: Drop path of each block of the transformer.
        num_heads: Heads of the attention.
        proj_drop_rate: Dropout behind attention and MLP.
        attn_drop_rate: Dropout of the attention's weights.
        embed_norm: Whether norm and activation stand behind the tokens' embedding.
        norm_eps: Added to the variance in the tokens' norms.
        align_corners: How maps with a rest are interpolated to whole patches and back.
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        rates: Sequence[float],
        num_heads: int,
        proj_drop_rate: float,
        attn_drop_rate: float,
        embed_norm: bool,
        norm_eps: float,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.align_corners = align_corners
        embed = _conv_norm_act(channels, dim, 1) if embed_norm else nn.SequentialCell(conv2d(channels, dim, 1))
        self.local_rep = nn.SequentialCell(_conv_norm_act(channels, channels, 3), embed)
        self.transformer = nn.SequentialCell(
            [
                TransformerBlock(
                    dim,
                    num_heads,
                    mlp_ratio=2.0,
                    proj_drop_rate=proj_drop_rate,
                    attn_drop_rate=attn_drop_rate,
                    drop_path_rate=rate,
                    act="silu",
                    norm_eps=norm_eps,
                    hidden_drop_rate=0.0,
                )
                for rate in rates
            ]
        )
        self.norm = layer_norm(dim, norm_eps)
        self.conv_proj = _conv_norm_act(dim, channels, 1)
        self.fusion = _conv_norm_act(2 * channels, channels, 3)

    def attend(self, x: Tensor) -> Tensor:
        """Runs the transformer over maps of whole patches, (N, dim, H, W), for each position in a patch by itself."""
        _, _, height, width = x.shape
        rows, columns = height // _PATCH, width // _PATCH
        x = ops.transpose(x.reshape((-1, self.dim, rows, _PATCH, columns, _PATCH)), (0, 3, 5, 2, 4, 1))
        x = self.norm(self.transformer(x.reshape((-1, rows * columns, self.dim))))
        x = ops.transpose(x.reshape((-1, _PATCH, _PATCH, rows, columns, self.dim)), (0, 5, 3, 1, 4, 2))
        return x.reshape((-1, self.dim, height, width))

    def construct(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        whole = (-(-height // _PATCH) * _PATCH, -(-width // _PATCH) * _PATCH)
        out = self.local_rep(x)
        if whole == (height, width):
            out = self.attend(out)
        else:
            out = self.attend(resize_bilinear(out, whole, self.align_corners))
            out = resize_bilinear(out, (height, width), self.align_corners)
        return self.fusion(ops.concat((x, self.conv_proj(out)), 1))


# Cells of an inverted residual: position in MindCV's lists, timm's names, position in ours.
_RESIDUAL = (
    ("block.0.features.0", "conv1_1x1.conv", "layers.0"),
    ("block.0.features.1", "conv1_1x1.bn", "layers.1"),
    ("block.1.features.0", "conv2_kxk.conv", "layers.3"),
    ("block.1.features.1", "conv2_kxk.bn", "layers.4"),
    ("block.2.features.0", "conv3_1x1.conv", "layers.6"),
    ("block.2.features.1", "conv3_1x1.bn", "layers.7"),
)
_TRANSFORMER = (
    ("pre_norm_mha.0", "norm1"),
    ("pre_norm_mha.1.qkv_proj", "attn.qkv"),
    ("pre_norm_mha.1.out_proj", "attn.proj"),
    ("pre_norm_ffn.0", "norm2"),
    ("pre_norm_ffn.1", "mlp.fc1"),
    ("pre_norm_ffn.4", "mlp.fc2"),
)
_MINDCV = (
    *((f"{cell}.features.*.*", f"{cell}.*.*") for cell in ("conv_1", "conv_1x1_exp")),
    *((f"*.*.{cell}.features.*.*", f"*.*.{cell}.*.*") for cell in ("conv_proj", "fusion")),
    ("*.*.local_rep.*.features.*.*", "*.*.local_rep.*.*.*"),
    *((f"*.*.{theirs}.*", f"*.*.{ours}.*") for theirs, _, ours in _RESIDUAL),
    *((f"layer_{stage}.1.global_rep.{depth}.*", f"layer_{stage}.1.norm.*") for stage, depth in enumerate(_DEPTHS, 3)),
    *((f"*.*.global_rep.*.{theirs}.*", f"*.*.transformer.*.{ours}.*") for theirs, ours in _TRANSFORMER),
    ("classifier.3.*", "classifier.*"),
)
_TIMM = (
    ("stem.conv.*", "conv_1.0.*"),
    ("stem.bn.*", "conv_1.1.*"),
    *(
        (f"stages.{stage - 1}.*.{theirs}.*", f"layer_{stage}.*.{ours}.*")
        for stage in range(1, 6)
        for _, theirs, ours in (
            *_RESIDUAL,
            ("", "conv_kxk.conv", "local_rep.0.0"),
            ("", "conv_kxk.bn", "local_rep.0.1"),
            ("", "conv_1x1", "local_rep.1.0"),
            ("", "transformer.*.*", "transformer.*.*"),
            ("", "transformer.*.*.*", "transformer.*.*.*"),
            ("", "norm", "norm"),
            ("", "conv_proj.conv", "conv_proj.0"),
            ("", "conv_proj.bn", "conv_proj.1"),
            ("", "conv_fusion.conv", "fusion.0"),
            ("", "conv_fusion.bn", "fusion.1"),
        )
    ),
    ("final_conv.conv.*", "conv_1x1_exp.0.*"),
    ("final_conv.bn.*", "conv_1x1_exp.1.*"),
    ("head.fc.*", "classifier.*"),
)


class MobileViT(ImageClassifier):
    """MobileViT: (N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        channels: Channels of the stem and of the five stages.
        dims: Size of a token in the transformers of the last three stages.
        expand_ratio: Channels of the depthwise convolutions over those of the input.
        num_heads: Heads of the attention.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        proj_drop_rate: Dropout behind attention and MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last transformer block; the first has 0.
        embed_norm: Whether the weights have norm and activation behind the tokens' embedding (MindCV's have, timm's
            have not).
        norm_eps: Added to the variance in the weights' norms of tokens, 1e-7 (MindCV) or 1e-5 (timm).
        align_corners: How the weights' maps with a rest are interpolated to whole patches and back, True (MindCV) or
            False (timm). The same where H and W are multiples of 64.

    Raises:
        ValueError: An argument that cannot be.
    """

    reads_image = ("conv_1.0",)
    torch_names = NameTable(*_TIMM)
    torch_arguments = {"embed_norm": False, "norm_eps": 1e-5, "align_corners": False}
    mindcv_names = NameTable(*_MINDCV)
    file_arguments = ("embed_norm", "norm_eps", "align_corners")

    def __init__(
        self,
        channels: Sequence[int],
        dims: Sequence[int],
        expand_ratio: int = 4,
        num_heads: int = 4,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.1,
        proj_drop_rate: float = 0.1,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        embed_norm: bool = True,
        norm_eps: float = 1e-7,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        if len(channels) != 6 or len(dims) != 3:
            raise ValueError(
                f"MobileViT has a stem and five stages, three of them with transformers; got channels {list(channels)} "
                f"and dims {list(dims)}"
            )
        self.embed_norm, self.norm_eps, self.align_corners = embed_norm, norm_eps, align_corners
        self.conv_1 = _conv_norm_act(in_channels, channels[0], 3, 2)
        rates = drop_path_rates(drop_path_rate, _DEPTHS)
        in_order: list[nn.Cell] = []
        for stage, (before, after) in enumerate(itertools.pairwise(channels), 1):
            cells: list[nn.Cell] = [
                InvertedResidual(
                    before if not position else after,
                    make_divisible((before if not position else after) * expand_ratio, 8),
                    after,
                    3,
                    2 if stage > 1 and not position else 1,
                    "silu",
                    batch_norm2d,
                )
                for position in range(3 if stage == 2 else 1)
            ]
            if stage > 2:
                cells.append(
                    MobileViTBlock(
                        after,
                        dims[stage - 3],
                        rates[stage - 3],
                        num_heads,
                        proj_drop_rate,
                        attn_drop_rate,
                        embed_norm,
                        norm_eps,
                        align_corners,
                    )
                )
            setattr(self, f"layer_{stage}", nn.SequentialCell(cells))
            in_order += cells
        num_features = min(4 * channels[-1], 960)
        self.conv_1x1_exp = _conv_norm_act(channels[-1], num_features, 1)
        self.add_head(num_features, num_classes, drop_rate, make=partial(classifier_head, weight_init=TRUNC_NORMAL))
        self.describe(
            in_order,
            [(f"layer_{stage}", channels[stage], 2**stage) for stage in range(1, 6)],
            tail=("conv_1x1_exp",),
        )

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the five stages: sides of 1/2, 1/4, 1/8, 1/16 and 1/32."""
        x1 = self.layer_1(self.conv_1(x))
        x2 = self.layer_2(x1)
        x3 = self.layer_3(x2)
        x4 = self.layer_4(x3)
        return x1, x2, x3, x4, self.layer_5(x4)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the last map with more channels, (N, num_features, h, w)."""
        return self.conv_1x1_exp(self.forward_stages(x)[-1])


variant = Family(MobileViT, WEIGHTS).variant
# table 4
mobilevit_xx_small = variant("mobilevit_xx_small", channels=(16, 16, 24, 48, 64, 80), dims=(64, 80, 96), expand_ratio=2)
mobilevit_x_small = variant("mobilevit_x_small", channels=(16, 32, 48, 64, 80, 96), dims=(96, 120, 144))
mobilevit_small = variant("mobilevit_small", channels=(16, 32, 64, 96, 128, 160), dims=(144, 192, 240))
