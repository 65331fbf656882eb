"""Dense layers on the CPU by the kernels of `_convolution.cpp`, as operators with gradients."""

import functools

from mindspore import Tensor, ops

from .operators import kernel_operator, takes_values

__all__ = ["dense"]


@functools.cache
def dense(has_bias: bool) -> ops.Custom:
    """The operator: called with x (..., in), weight (out, in), the bias where there is one, and a tensor.

    The tensor is of int64, of one value: whether factors are rounded to bfloat16.
    """
    key = str(has_bias)
    to_data = kernel_operator("DenseBackwardData", key, lambda dy, w, x, c: x)
    if has_bias:
        to_weights = kernel_operator("DenseBackwardWeights", key, lambda dy, x, w, c: (w, [w[0]]), outputs=2)

        def backward(x: Tensor, w: Tensor, b: Tensor, c: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
            dw, db = to_weights(dout, x, w, c)
            return to_data(dout, w, x, c), dw, db, c

    else:
        to_weights = kernel_operator("DenseBackwardWeights", key, lambda dy, x, w, c: w)

        def backward(x: Tensor, w: Tensor, c: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
            return to_data(dout, w, x, c), to_weights(dout, x, w, c), c

    return kernel_operator("DenseForward", key, lambda x, w, *_: [*x[:-1], w[0]], bprop=backward, takes=takes_values)
