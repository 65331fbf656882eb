"""Convolution with everything stated: padding, bias, initialisation."""

from mindspore import nn
from mindspore.common.initializer import HeNormal


def conv2d(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Conv2d:
    """Makes a convolution without bias, `padding` zeros on all four sides, He-normal (fan out, ReLU) weights.

    The initialisation is the one that ResNet's authors propose (arXiv:1502.01852), as MindCV and torchvision use it.
    """
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        pad_mode="pad",
        padding=padding,
        dilation=1,
        group=groups,
        has_bias=False,
        weight_init=HeNormal(mode="fan_out", nonlinearity="relu"),
    )
