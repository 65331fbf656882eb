"""SENet, SE-ResNet and SE-ResNeXt.

Squeeze-and-Excitation Networks, arXiv:1709.01507

Reference implementations: MindCV (parameter names, "same" padding of the stem's max pool, see `stem_pool_pad`) and timm
(`legacy_se*`, which pads as MindCV does, and `seres*`, which pads as torchvision's ResNet does).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindcv.weights.marks import mark
from mindcv.weights.naming import NameTable, from_torch, to_torch

from . import _weights_senet
from ._builder import build_model_with_cfg
from ._classifier import ImageClassifier
from ._registry import get_pretrained_cfg, register_model, register_renamed
from .layers import (
    DropPath,
    SqueezeExciteDense,
    StemMaxPool,
    batch_norm2d,
    conv2d,
    drop_path_rates,
    make_divisible,
)

__all__ = [
    "SENet",
    "senet154",
    "seresnet18",
    "seresnet34",
    "seresnet50",
    "seresnet101",
    "seresnet152",
    "seresnext26_32x4d",
    "seresnext50_32x4d",
    "seresnext101_32x4d",
]

default_cfgs = _weights_senet.default_cfgs


def _squeeze_excite(channels: int, reduction: int) -> SqueezeExciteDense:
    """The gate's hidden layer is a multiple of 8 wide, at least 8 (MindCV and timm; the paper divides only)."""
    return SqueezeExciteDense(channels, make_divisible(channels / reduction, 8))


class SEResNetBlock(nn.Cell):
    """Two 3x3 convolutions and squeeze-and-excitation beside a shortcut.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the block, and of its output.
        group: Groups of the second convolution.
        reduction: Reduction of the squeeze.
        stride: Stride of the first convolution.
        downsample: Cell that brings the input to the output's shape; None when it has it.
        drop_path_rate: Probability of dropping the block for a sample while training.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        group: int,
        reduction: int,
        stride: int = 1,
        downsample: nn.Cell | None = None,
        *,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv1 = conv2d(in_channels, channels, 3, stride=stride, padding=1)
        self.bn1 = batch_norm2d(channels)
        self.conv2 = conv2d(channels, channels, 3, padding=1, groups=group)
        self.bn2 = batch_norm2d(channels)
        self.relu = nn.ReLU()
        self.se_module = _squeeze_excite(channels, reduction)
        self.downsample = downsample or nn.Identity()
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.se_module(self.bn2(self.conv2(out)))
        return self.relu(self.drop_path(out) + self.downsample(x))


class SEResNetBottleneck(nn.Cell):
    """1x1, 3x3 and 1x1 convolution and squeeze-and-excitation beside a shortcut; other bottlenecks change the widths.

    Args:
        in_channels: Channels of the input.
        channels: A quarter of the output's channels.
        group: Groups of the 3x3 convolution.
        reduction: Reduction of the squeeze.
        stride: Stride of the 3x3 convolution.
        downsample: Cell that brings the input to the output's shape; None when it has it.
        drop_path_rate: Probability of dropping the block for a sample while training.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        group: int,
        reduction: int,
        stride: int = 1,
        downsample: nn.Cell | None = None,
        *,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        width1, width2 = self.widths(channels, group)
        out_channels = channels * self.expansion
        self.conv1 = conv2d(in_channels, width1, 1)
        self.bn1 = batch_norm2d(width1)
        self.conv2 = conv2d(width1, width2, 3, stride=stride, padding=1, groups=group)
        self.bn2 = batch_norm2d(width2)
        self.conv3 = conv2d(width2, out_channels, 1)
        self.bn3 = batch_norm2d(out_channels)
        self.relu = nn.ReLU()
        self.se_module = _squeeze_excite(out_channels, reduction)
        self.downsample = downsample or nn.Identity()
        self.drop_path = DropPath(drop_path_rate)

    @staticmethod
    def widths(channels: int, group: int) -> tuple[int, int]:
        """Returns the channels after the first and after the second convolution."""
        return channels, channels

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.se_module(self.bn3(self.conv3(out)))
        return self.relu(self.drop_path(out) + self.downsample(x))


