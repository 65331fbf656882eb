"""VGG: Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv:1409.1556.

Reference implementations: MindCV (parameter names; its convolutions have no bias), torchvision (the same names) and
timm (`pre_logits.fc1`, `head.fc`), see `conv_bias`.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier, Map
from .layers import MapSequence, as_pair, classifier_head, conv2d, dense, dropout, require_image_size
from .layers.weight_init import HeNormal, Normal
from .published.vgg import WEIGHTS

__all__ = ["VGG", "vgg11", "vgg13", "vgg16", "vgg19"]

_WIDTHS = (64, 128, 256, 512, 512)
_NORMAL = Normal(0.01)


class PreLogits(nn.Cell):
    """Two dense layers over all of a map: (N, channels, rows, columns) to (N, hidden_channels).

    Args:
        channels: Values of the map.
        hidden_channels: Channels of both layers.
        drop_rate: Dropout behind the first layer.
    """

    def __init__(self, channels: int, hidden_channels: int, drop_rate: float) -> None:
        super().__init__()
        self.channels = channels
        self.fc1, self.fc2 = (
            dense(inputs, hidden_channels, weight_init=_NORMAL) for inputs in (channels, hidden_channels)
        )
        self.relu = nn.ReLU()
        self.dropout = dropout("drop_rate", drop_rate)

    def construct(self, x: Tensor) -> Tensor:
        x = self.dropout(self.relu(self.fc1(x.reshape((-1, self.channels)))))
        return self.relu(self.fc2(x))


class VGG(ImageClassifier):
    """(N, in_channels, image_size, image_size) to (N, num_classes).

    Args:
        layers: Number of convolutions in each of the five stages.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout behind both hidden layers of the classifier.
        image_size: Side of the images, or (height, width), multiples of 32; the classifier is bound to it.
        channels: Channels of each stage.
        hidden_channels: Channels of the classifier's hidden layers.
        conv_bias: Whether convolutions have a bias: not in MindCV, but in torchvision and timm.

    Raises:
        ValueError: A rate, a number of classes, a list of stages or an image's size that cannot be.
    """

    reads_image = ("features.0",)
    gives_logits = ("head.fc",)
    # timm's names are ours, torchvision's are MindCV's.
    mindcv_names = NameTable(
        ("classifier.0.*", "pre_logits.fc1.*"), ("classifier.3.*", "pre_logits.fc2.*"), ("classifier.6.*", "head.fc.*")
    )
    file_arguments = ("conv_bias",)

    def __init__(
        self,
        layers: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_rate: float = 0.5,
        *,
        image_size: int | tuple[int, int] = 224,
        channels: Sequence[int] = _WIDTHS,
        hidden_channels: int = 4096,
        conv_bias: bool = False,
    ) -> None:
        super().__init__()
        height, width = self.image_size = as_pair(image_size)
        if min(height, width) < 32 or height % 32 or width % 32:
            raise ValueError(f"image_size is {height}x{width}; give multiples of 32")
        if len(layers) != len(_WIDTHS) or len(channels) != len(_WIDTHS):
            raise ValueError(f"VGG has five stages; got layers {list(layers)} and channels {list(channels)}")
        self.conv_bias = conv_bias
        weight_init = HeNormal(math.sqrt(5), mode="fan_out", nonlinearity="relu")
        cells: list[nn.Cell] = []
        maps: list[Map] = []
        inputs = in_channels
        for stage, (depth, outputs) in enumerate(zip(layers, channels, strict=True)):
            start = len(cells)
            for _ in range(depth):
                cells += [conv2d(inputs, outputs, 3, 1, 1, bias=conv_bias, weight_init=weight_init), nn.ReLU()]
                inputs = outputs
            cells.append(nn.MaxPool2d(2, 2, pad_mode="valid"))
            maps.append((tuple(f"features.{index}" for index in range(start, len(cells))), outputs, 2 ** (stage + 1)))
        ends = [names[-1].rpartition(".")[2] for names, _, _ in maps]
        self.features = MapSequence({str(index): cell for index, cell in enumerate(cells)}, ends)
        self.pre_logits = PreLogits(channels[-1] * (height // 32) * (width // 32), hidden_channels, drop_rate)
        make = partial(classifier_head, weight_init=_NORMAL)
        self.add_head(hidden_channels, num_classes, drop_rate, name="head.fc", pool="none", make=make)
        convolutions = [cell for cell in cells if isinstance(cell, nn.Conv2d)]
        self.describe(convolutions[1:], maps, tail=("pre_logits",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the map behind each pool: sides of 1/2, 1/4, 1/8, 1/16 and 1/32."""
        return self.features(x)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, hidden_channels)."""
        require_image_size(x, self.image_size)
        return self.pre_logits(self.features(x)[-1])

    @classmethod
    def file_tells(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns what a file tells of its network: whether its convolutions have a bias."""
        return {**super().file_tells(arrays), "conv_bias": "features.0.bias" in arrays}

    @classmethod
    def is_torch_file(cls, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether a file has timm's names; torchvision's are MindCV's."""
        return any(name.startswith("pre_logits.") for name in arrays)

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of timm's names; its hidden layers are convolutions."""
        return {
            name: array.reshape((array.shape[0], -1)) if name.startswith("pre_logits.") and array.ndim == 4 else array
            for name, array in arrays.items()
        }

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays by the paths of our cells as timm has them."""
        height, width = (side // 32 for side in self.image_size)
        sides = {"pre_logits.fc1.weight": (height, width), "pre_logits.fc2.weight": (1, 1)}
        return {
            name: array.reshape((array.shape[0], -1, *sides[name])) if name in sides else array
            for name, array in arrays.items()
        }


variant = Family(VGG, WEIGHTS).variant
# arXiv:1409.1556, table 1: A, B, D and E
vgg11 = variant("vgg11", layers=(1, 1, 2, 2, 2))
vgg13 = variant("vgg13", layers=(2, 2, 2, 2, 2))
vgg16 = variant("vgg16", layers=(2, 2, 3, 3, 3))
vgg19 = variant("vgg19", layers=(2, 2, 4, 4, 4))
