"""BiT: Big Transfer (BiT): General Visual Representation Learning, arXiv:1912.11370.

Reference implementations: MindCV (parameter names) and timm (`resnetv2_50x1_bit`).
"""

from collections.abc import Sequence

from mindspore import Parameter, Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._residual import ResidualNetwork
from .layers import FAN_IN_UNIFORM, DropPath, StemMaxPool, check_num_classes, conv2d, group_norm
from .layers.kinds import fill_layer
from .published.bit import WEIGHTS

__all__ = ["BiT_ResNet", "BiT_resnet50", "BiT_resnet50x3", "BiT_resnet101"]

_GROUPS = 32


class StdConv2d(nn.Conv2d):
    """A convolution whose kernels are brought to mean 0 and variance 1 first (arXiv:1903.10520).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        kernel_size: Side of the kernel.
        stride: Stride.
        std_eps: Added to the kernels' variance.
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int, stride: int, std_eps: float) -> None:
        fill_layer(
            self,
            nn.Conv2d,
            {"in_channels": in_channels, "out_channels": channels, "group": 1},
            {"weight_init": FAN_IN_UNIFORM},
            kernel_size=kernel_size,
            stride=stride,
            pad_mode="pad",
            padding=kernel_size // 2,
            has_bias=False,
        )
        self.std_eps = std_eps

    def standardised(self) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keep_dims=True)
        variance = (weight * weight).mean((1, 2, 3), keep_dims=True)
        return weight / ops.sqrt(variance + self.std_eps)

    def construct(self, x: Tensor) -> Tensor:
        return self.conv2d(x, self.standardised())

    def fused(self) -> nn.Conv2d:
        """Returns a plain convolution with the kernels as they are now."""
        conv = conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.kernel_size[0] // 2,
            weight_init="zeros",
        )
        conv.weight = Parameter(self.standardised(), name="weight")
        return conv.set_train(False)


class Classifier(nn.Conv2d):
    """The last layer, kept as a 1x1 convolution: (N, in_channels) to (N, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        fill_layer(
            self,
            nn.Conv2d,
            {"in_channels": in_channels, "out_channels": num_classes, "group": 1},
            {"weight_init": FAN_IN_UNIFORM, "bias_init": "zeros"},
            kernel_size=1,
            pad_mode="pad",
            padding=0,
            has_bias=True,
        )

    def construct(self, x: Tensor) -> Tensor:
        return super().construct(x.expand_dims(-1).expand_dims(-1)).mean((2, 3))


def _head(in_channels: int, num_classes: int) -> nn.Cell:
    return Classifier(in_channels, num_classes) if check_num_classes(num_classes) else nn.Identity()


class PreActBottleneck(nn.Cell):
    """1x1, 3x3 and 1x1 convolution, a norm and a ReLU before each, beside a shortcut.

    Args:
        in_channels: Channels of the input.
        channels: A quarter of the output's channels.
        stride: Stride of the 3x3 convolution.
        std_eps: See `StdConv2d`.
        drop_path_rate: Probability of dropping the block for a sample while training.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, std_eps: float, drop_path_rate: float) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.gn1, self.conv1 = group_norm(in_channels, _GROUPS), StdConv2d(in_channels, channels, 1, 1, std_eps)
        self.gn2, self.conv2 = group_norm(channels, _GROUPS), StdConv2d(channels, channels, 3, stride, std_eps)
        self.gn3, self.conv3 = group_norm(channels, _GROUPS), StdConv2d(channels, out_channels, 1, 1, std_eps)
        self.relu = nn.ReLU()
        self.is_first = stride != 1 or in_channels != out_channels
        if self.is_first:
            self.down_sample = nn.SequentialCell(StdConv2d(in_channels, out_channels, 1, stride, std_eps))
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.gn1(x))
        identity = self.down_sample(out) if self.is_first else x
        out = self.conv1(out)
        out = self.conv2(self.relu(self.gn2(out)))
        out = self.conv3(self.relu(self.gn3(out)))
        return self.drop_path(out) + identity


class BiT_ResNet(ResidualNetwork):  # noqa: N801 (MindCV's name)
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        layers: Number of blocks in each of the four stages.
        wf: Factor of all widths.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        channels: Channels of each stage before factor and the blocks' expansion, multiples of 32; the stem has the
            first.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        std_eps: What is added to the kernels' variance: 1e-10 (MindCV) or 1e-8 (timm).

    Raises:
        ValueError: A rate, a number of classes or a list of stages that cannot be.
    """

    reads_image = ("conv1",)
    torch_names = NameTable(
        ("stem.conv.*", "conv1.*"),
        *(
            (f"stages.{stage}.blocks.*.{theirs}.*", f"layer{stage + 1}.*.{ours}.*")
            for stage in range(4)
            for theirs, ours in (
                ("norm1", "gn1"),
                ("norm2", "gn2"),
                ("norm3", "gn3"),
                ("downsample.conv", "down_sample.0"),
                ("conv1", "conv1"),
                ("conv2", "conv2"),
                ("conv3", "conv3"),
            )
        ),
        ("norm.*", "gn.*"),
        ("head.fc.*", "classifier.*"),
    )
    torch_arguments = {"std_eps": 1e-8}
    file_arguments = ("std_eps",)

    def __init__(
        self,
        layers: Sequence[int],
        wf: int = 1,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        std_eps: float = 1e-10,
    ) -> None:
        super().__init__()
        self.std_eps = std_eps
        channels = [width * wf for width in channels]
        self.conv1 = StdConv2d(in_channels, channels[0], 7, 2, std_eps)
        self.max_pool = StemMaxPool("both")  # zeros count here, since no ReLU stands before it

        def make_block(inputs: int, width: int, stride: int, rate: float) -> nn.Cell:
            return PreActBottleneck(inputs, width, stride, std_eps, rate)

        self.add_stages(
            *(make_block, ("conv1",), channels, layers, PreActBottleneck.expansion),
            *(num_classes, drop_rate, drop_path_rate),
            make_head=_head,
            tail={"gn": group_norm(channels[-1] * PreActBottleneck.expansion, _GROUPS), "relu": nn.ReLU()},
        )

    def forward_stem(self, x: Tensor) -> Tensor:
        """Returns the map before the pool: (N, in_channels, H, W) to (N, C, H / 2, W / 2)."""
        return self.conv1(x)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, num_features, H / 32, W / 32)."""
        return self.relu(self.gn(self.forward_stages(x)[-1]))


variant = Family(BiT_ResNet, WEIGHTS).variant
# arXiv:1912.11370, section 3; the depths of ResNet
BiT_resnet50 = variant("BiT_resnet50", layers=(3, 4, 6, 3))
BiT_resnet50x3 = variant("BiT_resnet50x3", layers=(3, 4, 6, 3), wf=3)
BiT_resnet101 = variant("BiT_resnet101", layers=(3, 4, 23, 3))
