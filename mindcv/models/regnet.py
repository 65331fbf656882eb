"""RegNetX and RegNetY: Designing Network Design Spaces, arXiv:2003.13678.

Reference implementations: MindCV, whose cells are named as in the authors' pycls (`f.a`, `f.a_bn`), timm and
torchvision. torchvision rounds a width that is no multiple of its groups another way, see `rounding`.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    DropPath,
    SqueezeExcite,
    batch_norm2d,
    classifier_head,
    conv2d,
    drop_path_rates,
    make_divisible,
)
from .layers.weight_init import Normal
from .published.regnet import WEIGHTS

__all__ = [
    "RegNet",
    "regnet_x_1_6gf",
    "regnet_x_3_2gf",
    "regnet_x_4_0gf",
    "regnet_x_6_4gf",
    "regnet_x_8_0gf",
    "regnet_x_12gf",
    "regnet_x_16gf",
    "regnet_x_32gf",
    "regnet_x_200mf",
    "regnet_x_400mf",
    "regnet_x_600mf",
    "regnet_x_800mf",
    "regnet_y_1_6gf",
    "regnet_y_3_2gf",
    "regnet_y_4_0gf",
    "regnet_y_6_4gf",
    "regnet_y_8_0gf",
    "regnet_y_12gf",
    "regnet_y_16gf",
    "regnet_y_32gf",
    "regnet_y_200mf",
    "regnet_y_400mf",
    "regnet_y_600mf",
    "regnet_y_800mf",
]

_STAGES = 4
# A block's path: timm's `s1.b1`, torchvision's `trunk_output.block1.block1-0`; ours is `stages.0.blocks.0`.
_TIMM_PLACE = re.compile(r"^s(\d+)\.b(\d+)\.")
_TORCHVISION_PLACE = re.compile(r"^trunk_output\.block(\d+)\.block\d+-(\d+)\.")
_PLACE = re.compile(r"^stages\.(\d+)\.blocks\.(\d+)\.")
_BLOCK = (
    ("conv1.conv", "f.a"),
    ("conv1.bn", "f.a_bn"),
    ("conv2.conv", "f.b"),
    ("conv2.bn", "f.b_bn"),
    ("conv3.conv", "f.c"),
    ("conv3.bn", "f.c_bn"),
    ("downsample.conv", "proj"),
    ("downsample.bn", "bn"),
    ("se.fc1", "f.se.conv_reduce"),
    ("se.fc2", "f.se.conv_expand"),
    ("f.a.0", "f.a"),
    ("f.a.1", "f.a_bn"),
    ("f.b.0", "f.b"),
    ("f.b.1", "f.b_bn"),
    ("f.c.0", "f.c"),
    ("f.c.1", "f.c_bn"),
    ("proj.0", "proj"),
    ("proj.1", "bn"),
    ("f.se.fc1", "f.se.conv_reduce"),
    ("f.se.fc2", "f.se.conv_expand"),
)
# First and last width of regnet_x_400mf, regnet_y_800mf and regnet_y_8_0gf as torchvision rounds them.
_TORCHVISION_WIDTHS = {(32, 400), (64, 784), (224, 2016)}


def stage_widths(
    w_a: float, w_0: int, w_m: float, d: int, group_w: int, rounding: str = "nearest"
) -> tuple[list[int], list[int]]:
    """Returns channels and blocks of each stage (section 3.3).

    The width of block `i`, `w_0 + w_a * i`, is rounded to the nearest `w_0 * w_m ** k` in logarithms, and that to a
    multiple of 8; blocks of one width are a stage. Then each width becomes a multiple of its groups' width.

    Args:
        w_a: Slope of the widths.
        w_0: Width of the first block.
        w_m: Ratio of one stage's width to the one before.
        d: Number of blocks.
        group_w: Channels of a group; a narrower stage is one group.
        rounding: "nearest" takes the multiple that is nearest (the authors), "divisible" that which `make_divisible`
            gives (torchvision).

    Raises:
        ValueError: Another `rounding`, or the numbers do not make four stages.
    """
    if rounding not in ("nearest", "divisible"):
        raise ValueError(
            f"rounding is {rounding!r}; give 'nearest' (the authors' widths) or 'divisible' (torchvision's)"
        )
    if w_a < 0 or w_0 <= 0 or w_0 % 8 or w_m <= 1 or d < 1:
        raise ValueError(
            f"RegNet has w_a {w_a}, w_0 {w_0}, w_m {w_m}, d {d}; give w_a from 0, w_0 a multiple of 8, w_m above 1"
        )
    exponents = np.round(np.log((w_0 + w_a * np.arange(d)) / w_0) / np.log(w_m))
    per_block = np.round(w_0 * np.power(w_m, exponents) / 8).astype(int) * 8
    widths, depths = (values.tolist() for values in np.unique(per_block, return_counts=True))
    if len(widths) != _STAGES:
        raise ValueError(f"w_a {w_a}, w_0 {w_0}, w_m {w_m} and d {d} make {len(widths)} stages; RegNet has four")
    groups = [min(group_w, width) for width in widths]
    if rounding == "divisible":
        return [make_divisible(width, group) for width, group in zip(widths, groups, strict=True)], depths
    return [round(width / group) * group for width, group in zip(widths, groups, strict=True)], depths


class Bottleneck(nn.Cell):
    """1x1, grouped 3x3, gate and 1x1 convolution, all of one width (figure 4): (N, in_channels, H, W) to (N, C, h, w).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the block.
        stride: Stride of the 3x3 convolution.
        group_w: Channels of a group.
        se_r: Width of the gate's hidden layer over `in_channels`; 0 leaves the gate out.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, group_w: int, se_r: float) -> None:
        super().__init__()
        groups = channels // min(group_w, channels)
        self.a, self.a_bn = conv2d(in_channels, channels, 1), batch_norm2d(channels)
        self.b, self.b_bn = conv2d(channels, channels, 3, stride, 1, groups), batch_norm2d(channels)
        self.se = SqueezeExcite(channels, rd_channels=round(in_channels * se_r)) if se_r else nn.Identity()
        self.c, self.c_bn = conv2d(channels, channels, 1), batch_norm2d(channels)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        x = self.relu(self.a_bn(self.a(x)))
        x = self.se(self.relu(self.b_bn(self.b(x))))
        return self.c_bn(self.c(x))


