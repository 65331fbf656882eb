"""Squeeze and excitation."""

from mindspore import Tensor, nn, ops

from .dense import dense


class SqueezeExciteDense(nn.Cell):
    """Scales each channel by a gate computed from all channels' means (arXiv:1709.01507), with dense layers.

    Args:
        channels: Channels of the input.
        reduced_channels: Width of the hidden layer.
    """

    def __init__(self, channels: int, reduced_channels: int) -> None:
        super().__init__()
        self.conv_reduce = dense(channels, reduced_channels)
        self.conv_expand = dense(reduced_channels, channels)

    def construct(self, x: Tensor) -> Tensor:
        gate = self.conv_expand(ops.relu(self.conv_reduce(x.mean((2, 3)))))
        return x * ops.sigmoid(gate).expand_dims(-1).expand_dims(-1)
