"""SENet, SE-ResNet and SE-ResNeXt.

Squeeze-and-Excitation Networks, arXiv:1709.01507

Reference implementations: MindCV (parameter names, "same" padding of the stem's max pool, see `stem_pool_pad`) and timm
(`legacy_se*`, which pads as MindCV does, and `seres*`, which pads as torchvision's ResNet does).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable, from_torch, to_torch

from ._family import Family
from ._registry import register_renamed
from ._residual import ResidualNetwork
from .layers import DropPath, SqueezeExciteV2, StemMaxPool, batch_norm2d, conv2d, conv_norm, make_divisible
from .published.senet import WEIGHTS

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

# timm's schemes: `legacy_se*`, `senet154`, and the other `seres*`.
_SERES = (
    ("**.se.fc1.*", "**.se_module.conv_reduce.*"),
    ("**.se.fc2.*", "**.se_module.conv_expand.*"),
    ("fc.*", "classifier.*"),
)
_PLAIN = (("conv1.*", "layer0.0.*"), ("bn1.*", "layer0.1.*"), *_SERES)
_DEEP = (("bn1.*", "layer0.7.*"), ("conv1.*.*", "layer0.*.*"), *_SERES)
_LEGACY = (
    *((f"layer0.conv{i + 1}.*", f"layer0.{3 * i}.*") for i in range(3)),
    *((f"layer0.bn{i + 1}.*", f"layer0.{3 * i + 1}.*") for i in range(3)),
    ("**.se_module.fc1.*", "**.se_module.conv_reduce.*"),
    ("**.se_module.fc2.*", "**.se_module.conv_expand.*"),
    ("last_linear.*", "classifier.*"),
)


def _squeeze_excite(channels: int, reduction: int) -> SqueezeExciteV2:
    """The gate's hidden layer is a multiple of 8 wide, at least 8 (MindCV and timm; the paper divides only)."""
    return SqueezeExciteV2(channels, rd_channels=make_divisible(channels / reduction, 8))


class SEResNetBlock(nn.Cell):
    """Two 3x3 convolutions and squeeze-and-excitation beside a shortcut.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the block before its expansion.
        group: Groups of the second convolution.
        reduction: Reduction of the squeeze.
        stride: Stride of the first 3x3 convolution.
        downsample: Cell that brings the input to the output's shape; None when it has it.
        drop_path_rate: Probability of dropping the block for a sample while training.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, group: int, reduction: int, stride: int = 1,
                 downsample: nn.Cell | None = None, *, drop_path_rate: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        self._add_convolutions(in_channels, channels, group, stride)
        self.relu = nn.ReLU()
        self.se_module = _squeeze_excite(channels * self.expansion, reduction)
        self.downsample = downsample or nn.Identity()
        self.drop_path = DropPath(drop_path_rate)

    def _add_convolutions(self, in_channels: int, channels: int, group: int, stride: int) -> None:
        self.conv1, self.bn1 = conv2d(in_channels, channels, 3, stride, 1), batch_norm2d(channels)
        self.conv2, self.bn2 = conv2d(channels, channels, 3, 1, 1, group), batch_norm2d(channels)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.se_module(self.bn2(self.conv2(out)))
        return self.relu(self.drop_path(out) + self.downsample(x))


class SEResNetBottleneck(SEResNetBlock):
    """1x1, 3x3 and 1x1 convolution and squeeze-and-excitation beside a shortcut."""

    expansion = 4
    widening = (1, 1)  # channels after the first and the second convolution over `channels`
    group_width = 0  # channels of a group where the stage has 64; 0: the groups do not widen

    def _add_convolutions(self, in_channels: int, channels: int, group: int, stride: int) -> None:
        width = channels * self.group_width // 64 * group if self.group_width else channels
        width1, width2 = width * self.widening[0], width * self.widening[1]
        out_channels = channels * self.expansion
        self.conv1, self.bn1 = conv2d(in_channels, width1, 1), batch_norm2d(width1)
        self.conv2, self.bn2 = conv2d(width1, width2, 3, stride, 1, group), batch_norm2d(width2)
        self.conv3, self.bn3 = conv2d(width2, out_channels, 1), batch_norm2d(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.se_module(self.bn3(self.conv3(out)))
        return self.relu(self.drop_path(out) + self.downsample(x))


class SEResNeXtBottleneck(SEResNetBottleneck):
    """Bottleneck of ResNeXt: groups of 4 channels where the stage has 64."""

    group_width = 4


class SEBottleneck(SEResNetBottleneck):
    """Bottleneck of SENet-154: the 3x3 convolution doubles the channels (arXiv:1709.01507, appendix)."""

    widening = (2, 4)


class SENet(ResidualNetwork):
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

    reads_image = ("layer0.0",)
    torch_names = NameTable(*_LEGACY, *_DEEP[1:2], *_PLAIN[:1], *_SERES)  # bn1 is told by the depth of the stem
    torch_arguments = {"stem_pool_pad": "both"}
    file_arguments = ("stem_pool_pad",)

    def __init__(self, block: type[SEResNetBlock], layers: Sequence[int], group: int = 1, reduction: int = 16,
                 drop_rate: float = 0.0, in_channels: int = 3, inplanes: int = 64, input3x3: bool = False,
                 downsample_kernel_size: int = 1, downsample_padding: int = 0, num_classes: int = 1000, *,
                 channels: Sequence[int] = (64, 128, 256, 512), drop_path_rate: float = 0.0,
                 stem_pool_pad: str = "same") -> None:  # fmt: skip
        super().__init__()
        self.stem_pool_pad = stem_pool_pad
        stem = [(in_channels, 64, 2), (64, 64, 1), (64, inplanes, 1)] if input3x3 else [(in_channels, inplanes, 2)]
        kernel = 3 if input3x3 else 7
        cells = [[conv2d(a, b, kernel, stride, kernel // 2), batch_norm2d(b), nn.ReLU()] for a, b, stride in stem]
        self.layer0 = nn.SequentialCell([cell for three in cells for cell in three])
        self.max_pool = StemMaxPool(stem_pool_pad)

        def make_block(inputs: int, width: int, stride: int, rate: float) -> nn.Cell:
            outputs = width * block.expansion
            shortcut = None
            if stride != 1:
                shortcut = conv_norm(inputs, outputs, downsample_kernel_size, stride, downsample_padding)
            elif inputs != outputs:
                shortcut = conv_norm(inputs, outputs, 1)
            return block(inputs, width, group, reduction, stride, shortcut, drop_path_rate=rate)

        self.add_stages(
            *(make_block, ("layer0",), channels, layers, block.expansion),
            *(num_classes, drop_rate, drop_path_rate, inplanes),
        )

    def forward_stem(self, x: Tensor) -> Tensor:
        """Returns the map before the pool: (N, in_channels, H, W) to (N, inplanes, H / 2, W / 2)."""
        return self.layer0(x)

    @classmethod
    def file_tells(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns what a file tells of its network: timm pads the stem's pool, but in `legacy_se*`."""
        told = super().file_tells(arrays)
        return {**told, "stem_pool_pad": "same"} if _is_legacy(arrays) else told

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns timm's arrays under our names; timm's gates are 1x1 convolutions, ours dense layers.

        Raises:
            ValueError: The file is of timm's legacy_seresnet*, which are other networks with the same names.
        """
        if _is_legacy(arrays) and not isinstance(self.layer1[0], _LEGACY_BLOCKS):
            raise ValueError("weights of timm's legacy_seresnet*, which has other strides or gates and is not here")
        renamed = from_torch(self._timm_names(_is_legacy(arrays)).to_ours(arrays))
        return {name: a.reshape(a.shape[:2]) if ".se_module." in name else a for name, a in renamed.items()}

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under timm's names: of `legacy_se*` where that pads as this network does, else of `seres*`."""
        is_legacy = self.stem_pool_pad == "same" and isinstance(self.layer1[0], _LEGACY_BLOCKS)
        shaped = {
            name: a[:, :, None, None] if ".se_module." in name and a.ndim == 2 else a for name, a in arrays.items()
        }
        return to_torch(self._timm_names(is_legacy).to_theirs(shaped))

    def _timm_names(self, is_legacy: bool) -> NameTable:
        return NameTable(*(_LEGACY if is_legacy else _DEEP if len(self.layer0) > 3 else _PLAIN))