class Block(nn.Cell):
    """A bottleneck beside a shortcut, which is a 1x1 convolution where side or channels change.

    Arguments are those of `Bottleneck`, and:

    Args:
        drop_path_rate: Probability of dropping the bottleneck for a sample while training.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, group_w: int, se_r: float, drop_path_rate: float
    ) -> None:
        super().__init__()
        self.has_projection = in_channels != channels or stride != 1
        if self.has_projection:
            self.proj, self.bn = conv2d(in_channels, channels, 1, stride), batch_norm2d(channels)
        self.f = Bottleneck(in_channels, channels, stride, group_w, se_r)
        self.drop_path = DropPath(drop_path_rate)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        shortcut = self.bn(self.proj(x)) if self.has_projection else x
        return self.relu(shortcut + self.drop_path(self.f(x)))


class Stage(nn.Cell):
    """Blocks of one width; the first halves the side. (N, in_channels, H, W) to (N, channels, H / 2, W / 2).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the blocks.
        rates: Drop path rate of each block.
        group_w: Channels of a group.
        se_r: Width of the gate's hidden layer over the block's input; 0 leaves the gate out.
    """

    def __init__(self, in_channels: int, channels: int, rates: Sequence[float], group_w: int, se_r: float) -> None:
        super().__init__()
        self.blocks = nn.SequentialCell(
            [
                Block(channels if index else in_channels, channels, 1 if index else 2, group_w, se_r, rate)
                for index, rate in enumerate(rates)
            ]
        )

    def construct(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class Stem(nn.Cell):
    """3x3 convolution with stride 2: (N, in_channels, H, W) to (N, channels, H / 2, W / 2)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv, self.bn = conv2d(in_channels, channels, 3, 2, 1), batch_norm2d(channels)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


