"""MixNet: MixConv: Mixed Depthwise Convolutional Kernels, arXiv:1907.09595.

Reference implementations: MindCV (parameter names; ReLU in the squeeze-and-excitation) and timm (SiLU there; its
`tf_mixnet_*` pad as TensorFlow does), see `se_act`, `conv_pad` and `norm_eps`.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._mobile import MobileNetwork
from ._network import Map
from .layers import (
    InvertedResidual,
    MapSequence,
    SqueezeExcite,
    activation,
    batch_norm2d,
    classifier_head,
    conv2d,
    conv_padding,
    drop_path_rates,
    make_divisible,
)
from .layers.weight_init import Uniform
from .published.mixnet import WEIGHTS

__all__ = ["MixNet", "mixnet_l", "mixnet_m", "mixnet_s"]

# Sides of the depthwise kernels, groups of the first and of the last 1x1 convolution, stride, expansion, channels out,
# activation, squeeze-and-excitation's width over the input's.
_Block = tuple[tuple[int, ...], int, int, int, int, int, str, float]
_FOUR = (3, 5, 7, 9)
# Figure 5, a line a stage as timm divides them.
_STAGES: dict[str, tuple[tuple[_Block, ...], ...]] = {
    "small": (
        (((3,), 1, 1, 1, 1, 16, "relu", 0.0),),
        (((3,), 2, 2, 2, 6, 24, "relu", 0.0), ((3,), 2, 2, 1, 3, 24, "relu", 0.0)),
        (((3, 5, 7), 1, 1, 2, 6, 40, "silu", 0.5), *(((3, 5), 2, 2, 1, 6, 40, "silu", 0.5),) * 3),
        (((3, 5, 7), 1, 2, 2, 6, 80, "silu", 0.25), *(((3, 5), 1, 2, 1, 6, 80, "silu", 0.25),) * 2),
        (((3, 5, 7), 2, 2, 1, 6, 120, "silu", 0.5), *((_FOUR, 2, 2, 1, 3, 120, "silu", 0.5),) * 2),
        (((3, 5, 7, 9, 11), 1, 1, 2, 6, 200, "silu", 0.5), *((_FOUR, 1, 2, 1, 6, 200, "silu", 0.5),) * 2),
    ),
    "medium": (
        (((3,), 1, 1, 1, 1, 24, "relu", 0.0),),
        (((3, 5, 7), 2, 2, 2, 6, 32, "relu", 0.0), ((3,), 2, 2, 1, 3, 32, "relu", 0.0)),
        ((_FOUR, 1, 1, 2, 6, 40, "silu", 0.5), *(((3, 5), 2, 2, 1, 6, 40, "silu", 0.5),) * 3),
        (((3, 5, 7), 1, 1, 2, 6, 80, "silu", 0.25), *((_FOUR, 2, 2, 1, 6, 80, "silu", 0.25),) * 3),
        (((3,), 1, 1, 1, 6, 120, "silu", 0.5), *((_FOUR, 2, 2, 1, 3, 120, "silu", 0.5),) * 3),
        ((_FOUR, 1, 1, 2, 6, 200, "silu", 0.5), *((_FOUR, 1, 2, 1, 6, 200, "silu", 0.5),) * 3),
    ),
}
_STAGES["large"] = _STAGES["medium"]
_STEM_CHANNELS = {"small": 16, "medium": 24, "large": 24}
_TENSORFLOW = {"conv_pad": "same", "norm_eps": 1e-3}


class MixedConv2d(nn.Cell):
    """Convolutions with kernels of several sizes, each over its part of the channels (figure 2).

    (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride).

    Args:
        name: Attribute of the convolution, or of the list of several.
        in_channels: Channels of the input; what does not divide goes to the first part.
        out_channels: Channels of the output.
        kernel_sizes: Side of each part's kernel.
        stride: Stride.
        pad: "both" pads on all sides alike, "same" as TensorFlow does.
        depthwise: Whether each channel has a kernel of its own.

    Raises:
        ValueError: Another `pad`.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        out_channels: int,
        kernel_sizes: Sequence[int],
        stride: int = 1,
        pad: str = "both",
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        inputs, outputs = (_parts(channels, len(kernel_sizes)) for channels in (in_channels, out_channels))
        convs = [
            conv2d(i, o, side, stride, conv_padding(side, pad), groups=i if depthwise else 1)
            for i, o, side in zip(inputs, outputs, kernel_sizes, strict=True)
        ]
        self.name = name
        setattr(self, name, convs[0] if len(convs) == 1 else nn.CellList(convs))
        self.starts = [sum(inputs[:index]) for index in range(len(inputs) + 1)]

    def construct(self, x: Tensor) -> Tensor:
        if len(self.starts) == 2:
            return getattr(self, self.name)(x)
        parts = []
        for index, conv in enumerate(getattr(self, self.name)):
            parts.append(conv(x[:, self.starts[index] : self.starts[index + 1]]))
        return ops.concat(parts, 1)


def _parts(channels: int, count: int) -> list[int]:
    """Returns the channels of each part."""
    each = channels // count
    return [channels - (count - 1) * each, *[each] * (count - 1)]


def _make_head(num_features: int, num_classes: int) -> nn.Cell:
    return classifier_head(num_features, num_classes, weight_init=Uniform(1 / math.sqrt(max(num_classes, 1))))


