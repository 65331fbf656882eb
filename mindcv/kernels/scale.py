"""Products with a factor for each channel or sample on the CPU by the kernels of `_scale.cpp`, as operators."""

import functools

from mindspore import Tensor, ops

from .operators import kernel_operator, takes_values

__all__ = ["BY_COLUMN", "BY_ROW", "scale"]

# Configurations, as _scale.cpp has them: a factor for each value of the last axes, or of the first ones.
BY_COLUMN, BY_ROW = (0,), (1,)


@functools.cache
def scale(adds: bool, has_gradient: bool = True) -> ops.Custom:
    """The operator: called with values, factors, what is added where something is, and `as_tensor` of a configuration.

    Args:
        adds: Whether a tensor of the values' shape is added to the products.
        has_gradient: Whether the factors have a gradient, for which the values are kept.
    """
    key = f"{adds} {has_gradient}"
    backward_op = kernel_operator("ScaleBackward", "", lambda dy, x, f, c: (x, f), outputs=2)
    again = kernel_operator("ScaleForward", "gradient", lambda dy, *_: dy)

    def gradients(x: Tensor, f: Tensor, c: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        if has_gradient:
            return backward_op(dout, x, f, c)
        return again(dout, f, c), ops.zeros_like(f)

    if adds:

        def backward(x: Tensor, f: Tensor, other: Tensor, c: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
            dx, df = gradients(x, f, c, dout)
            return dx, df, dout, c

    else:

        def backward(x: Tensor, f: Tensor, c: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
            dx, df = gradients(x, f, c, dout)
            return dx, df, c

    return kernel_operator("ScaleForward", key, lambda x, *_: x, bprop=backward, takes=takes_values)
