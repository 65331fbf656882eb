"""DenseNet: Densely Connected Convolutional Networks, arXiv:1608.06993.

Reference implementations: MindCV (`denseblock1.cell_list.0`), timm and torchvision, whose networks are the same.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier, Map
from .layers import FAN_IN_UNIFORM, MapSequence, StemMaxPool, batch_norm2d, classifier_head, conv2d, dropout
from .published.densenet import WEIGHTS

__all__ = ["DenseNet", "densenet121", "densenet161", "densenet169", "densenet201"]


class DenseLayer(nn.Cell):
    """1x1 and 3x3 convolution, a norm and a ReLU before each: (N, in_channels, H, W) to (N, growth_rate, H, W).

    Args:
        in_channels: Channels of the input.
        growth_rate: Channels of the output.
        bn_size: Channels between the convolutions over `growth_rate`.
        drop_rate: Dropout of the output.
    """

    def __init__(self, in_channels: int, growth_rate: int, bn_size: int, drop_rate: float) -> None:
        super().__init__()
        width = bn_size * growth_rate
        self.norm1, self.conv1 = batch_norm2d(in_channels), conv2d(in_channels, width, 1)
        self.norm2, self.conv2 = batch_norm2d(width), conv2d(width, growth_rate, 3, 1, 1)
        self.relu = nn.ReLU()
        self.dropout = dropout("drop_rate", drop_rate)

    def construct(self, x: Tensor) -> Tensor:
        x = self.conv1(self.relu(self.norm1(x)))
        return self.dropout(self.conv2(self.relu(self.norm2(x))))


class DenseBlock(nn.Cell):
    """Layers that each see the outputs of all before (figure 1): (N, in_channels, H, W) to more channels.

    Args:
        depth: Number of layers.
        in_channels: Channels of the input; each layer adds `growth_rate`.
        growth_rate: Channels of a layer's output.
        bn_size: Channels inside a layer over `growth_rate`.
        drop_rate: Dropout of each layer's output.
    """

    def __init__(self, depth: int, in_channels: int, growth_rate: int, bn_size: int, drop_rate: float) -> None:
        super().__init__()
        self.cell_list = nn.CellList(
            [DenseLayer(in_channels + i * growth_rate, growth_rate, bn_size, drop_rate) for i in range(depth)]
        )

    def construct(self, x: Tensor) -> Tensor:
        for layer in self.cell_list:
            x = ops.cat((x, layer(x)), 1)
        return x


class Transition(nn.Cell):
    """Norm, ReLU, 1x1 convolution and 2x2 mean: (N, in_channels, H, W) to (N, channels, H / 2, W / 2).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.norm, self.relu = batch_norm2d(in_channels), nn.ReLU()
        self.conv = conv2d(in_channels, channels, 1)
        self.pool = nn.AvgPool2d(2, 2, pad_mode="valid")

    def construct(self, x: Tensor) -> Tensor:
        return self.pool(self.conv(self.relu(self.norm(x))))


class DenseNet(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W multiples of 32.

    Args:
        growth_rate: Channels that a layer adds ("k" of the paper).
        block_config: Layers of each of the four blocks.
        num_init_features: Channels of the stem.
        bn_size: Channels inside a layer over `growth_rate`.
        drop_rate: Dropout of each layer's output.
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the head out.

    Raises:
        ValueError: A rate, a number of classes or a list of blocks that cannot be.
    """

    reads_image = ("features.conv0",)
    mindcv_names = NameTable(
        ("features.transition*.features.norm.*", "features.transition*.norm.*"),
        ("features.transition*.features.conv.*", "features.transition*.conv.*"),
    )

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0.0,
        in_channels: int = 3,
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        if len(block_config) != 4:
            raise ValueError(f"DenseNet has four blocks; got block_config {list(block_config)}")
        cells: dict[str, nn.Cell] = {
            "conv0": conv2d(in_channels, num_init_features, 7, 2, 3),
            "norm0": batch_norm2d(num_init_features),
            "relu0": nn.ReLU(),
            "pool0": StemMaxPool("both"),
        }
        stem = ("features.conv0", "features.norm0", "features.relu0")
        width, blocks = num_init_features, []
        maps: list[Map] = [(stem, num_init_features, 2)]
        for index, depth in enumerate(block_config, 1):
            before, names = [], [f"denseblock{index}"]
            if index > 1:
                before, names = [Transition(width, width // 2)], [f"transition{index - 1}", *names]
                width //= 2
            block = DenseBlock(depth, width, growth_rate, bn_size, drop_rate)
            cells.update(zip(names, [*before, block], strict=True))
            width += depth * growth_rate
            blocks += [(*before, block.cell_list[0]), *((layer,) for layer in block.cell_list[1:])]
            maps.append((tuple(f"features.{name}" for name in names), width, 2 ** (index + 1)))
        cells["norm5"] = batch_norm2d(width)
        cells["relu5"] = nn.ReLU()
        self.features = MapSequence(cells, ("relu0", *(f"denseblock{index}" for index in range(1, 5)), "relu5"))
        self.add_head(width, num_classes, 0.0, make=partial(classifier_head, weight_init=FAN_IN_UNIFORM))
        self.describe(blocks, maps, tail=("features.norm5", "features.relu5"))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the stem's map and the four blocks': sides of 1/2, 1/4, 1/8, 1/16 and 1/32."""
        return self.features(x)[:-1]

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, num_features, H / 32, W / 32)."""
        return self.features(x)[-1]

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of timm's or torchvision's names by the paths of our cells; they count layers from 1."""
        return super().from_torch({_LAYER.sub(_our_layer, name): array for name, array in arrays.items()})

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays by the paths of our cells under timm's names."""
        return {_OUR_LAYER.sub(_their_layer, name): array for name, array in super().to_torch(arrays).items()}


# torchvision's files write `norm.1` for `norm1`.
_LAYER = re.compile(r"\.denselayer(\d+)\.(norm|conv)\.?([12])\.")
_OUR_LAYER = re.compile(r"\.cell_list\.(\d+)\.")


def _our_layer(match: re.Match[str]) -> str:
    return f".cell_list.{int(match[1]) - 1}.{match[2]}{match[3]}."


def _their_layer(match: re.Match[str]) -> str:
    return f".denselayer{int(match[1]) + 1}."


variant = Family(DenseNet, WEIGHTS).variant
# arXiv:1608.06993, table 1
densenet121 = variant("densenet121")
densenet161 = variant("densenet161", growth_rate=48, block_config=(6, 12, 36, 24), num_init_features=96)
densenet169 = variant("densenet169", block_config=(6, 12, 32, 32))
densenet201 = variant("densenet201", block_config=(6, 12, 48, 32))
