"""GELU on the CPU by the kernels of `_gelu.cpp`, as an operator with a gradient."""

import functools

from mindspore import Tensor, ops

from .operators import kernel_operator, takes_values

__all__ = ["gelu"]


@functools.cache
def gelu() -> ops.Custom:
    """The operator: called with values of any shape and a tensor of int64, of one value: whether it is by tanh."""
    backward_op = kernel_operator("GeluBackward", "", lambda dy, x, c: x)

    def backward(x: Tensor, c: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
        return backward_op(dout, x, c), c

    return kernel_operator("GeluForward", "", lambda x, c: x, bprop=backward, takes=takes_values)
