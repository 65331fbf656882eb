"""Dense layers on the CPU by the kernels of `_convolution.cpp`, as operators with gradients."""

import functools

from mindspore import Tensor, nn, ops

from .operators import kernel_operator, takes_values

__all__ = ["dense", "dense_configuration"]

# What is before a dense layer, as `_dense.cpp` has it: nothing, or a GELU.
_NOTHING, _BEFORE = 0, {"none": 1, "tanh": 2}


def dense_configuration(in_bf16: bool, gelu: nn.GELU | None = None) -> tuple[int, int]:
    """A dense layer's configuration.

    Args:
        in_bf16: Whether factors are rounded to bfloat16.
        gelu: The GELU that is before it and that it does.
    """
    return int(in_bf16), _NOTHING if gelu is None else _BEFORE[gelu.approximate]


@functools.cache
def dense(has_bias: bool) -> ops.Custom:
    """The operator: called with x (..., in), weight (out, in), the bias where there is one, and a tensor.

    The tensor is that of a `dense_configuration`.
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
