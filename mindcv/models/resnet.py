"""ResNet and ResNeXt.

* Deep Residual Learning for Image Recognition, arXiv:1512.03385
* Aggregated Residual Transformations for Deep Neural Networks, arXiv:1611.05431

Reference implementations: MindCV (parameter names, "same" padding of the stem's max pool, see `stem_pool_pad`) and
torchvision (the stride of a bottleneck is at its 3x3 convolution, where the paper has it at the first 1x1).
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._registry import register_renamed
from ._residual import ResidualNetwork
from .layers import DropPath, StemMaxPool, batch_norm2d, conv2d
from .published.resnet import WEIGHTS

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

MakeNorm = Callable[[int], nn.Cell]


def shortcut(in_channels: int, channels: int, stride: int, norm: MakeNorm) -> nn.Cell:
    """Brings a block's input to the shape of its output; nothing where it has it."""
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    return nn.SequentialCell(conv2d(in_channels, channels, 1, stride), norm(channels))


class _Block(nn.Cell):
    """What both blocks end in. A user's block that is written on them, as on MindCV's, may lack either of the cells."""

    def close(self, out: Tensor, x: Tensor) -> Tensor:
        """Returns the block's output for its branch's and its input."""
        if hasattr(self, "drop_path"):
            out = self.drop_path(out)
        return self.relu(out + (x if self.down_sample is None else self.down_sample(x)))


class BasicBlock(_Block):
    """Two 3x3 convolutions beside a shortcut (arXiv:1512.03385, figure 5 left).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the block, and of its output.
        stride: Stride of the first convolution.
        groups: Only 1.
        base_width: Only 64.
        norm: Makes a normalisation cell for a number of channels.
        down_sample: Cell that brings the input to the output's shape; None: made where it has not.
        drop_path_rate: Probability of dropping the block for a sample while training.

    Raises:
        ValueError: Another `groups` or `base_width`.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1, groups: int = 1, base_width: int = 64,
                 norm: MakeNorm | None = None, down_sample: nn.Cell | None = None, *,
                 drop_path_rate: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        if groups != 1 or base_width != 64:
            raise ValueError(
                f"BasicBlock has groups 1 and base_width 64 only, got {groups} and {base_width}; use Bottleneck"
            )
        norm = norm or batch_norm2d
        self.conv1, self.bn1 = conv2d(in_channels, channels, 3, stride, 1), norm(channels)
        self.conv2, self.bn2 = conv2d(channels, channels, 3, 1, 1), norm(channels)
        self.relu = nn.ReLU()
        self.down_sample = down_sample or shortcut(in_channels, channels, stride, norm)
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.close(self.bn2(self.conv2(out)), x)


class Bottleneck(_Block):
    """1x1, 3x3 (grouped in ResNeXt) and 1x1 convolution beside a shortcut (arXiv:1512.03385, figure 5 right).

    Arguments are those of `BasicBlock`, but: `channels` is a quarter of the output's, `stride` is that of the 3x3
    convolution, `groups` are its groups ("cardinality"), and a group has `base_width` channels where `channels` is 64.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1, groups: int = 1, base_width: int = 64,
                 norm: MakeNorm | None = None, down_sample: nn.Cell | None = None, *,
                 drop_path_rate: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        norm = norm or batch_norm2d
        width, out_channels = channels * base_width // 64 * groups, channels * self.expansion
        self.conv1, self.bn1 = conv2d(in_channels, width, 1), norm(width)
        self.conv2, self.bn2 = conv2d(width, width, 3, stride, 1, groups), norm(width)
        self.conv3, self.bn3 = conv2d(width, out_channels, 1), norm(out_channels)
        self.relu = nn.ReLU()
        self.down_sample = down_sample or shortcut(in_channels, out_channels, stride, norm)
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.close(self.bn3(self.conv3(out)), x)


class ResNet(ResidualNetwork):
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

    reads_image = ("conv1",)
    torch_names = NameTable(("fc.*", "classifier.*"), ("**.downsample.**", "**.down_sample.**"))
    torch_arguments = {"stem_pool_pad": "both"}
    file_arguments: ClassVar[tuple[str, ...]] = ("stem_pool_pad",)

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        groups: int = 1,
        base_width: int = 64,
        norm: MakeNorm | None = None,
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        stem_pool_pad: str = "same",
    ) -> None:
        super().__init__()
        norm = norm or batch_norm2d
        self.stem_pool_pad = stem_pool_pad
        self.conv1, self.bn1 = conv2d(in_channels, channels[0], 7, 2, 3), norm(channels[0])
        self.relu = nn.ReLU()
        self.max_pool = StemMaxPool(stem_pool_pad)

        def make_block(inputs: int, width: int, stride: int, rate: float) -> nn.Cell:
            arguments: dict[str, Any] = {"stride": stride, "groups": groups, "base_width": base_width, "norm": norm}
            if rate:  # a user's block, written on MindCV's, has no such argument
                arguments["drop_path_rate"] = rate
            return block(inputs, width, **arguments)

        stem = ("conv1", "bn1", "relu")
        self.add_stages(*(make_block, stem, channels, layers, block.expansion), num_classes, drop_rate, drop_path_rate)

    def forward_stem(self, x: Tensor) -> Tensor:
        """Returns the map before the pool: (N, in_channels, H, W) to (N, C, H / 2, W / 2)."""
        return self.relu(self.bn1(self.conv1(x)))


register_renamed({"resnext50": "resnext50_32x4d"})

variant = Family(ResNet, WEIGHTS).variant
# arXiv:1512.03385, table 1
resnet18 = variant("resnet18", block=BasicBlock, layers=(2, 2, 2, 2))
resnet34 = variant("resnet34", block=BasicBlock, layers=(3, 4, 6, 3))
resnet50 = variant("resnet50", block=Bottleneck, layers=(3, 4, 6, 3))
resnet101 = variant("resnet101", block=Bottleneck, layers=(3, 4, 23, 3))
resnet152 = variant("resnet152", block=Bottleneck, layers=(3, 8, 36, 3))
# arXiv:1611.05431, table 1 and section 5.1
resnext50_32x4d = variant("resnext50_32x4d", block=Bottleneck, layers=(3, 4, 6, 3), groups=32, base_width=4)
resnext101_32x4d = variant("resnext101_32x4d", block=Bottleneck, layers=(3, 4, 23, 3), groups=32, base_width=4)
resnext101_64x4d = variant("resnext101_64x4d", block=Bottleneck, layers=(3, 4, 23, 3), groups=64, base_width=4)
resnext152_64x4d = variant("resnext152_64x4d", block=Bottleneck, layers=(3, 8, 36, 3), groups=64, base_width=4)
