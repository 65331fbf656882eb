"""Squeeze and excitation of (N, H, W, C) on the CPU by the kernels of `_squeeze_excite.cpp`, as an operator."""

import functools
from typing import Any

from mindspore import Tensor, nn, ops

from .batch_norm import ACTIVATIONS
from .operators import kernel_operator, takes_map

__all__ = ["EXCITE_ACTIVATIONS", "GATES", "squeeze_excite"]

# Numbers of the hidden layer's activations, and of those that give the gate, as _squeeze_excite.cpp has them.
EXCITE_ACTIVATIONS = (ACTIVATIONS[nn.ReLU], ACTIVATIONS[nn.SiLU])
GATES: dict[type[nn.Cell], int] = {nn.Sigmoid: 1, nn.HSigmoid: 2}


@functools.cache
def squeeze_excite() -> ops.Custom:
    """The operator: called with map, weight and bias of both layers, and `as_tensor((activation, gate))`.

    Gives the output, the means, and what the activation and the gate are given.
    """
    backward_op = kernel_operator(
        "SqueezeExciteBackward",
        "",
        lambda dy, x, w1, w2, means, before, last, c: (x, w1, [w1[0]], w2, [w2[0]]),
        outputs=5,
    )

    def backward(
        x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, c: Tensor, out: Any, dout: Any
    ) -> tuple[Tensor, ...]:
        return (*backward_op(dout[0], x, w1, w2, out[1], out[2], out[3], c), c)

    def shapes(x: list[int], w1: list[int], *_: Any) -> tuple[list[int], ...]:
        return x, [x[0], x[3]], [x[0], w1[0]], [x[0], x[3]]

    return kernel_operator("SqueezeExciteForward", "", shapes, outputs=4, bprop=backward, takes=takes_map)
