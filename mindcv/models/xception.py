"""Xception: Deep Learning with Depthwise Separable Convolutions, arXiv:1610.02357.

Reference implementations: MindCV (parameter names, "same" padding of the pools) and timm (`legacy_xception`, which pads
them on all sides), see `pool_pad`.
"""

import itertools
from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier, Map
from .layers import batch_norm2d, classifier_head, conv2d
from .layers.weight_init import Normal, XavierUniform
from .published.xception import WEIGHTS

__all__ = ["Xception", "xception"]

_conv = partial(conv2d, weight_init=XavierUniform())
# Input and output channels, convolutions, stride (figure 5); the last block widens in its last convolution.
_BLOCKS = ((64, 128, 2, 2), (128, 256, 2, 2), (256, 728, 2, 2), *((728, 728, 3, 1),) * 8, (728, 1024, 2, 2))


class SeparableConv2d(nn.Cell):
    """3x3 convolution of each channel, then a 1x1 convolution: (N, in_channels, H, W) to (N, channels, H, W)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, in_channels, 3, 1, 1, in_channels)
        self.pointwise = _conv(in_channels, channels, 1)

    def construct(self, x: Tensor) -> Tensor:
        return self.pointwise(self.conv1(x))


class Block(nn.Cell):
    """ReLU, separable convolution and norm, several times, beside a shortcut: (N, in_channels, H, W) to (N, C, h, w).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        depth: Number of convolutions.
        stride: Stride of the pool behind them, and of the shortcut.
        starts_with_relu: Whether a ReLU stands before the first convolution.
        grows_first: Whether the first convolution changes the channels, in place of the last.
        pool_pad: Padding of the pool, see `Xception`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        depth: int,
        stride: int,
        starts_with_relu: bool,
        grows_first: bool,
        pool_pad: str,
    ) -> None:
        super().__init__()
        self.has_skip = in_channels != channels or stride != 1
        if self.has_skip:
            self.skip, self.skipbn = _conv(in_channels, channels, 1, stride), batch_norm2d(channels)
        inner = channels if grows_first else in_channels
        widths = [in_channels, *[inner] * (depth - 1), channels]
        cells: list[nn.Cell] = []
        for inputs, outputs in itertools.pairwise(widths):
            cells += [nn.ReLU(), SeparableConv2d(inputs, outputs), batch_norm2d(outputs)]
        if stride != 1:
            cells.append(_max_pool(stride, pool_pad))
        self.rep = nn.SequentialCell(cells if starts_with_relu else cells[1:])

    def construct(self, x: Tensor) -> Tensor:
        shortcut = self.skipbn(self.skip(x)) if self.has_skip else x
        return ops.add(self.rep(x), shortcut)


def _max_pool(stride: int, pad: str) -> nn.MaxPool2d:
    if pad == "same":
        return nn.MaxPool2d(3, stride, pad_mode="same")
    return nn.MaxPool2d(3, stride, pad_mode="pad", padding=1)


class Xception(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 71.

    Args:
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pool_pad: How the weights' network pads its max pools: "same" (MindCV) or "both" (PyTorch). It is the same for
            odd sides, such as those of images of 299 pixels but for one.

    Raises:
        ValueError: A rate, a number of classes or a padding that cannot be.
    """

    reads_image = ("conv1",)
    torch_names = NameTable(
        *((f"block{index + 1}.**", f"blocks.{index}.**") for index in range(len(_BLOCKS))),
        ("fc.*", "classifier.*"),
    )
    torch_arguments = {"pool_pad": "both"}
    file_arguments = ("pool_pad",)

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, drop_rate: float = 0.5, *, pool_pad: str = "same"
    ) -> None:
        super().__init__()
        if pool_pad not in ("same", "both"):
            raise ValueError(f"pool_pad is {pool_pad!r}; give 'same' (MindCV's weights) or 'both' (PyTorch's weights)")
        self.pool_pad = pool_pad
        self.conv1, self.bn1 = _conv(in_channels, 32, 3, 2), batch_norm2d(32)
        self.relu = nn.ReLU()
        self.conv2, self.bn2 = _conv(32, 64, 3), batch_norm2d(64)
        last = len(_BLOCKS) - 1
        self.blocks = nn.CellList(
            [Block(*facts, index > 0, index < last, pool_pad) for index, facts in enumerate(_BLOCKS)]
        )
        self.conv3, self.bn3 = SeparableConv2d(1024, 1536), batch_norm2d(1536)
        self.conv4, self.bn4 = SeparableConv2d(1536, 2048), batch_norm2d(2048)
        self.add_head(2048, num_classes, drop_rate, make=partial(classifier_head, weight_init=Normal(0.01)))
        stem = ("conv1", "bn1", "relu", "conv2", "bn2")
        tail = ("conv3", "bn3", "conv4", "bn4")
        middle = tuple(f"blocks.{index}" for index in range(2, last))
        maps: list[Map] = [
            (stem, 64, 2),
            ("blocks.0", 128, 4),
            ("blocks.1", 256, 8),
            (middle, 728, 16),
            (f"blocks.{last}", 1024, 32),
        ]
        self.describe([*self.blocks], maps, tail)

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns maps of about 1/2, 1/4, 1/8, 1/16 and 1/32 of the side."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        maps: tuple[Tensor, ...] = (x,)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in (0, 1, 10, 11):
                maps = (*maps, x)
        return maps

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, 2048, h, w)."""
        x = self.forward_stages(x)[-1]
        x = self.relu(self.bn3(self.conv3(x)))
        return self.relu(self.bn4(self.conv4(x)))


variant = Family(Xception, WEIGHTS).variant
xception = variant("xception")
