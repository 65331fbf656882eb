"""Maps as (N, H, W, C), in fp32 or bfloat16, between operators of the kernels (`_layout.cpp`)."""

import functools
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from .operators import as_tensor, kernel_operator, map_dtype

__all__ = ["Fork", "Layout"]

_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


@functools.cache
def change_layout(to_last: bool, is_half: bool) -> ops.Custom:
    """The operator: called with a map and `as_tensor((to_last, is_half))`.

    Args:
        to_last: Whether it makes (N, H, W, C) of (N, C, H, W), which is fp32, or the other way round.
        is_half: Whether the one with channels last is bfloat16.
    """

    def operator(last: bool, bprop: Any = None) -> ops.Custom:
        axes = _TO_LAST if last else _TO_FIRST
        key = f"{last} {is_half} {bprop is None}"
        half_outputs = (0,) if is_half and last else ()
        return kernel_operator(
            "ChangeLayout", key, lambda x, _: [x[axis] for axis in axes], bprop=bprop, half_outputs=half_outputs
        )

    back, way = operator(not to_last), as_tensor((int(not to_last), int(is_half)))

    def backward(x: Tensor, c: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
        return back(dout, way), c

    return operator(to_last, backward)


@functools.cache
def sum_of_maps(is_half: bool) -> ops.Custom:
    """The operator: called with two maps and any tensor of int64. MindSpore's own has no bfloat16 on a CPU."""
    return kernel_operator("SumOfMaps", str(is_half), lambda a, *_: a, half_outputs=(0,) if is_half else ())


class Layout(nn.Cell):
    """Changes a map's layout, as `change_layout` does, also where its shape is known only when it runs."""

    def __init__(self, to_last: bool, is_half: bool) -> None:
        super().__init__(auto_prefix=False)
        self.axes, self.dtype = (_TO_LAST if to_last else _TO_FIRST), map_dtype(to_last and is_half)
        self.kernel, self.kernel_tensor = change_layout(to_last, is_half), as_tensor((int(to_last), int(is_half)))

    def construct(self, x: Tensor) -> Tensor:
        if ops.isconstant(x.shape):
            return self.kernel(x, self.kernel_tensor)
        return ops.cast(ops.transpose(ops.cast(x, ms.float32), self.axes), self.dtype)


class Fork(nn.Cell):
    """Gives a map to two readers; the map's gradient is the sum of theirs."""

    def __init__(self, is_half: bool) -> None:
        super().__init__(auto_prefix=False)
        self.dtype = map_dtype(is_half)
        self.kernel, self.kernel_tensor = sum_of_maps(is_half), as_tensor((0,))

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x

    def bprop(self, x: Tensor, out: Any, dout: Any) -> tuple[Tensor]:
        if ops.isconstant(x.shape):
            return (self.kernel(dout[0], dout[1], self.kernel_tensor),)
        return (ops.cast(ops.cast(dout[0], ms.float32) + ops.cast(dout[1], ms.float32), self.dtype),)
