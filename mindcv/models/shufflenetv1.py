"""ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices, arXiv:1707.01083.

Reference implementation: MindCV. Neither timm nor torchvision has the network.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from mindspore import Tensor, nn, ops

from ._family import Family
from ._network import ImageClassifier, Map
from .layers import (
    DropPath,
    StemMaxPool,
    batch_norm2d,
    channel_shuffle,
    classifier_head,
    conv2d,
    drop_path_rates,
    mean_pool3x3,
)
from .layers.weight_init import Normal
from .published.shufflenetv1 import WEIGHTS

__all__ = [
    "ShuffleNetV1",
    "shufflenet_v1_g3_05",
    "shufflenet_v1_g3_10",
    "shufflenet_v1_g3_15",
    "shufflenet_v1_g3_20",
    "shufflenet_v1_g8_05",
    "shufflenet_v1_g8_10",
    "shufflenet_v1_g8_15",
    "shufflenet_v1_g8_20",
]

# Channels of the stem and of the first stage, by groups and width; each further stage has twice as many (table 1).
_WIDTHS = {
    3: {"0.5x": (12, 120), "1.0x": (24, 240), "1.5x": (24, 360), "2.0x": (48, 480)},
    8: {"0.5x": (16, 192), "1.0x": (24, 384), "1.5x": (24, 576), "2.0x": (48, 768)},
}


class GroupConv(nn.Cell):
    """1x1 convolution of each group of channels, a layer each: (N, in_channels, H, W) to (N, channels, H, W).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        groups: Number of groups.
    """

    def __init__(self, in_channels: int, channels: int, groups: int) -> None:
        super().__init__()
        self.width = in_channels // groups
        make = partial(conv2d, self.width, channels // groups, 1, weight_init=Normal(1 / self.width))
        convs = [make()]
        convs += [make(sibling=convs[0]) for _ in range(groups - 1)]
        self.convs = nn.CellList(convs, auto_prefix=False)  # parameters are named when the list is put here

    def construct(self, x: Tensor) -> Tensor:
        outputs: tuple[Tensor, ...] = ()
        for index, conv in enumerate(self.convs):
            outputs = (*outputs, conv(x[:, index * self.width : (index + 1) * self.width]))
        return ops.concat(outputs, axis=1)


class ShuffleV1Block(nn.Cell):
    """Grouped 1x1, depthwise 3x3 and grouped 1x1 convolution beside the input (figure 2b and c).

    (N, in_channels, H, W) to (N, channels, H / stride, W / stride). With stride 2 the input's mean stands in front of
    the output's channels in place of being added.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output; with stride 1 the input's.
        stride: Stride of the depthwise convolution.
        groups: Groups of the last convolution, in which channels are shuffled.
        first_groups: Groups of the first convolution.
        drop_path_rate: Probability of dropping the block for a sample while training, where it is added to the input.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, groups: int, first_groups: int, drop_path_rate: float
    ) -> None:
        super().__init__()
        self.stride = stride
        width = channels // 4
        self.group_width = width // groups
        outputs = channels - in_channels if stride == 2 else channels
        self.branch_main_1 = nn.SequentialCell(
            GroupConv(in_channels, width, first_groups), batch_norm2d(width), nn.ReLU()
        )
        self.branch_main_2 = nn.SequentialCell(
            conv2d(width, width, 3, stride, 1, width, weight_init=Normal(1.0)),
            batch_norm2d(width),
            GroupConv(width, outputs, groups),
            batch_norm2d(outputs),
        )
        self.branch_proj = mean_pool3x3(2, "same") if stride == 2 else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        out = self.branch_main_2(channel_shuffle(self.branch_main_1(x), self.group_width))
        if self.stride == 2:
            return self.relu(ops.concat((self.branch_proj(x), out), axis=1))
        return self.relu(x + self.drop_path(out))


