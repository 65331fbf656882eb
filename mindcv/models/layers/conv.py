"""Convolutions with everything stated: padding, bias, initialisation."""

from mindspore import nn
from mindspore.common.initializer import HeNormal, Initializer

from .norm import batch_norm2d

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
    """
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        pad_mode="same" if padding == "same" else "pad",
        padding=0 if padding == "same" else padding,
        dilation=dilation,
        group=groups,
        has_bias=bias,
        weight_init=weight_init,
        bias_init=bias_init,
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
