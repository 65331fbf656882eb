"""Self-attention on the CPU by the kernels of `_attention.cpp`, as an operator with a gradient."""

import functools
from typing import Any

from mindspore import Tensor, ops

from .operators import kernel_operator, takes_tokens

__all__ = ["attention"]


@functools.cache
def attention(heads: int) -> ops.Custom:
    """The operator: called with queries, keys and values (N, L, 3 * D), and a tensor of int64.

    The tensor's values are the number of heads and the `bits` of what queries are multiplied with. Gives the output,
    (N, L, D), and the logarithm of the softmax's sum of each row, (N, heads, L).
    """
    backward_op = kernel_operator("AttentionBackward", str(heads), lambda dout, qkv, *_: qkv)

    def backward(qkv: Tensor, c: Tensor, out: Any, dout: Any) -> tuple[Tensor, ...]:
        return backward_op(dout[0], qkv, out[0], out[1], c), c

    def shapes(qkv: list[int], _: Any) -> tuple[list[int], ...]:
        return [qkv[0], qkv[1], qkv[2] // 3], [qkv[0], heads, qkv[1]]

    return kernel_operator("AttentionForward", str(heads), shapes, outputs=2, bprop=backward, takes=takes_tokens)
