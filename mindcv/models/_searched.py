"""What NASNet and PNASNet share: cells that were found by search, each of which sees the two maps before it."""

from collections.abc import Mapping, Sequence
from functools import partial

from mindspore import Tensor, nn, ops

from ._network import ImageClassifier, Map
from .layers import batch_norm2d, classifier_head, conv2d, conv_norm
from .layers.weight_init import Normal

# Channels of the convolution that reads the image.
STEM = 32
_norm = partial(batch_norm2d, eps=1e-3)


class SeparableConv2d(nn.Cell):
    """A convolution of each channel, then a 1x1 convolution: (N, in_channels, H, W) to (N, channels, h, w).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        kernel_size: Side of the kernel.
        stride: Stride.
        is_shifted: Whether windows lie one pixel further to the bottom and to the right; of an even H and W only.
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int, stride: int, is_shifted: bool) -> None:
        super().__init__()
        self.is_shifted = is_shifted
        after = kernel_size // 2
        before = after - 1 if is_shifted else after
        padding = (before, after, before, after)
        self.depthwise_conv2d = conv2d(in_channels, in_channels, kernel_size, stride, padding, in_channels)
        self.pointwise_conv2d = conv2d(in_channels, channels, 1)

    def construct(self, x: Tensor) -> Tensor:
        if self.is_shifted and (x.shape[2] % 2 or x.shape[3] % 2):
            raise ValueError(
                f"a map of {x.shape[2]}x{x.shape[3]} is not halved; give images with sides that are multiples of 16"
            )
        return self.pointwise_conv2d(self.depthwise_conv2d(x))


class BranchSeparables(nn.Cell):
    """ReLU, separable convolution and norm, twice: (N, in_channels, H, W) to (N, channels, H / stride, W / stride).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        kernel_size: Side of both kernels.
        stride: Stride of the first convolution.
        mid_channels: Channels between them; 0: those of the input.
        is_shifted: Whether the first one is shifted, see `SeparableConv2d`; without effect where the stride is 1.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        stride: int = 1,
        mid_channels: int = 0,
        is_shifted: bool = False,
    ) -> None:
        super().__init__()
        mid_channels = mid_channels or in_channels
        self.relu = nn.ReLU()
        self.separable_1 = SeparableConv2d(in_channels, mid_channels, kernel_size, stride, is_shifted and stride == 2)
        self.bn_sep_1 = _norm(mid_channels)
        self.separable_2 = SeparableConv2d(mid_channels, channels, kernel_size, 1, False)
        self.bn_sep_2 = _norm(channels)

    def construct(self, x: Tensor) -> Tensor:
        x = self.bn_sep_1(self.separable_1(self.relu(x)))
        return self.bn_sep_2(self.separable_2(self.relu(x)))


class FactorizedReduction(nn.Cell):
    """Halves the side: half of the channels from the pixels of even rows and columns, half from the odd ones.

    (N, in_channels, H, W) to (N, channels, H / 2, W / 2), rounded up.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.path_1 = conv2d(in_channels, channels // 2, 1, 2)
        self.path_2 = conv2d(in_channels, channels - channels // 2, 1, 2)
        self.final_path_bn = _norm(channels)
        self.pad_zeros = ops.Pad(((0, 0), (0, 0), (0, 1), (0, 1)))

    def construct(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        odd = self.pad_zeros(x)[:, :, 1:, 1:]
        return self.final_path_bn(ops.concat((self.path_1(x), self.path_2(odd)), axis=1))


def relu_conv_norm(in_channels: int, channels: int, stride: int = 1) -> nn.SequentialCell:
    """Makes a ReLU, a 1x1 convolution and a norm: (N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
    return nn.SequentialCell(nn.ReLU(), *conv_norm(in_channels, channels, 1, stride, eps=1e-3))


def max_pool(stride: int) -> nn.MaxPool2d:
    """Makes 3x3 max pooling that keeps the side, over the stride."""
    return nn.MaxPool2d(3, stride, pad_mode="same")


class SearchedNetwork(ImageClassifier):
    """A convolution, cells, ReLU and head: (N, in_channels, H, W) to (N, num_classes), H and W multiples of 16.

    A family makes its cells of the map before the last one and of the last one, and calls `add_cells`.
    """

    def add_cells(
        self,
        stem: str,
        in_channels: int,
        stages: Sequence[Mapping[str, nn.Cell]],
        channels: Sequence[int],
        num_classes: int,
        drop_rate: float,
    ) -> None:
        """Adds stem, cells and head.

        Args:
            stem: Attribute of the convolution that reads the image; it gives 32 channels.
            in_channels: Channels of the image.
            stages: The cells of each side of the map by name.
            channels: Channels of the last cell of each.
            num_classes: Number of classes; 0 leaves the head out.
            drop_rate: Dropout before the head.
        """
        setattr(self, stem, conv_norm(in_channels, STEM, 3, 2, eps=1e-3))
        self.stem_name = stem
        self.cell_names = tuple(name for stage in stages for name in stage)
        for stage in stages:
            for name, cell in stage.items():
                setattr(self, name, cell)
        self.ends = tuple(list(stage)[-1] for stage in stages)
        self.relu = nn.ReLU()
        make = partial(classifier_head, weight_init=Normal(0.01))
        self.add_head(channels[-1], num_classes, drop_rate, name=self.gives_logits[0], make=make)
        maps: list[Map] = [(stem, STEM, 2)]
        maps += [
            (tuple(stage), width, 4 * 2**index)
            for index, (stage, width) in enumerate(zip(stages, channels, strict=True))
        ]
        self.describe([cell for stage in stages for cell in stage.values()], maps)

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the stem and of the last cell of each side: 1/2, 1/4, 1/8, 1/16 and 1/32."""
        last = getattr(self, self.stem_name)(x)
        before = last
        maps: tuple[Tensor, ...] = (last,)
        for name in self.cell_names:
            new = getattr(self, name)(before, last)
            before, last = last, new
            if name in self.ends:
                maps = (*maps, last)
        return maps

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, num_features, H / 32, W / 32)."""
        return self.relu(self.forward_stages(x)[-1])
