"""SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size, arXiv:1602.07360.

Reference implementations: MindCV and torchvision, whose names are the same (see `pad`).
"""

from collections.abc import Mapping

import numpy as np
from mindspore import Tensor, nn, ops

from ._family import Family
from ._network import ImageClassifier, Map
from .layers import MapSequence, check_num_classes, conv2d
from .layers.weight_init import HeUniform, Normal
from .published.squeezenet import WEIGHTS

__all__ = ["SqueezeNet", "squeezenet1_0", "squeezenet1_1"]

_HE_UNIFORM = HeUniform()
_NORMAL = Normal()
# Channels, side and MindCV's padding of the stem's kernel, and Fire modules between two pools: squeezed and expanded
# channels, the latter by each of two kernels (table 1; version 1.1 is of the authors' repository).
_VERSIONS = {
    "1_0": (96, 7, 0, (((16, 64), (16, 64), (32, 128)), ((32, 128), (48, 192), (48, 192), (64, 256)), ((64, 256),))),
    "1_1": (64, 3, 1, (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192), (64, 256), (64, 256)))),
}


class Fire(nn.Cell):
    """1x1 convolution, then a 1x1 and a 3x3 one side by side, each with a ReLU (section 3.1).

    (N, in_channels, H, W) to (N, 2 * expand_channels, H, W).

    Args:
        in_channels: Channels of the input.
        squeeze_channels: Channels of the first convolution.
        expand_channels: Channels of each of the two others.
    """

    def __init__(self, in_channels: int, squeeze_channels: int, expand_channels: int) -> None:
        super().__init__()
        self.squeeze = conv2d(in_channels, squeeze_channels, 1, bias=True, weight_init=_HE_UNIFORM)
        self.expand1x1 = conv2d(squeeze_channels, expand_channels, 1, bias=True, weight_init=_HE_UNIFORM)
        self.expand3x3 = conv2d(squeeze_channels, expand_channels, 3, 1, 1, bias=True, weight_init=_HE_UNIFORM)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        x = self.relu(self.squeeze(x))
        return self.relu(ops.concat((self.expand1x1(x), self.expand3x3(x)), axis=1))


class MaxPool(nn.Cell):
    """3x3 max pooling with stride 2 behind a ReLU: (N, C, H, W) to (N, C, h, w).

    Args:
        ceil: Whether the last window may reach over the border, so that no row and column is left out. Zeros stand
            there, which are the same as nothing for values that are not negative.
    """

    def __init__(self, ceil: bool) -> None:
        super().__init__()
        self.ceil = ceil
        self.pad_zeros = ops.Pad(((0, 0), (0, 0), (0, 1), (0, 1)))
        self.max_pool = nn.MaxPool2d(3, 2, pad_mode="valid")

    def construct(self, x: Tensor) -> Tensor:
        # A row of zeros behind an odd side is in no window.
        return self.max_pool(self.pad_zeros(x) if self.ceil else x)


def _conv_head(num_features: int, num_classes: int) -> nn.Cell:
    if not check_num_classes(num_classes):
        return nn.Identity()
    return conv2d(num_features, num_classes, 1, bias=True, weight_init=_NORMAL)


class SqueezeNet(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    The last layer is a 1x1 convolution; its map's ReLU and mean are the logits, which are not negative therefore.

    Args:
        version: "1_0" or "1_1".
        num_classes: Number of classes; 0 leaves the last layer out.
        drop_rate: Dropout before the last layer.
        in_channels: Channels of the image.
        pad: Borders of the weights' network: "mindcv" pads the stem of version 1.1 and has pools that round the side
            down, "torchvision" pads no stem and has pools that round up. Files of both have the same names, so it is
            to be given with torchvision's files that no tag names.

    Raises:
        ValueError: Another `version` or `pad`, or a rate or a number of classes that cannot be.
    """

    reads_image, gives_logits = ("features.0",), ("classifier.1",)
    file_arguments = ("pad",)

    def __init__(
        self,
        version: str = "1_0",
        num_classes: int = 1000,
        drop_rate: float = 0.5,
        in_channels: int = 3,
        *,
        pad: str = "mindcv",
    ) -> None:
        super().__init__()
        if version not in _VERSIONS:
            raise ValueError(f"version is {version!r}; give '1_0' or '1_1'")
        if pad not in ("mindcv", "torchvision"):
            raise ValueError(f"pad is {pad!r}; give 'mindcv' or 'torchvision', whose weights these are")
        self.pad = pad
        channels, side, padding, groups = _VERSIONS[version]
        padding = padding if pad == "mindcv" else 0
        stem = conv2d(in_channels, channels, side, 2, padding, bias=True, weight_init=_HE_UNIFORM)
        cells: list[nn.Cell] = [stem, nn.ReLU()]
        maps: list[Map] = [(("features.0", "features.1"), channels, 2)]
        for index, group in enumerate(groups):
            start = len(cells)
            cells.append(MaxPool(ceil=pad == "torchvision"))
            for squeezed, expanded in group:
                cells.append(Fire(channels, squeezed, expanded))
                channels = 2 * expanded
            maps.append((tuple(f"features.{cell}" for cell in range(start, len(cells))), channels, 4 * 2**index))
        ends = [names[-1].rpartition(".")[2] for names, _, _ in maps]
        self.features = MapSequence({str(index): cell for index, cell in enumerate(cells)}, ends)
        self.add_head(channels, num_classes, drop_rate, name="classifier.1", make=_conv_head)
        self.relu = nn.ReLU()
        self.describe([cell for cell in cells if isinstance(cell, Fire)], maps)

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the stem and of the modules behind each pool: about 1/2, 1/4, 1/8, 1/16 of the side."""
        return self.features(x)

    def forward_head(self, x: Tensor) -> Tensor:
        """Returns the logits: (N, num_features, h, w) to (N, num_classes)."""
        return self.pool(self.relu(self.classifier(self.dropout(x))))

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under torchvision's names, which are ours.

        Raises:
            ValueError: torchvision has no such network.
        """
        if self.pad != "torchvision":
            raise ValueError("torchvision's SqueezeNet has other borders; convert with --to mindcv")
        return dict(arrays)


variant = Family(SqueezeNet, WEIGHTS).variant
squeezenet1_0 = variant("squeezenet1_0", version="1_0")
squeezenet1_1 = variant("squeezenet1_1", version="1_1")
