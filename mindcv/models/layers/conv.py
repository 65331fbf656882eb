"""Convolutions with everything stated: padding, bias, initialisation."""

from mindspore import nn
from mindspore.common.initializer import Initializer

from .kinds import make_layer
from .norm import batch_norm2d
from .weight_init import HeNormal

Pair = int | tuple[int, int]
# The initialisation that ResNet's authors propose (arXiv:1502.01852), as MindCV and torchvision use it.
HE_NORMAL = HeNormal(mode="fan_out", nonlinearity="relu")


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: int | tuple[int, int, int, int] | str = 0,
    groups: int = 1,
    *,
    dilation: Pair = 1,
    bias: bool = False,
    weight_init: str | Initializer = HE_NORMAL,
    bias_init: str | Initializer = "zeros",
    sibling: nn.Conv2d | None = None,
) -> nn.Conv2d:
    """Makes a convolution, without bias and with He-normal weights unless told otherwise.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel, or its height and width.
        stride: Stride.
        padding: Zeros on all four sides, or (top, bottom, left, right), or "same": as many as make the output's side
            the input's over the stride, rounded up, one more at the bottom and right than at the top and left where
            they are odd (TensorFlow's rule).
        groups: Groups of channels.
        dilation: Distance of the kernel's elements.
        bias: Whether it has a bias.
        weight_init: Initialiser of the weight.
        bias_init: Initialiser of the bias.
        sibling: A convolution made with the same arguments, whose primitives become this one's too; see `make_layer`.
    """
    return make_layer(
        nn.Conv2d,
        {"in_channels": in_channels, "out_channels": out_channels, "group": groups},
        {"weight_init": weight_init, "bias_init": bias_init},
        sibling,
        kernel_size=kernel_size,
        stride=stride,
        pad_mode="same" if padding == "same" else "pad",
        padding=0 if padding == "same" else padding,
        dilation=dilation,
        has_bias=bias,
    )


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: int | tuple[int, int, int, int] | str = 0,
    groups: int = 1,
    *,
    eps: float = 1e-5,
    momentum: float = 0.9,
    weight_init: str | Initializer = HE_NORMAL,
) -> nn.SequentialCell:
    """Makes a convolution without bias and the BatchNorm behind it (names `0` and `1`); see `conv2d`."""
    return nn.SequentialCell(
        conv2d(in_channels, out_channels, kernel_size, stride, padding, groups, weight_init=weight_init),
        batch_norm2d(out_channels, eps=eps, momentum=momentum),
    )


def deep_stem(in_channels: int, hidden_channels: int, channels: int) -> nn.SequentialCell:
    """Makes the three 3x3 convolutions that stand for a 7x7 one in ResNet-C and -D (arXiv:1812.01187, figure 2).

    (N, in_channels, H, W) to (N, channels, H / 2, W / 2); the last convolution's BatchNorm is not in it.

    Args:
        in_channels: Channels of the image.
        hidden_channels: Channels behind the first and the second convolution.
        channels: Channels behind the third.
    """
    return nn.SequentialCell(
        conv2d(in_channels, hidden_channels, 3, 2, 1),
        batch_norm2d(hidden_channels),
        nn.ReLU(),
        conv2d(hidden_channels, hidden_channels, 3, 1, 1),
        batch_norm2d(hidden_channels),
        nn.ReLU(),
        conv2d(hidden_channels, channels, 3, 1, 1),
    )
