"""ResNet and ResNeXt.

* Deep Residual Learning for Image Recognition, arXiv:1512.03385
* Aggregated Residual Transformations for Deep Neural Networks, arXiv:1611.05431

Reference implementations: MindCV (parameter names, "same" padding of the stem's max pool, see `stem_pool_pad`) and
torchvision (the stride of a bottleneck is at its 3x3 convolution, where the paper has it at the first 1x1).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindcv.weights.marks import mark
from mindcv.weights.naming import NameTable, from_torch, to_torch

from . import _weights_resnet
from ._builder import build_model_with_cfg
from ._classifier import ImageClassifier
from ._registry import get_pretrained_cfg, register_model, register_renamed
from .layers import (
    DropPath,
    StemMaxPool,
    batch_norm2d,
    conv2d,
    drop_path_rates,
)

__all__ = [
    "ResNet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x4d",
    "resnext101_64x4d",
    "resnext152_64x4d",
]

default_cfgs = _weights_resnet.default_cfgs


class BasicBlock(nn.Cell):
    """Two 3x3 convolutions beside a shortcut (arXiv:1512.03385, figure 5 left).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the block, and of its output.
        stride: Stride of the first convolution.
        groups: Only 1.
        base_width: Only 64.
        norm: Makes a normalisation cell for a number of channels.
        down_sample: Cell that brings the input to the output's shape; None when it has it.
        drop_path_rate: Probability of dropping the block for a sample while training.

    Raises:
        ValueError: Another `groups` or `base_width`.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        groups: int = 1,
        base_width: int = 64,
        norm: Callable[[int], nn.Cell] | None = None,
        down_sample: nn.Cell | None = None,
        *,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if groups != 1 or base_width != 64:
            raise ValueError(
                f"BasicBlock has groups 1 and base_width 64 only, got {groups} and {base_width}; use Bottleneck"
            )
        norm = norm or batch_norm2d
        self.conv1 = conv2d(in_channels, channels, 3, stride=stride, padding=1)
        self.bn1 = norm(channels)
        self.conv2 = conv2d(channels, channels, 3, padding=1)
        self.bn2 = norm(channels)
        self.relu = nn.ReLU()
        self.down_sample = down_sample or nn.Identity()
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(self.drop_path(out) + self.down_sample(x))