def _is_legacy(arrays: Mapping[str, np.ndarray]) -> bool:
    return any(".se_module.fc1." in name for name in arrays)


# timm's legacy_seresnet* are left out: 18 and 34 have narrower gates, 50 to 152 their strides in the first convolution.
_LEGACY_BLOCKS = (SEBottleneck, SEResNeXtBottleneck)
_LEGACY_MODELS = ("senet154", "seresnext26_32x4d", "seresnext50_32x4d", "seresnext101_32x4d")
register_renamed({"se_resnext50": "seresnext50_32x4d", "seresnext50": "seresnext50_32x4d"})
register_renamed({f"legacy_{name}": name for name in _LEGACY_MODELS})

variant = Family(SENet, WEIGHTS).variant
# arXiv:1709.01507, appendix
_STEM = {"inplanes": 128, "input3x3": True, "downsample_kernel_size": 3, "downsample_padding": 1}
senet154 = variant("senet154", block=SEBottleneck, layers=(3, 8, 36, 3), group=64, **_STEM)
# arXiv:1709.01507, table 1; other depths as in arXiv:1512.03385, table 1
seresnet18 = variant("seresnet18", block=SEResNetBlock, layers=(2, 2, 2, 2))
seresnet34 = variant("seresnet34", block=SEResNetBlock, layers=(3, 4, 6, 3))
seresnet50 = variant("seresnet50", block=SEResNetBottleneck, layers=(3, 4, 6, 3))
seresnet101 = variant("seresnet101", block=SEResNetBottleneck, layers=(3, 4, 23, 3))
seresnet152 = variant("seresnet152", block=SEResNetBottleneck, layers=(3, 8, 36, 3))
seresnext26_32x4d = variant("seresnext26_32x4d", block=SEResNeXtBottleneck, layers=(2, 2, 2, 2), group=32)
seresnext50_32x4d = variant("seresnext50_32x4d", block=SEResNeXtBottleneck, layers=(3, 4, 6, 3), group=32)
seresnext101_32x4d = variant("seresnext101_32x4d", block=SEResNeXtBottleneck, layers=(3, 4, 23, 3), group=32)