class ShuffleNetV1(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        model_size: Width: "0.5x", "1.0x", "1.5x" or "2.0x".
        group: Groups of the 1x1 convolutions, 3 or 8.
        depths: Blocks of each of the three stages.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0.

    Raises:
        ValueError: Another `model_size` or `group`, or a rate or a number of classes that cannot be.
    """

    reads_image = ("first_conv.0",)

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        model_size: str = "2.0x",
        group: int = 3,
        *,
        depths: Sequence[int] = (4, 8, 4),
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if group not in _WIDTHS or model_size not in _WIDTHS[group]:
            raise ValueError(
                f"group {group!r} and model_size {model_size!r}; give 3 or 8, and 0.5x, 1.0x, 1.5x or 2.0x"
            )
        stem, width = _WIDTHS[group][model_size]
        self.first_conv = nn.SequentialCell(
            conv2d(in_channels, stem, 3, 2, 1, weight_init=Normal(0.01)), batch_norm2d(stem), nn.ReLU()
        )
        self.max_pool = StemMaxPool("same")
        blocks: list[tuple[str, ...]] = []
        channels = stem
        maps: list[Map] = [("first_conv", stem, 2)]
        self.ends = []
        for stage, rates in enumerate(drop_path_rates(drop_path_rate, depths)):
            start = len(blocks)
            for index, rate in enumerate(rates):
                groups = group, group if blocks else 1
                blocks.append(ShuffleV1Block(channels, width * 2**stage, 1 if index else 2, *groups, rate))
                channels = width * 2**stage
            maps.append((tuple(f"features.{cell}" for cell in range(start, len(blocks))), channels, 8 * 2**stage))
            self.ends.append(len(blocks) - 1)
        self.features = nn.SequentialCell(blocks)
        make = partial(classifier_head, bias=False, weight_init=Normal(0.01))
        self.add_head(channels, num_classes, drop_rate, make=make)
        self.describe(blocks, maps)

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the stem and of the three stages: sides of 1/2, 1/8, 1/16 and 1/32."""
        x = self.first_conv(x)
        maps: tuple[Tensor, ...] = (x,)
        x = self.max_pool(x)
        for index, block in enumerate(self.features):
            x = block(x)
            if index in self.ends:
                maps = (*maps, x)
        return maps

    def from_mindcv(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of MindCV 0.3.0 by its later names: its grouped convolution was one layer."""
        split: dict[str, np.ndarray] = {}
        groups = {path: len(cell.convs) for path, cell in self.cells_and_names() if isinstance(cell, GroupConv)}
        for name, array in arrays.items():
            cell = name.removesuffix(".weight")
            if cell in groups and array.shape[0] % groups[cell] == 0:
                parts = np.split(array, groups[cell])
                split |= {f"{cell}.convs.{index}.weight": part for index, part in enumerate(parts)}
            else:
                split[name] = array
        return split

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Refuses: neither timm nor torchvision has the network.

        Raises:
            ValueError: Always.
        """
        raise ValueError("neither timm nor torchvision has ShuffleNetV1; convert with --to mindcv")


variant = Family(ShuffleNetV1, WEIGHTS).variant  # table 1
shufflenet_v1_g3_05 = variant("shufflenet_v1_g3_05", group=3, model_size="0.5x")
shufflenet_v1_g3_10 = variant("shufflenet_v1_g3_10", group=3, model_size="1.0x")
shufflenet_v1_g3_15 = variant("shufflenet_v1_g3_15", group=3, model_size="1.5x")
shufflenet_v1_g3_20 = variant("shufflenet_v1_g3_20", group=3, model_size="2.0x")
shufflenet_v1_g8_05 = variant("shufflenet_v1_g8_05", group=8, model_size="0.5x")
shufflenet_v1_g8_10 = variant("shufflenet_v1_g8_10", group=8, model_size="1.0x")
shufflenet_v1_g8_15 = variant("shufflenet_v1_g8_15", group=8, model_size="1.5x")
shufflenet_v1_g8_20 = variant("shufflenet_v1_g8_20", group=8, model_size="2.0x")
