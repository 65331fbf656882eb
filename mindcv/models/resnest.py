"""ResNeSt: Split-Attention Networks, arXiv:2004.08955.

Reference implementations: MindCV (parameter names, which are timm's too, and "same" padding of the pools) and timm
(`resnest50d`), see `pool_pad`.
"""

from collections.abc import Sequence

from mindspore import Tensor, nn

from ._family import Family
from ._residual import ResidualNetwork
from .layers import DropPath, StemMaxPool, batch_norm2d, conv2d, deep_stem, make_divisible, mean_pool3x3
from .published.resnest import WEIGHTS

__all__ = ["ResNeSt", "resnest14", "resnest26", "resnest50", "resnest101", "resnest200", "resnest269"]


class SplitAttn(nn.Cell):
    """3x3 convolution into `radix` splits, mixed channel by channel (figure 2): (N, channels, H, W) to the same.

    Args:
        channels: Channels of the input and of the output.
        radix: Number of splits, at least 2.
    """

    def __init__(self, channels: int, radix: int) -> None:
        super().__init__()
        self.radix, self.channels = radix, channels
        hidden = make_divisible(channels * radix / 4, 8, 32)
        self.conv, self.bn0 = conv2d(channels, channels * radix, 3, 1, 1, radix), batch_norm2d(channels * radix)
        self.act0 = nn.ReLU()
        self.fc1, self.bn1 = conv2d(channels, hidden, 1, bias=True), batch_norm2d(hidden)
        self.act1 = nn.ReLU()
        self.fc2 = conv2d(hidden, channels * radix, 1, bias=True)
        self.softmax = nn.Softmax(axis=1)

    def construct(self, x: Tensor) -> Tensor:
        x = self.act0(self.bn0(self.conv(x)))
        splits = [x[:, i * self.channels : (i + 1) * self.channels] for i in range(self.radix)]
        total = splits[0]
        for split in splits[1:]:
            total = total + split
        hidden = self.act1(self.bn1(self.fc1(total.mean((2, 3), keep_dims=True))))
        weights = self.softmax(self.fc2(hidden).reshape((-1, self.radix, self.channels, 1, 1)))
        out = splits[0] * weights[:, 0]
        for index in range(1, self.radix):
            out = out + splits[index] * weights[:, index]
        return out


class Bottleneck(nn.Cell):
    """1x1 convolution, split attention and 1x1 convolution beside a shortcut; pools halve the side.

    Args:
        in_channels: Channels of the input.
        channels: A quarter of the output's channels.
        stride: Stride of the pools.
        radix: Number of splits.
        pool_pad: Padding of the pool behind the split attention, see `ResNeSt`.
        drop_path_rate: Probability of dropping the block for a sample while training.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, channels: int, stride: int, radix: int, pool_pad: str, drop_path_rate: float
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1, self.bn1 = conv2d(in_channels, channels, 1), batch_norm2d(channels)
        self.conv2 = SplitAttn(channels, radix)
        self.avd_layer = mean_pool3x3(stride, pool_pad) if stride > 1 else nn.Identity()
        self.conv3, self.bn3 = conv2d(channels, out_channels, 1), batch_norm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            pool = nn.AvgPool2d(stride, stride, pad_mode="same") if stride > 1 else nn.Identity()
            self.downsample = nn.SequentialCell(pool, conv2d(in_channels, out_channels, 1), batch_norm2d(out_channels))
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.avd_layer(self.conv2(out))
        out = self.bn3(self.conv3(out))
        return self.relu(self.drop_path(out) + self.downsample(x))


class ResNeSt(ResidualNetwork):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        layers: Number of blocks in each of the four stages.
        radix: Number of splits of a block's channels, at least 2.
        stem_width: Channels behind the stem's first and second convolution; half of those behind the third.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        channels: Channels of each stage before the blocks' expansion.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        pool_pad: How the weights' network pads the stem's pool and those of the blocks: "same" (MindCV), or "both"
            (PyTorch), where the blocks' count the zeros that are added.

    Raises:
        ValueError: A rate, a number of classes, a list of stages or `pool_pad` that cannot be.
    """

    reads_image = ("conv1.0",)
    gives_logits = ("fc",)
    torch_arguments = {"pool_pad": "both"}
    file_arguments = ("pool_pad",)

    def __init__(
        self,
        layers: Sequence[int],
        radix: int = 2,
        stem_width: int = 32,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        pool_pad: str = "same",
    ) -> None:
        super().__init__()
        if pool_pad not in ("same", "both"):
            raise ValueError(f"pool_pad is {pool_pad!r}; give 'same' (MindCV's weights) or 'both' (PyTorch's weights)")
        if radix < 2:
            raise ValueError(f"radix is {radix}; give at least 2 splits")
        self.pool_pad = pool_pad
        self.conv1 = deep_stem(in_channels, stem_width, 2 * stem_width)
        self.bn1 = batch_norm2d(2 * stem_width)
        self.relu = nn.ReLU()
        self.max_pool = StemMaxPool(pool_pad)

        def make_block(inputs: int, width: int, stride: int, rate: float) -> nn.Cell:
            return Bottleneck(inputs, width, stride, radix, pool_pad, rate)

        self.add_stages(
            *(make_block, ("conv1", "bn1", "relu"), channels, layers, Bottleneck.expansion),
            *(num_classes, drop_rate, drop_path_rate, 2 * stem_width),
        )

    def forward_stem(self, x: Tensor) -> Tensor:
        """Returns the map before the pool: (N, in_channels, H, W) to (N, C, H / 2, W / 2)."""
        return self.relu(self.bn1(self.conv1(x)))


variant = Family(ResNeSt, WEIGHTS).variant
# arXiv:2004.08955, section 6 and table 5; 14 and 26 are GluonCV's
resnest14 = variant("resnest14", layers=(1, 1, 1, 1))
resnest26 = variant("resnest26", layers=(2, 2, 2, 2))
resnest50 = variant("resnest50", layers=(3, 4, 6, 3))
resnest101 = variant("resnest101", layers=(3, 4, 23, 3), stem_width=64)
resnest200 = variant("resnest200", layers=(3, 24, 36, 3), stem_width=64)
resnest269 = variant("resnest269", layers=(3, 30, 48, 8), stem_width=64)
