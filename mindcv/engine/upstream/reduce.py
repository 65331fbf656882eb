"""Upstream's sum over ranks, as a cell."""

import mindspore as ms
from mindspore import Tensor, nn, ops

__all__ = ["AllReduceSum"]

_INTEGER_PART = 1 << 12


class AllReduceSum(nn.Cell):
    """Sums floats or integers over all ranks. Input and output have the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.all_reduce = ops.AllReduce()
        self.is_cpu = ms.get_context("device_target") == "CPU"

    def construct(self, x: Tensor) -> Tensor:
        if self.is_cpu and x.dtype in (ms.int32, ms.int64):
            # The CPU's collectives know floats only; two parts of an integer are exact in fp32 where the whole is not.
            high = x // _INTEGER_PART
            low = ops.cast(x - high * _INTEGER_PART, ms.float32)
            high = ops.cast(high, ms.float32)
            return ops.cast(self.all_reduce(high), x.dtype) * _INTEGER_PART + ops.cast(self.all_reduce(low), x.dtype)
        return self.all_reduce(x)