class Bottleneck(nn.Cell):
    """1x1, 3x3 (grouped in ResNeXt) and 1x1 convolution beside a shortcut (arXiv:1512.03385, figure 5 right).

    Args:
        in_channels: Channels of the input.
        channels: A quarter of the output's channels.
        stride: Stride of the 3x3 convolution.
        groups: Groups of the 3x3 convolution ("cardinality").
        base_width: Channels of a group where `channels` is 64.
        norm: Makes a normalisation cell for a number of channels.
        down_sample: Cell that brings the input to the output's shape; None when it has it.
        drop_path_rate: Probability of dropping the block for a sample while training.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        groups: int = 1,
        base_width: int = 64,
        norm: Callable[[int], nn.Cell] | None = None,
        down_sample: nn.Cell | None = None,
        *,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        norm = norm or batch_norm2d
        width = channels * base_width // 64 * groups
        self.conv1 = conv2d(in_channels, width, 1)
        self.bn1 = norm(width)
        self.conv2 = conv2d(width, width, 3, stride=stride, padding=1, groups=groups)
        self.bn2 = norm(width)
        self.conv3 = conv2d(width, channels * self.expansion, 1)
        self.bn3 = norm(channels * self.expansion)
        self.relu = nn.ReLU()
        self.down_sample = down_sample or nn.Identity()
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(self.drop_path(out) + self.down_sample(x))


class ResNet(ImageClassifier):
    """Residual network: (N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: Number of blocks in each of the four stages.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        groups: Groups of the 3x3 convolutions.
        base_width: Channels of a group where the stage has 64 channels.
        norm: Makes a normalisation cell for a number of channels; None for BatchNorm.
        channels: Channels of each stage before the block's expansion; the stem has the first.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        stem_pool_pad: How the weights' stem pads its max pool, "same" (MindCV) or "both" (PyTorch), see `StemMaxPool`.

    Raises:
        ValueError: A rate, a number of classes or a list of stages that cannot be.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        groups: int = 1,
        base_width: int = 64,
        norm: Callable[[int], nn.Cell] | None = None,
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        stem_pool_pad: str = "same",
    ) -> None:
        super().__init__()
        if len(layers) != 4 or len(channels) != 4:
            raise ValueError(f"ResNet has 4 stages; got layers {list(layers)} and channels {list(channels)}")
        norm = norm or batch_norm2d
        rates = drop_path_rates(drop_path_rate, layers)
        self.stem_pool_pad = stem_pool_pad

        self.conv1 = conv2d(in_channels, channels[0], 7, stride=2, padding=3)
        self.bn1 = norm(channels[0])
        self.relu = nn.ReLU()
        self.max_pool = StemMaxPool(stem_pool_pad)
        self.feature_info = [{"name": "relu", "chs": channels[0], "reduction": 2}]
        stages = []
        previous = channels[0]
        for index, width in enumerate(channels):
            stride = 1 if index == 0 else 2
            stages.append(_make_stage(block, previous, width, stride, groups, base_width, norm, rates[index]))
            previous = width * block.expansion
            self.feature_info.append({"name": f"layer{index + 1}", "chs": previous, "reduction": 4 * 2**index})
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.add_head(previous, num_classes, drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the last feature map: (N, in_channels, H, W) to (N, num_features, H / 32, W / 32)."""
        x = self.max_pool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Returns regular expressions that sort parameters by depth: a stage is a group if `coarse`, else a block."""
        return {"stem": r"^(conv1|bn1)\.", "blocks": r"^layer(\d+)\." if coarse else r"^layer(\d+)\.(\d+)\."}


def _make_stage(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    channels: int,
    stride: int,
    groups: int,
    base_width: int,
    norm: Callable[[int], nn.Cell],
    rates: Sequence[float],
) -> nn.SequentialCell:
    out_channels = channels * block.expansion
    down_sample = None
    if stride != 1 or in_channels != out_channels:
        down_sample = nn.SequentialCell(conv2d(in_channels, out_channels, 1, stride=stride), norm(out_channels))
    first = block(in_channels, channels, stride, groups, base_width, norm, down_sample, drop_path_rate=rates[0])
    others = [block(out_channels, channels, 1, groups, base_width, norm, drop_path_rate=rate) for rate in rates[1:]]
    return nn.SequentialCell(first, *others)


# arXiv:1512.03385, table 1; arXiv:1611.05431, table 1 and section 5.1 (`groups` x `base_width`d).
_VARIANTS: dict[str, dict[str, Any]] = {
    "resnet18": {"block": BasicBlock, "layers": (2, 2, 2, 2)},
    "resnet34": {"block": BasicBlock, "layers": (3, 4, 6, 3)},
    "resnet50": {"block": Bottleneck, "layers": (3, 4, 6, 3)},
    "resnet101": {"block": Bottleneck, "layers": (3, 4, 23, 3)},
    "resnet152": {"block": Bottleneck, "layers": (3, 8, 36, 3)},
    "resnext50_32x4d": {"block": Bottleneck, "layers": (3, 4, 6, 3), "groups": 32, "base_width": 4},
    "resnext101_32x4d": {"block": Bottleneck, "layers": (3, 4, 23, 3), "groups": 32, "base_width": 4},
    "resnext101_64x4d": {"block": Bottleneck, "layers": (3, 4, 23, 3), "groups": 64, "base_width": 4},
    "resnext152_64x4d": {"block": Bottleneck, "layers": (3, 8, 36, 3), "groups": 64, "base_width": 4},
}

register_renamed({"resnext50": "resnext50_32x4d"})

_PAD_MARK = mark("stem_pool_pad", "both")
_TORCH_NAMES = NameTable(("fc.*", "classifier.*"), ("**.downsample.**", "**.down_sample.**"))


def checkpoint_model_args(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Returns the arguments of the network that a file's names tell: torchvision's and timm's pad the stem's pool."""
    is_torch = "fc.weight" in arrays or ("conv1.weight" in arrays and any(".downsample." in name for name in arrays))
    return {"stem_pool_pad": "both"} if is_torch or _PAD_MARK in arrays else {}


def checkpoint_marks(model: ResNet) -> list[str]:
    """Returns the marks that tell `checkpoint_model_args` the arguments of the network where the names are ours."""
    return [_PAD_MARK] if model.stem_pool_pad == "both" else []


def checkpoint_filter_fn(arrays: Mapping[str, np.ndarray], model: ResNet) -> dict[str, np.ndarray]:
    """Brings names of torchvision and timm to ours; files with our names pass unchanged."""
    return from_torch(_TORCH_NAMES.to_ours(arrays))


def checkpoint_export_fn(arrays: Mapping[str, np.ndarray], model: ResNet) -> dict[str, np.ndarray]:
    """Brings our names to those of torchvision and timm; the inverse of `checkpoint_filter_fn`."""
    return to_torch(_TORCH_NAMES.to_theirs(arrays))


def _create(name: str, pretrained: bool, **kwargs: Any) -> ResNet:
    return build_model_with_cfg(ResNet, pretrained, get_pretrained_cfg(name), **{**_VARIANTS[name], **kwargs})


@register_model
def resnet18(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> ResNet:
    """ResNet-18."""
    return _create("resnet18", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def resnet34(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> ResNet:
    """ResNet-34."""
    return _create("resnet34", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def resnet50(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> ResNet:
    """ResNet-50."""
    return _create("resnet50", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def resnet101(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> ResNet:
    """ResNet-101."""
    return _create("resnet101", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def resnet152(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> ResNet:
    """ResNet-152."""
    return _create("resnet152", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def resnext50_32x4d(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> ResNet:
    """ResNeXt-50, 32 groups of 4 channels."""
    return _create("resnext50_32x4d", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def resnext101_32x4d(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> ResNet:
    """ResNeXt-101, 32 groups of 4 channels."""
    return _create("resnext101_32x4d", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def resnext101_64x4d(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> ResNet:
    """ResNeXt-101, 64 groups of 4 channels."""
    return _create("resnext101_64x4d", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def resnext152_64x4d(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> ResNet:
    """ResNeXt-152, 64 groups of 4 channels."""
    return _create("resnext152_64x4d", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)
