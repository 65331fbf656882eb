"""Squeeze and excitation, arXiv:1709.01507: each channel is scaled by a gate computed from all channels' means.

The arguments are MindCV's, so that networks of its users find the cells that they were written on.
"""

from collections.abc import Callable

from mindspore import Tensor, nn

from .activation import MakeActivation, activation
from .conv import conv2d
from .dense import dense
from .width import make_divisible


class SqueezeExcite(nn.Cell):
    """The gate by 1x1 convolutions: (N, in_channels, H, W) to the same.

    Args:
        in_channels: Channels of the input.
        rd_ratio: Width of the hidden layer over `in_channels`, at most 1.
        rd_channels: That width itself, which goes before `rd_ratio`.
        rd_divisor: What it is a multiple of.
        norm: Makes the norm behind the hidden layer; None for none.
        act_layer: Activation of the hidden layer, by name or what makes it.
        gate_layer: Activation that gives the gate, by name or what makes it.

    Raises:
        ValueError: `rd_ratio` is above 1.
    """

    def __init__(
        self,
        in_channels: int,
        rd_ratio: float = 1 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        norm: Callable[[int], nn.Cell] | None = None,
        act_layer: MakeActivation = "relu",
        gate_layer: MakeActivation = "sigmoid",
    ) -> None:
        super().__init__()
        if rd_ratio > 1:
            raise ValueError(f"rd_ratio is {rd_ratio}, the hidden width over the channels; a width is rd_channels")
        width = rd_channels or make_divisible(in_channels * rd_ratio, rd_divisor)
        self.conv_reduce = self.make_layer(in_channels, width)
        self.bn = norm(width) if norm is not None else nn.Identity()
        self.act = activation(act_layer)
        self.conv_expand = self.make_layer(width, in_channels)
        self.gate = activation(gate_layer)

    def make_layer(self, in_channels: int, out_channels: int) -> nn.Cell:
        """Makes one of the two layers."""
        return conv2d(in_channels, out_channels, 1, bias=True)

    def weigh(self, means: Tensor) -> Tensor:
        """Returns the gate for the means of all channels."""
        return self.gate(self.conv_expand(self.act(self.bn(self.conv_reduce(means)))))

    def gates(self, x: Tensor) -> Tensor:
        """Returns the gate for a map, (N, C, 1, 1)."""
        return self.weigh(x.mean((2, 3), keep_dims=True))

    def construct(self, x: Tensor) -> Tensor:
        return x * self.gates(x)


class SqueezeExciteV2(SqueezeExcite):
    """The gate by dense layers; its norm is one of (N, C). Arguments are those of `SqueezeExcite`."""

    def make_layer(self, in_channels: int, out_channels: int) -> nn.Cell:
        return dense(in_channels, out_channels)

    def gates(self, x: Tensor) -> Tensor:
        return self.weigh(x.mean((2, 3))).expand_dims(-1).expand_dims(-1)