class SEResNeXtBottleneck(SEResNetBottleneck):
    """Bottleneck of ResNeXt: groups of 4 channels where the stage has 64."""

    @staticmethod
    def widths(channels: int, group: int) -> tuple[int, int]:
        """Returns the channels after the first and after the second convolution."""
        width = channels * 4 // 64 * group
        return width, width


class SEBottleneck(SEResNetBottleneck):
    """Bottleneck of SENet-154: the 3x3 convolution doubles the channels (arXiv:1709.01507, appendix)."""

    @staticmethod
    def widths(channels: int, group: int) -> tuple[int, int]:
        """Returns the channels after the first and after the second convolution."""
        return channels * 2, channels * 4


Block = type[SEResNetBlock] | type[SEResNetBottleneck]


class SENet(ImageClassifier):
    """Residual network with squeeze-and-excitation: (N, in_channels, H, W) to (N, num_classes), H and W at least 32.

    Args:
        block: Class of the blocks.
        layers: Number of blocks in each of the four stages.
        group: Groups of the 3x3 convolutions.
        reduction: Reduction of the squeeze.
        drop_rate: Dropout before the classifier.
        in_channels: Channels of the image.
        inplanes: Channels of the stem's output.
        input3x3: Whether the stem is three 3x3 convolutions, with 64, 64 and `inplanes` channels, in place of one 7x7.
        downsample_kernel_size: Kernel of the shortcuts' convolutions in stages 2 to 4.
        downsample_padding: Padding of the shortcuts' convolutions in stages 2 to 4.
        num_classes: Number of classes; 0 leaves the head out.
        channels: Channels of each stage before the block's expansion.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        stem_pool_pad: How the weights' stem pads its max pool, "same" (MindCV) or "both" (PyTorch), see `StemMaxPool`.

    Raises:
        ValueError: A rate, a number of classes or a list of stages that cannot be.
    """

    def __init__(
        self,
        block: Block,
        layers: Sequence[int],
        group: int,
        reduction: int,
        drop_rate: float = 0.0,
        in_channels: int = 3,
        inplanes: int = 64,
        input3x3: bool = False,
        downsample_kernel_size: int = 1,
        downsample_padding: int = 0,
        num_classes: int = 1000,
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        drop_path_rate: float = 0.0,
        stem_pool_pad: str = "same",
    ) -> None:
        super().__init__()
        if len(layers) != 4 or len(channels) != 4:
            raise ValueError(f"SENet has 4 stages; got layers {list(layers)} and channels {list(channels)}")
        rates = drop_path_rates(drop_path_rate, layers)
        self.stem_pool_pad = stem_pool_pad

        self.layer0 = _make_stem(in_channels, inplanes, input3x3)
        self.pool0 = StemMaxPool(stem_pool_pad)
        self.feature_info = [{"name": "layer0", "chs": inplanes, "reduction": 2}]
        stages = []
        previous = inplanes
        for index, width in enumerate(channels):
            stride, kernel_size, padding = (1, 1, 0) if index == 0 else (2, downsample_kernel_size, downsample_padding)
            downsample = None
            if stride != 1 or previous != width * block.expansion:
                downsample = nn.SequentialCell(
                    conv2d(previous, width * block.expansion, kernel_size, stride=stride, padding=padding),
                    batch_norm2d(width * block.expansion),
                )
            stages.append(_make_stage(block, previous, width, stride, group, reduction, downsample, rates[index]))
            previous = width * block.expansion
            self.feature_info.append({"name": f"layer{index + 1}", "chs": previous, "reduction": 4 * 2**index})
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.add_head(previous, num_classes, drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the last feature map: (N, in_channels, H, W) to (N, num_features, H / 32, W / 32)."""
        x = self.pool0(self.layer0(x))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Returns regular expressions that sort parameters by depth: a stage is a group if `coarse`, else a block."""
        return {"stem": r"^layer0\.", "blocks": r"^layer([1-4])\." if coarse else r"^layer([1-4])\.(\d+)\."}


def _make_stem(in_channels: int, inplanes: int, input3x3: bool) -> nn.SequentialCell:
    if not input3x3:
        return nn.SequentialCell(
            conv2d(in_channels, inplanes, 7, stride=2, padding=3), batch_norm2d(inplanes), nn.ReLU()
        )
    cells: list[nn.Cell] = []
    for inputs, outputs, stride in ((in_channels, 64, 2), (64, 64, 1), (64, inplanes, 1)):
        cells += [conv2d(inputs, outputs, 3, stride=stride, padding=1), batch_norm2d(outputs), nn.ReLU()]
    return nn.SequentialCell(cells)


def _make_stage(
    block: Block,
    in_channels: int,
    channels: int,
    stride: int,
    group: int,
    reduction: int,
    downsample: nn.Cell | None,
    rates: Sequence[float],
) -> nn.SequentialCell:
    first = block(in_channels, channels, group, reduction, stride, downsample, drop_path_rate=rates[0])
    out_channels = channels * block.expansion
    others = [block(out_channels, channels, group, reduction, drop_path_rate=rate) for rate in rates[1:]]
    return nn.SequentialCell(first, *others)


# arXiv:1709.01507, table 1 (SE-ResNet-50, SE-ResNeXt-50) and appendix (SENet-154); other depths as in ResNet's table 1.
_VARIANTS: dict[str, dict[str, Any]] = {
    "senet154": {
        "block": SEBottleneck,
        "layers": (3, 8, 36, 3),
        "group": 64,
        "inplanes": 128,
        "input3x3": True,
        "downsample_kernel_size": 3,
        "downsample_padding": 1,
    },
    "seresnet18": {"block": SEResNetBlock, "layers": (2, 2, 2, 2), "group": 1},
    "seresnet34": {"block": SEResNetBlock, "layers": (3, 4, 6, 3), "group": 1},
    "seresnet50": {"block": SEResNetBottleneck, "layers": (3, 4, 6, 3), "group": 1},
    "seresnet101": {"block": SEResNetBottleneck, "layers": (3, 4, 23, 3), "group": 1},
    "seresnet152": {"block": SEResNetBottleneck, "layers": (3, 8, 36, 3), "group": 1},
    "seresnext26_32x4d": {"block": SEResNeXtBottleneck, "layers": (2, 2, 2, 2), "group": 32},
    "seresnext50_32x4d": {"block": SEResNeXtBottleneck, "layers": (3, 4, 6, 3), "group": 32},
    "seresnext101_32x4d": {"block": SEResNeXtBottleneck, "layers": (3, 4, 23, 3), "group": 32},
}

# timm's legacy_seresnet* are left out: 18 and 34 have narrower gates, 50 to 152 their strides in the first convolution.
_LEGACY_BLOCKS = (SEBottleneck, SEResNeXtBottleneck)
register_renamed(
    {
        "se_resnext50": "seresnext50_32x4d",
        "seresnext50": "seresnext50_32x4d",
        **{f"legacy_{name}": name for name, variant in _VARIANTS.items() if variant["block"] in _LEGACY_BLOCKS},
    }
)

_PAD_MARK = mark("stem_pool_pad", "both")
_SERES_NAMES = (("**.se.fc1.*", "**.se_module.conv_reduce.*"), ("**.se.fc2.*", "**.se_module.conv_expand.*"))
# timm's schemes: `legacy_se*`, `senet154`, and the other `seres*`.
_LEGACY_NAMES = NameTable(
    ("layer0.conv1.*", "layer0.0.*"),
    ("layer0.bn1.*", "layer0.1.*"),
    ("layer0.conv2.*", "layer0.3.*"),
    ("layer0.bn2.*", "layer0.4.*"),
    ("layer0.conv3.*", "layer0.6.*"),
    ("layer0.bn3.*", "layer0.7.*"),
    ("**.se_module.fc1.*", "**.se_module.conv_reduce.*"),
    ("**.se_module.fc2.*", "**.se_module.conv_expand.*"),
    ("last_linear.*", "classifier.*"),
)
_DEEP_STEM_NAMES = NameTable(
    ("bn1.*", "layer0.7.*"), ("conv1.*.*", "layer0.*.*"), *_SERES_NAMES, ("fc.*", "classifier.*")
)
_PLAIN_STEM_NAMES = NameTable(
    ("conv1.*", "layer0.0.*"), ("bn1.*", "layer0.1.*"), *_SERES_NAMES, ("fc.*", "classifier.*")
)


def _is_legacy(arrays: Mapping[str, np.ndarray]) -> bool:
    return any(".se_module.fc1." in name for name in arrays)


def _seres_names(model: SENet) -> NameTable:
    return _DEEP_STEM_NAMES if len(model.layer0) > 3 else _PLAIN_STEM_NAMES


def checkpoint_model_args(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Returns the arguments of the network that a file's names tell: timm pads the stem's pool, but in `legacy_se*`."""
    if _is_legacy(arrays):
        return {"stem_pool_pad": "same"}
    is_seres = any(".se.fc1." in name for name in arrays)
    return {"stem_pool_pad": "both"} if is_seres or _PAD_MARK in arrays else {}


def checkpoint_marks(model: SENet) -> list[str]:
    """Returns the marks that tell `checkpoint_model_args` the arguments of the network where the names are ours."""
    return [_PAD_MARK] if model.stem_pool_pad == "both" else []


def checkpoint_filter_fn(arrays: Mapping[str, np.ndarray], model: SENet) -> dict[str, np.ndarray]:
    """Brings timm's names to ours; files with our names pass unchanged.

    timm's gates are 1x1 convolutions, ours are dense layers with the same numbers.

    Raises:
        ValueError: The file is of timm's legacy_seresnet*, which are other networks with the same names.
    """
    if _is_legacy(arrays) and not isinstance(model.layer1[0], _LEGACY_BLOCKS):
        raise ValueError("weights of timm's legacy_seresnet*, which has other strides or gates and is not here")
    names = _LEGACY_NAMES if _is_legacy(arrays) else _seres_names(model)
    renamed = from_torch(names.to_ours(arrays))
    is_gate = {name for name, array in renamed.items() if ".se_module." in name and array.ndim == 4}
    return {name: array.reshape(array.shape[:2]) if name in is_gate else array for name, array in renamed.items()}


def checkpoint_export_fn(arrays: Mapping[str, np.ndarray], model: SENet) -> dict[str, np.ndarray]:
    """Brings our names to those of timm's network; inverts `checkpoint_filter_fn`.

    That is `legacy_se*` where there is one for the model with its stem padding, else `seres*` or `senet154`.
    """
    is_legacy = model.stem_pool_pad == "same" and isinstance(model.layer1[0], _LEGACY_BLOCKS)
    names = _LEGACY_NAMES if is_legacy else _seres_names(model)
    is_gate = {name for name, array in arrays.items() if ".se_module." in name and array.ndim == 2}
    shaped = {name: array[:, :, None, None] if name in is_gate else array for name, array in arrays.items()}
    return to_torch(names.to_theirs(shaped))


def _create(name: str, pretrained: bool, **kwargs: Any) -> SENet:
    arguments = {**_VARIANTS[name], "reduction": 16, **kwargs}
    return build_model_with_cfg(SENet, pretrained, get_pretrained_cfg(name), **arguments)


@register_model
def senet154(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> SENet:
    """SENet-154."""
    return _create("senet154", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def seresnet18(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> SENet:
    """SE-ResNet-18."""
    return _create("seresnet18", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def seresnet34(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> SENet:
    """SE-ResNet-34."""
    return _create("seresnet34", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def seresnet50(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> SENet:
    """SE-ResNet-50."""
    return _create("seresnet50", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def seresnet101(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> SENet:
    """SE-ResNet-101."""
    return _create("seresnet101", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def seresnet152(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> SENet:
    """SE-ResNet-152."""
    return _create("seresnet152", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def seresnext26_32x4d(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> SENet:
    """SE-ResNeXt-26, 32 groups of 4 channels."""
    return _create("seresnext26_32x4d", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def seresnext50_32x4d(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> SENet:
    """SE-ResNeXt-50, 32 groups of 4 channels."""
    return _create("seresnext50_32x4d", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)


@register_model
def seresnext101_32x4d(pretrained: bool = False, num_classes: int = 1000, in_channels: int = 3, **kwargs: Any) -> SENet:
    """SE-ResNeXt-101, 32 groups of 4 channels."""
    return _create("seresnext101_32x4d", pretrained, num_classes=num_classes, in_channels=in_channels, **kwargs)
