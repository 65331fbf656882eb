"""Layers that MindSpore cannot write to ONNX, and equal ones that it can.

A family whose layers have no converter adds a line to `SWAPS`. Each line is tested: same numbers, and an ONNX file that
runs. Which operators have a converter was found by trying (MindSpore 2.10).
"""

import math
from collections.abc import Callable

from mindspore import Parameter, Tensor, nn, ops

from ..utils.cells import replace_cells

__all__ = ["SWAPS", "swap_layers"]

# Below all that a network computes, and still a float32.
_LOWEST = -3e38


class _HardSigmoid(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        return (ops.relu(x + 3.0) - ops.relu(x - 3.0)) / 6.0


class _HardSwish(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        return x * (ops.relu(x + 3.0) - ops.relu(x - 3.0)) / 6.0


class _Elu(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        return ops.relu(x) + (ops.exp(-ops.relu(-x)) - 1.0)


class _Mish(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        e = ops.exp(-ops.abs(x))  # tanh(log(1 + exp(x))) as a fraction that cannot overflow
        above, below = 1.0 + 2.0 * e, e * (e + 2.0)
        return x * ops.where(x > 0, above / (above + 2.0 * e * e), below / (below + 2.0))


class _ErfGelu(nn.Cell):
    """GELU by the error function's approximation 7.1.26 of Abramowitz and Stegun, whose error is below 1.5e-7."""

    def construct(self, x: Tensor) -> Tensor:
        size = ops.abs(x)
        t = ops.exp(-ops.log(1.0 + 0.3275911 / math.sqrt(2.0) * size))
        series = 0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
        tail = 0.5 * t * series * ops.exp(-0.5 * size * size)
        return x * ops.where(x > 0, 1.0 - tail, tail)


class _GroupNorm(nn.Cell):
    """All groups have equally many values, so a group's mean is the mean of its channels' means."""

    def __init__(self, cell: nn.GroupNorm) -> None:
        super().__init__()
        self.groups = cell.num_groups
        self.channels = cell.num_channels
        self.eps = cell.eps
        self.gamma = Parameter(cell.gamma.value(), name=cell.gamma.name)
        self.beta = Parameter(cell.beta.value(), name=cell.beta.name)

    def _group_mean(self, x: Tensor) -> Tensor:
        if self.groups == 1:  # also since OpenVINO 2026.4 computes what is below wrongly in int8, with one group
            return x.mean((1, 2, 3), keep_dims=True)
        means = x.mean((2, 3)).reshape((-1, self.groups, self.channels // self.groups))
        means = means * 0.0 + means.mean(-1, keep_dims=True)
        return means.reshape((-1, self.channels, 1, 1))

    def construct(self, x: Tensor) -> Tensor:
        x = x - self._group_mean(x)
        x = x / ops.sqrt(self._group_mean(x * x) + self.eps)
        return x * self.gamma.reshape((1, -1, 1, 1)) + self.beta.reshape((1, -1, 1, 1))


class _GlobalAvgPool(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keep_dims=True)


class _PaddedMaxPool(nn.Cell):
    """The border is made of the image itself, since a constant of unknown batch size has no converter."""

    def __init__(self, kernel_size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> None:
        super().__init__()
        self.padding = padding
        self.pool = nn.MaxPool2d(kernel_size, stride, pad_mode="valid")

    def construct(self, x: Tensor) -> Tensor:
        rows = (x[:, :, :1, :] * 0.0 + _LOWEST,) * self.padding[0]
        x = ops.cat((*rows, x, *rows), 2)
        columns = (x[:, :, :, :1] * 0.0 + _LOWEST,) * self.padding[1]
        return self.pool(ops.cat((*columns, x, *columns), 3))


class _PaddedAvgPool(nn.Cell):
    """Zeros around the image count as pixels."""

    def __init__(self, kernel_size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, ...]) -> None:
        super().__init__()
        self.pad = ops.Pad(((0, 0), (0, 0), padding[:2], padding[2:]))
        self.pool = nn.AvgPool2d(kernel_size, stride, pad_mode="valid")

    def construct(self, x: Tensor) -> Tensor:
        return self.pool(self.pad(x))


class _PaddedConv(nn.Cell):
    """The converter takes the borders of a convolution in another order than MindSpore gives them."""

    def __init__(self, cell: nn.Conv2d) -> None:
        super().__init__()
        top, bottom, left, right = cell.padding
        self.pad = ops.Pad(((0, 0), (0, 0), (top, bottom), (left, right)))
        self.conv = nn.Conv2d(
            *(cell.in_channels, cell.out_channels, cell.kernel_size, cell.stride),
            pad_mode="pad",
            padding=0,
            dilation=cell.dilation,
            group=cell.group,
            has_bias=cell.has_bias,
            weight_init="zeros",
            bias_init="zeros",
        )
        self.conv.weight = Parameter(cell.weight.value(), name=cell.weight.name)
        if cell.has_bias:
            self.conv.bias = Parameter(cell.bias.value(), name=cell.bias.name)

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(self.pad(x))


def _swap_conv(cell: nn.Conv2d) -> nn.Cell | None:
    has_borders = cell.pad_mode == "pad" and isinstance(cell.padding, tuple)
    return _PaddedConv(cell) if has_borders and len(set(cell.padding)) > 1 else None


def _swap_gelu(cell: nn.GELU) -> nn.Cell | None:
    return _ErfGelu() if cell.approximate == "none" else None


def _swap_elu(cell: nn.ELU) -> nn.Cell | None:
    return _Elu() if cell.elu.attrs["alpha"] == 1.0 else None


def _swap_adaptive_pool(cell: nn.AdaptiveAvgPool2d) -> nn.Cell | None:
    return _GlobalAvgPool() if tuple(cell.adaptive_avgpool2d.attrs["output_size"]) == (1, 1) else None


def _swap_max_pool(cell: nn.MaxPool2d) -> nn.Cell | None:
    facts = cell.max_pool.attrs
    if "pads" not in facts or facts["ceil_mode"] or tuple(facts["dilation"]) != (1, 1, 1) or cell.return_indices:
        return None
    return _PaddedMaxPool(tuple(facts["ksize"][-2:]), tuple(facts["strides"][-2:]), tuple(facts["pads"][-2:]))


def _swap_avg_pool(cell: nn.AvgPool2d) -> nn.Cell | None:
    facts = cell.avg_pool.attrs
    if "pad_list" not in facts or facts["ceil_mode"] or not facts["count_include_pad"] or facts["divisor_override"]:
        return None
    return _PaddedAvgPool(tuple(facts["kernel_size"][-2:]), tuple(facts["strides"][-2:]), tuple(facts["pad_list"][-4:]))


# A function that returns None leaves the layer: the converter knows this form of it, or there is no equal one yet.
SWAPS: dict[type[nn.Cell], Callable[[nn.Cell], nn.Cell | None]] = {
    nn.AdaptiveAvgPool2d: _swap_adaptive_pool,
    nn.AvgPool2d: _swap_avg_pool,
    nn.Conv2d: _swap_conv,
    nn.ELU: _swap_elu,
    nn.GELU: _swap_gelu,
    nn.GroupNorm: _GroupNorm,
    nn.HSigmoid: lambda cell: _HardSigmoid(),
    nn.HSwish: lambda cell: _HardSwish(),
    nn.MaxPool2d: _swap_max_pool,
    nn.Mish: lambda cell: _Mish(),
}


def swap_layers(network: nn.Cell) -> int:
    """Replaces the layers of `SWAPS` inside a network, in place, and returns how many there were."""
    return replace_cells(network, lambda cell: SWAPS[type(cell)](cell) if type(cell) in SWAPS else None)
