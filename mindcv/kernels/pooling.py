"""Max pooling on the CPU by the kernels of `_pooling.cpp`, as an operator with a gradient."""

import functools

from mindspore import Tensor, ops

from .operators import kernel_operator, takes_map

__all__ = ["max_pool"]


@functools.cache
def max_pool(config: tuple[int, int, int, int, int]) -> ops.Custom:
    """The operator for a configuration: called with the map and `as_tensor(config)`.

    Args:
        config: Kernel's height and width, stride of both, and whether it pads "same" (1) or not at all (0).
    """

    def out_side(side: int, kernel: int, stride: int) -> int:
        return -(-side // stride) if config[4] else (side - kernel) // stride + 1

    backward_op = kernel_operator("MaxPoolBackward", str(config), lambda dy, x, c: x)

    def backward(x: Tensor, c: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
        return backward_op(dout, x, c), c

    return kernel_operator(
        "MaxPoolForward",
        str(config),
        lambda x, c: [*x[:2], out_side(x[2], config[0], config[2]), out_side(x[3], config[1], config[3])],
        bprop=backward,
        takes=takes_map,
    )
