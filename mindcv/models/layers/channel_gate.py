"""Squeeze and excitation, arXiv:1709.01507: each channel is scaled by a gate computed from all channels' means."""

from collections.abc import Callable

from mindspore import Tensor, nn, ops

from .activation import activation
from .conv import HE_NORMAL, Initializer, conv2d
from .dense import dense


class SqueezeExciteDense(nn.Cell):
    """The gate by dense layers: (N, C, H, W) to the same.

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


class SqueezeExcite(nn.Cell):
    """The gate by 1x1 convolutions: (N, C, H, W) to the same.

    Args:
        channels: Channels of the input.
        reduced_channels: Width of the hidden layer.
        act: Activation of the hidden layer.
        gate: Activation that gives the gate, "sigmoid" or "hard_sigmoid".
        weight_init: Initialiser of both weights.
        norm: Makes the normalisation behind the hidden layer; None for none.
    """

    def __init__(
        self,
        channels: int,
        reduced_channels: int,
        act: str = "relu",
        gate: str = "sigmoid",
        weight_init: str | Initializer = HE_NORMAL,
        norm: Callable[[int], nn.Cell] | None = None,
    ) -> None:
        super().__init__()
        self.conv_reduce = conv2d(channels, reduced_channels, 1, bias=True, weight_init=weight_init)
        self.bn = nn.Identity() if norm is None else norm(reduced_channels)
        self.act = activation(act)
        self.conv_expand = conv2d(reduced_channels, channels, 1, bias=True, weight_init=weight_init)
        self.gate = activation(gate)

    def construct(self, x: Tensor) -> Tensor:
        return x * self.gate(self.conv_expand(self.act(self.bn(self.conv_reduce(x.mean((2, 3), keep_dims=True))))))
