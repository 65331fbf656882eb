"""What the Inception networks are made of (arXiv:1409.4842, arXiv:1512.00567, arXiv:1602.07261)."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from functools import partial

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Initializer

from .conv import HE_NORMAL, Pair, conv2d
from .norm import batch_norm2d
from .pooling import mean_pool3x3
from .weight_init import XavierUniform


class BasicConv2d(nn.Cell):
    """Convolution, norm and ReLU: (N, in_channels, H, W) to (N, channels, H / stride, W / stride).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        kernel_size: Side of the kernel, or its height and width.
        stride: Stride.
        padding: Zeros around, see `conv2d`.
        norm: Makes a normalisation cell for a number of channels; None for none.
        weight_init: Initialiser of the weight.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: Pair,
        stride: int = 1,
        padding: int | str = "same",
        *,
        norm: Callable[[int], nn.Cell] | None = None,
        weight_init: str | Initializer = HE_NORMAL,
    ) -> None:
        super().__init__()
        self.conv = conv2d(in_channels, channels, kernel_size, stride, padding, weight_init=weight_init)
        self.bn = nn.Identity() if norm is None else norm(channels)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


def conv_branch(
    make: Callable[[int, int, Pair], nn.Cell],
    in_channels: int,
    *convs: tuple[int, Pair],
    first: nn.Cell | None = None,
    last: nn.Cell | None = None,
) -> nn.SequentialCell:
    """Makes convolutions one behind the other.

    Args:
        make: Makes a convolution of its input's channels, its output's, and its kernel.
        in_channels: Channels of the input.
        *convs: Channels and kernel of each.
        first: A cell in front of them (a pool).
        last: A cell behind them (a convolution with a stride).
    """
    cells = [] if first is None else [first]
    for channels, kernel_size in convs:
        cells.append(make(in_channels, channels, kernel_size))
        in_channels = channels
    return nn.SequentialCell(cells if last is None else [*cells, last])


class Branches(nn.SequentialCell):
    """Cells side by side, their outputs joined along the channels: (N, C, H, W) to (N, sum of channels, h, w).

    Args:
        cells: The cells by name.
        forked: Names of cells whose output is not joined but goes into each of the two cells behind them.
    """

    def __init__(self, cells: Mapping[str, nn.Cell], forked: Collection[str] = ()) -> None:
        super().__init__(OrderedDict(cells))
        self.forked = tuple(index for index, name in enumerate(cells) if name in forked)
        self.leaves = tuple(index + step for index in self.forked for step in (1, 2))

    def construct(self, x: Tensor) -> Tensor:
        outputs: tuple[Tensor, ...] = ()
        trunk = x
        for index, cell in enumerate(self.cell_list):
            if index in self.forked:
                trunk = cell(x)
            elif index in self.leaves:
                outputs = (*outputs, cell(trunk))
            else:
                outputs = (*outputs, cell(x))
        return ops.concat(outputs, axis=1)


_conv = partial(BasicConv2d, norm=partial(batch_norm2d, eps=1e-3, momentum=0.9997), weight_init=XavierUniform())


class InceptionBlocks:
    """Makes the parts of Inception-v3's and -v4's modules; numbers of channels are those of width 1.

    Args:
        width: All numbers of channels are multiplied with it, a multiple of 1/16.
        pool_pad: Padding of the mean pools, see `mean_pool3x3`.

    Raises:
        ValueError: Another `pool_pad`.
    """

    def __init__(self, width: float = 1.0, pool_pad: str = "same") -> None:
        if pool_pad not in ("same", "both"):
            raise ValueError(f"pool_pad is {pool_pad!r}; give 'same' (MindCV's weights) or 'both' (PyTorch's weights)")
        self.width, self.pool_pad = width, pool_pad

    def channels(self, channels: int) -> int:
        """Returns a number of channels at this width."""
        return int(channels * self.width)

    def stem(self, in_channels: int) -> BasicConv2d:
        """Makes the convolution that reads the image: (N, in_channels, H, W) to (N, 32, about H / 2, about W / 2)."""
        return _conv(in_channels, self.channels(32), 3, 2, 0)

    def conv(
        self, in_channels: int, channels: int, kernel_size: Pair, stride: int = 1, padding: int | str = "same"
    ) -> BasicConv2d:
        """Makes a convolution with norm and ReLU, see `BasicConv2d`."""
        return _conv(self.channels(in_channels), self.channels(channels), kernel_size, stride, padding)

    def branch(
        self, in_channels: int, *convs: tuple[int, Pair], first: nn.Cell | None = None, last: nn.Cell | None = None
    ) -> nn.SequentialCell:
        """Makes convolutions one behind the other, see `conv_branch`."""
        return conv_branch(self.conv, in_channels, *convs, first=first, last=last)

    def pooled(self, in_channels: int, channels: int) -> nn.SequentialCell:
        """Makes 3x3 mean pooling that keeps the side and a 1x1 convolution."""
        return self.branch(in_channels, (channels, 1), first=mean_pool3x3(1, self.pool_pad))

    def max_pool(self) -> nn.MaxPool2d:
        """Makes 3x3 max pooling that halves the side."""
        return nn.MaxPool2d(3, 2, pad_mode="valid")