class MixNet(MobileNetwork):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        arch: "small", "medium" or "large", which is "medium" 1.3 times as wide.
        num_classes: Number of classes; 0 leaves the classifier out.
        in_channels: Channels of the image.
        feature_size: Channels of the last 1x1 convolution.
        drop_rate: Dropout before the classifier.
        depth_multiplier: Width: all numbers of channels but the last are multiplied with it.
        drop_path_rate: Stochastic depth of the last block; the first has 0, in between it grows linearly.
        norm_eps: What norms add to the variance: 1e-5 (MindCV's and timm's weights) or 1e-3 (timm's `tf_*`).
        conv_pad: How convolutions are padded: "both" sides alike (MindCV's and timm's weights), or "same" as TensorFlow
            does (timm's `tf_*`).
        se_act: Activation within the squeeze-and-excitation: "relu" (MindCV's weights) or "silu" (timm's).

    Raises:
        ValueError: Another `arch` or `conv_pad`, or an activation, a rate or a number of classes that cannot be.
    """

    reads_image = ("stem_conv.0",)
    mindcv_names = NameTable(("layers.*.convs.**", "layers.*.layers.**"))
    timm_names = (("conv_stem.*", "stem_conv.0.*"), ("bn1.*", "stem_conv.1.*"), ("classifier.*", "classifier.*"))
    torch_names = NameTable(*timm_names)
    torch_arguments = {"se_act": "silu"}
    file_arguments = ("norm_eps", "conv_pad", "se_act")

    def __init__(
        self,
        arch: str = "small",
        num_classes: int = 1000,
        in_channels: int = 3,
        feature_size: int = 1536,
        drop_rate: float = 0.2,
        depth_multiplier: float = 1.0,
        *,
        drop_path_rate: float = 0.0,
        norm_eps: float = 1e-5,
        conv_pad: str = "both",
        se_act: str = "relu",
    ) -> None:
        super().__init__()
        if arch not in _STAGES:
            raise ValueError(f"arch is {arch!r}; give one of {', '.join(_STAGES)}")
        self.norm_eps, self.conv_pad, self.se_act = norm_eps, conv_pad, se_act
        norm = partial(batch_norm2d, eps=norm_eps)
        width = depth_multiplier * (1.3 if arch == "large" else 1)
        channels = make_divisible(_STEM_CHANNELS[arch] * width, 8)
        stem = conv2d(in_channels, channels, 3, 2, conv_padding(3, conv_pad))
        self.stem_conv = nn.SequentialCell(stem, norm(channels), activation("relu"))
        maps: list[Map] = [(("stem_conv.0", "stem_conv.1", "stem_conv.2"), channels, 2)]
        reduction = 2
        blocks: list[nn.Cell] = []
        self.block_names, self.stages = [], len(_STAGES[arch])
        rates = drop_path_rates(drop_path_rate, [len(stage) for stage in _STAGES[arch]])
        for stage, (settings, stage_rates) in enumerate(zip(_STAGES[arch], rates, strict=True)):
            for position, (block, rate) in enumerate(zip(settings, stage_rates, strict=True)):
                made = _make_block(channels, block, width, norm, conv_pad, se_act, rate)
                parts = {part: _inner(part, position) for part, position in made.parts.items()}
                self.block_names.append((f"blocks.{stage}.{position}", f"layers.{len(blocks)}", parts))
                channels, reduction = made.out_channels, reduction * made.stride
                maps.append((f"layers.{len(blocks)}", channels, reduction))
                blocks.append(made)
        numbers = [str(index) for index in range(len(blocks))]
        self.layers = MapSequence(dict(zip(numbers, blocks, strict=True)), numbers)
        self.head_conv = nn.SequentialCell(conv2d(channels, feature_size, 1), norm(feature_size), activation("relu"))
        tail = ("head_conv.0", "head_conv.1", "head_conv.2")
        maps.append((tail, feature_size, reduction))
        self.add_head(feature_size, num_classes, drop_rate, make=_make_head)
        self.describe(blocks, maps, tail)

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the stem, of each block, and of the last 1x1 convolution."""
        stem = self.stem_conv(x)
        maps = self.layers(stem)
        return (stem, *maps, self.head_conv(maps[-1]))

    @classmethod
    def file_may_tell(cls, arrays: Mapping[str, np.ndarray]) -> Sequence[Mapping[str, Any]]:
        """Returns what timm's names may belong to as well: TensorFlow's networks."""
        return [_TENSORFLOW] if "conv_stem.weight" in arrays else ()


def _inner(part: str, position: int) -> str:
    """Where the weights of a part lie within the block's `layers`: those of a convolution one cell deeper."""
    if not part.startswith("conv"):
        return str(position)
    return f"{position}.mixed_depthwise_conv" if part == "conv_dw" else f"{position}.grouped_conv"


def _make_block(
    in_channels: int, block: _Block, width: float, norm: Any, pad: str, se_act: str, drop_path_rate: float
) -> InvertedResidual:
    kernel_sizes, expand_groups, project_groups, stride, expansion, channels, act, se_ratio = block
    gate = partial(SqueezeExcite, rd_channels=int(in_channels * se_ratio), act_layer=se_act) if se_ratio else None
    return InvertedResidual(
        in_channels,
        in_channels * expansion,
        make_divisible(channels * width, 8),
        kernel_sizes[0],
        stride,
        act,
        norm,
        gate,
        drop_path_rate=drop_path_rate,
        expand=partial(MixedConv2d, "grouped_conv", kernel_sizes=(1,) * expand_groups),
        depthwise=partial(
            MixedConv2d, "mixed_depthwise_conv", kernel_sizes=kernel_sizes, stride=stride, pad=pad, depthwise=True
        ),
        project=partial(MixedConv2d, "grouped_conv", kernel_sizes=(1,) * project_groups),
    )


variant = Family(MixNet, WEIGHTS).variant  # figure 5
mixnet_s = variant("mixnet_s", arch="small")
mixnet_m = variant("mixnet_m", arch="medium")
mixnet_l = variant("mixnet_l", arch="large")