class RegNet(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        w_a: Slope of the blocks' widths, see `stage_widths`.
        w_0: Width of the first block.
        w_m: Ratio of one stage's width to the one before.
        d: Number of blocks.
        group_w: Channels of a group of the 3x3 convolutions.
        se_r: Width of the gates' hidden layers over their blocks' input; 0 (RegNetX) leaves the gates out.
        stem_w: Channels of the stem.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        rounding: How widths become multiples of their groups, see `stage_widths`. "divisible" makes another network of
            regnet_x_400mf, regnet_y_800mf and regnet_y_8_0gf only.

    Raises:
        ValueError: A rate or a number of classes that cannot be, or numbers that do not make four stages.
    """

    reads_image = ("stem.conv",)
    gives_logits = ("head.fc",)
    # Block's names stand behind its path, which `from_torch` has made ours. timm's first, then torchvision's.
    torch_names = NameTable(
        *((f"stages.*.blocks.*.{theirs}.*", f"stages.*.blocks.*.{ours}.*") for theirs, ours in _BLOCK),
        ("head.fc.*", "head.fc.*"),
        ("fc.*", "head.fc.*"),
        ("stem.conv.*", "stem.conv.*"),
        ("stem.0.*", "stem.conv.*"),
        ("stem.bn.*", "stem.bn.*"),
        ("stem.1.*", "stem.bn.*"),
    )
    # The first stage's blocks are called as if they were stages of their own.
    mindcv_names = NameTable(
        *((f"0.blocks.{stage}.blocks.**", f"stages.{stage}.blocks.**") for stage in range(1, _STAGES)),
        ("0.blocks.**", "stages.0.blocks.**"),
    )
    file_arguments = ("rounding",)

    def __init__(
        self,
        w_a: float,
        w_0: int,
        w_m: float,
        d: int,
        group_w: int,
        *,
        se_r: float = 0.0,
        stem_w: int = 32,
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        rounding: str = "nearest",
    ) -> None:
        super().__init__()
        self.rounding = rounding
        widths, depths = stage_widths(w_a, w_0, w_m, d, group_w, rounding)
        self.stem = Stem(in_channels, stem_w)
        self.stages = nn.CellList(
            [
                Stage(inputs, width, rates, group_w, se_r)
                for inputs, width, rates in zip(
                    [stem_w, *widths], widths, drop_path_rates(drop_path_rate, depths), strict=False
                )
            ]
        )
        make_head = partial(classifier_head, weight_init=Normal(0.01))
        self.add_head(widths[-1], num_classes, drop_rate, name="head.fc", make=make_head)
        maps = [(f"stages.{index}", width, 4 * 2**index) for index, width in enumerate(widths)]
        self.describe([block for stage in self.stages for block in stage.blocks], [("stem", stem_w, 2), *maps])

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the stem's map and the four stages': sides of 1/2, 1/4, 1/8, 1/16 and 1/32."""
        x = self.stem(x)
        maps: tuple[Tensor, ...] = (x,)
        for stage in self.stages:
            x = stage(x)
            maps = (*maps, x)
        return maps

    @classmethod
    def file_tells(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns what a file tells of its network: torchvision's rounding shows in the widths of some."""
        told = super().file_tells(arrays)
        if cls.is_torch_file(arrays):
            ours = cls.torch_names.to_ours(_with_our_places(arrays))
            ends = [ours.get(f"stages.{stage}.blocks.0.f.c.weight") for stage in (0, _STAGES - 1)]
            if tuple(len(weight) for weight in ends if weight is not None) in _TORCHVISION_WIDTHS:
                told["rounding"] = "divisible"
        return told

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of timm's or torchvision's names by the paths of our cells."""
        return super().from_torch(_with_our_places(arrays))

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays by the paths of our cells under timm's names."""
        return {_PLACE.sub(_timm_place, name): array for name, array in super().to_torch(arrays).items()}


def _with_our_places(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        _TORCHVISION_PLACE.sub(_place_of_torchvision, _TIMM_PLACE.sub(_place_of_timm, name)): array
        for name, array in arrays.items()
    }


def _place_of_timm(match: re.Match[str]) -> str:
    return f"stages.{int(match[1]) - 1}.blocks.{int(match[2]) - 1}."


def _place_of_torchvision(match: re.Match[str]) -> str:
    return f"stages.{int(match[1]) - 1}.blocks.{match[2]}."


def _timm_place(match: re.Match[str]) -> str:
    return f"s{int(match[1]) + 1}.b{int(match[2]) + 1}."


variant = Family(RegNet, WEIGHTS).variant
# arXiv:2003.13678, figure 16 ("top RegNetX models")
regnet_x_200mf = variant("regnet_x_200mf", w_a=36.44, w_0=24, w_m=2.49, d=13, group_w=8)
regnet_x_400mf = variant("regnet_x_400mf", w_a=24.48, w_0=24, w_m=2.54, d=22, group_w=16)
regnet_x_600mf = variant("regnet_x_600mf", w_a=36.97, w_0=48, w_m=2.24, d=16, group_w=24)
regnet_x_800mf = variant("regnet_x_800mf", w_a=35.73, w_0=56, w_m=2.28, d=16, group_w=16)
regnet_x_1_6gf = variant("regnet_x_1_6gf", w_a=34.01, w_0=80, w_m=2.25, d=18, group_w=24)
regnet_x_3_2gf = variant("regnet_x_3_2gf", w_a=26.31, w_0=88, w_m=2.25, d=25, group_w=48)
regnet_x_4_0gf = variant("regnet_x_4_0gf", w_a=38.65, w_0=96, w_m=2.43, d=23, group_w=40)
regnet_x_6_4gf = variant("regnet_x_6_4gf", w_a=60.83, w_0=184, w_m=2.07, d=17, group_w=56)
regnet_x_8_0gf = variant("regnet_x_8_0gf", w_a=49.56, w_0=80, w_m=2.88, d=23, group_w=120)
regnet_x_12gf = variant("regnet_x_12gf", w_a=73.36, w_0=168, w_m=2.37, d=19, group_w=112)
regnet_x_16gf = variant("regnet_x_16gf", w_a=55.59, w_0=216, w_m=2.1, d=22, group_w=128)
regnet_x_32gf = variant("regnet_x_32gf", w_a=69.86, w_0=320, w_m=2.0, d=23, group_w=168)
# arXiv:2003.13678, figure 17 ("top RegNetY models")
regnet_y_200mf = variant("regnet_y_200mf", w_a=36.44, w_0=24, w_m=2.49, d=13, group_w=8, se_r=0.25)
regnet_y_400mf = variant("regnet_y_400mf", w_a=27.89, w_0=48, w_m=2.09, d=16, group_w=8, se_r=0.25)
regnet_y_600mf = variant("regnet_y_600mf", w_a=32.54, w_0=48, w_m=2.32, d=15, group_w=16, se_r=0.25)
regnet_y_800mf = variant("regnet_y_800mf", w_a=38.84, w_0=56, w_m=2.4, d=14, group_w=16, se_r=0.25)
regnet_y_1_6gf = variant("regnet_y_1_6gf", w_a=20.71, w_0=48, w_m=2.65, d=27, group_w=24, se_r=0.25)
regnet_y_3_2gf = variant("regnet_y_3_2gf", w_a=42.63, w_0=80, w_m=2.66, d=21, group_w=24, se_r=0.25)
regnet_y_4_0gf = variant("regnet_y_4_0gf", w_a=31.41, w_0=96, w_m=2.24, d=22, group_w=64, se_r=0.25)
regnet_y_6_4gf = variant("regnet_y_6_4gf", w_a=33.22, w_0=112, w_m=2.27, d=25, group_w=72, se_r=0.25)
regnet_y_8_0gf = variant("regnet_y_8_0gf", w_a=76.82, w_0=192, w_m=2.19, d=17, group_w=56, se_r=0.25)
regnet_y_12gf = variant("regnet_y_12gf", w_a=73.36, w_0=168, w_m=2.37, d=19, group_w=112, se_r=0.25)
regnet_y_16gf = variant("regnet_y_16gf", w_a=106.23, w_0=200, w_m=2.48, d=18, group_w=112, se_r=0.25)
regnet_y_32gf = variant("regnet_y_32gf", w_a=115.89, w_0=232, w_m=2.53, d=20, group_w=232, se_r=0.25)
