"""Res2Net: A New Multi-scale Backbone Architecture, arXiv:1904.01169.

Reference implementations: MindCV (parameter names) and timm (`res2net50_26w_4s`, `res2net50d`), whose networks are the
same. They pad as PyTorch does: on all sides, and the mean over 3x3 counts the zeros.
"""

import math
from collections.abc import Sequence
from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._residual import ResidualNetwork
from .layers import (
    FAN_IN_UNIFORM,
    DropPath,
    StemMaxPool,
    batch_norm2d,
    classifier_head,
    conv2d,
    conv_norm,
    deep_stem,
    mean_pool3x3,
)
from .published.res2net import WEIGHTS

__all__ = [
    "Res2Net",
    "Res2NetV1b",
    "res2net50",
    "res2net50_v1b",
    "res2net101",
    "res2net101_v1b",
    "res2net152",
    "res2net152_v1b",
]


class Bottle2neck(nn.Cell):
    """A bottleneck whose 3x3 convolution is several of `scale` parts of the channels, one behind the other (figure 2).

    The last part stays as it is. In the first block of a stage the convolutions stand side by side, and the last part
    is pooled.

    Args:
        in_channels: Channels of the input.
        channels: A quarter of the output's channels.
        stride: Stride of the 3x3 convolutions.
        base_width: Channels of a part where `channels` is 64.
        scale: Number of parts, at least 2.
        shortcut: Brings the input to the output's shape, in the first block of a stage; None in the others.
        drop_path_rate: Probability of dropping the block for a sample while training.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        base_width: int,
        scale: int,
        shortcut: nn.Cell | None,
        drop_path_rate: float,
    ) -> None:
        super().__init__()
        self.width, out_channels = math.floor(channels * base_width / 64), channels * self.expansion
        self.is_first = shortcut is not None
        self.conv1, self.bn1 = conv2d(in_channels, self.width * scale, 1), batch_norm2d(self.width * scale)
        self.convs = nn.CellList([conv2d(self.width, self.width, 3, stride, 1) for _ in range(scale - 1)])
        self.bns = nn.CellList([batch_norm2d(self.width) for _ in range(scale - 1)])
        self.pool = mean_pool3x3(stride, "both") if self.is_first else nn.Identity()
        self.conv3, self.bn3 = conv2d(self.width * scale, out_channels, 1), batch_norm2d(out_channels)
        self.relu = nn.ReLU()
        self.down_sample = shortcut or nn.Identity()
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        parts = ops.split(self.relu(self.bn1(self.conv1(x))), self.width, 1)
        out = self.relu(self.bns[0](self.convs[0](parts[0])))
        outputs: tuple[Tensor, ...] = (out,)
        for index in range(1, len(self.convs)):
            part = parts[index] if self.is_first else out + parts[index]
            out = self.relu(self.bns[index](self.convs[index](part)))
            outputs = (*outputs, out)
        out = self.bn3(self.conv3(ops.cat((*outputs, self.pool(parts[-1])), 1)))
        return self.relu(self.drop_path(out) + self.down_sample(x))


class Res2Net(ResidualNetwork):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        layers: Number of blocks in each of the four stages.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        base_width: Channels of a part of a block where the stage has 64.
        scale: Number of parts of a block.
        channels: Channels of each stage before the blocks' expansion; the stem has the first.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0.

    Raises:
        ValueError: A rate, a number of classes, a list of stages or `scale` that cannot be.
    """

    reads_image = ("conv1",)
    torch_names = NameTable(("fc.*", "classifier.*"), ("**.downsample.**", "**.down_sample.**"))

    def __init__(
        self,
        layers: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        base_width: int = 26,
        scale: int = 4,
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if scale < 2:
            raise ValueError(f"scale is {scale}; give at least 2 parts")
        self.conv1, self.bn1 = self._stem(in_channels, channels[0]), batch_norm2d(channels[0])
        self.relu = nn.ReLU()
        self.max_pool = StemMaxPool("both")

        def make_block(inputs: int, width: int, stride: int, rate: float) -> nn.Cell:
            outputs = width * Bottle2neck.expansion
            shortcut = self._shortcut(inputs, outputs, stride) if stride != 1 or inputs != outputs else None
            return Bottle2neck(inputs, width, stride, base_width, scale, shortcut, rate)

        self.add_stages(
            *(make_block, ("conv1", "bn1", "relu"), channels, layers, Bottle2neck.expansion),
            *(num_classes, drop_rate, drop_path_rate),
            make_head=partial(classifier_head, weight_init=FAN_IN_UNIFORM),
        )

    def _stem(self, in_channels: int, channels: int) -> nn.Cell:
        return conv2d(in_channels, channels, 7, 2, 3)

    def _shortcut(self, in_channels: int, channels: int, stride: int) -> nn.Cell:
        return conv_norm(in_channels, channels, 1, stride)

    def forward_stem(self, x: Tensor) -> Tensor:
        """Returns the map before the pool: (N, in_channels, H, W) to (N, C, H / 2, W / 2)."""
        return self.relu(self.bn1(self.conv1(x)))


class Res2NetV1b(Res2Net):
    """Res2Net with three 3x3 convolutions as stem, and shortcuts that pool before a convolution without stride.

    Arguments are those of `Res2Net`.
    """

    reads_image = ("conv1.0",)
    torch_names = NameTable(
        ("layer1.0.downsample.1.*", "layer1.0.down_sample.0.*"),
        ("layer1.0.downsample.2.*", "layer1.0.down_sample.1.*"),
        ("fc.*", "classifier.*"),
        ("**.downsample.**", "**.down_sample.**"),
    )

    def _stem(self, in_channels: int, channels: int) -> nn.Cell:
        return deep_stem(in_channels, channels // 2, channels)

    def _shortcut(self, in_channels: int, channels: int, stride: int) -> nn.Cell:
        convolution = conv2d(in_channels, channels, 1)
        if stride == 1:
            return nn.SequentialCell(convolution, batch_norm2d(channels))
        pool = nn.AvgPool2d(stride, stride, pad_mode="same")
        return nn.SequentialCell(pool, convolution, batch_norm2d(channels))


variant = Family(Res2Net, WEIGHTS).variant
# arXiv:1904.01169, section 4.1: the depths of ResNet; 26 channels in each of 4 parts
res2net50 = variant("res2net50", layers=(3, 4, 6, 3))
res2net101 = variant("res2net101", layers=(3, 4, 23, 3))
res2net152 = variant("res2net152", layers=(3, 8, 36, 3))
variant = Family(Res2NetV1b, WEIGHTS).variant
res2net50_v1b = variant("res2net50_v1b", layers=(3, 4, 6, 3))
res2net101_v1b = variant("res2net101_v1b", layers=(3, 4, 23, 3))
res2net152_v1b = variant("res2net152_v1b", layers=(3, 8, 36, 3))
