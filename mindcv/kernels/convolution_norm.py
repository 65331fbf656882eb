"""A convolution and the BatchNorm behind it, in training, as one operator (`_convolution_norm.cpp`).

It computes what the two of `convolution.py` and `batch_norm.py` do. A graph that has it compiles faster.
"""

import functools
from typing import Any

from mindspore import Tensor, ops

from .batch_norm import BatchNormConfiguration
from .convolution import Configuration, out_shape, takes_convolution
from .operators import changes_inputs, kernel_operator, zeros_like

__all__ = ["convolution_norm"]


@functools.cache
def convolution_norm(convolution: Configuration, norm: BatchNormConfiguration) -> ops.Custom:
    """The operator for two configurations.

    Called with map, weight, gamma, beta, moving mean and variance, the shortcut where there is one, and
    `as_tensor((*convolution, *norm))`. Gives the output, what the convolution gives, and mean and variance that it was
    normalised with. The moving ones are moved in place.
    """
    key, adds, is_half = f"{convolution} {norm}", bool(norm[1]), bool(norm[8])
    turns = bool(norm[3]) and not norm[7]
    shape_behind = out_shape(convolution)
    to_data = kernel_operator(
        "ConvolutionBackwardData", key, lambda dy, w, x, c: x, half_outputs=(0,) if is_half else ()
    )

    def outputs(x: list[int], w: list[int], g: list[int], *_: Any) -> tuple[list[int], ...]:
        y = shape_behind(x, w)
        return ([y[0], y[3], y[1], y[2]] if turns else y), y, g, g

    def takes(x: list[int], w: list[int], *_: Any) -> bool:
        return takes_convolution(tuple(x), tuple(w), convolution, False)

    if adds:
        backward_op = kernel_operator(
            *("ConvolutionNormBackward", key, lambda dout, out, y, x, w, g, *_: (y, w, g, g, dout)),
            outputs=5,
            half_outputs=(0, 4) if is_half else (),
        )

        def backward(
            x: Tensor,
            w: Tensor,
            g: Tensor,
            b: Tensor,
            m: Tensor,
            v: Tensor,
            other: Tensor,
            c: Tensor,
            out: Any,
            dout: Any,
        ) -> tuple[Tensor, ...]:
            dy, dw, dg, db, dother = backward_op(dout[0], out[0], out[1], x, w, g, b, out[2], out[3], c)
            return to_data(dy, w, x, c), dw, dg, db, zeros_like(m), zeros_like(v), dother, c

    else:
        backward_op = kernel_operator(
            *("ConvolutionNormBackward", key, lambda dout, out, y, x, w, g, *_: (y, w, g, g)),
            outputs=4,
            half_outputs=(0,) if is_half else (),
        )

        def backward(
            x: Tensor, w: Tensor, g: Tensor, b: Tensor, m: Tensor, v: Tensor, c: Tensor, out: Any, dout: Any
        ) -> tuple[Tensor, ...]:
            dy, dw, dg, db = backward_op(dout[0], out[1], out[1], x, w, g, b, out[2], out[3], c)
            return to_data(dy, w, x, c), dw, dg, db, zeros_like(m), zeros_like(v), c

    custom = kernel_operator(
        *("ConvolutionNormForward", key, outputs),
        outputs=4,
        bprop=backward,
        takes=takes,
        half_inputs=(0, 6) if is_half else (),  # map and shortcut
        half_outputs=(0, 1) if is_half else (),
    )
    changes_inputs(custom)
    return custom
