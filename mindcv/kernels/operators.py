"""Operators of the library `_convolution`, as graphs have them, and what they were given that they do not have."""

import functools
import struct
from collections.abc import Callable, Container
from typing import Any

import mindspore as ms
from mindspore import Tensor, ops

from . import onednn

__all__ = [
    "as_tensor",
    "bits",
    "changes_inputs",
    "kernel_operator",
    "map_dtype",
    "takes_map",
    "takes_tokens",
    "takes_values",
    "unknown",
    "zeros_like",
]

# The gradient of what has none. The operator itself: a function around it costs a graph more each time.
zeros_like = ops.ZerosLike()

# Operators that were given a shape or a type that they do not have while something was compiled; `KernelCells.compile`
# empties and reads it.
unknown: list[str] = []


def kernel_operator(
    name: str,
    key: str,
    out_shape: Callable[..., Any],
    outputs: int = 1,
    bprop: Callable[..., Any] | None = None,
    takes: Callable[..., bool] | None = None,
    half_inputs: Container[int] = (),
    half_outputs: Container[int] = (),
) -> ops.Custom:
    """An operator of the library.

    Args:
        name: Its function.
        key: Tells it from others of that name: MindSpore takes operators of equal attributes for one, gradient and all.
        out_shape: From the inputs' shapes to the outputs'.
        outputs: How many there are.
        bprop: Its gradient.
        takes: From the inputs' shapes to whether it has them. What it does not have, and an input of another type (the
            last one may have any) is noted in `unknown`; it must not run then.
        half_inputs: Which inputs are bfloat16; the others are fp32.
        half_outputs: Which outputs are bfloat16; the others are fp32.
    """
    out_dtypes = tuple(map_dtype(index in half_outputs) for index in range(outputs))
    out_dtype: Any = out_dtypes[0] if outputs == 1 else out_dtypes
    shape, dtype = out_shape, out_dtype
    if takes is not None:

        def shape(*shapes: list[int]) -> Any:
            if takes(*shapes):
                return out_shape(*shapes)
            unknown.append(name)
            return shapes[0] if outputs == 1 else (shapes[0],) * outputs  # some shape, so that the rest is looked at

        def dtype(*dtypes: Any) -> Any:
            given = [getattr(one, "element_type", lambda own=one: own)() for one in dtypes[:-1]]
            if any(one != map_dtype(index in half_inputs) for index, one in enumerate(given)):
                unknown.append(name)
            return out_dtype

    path = onednn.start().path
    custom = ops.Custom(f"{path}:{name}", out_shape=shape, out_dtype=dtype, func_type="aot", bprop=bprop)
    custom.add_prim_attr("mindcv_key", key)
    custom.__deepcopy__ = lambda memo: custom  # a copied network has the same; MindSpore's own copying fails
    return custom


def changes_inputs(custom: ops.Custom) -> None:
    """Tells MindSpore that an operator changes parameters that it is given, as the moving statistics, in place."""
    custom.add_prim_attr("side_effect_mem", True)
    # Not computed once more in the backward pass: they would change twice.
    custom.recompute(False)


def map_dtype(is_half: bool) -> Any:
    """The type of maps: bfloat16, or fp32."""
    return ms.bfloat16 if is_half else ms.float32


def takes_map(x: Any, *_: Any) -> bool:
    """Whether it is a map, (N, C, H, W) or (N, H, W, C), that is not empty; sides known only at run time are -1."""
    return len(x) == 4 and min(x) > 0


def takes_tokens(x: Any, *_: Any) -> bool:
    """Whether it is (N, L, D), and not empty."""
    return len(x) == 3 and min(x) > 0


def takes_values(x: Any, *_: Any) -> bool:
    """Whether there are values."""
    return len(x) > 0 and min(x) > 0


@functools.cache
def as_tensor(config: tuple[int, ...]) -> Tensor:
    """A configuration as the operators take it."""
    return Tensor(list(config), ms.int64)


def bits(value: float) -> int:
    """The bits of a double, as a number of a configuration."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])
