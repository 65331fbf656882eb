"""Convolution on the CPU by the kernels of `_convolution.cpp`, as operators with gradients."""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

from mindspore import Tensor, nn, ops

from . import onednn
from .operators import kernel_operator

__all__ = [
    "Configuration",
    "configuration",
    "convolution",
    "kernel_names",
    "out_shape",
    "takes_convolution",
]

_SAME = -1
# Kinds of plans, as _convolution.cpp has them.
_ALL_KINDS = 7

Configuration = tuple[int, ...]


def configuration(
    cell: nn.Conv2d,
    source_last: bool = False,
    result_last: bool = False,
    in_bf16: bool = False,
    half_maps: bool = False,
) -> Configuration:
    """Stride, padding (four sides), dilation, groups, layouts and precision, in the order of _convolution.cpp.

    Args:
        cell: The convolution.
        source_last: Whether it takes (N, H, W, C).
        result_last: Whether it gives (N, H, W, C).
        in_bf16: Whether it multiplies in bfloat16.
        half_maps: Whether it takes and gives bfloat16.
    """
    if cell.pad_mode == "pad":
        padding = cell.padding if isinstance(cell.padding, tuple) else (cell.padding,) * 4
    else:
        padding = ((_SAME if cell.pad_mode == "same" else 0),) * 4
    flags = (int(source_last), int(result_last), int(in_bf16), int(half_maps))
    return (*cell.stride[-2:], *padding, *cell.dilation[-2:], cell.group, *flags)


def takes_convolution(x: tuple[int, ...], w: tuple[int, ...], config: Configuration, has_bias: bool) -> bool:
    """Whether the kernels have this convolution: a fast one of oneDNN's in each direction."""
    return kernel_names(tuple(x), tuple(w), config, has_bias)[0]


@functools.lru_cache(4096)
def kernel_names(x: tuple[int, ...], w: tuple[int, ...], config: Configuration, has_bias: bool) -> tuple[bool, str]:
    """Whether the kernels have this convolution, and which of oneDNN's they are, or why not."""
    status = onednn.start()
    if status.path is None or len(x) != 4 or min(x) < 1:
        return False, status.text
    names = ctypes.create_string_buffer(512)
    numbers = [(ctypes.c_int64 * len(values))(*values) for values in (x, w, config)]
    failed = onednn.loaded(status.path).mindcv_convolution_plans(*numbers, int(has_bias), _ALL_KINDS, names, 512)
    return failed == 0, names.value.decode(errors="replace")


def _out_side(side: int, kernel: int, stride: int, before: int, behind: int, dilation: int) -> int:
    if before == _SAME:
        return -(-side // stride)
    return (side + before + behind - dilation * (kernel - 1) - 1) // stride + 1


def out_shape(config: Configuration) -> Callable[..., list[int]]:
    """A function from the shapes of image and weight to that of the output."""

    def shape(x: list[int], w: list[int], *_: Any) -> list[int]:
        n, height, width = (x[0], x[1], x[2]) if config[9] else (x[0], x[2], x[3])
        height = _out_side(height, w[2], config[0], config[2], config[3], config[6])
        width = _out_side(width, w[3], config[1], config[4], config[5], config[7])
        return [n, height, width, w[0]] if config[10] else [n, w[0], height, width]

    return shape


@functools.cache
def convolution(config: Configuration, has_bias: bool) -> ops.Custom:
    """The operator for a configuration: called with image, weight, bias where there is one, and `as_tensor(config)`."""
    key, half = f"{config} {has_bias}", (0,) if config[-1] else ()
    to_data = kernel_operator("ConvolutionBackwardData", key, lambda dy, w, x, c: x, half_outputs=half)
    if has_bias:
        to_weights = kernel_operator("ConvolutionBackwardWeights", key, lambda x, dy, w, c: (w, [w[0]]), outputs=2)

        def backward(x: Tensor, w: Tensor, b: Tensor, c: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
            dw, db = to_weights(x, dout, w, c)
            return to_data(dout, w, x, c), dw, db, c

    else:
        to_weights = kernel_operator("ConvolutionBackwardWeights", key, lambda x, dy, w, c: w)

        def backward(x: Tensor, w: Tensor, c: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
            return to_data(dout, w, x, c), to_weights(x, dout, w, c), c

    def takes(x: list[int], w: list[int], *_: Any) -> bool:
        return takes_convolution(tuple(x), tuple(w), config, has_bias)

    return kernel_operator(
        *("ConvolutionForward", key, out_shape(config)),
        bprop=backward,
        takes=takes,
        half_inputs=half,
        half_outputs=half,
    )
