"""Ranks: finding out that there are several, sums over them, equal weights on all."""

import os
from collections.abc import Iterable

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from mindspore.communication import GlobalComm, get_group_size, get_rank, init

__all__ = [
    "AllReduceSum",
    "broadcast_parameters",
    "init_distributed",
    "is_launched",
    "rank",
    "sum_over_ranks",
    "world_size",
]

_world = {"rank": 0, "size": 1}


def is_launched() -> bool:
    """Whether this process was started as a worker of `msrun` (or by hand with the same variables)."""
    return os.environ.get("MS_ROLE") == "MS_WORKER"


def init_distributed() -> None:
    """Joins the other workers. Must run after the device is set and before any tensor is made.

    Raises:
        ValueError: The process was not started by a launcher.
    """
    if not is_launched() and "OMPI_COMM_WORLD_SIZE" not in os.environ:
        raise ValueError(
            "distribute is on, but this process was not started by msrun; start it with "
            "`msrun --worker_num N --local_worker_num N --join=True train.py ...`, or pass --distribute False"
        )
    init()
    _world.update(rank=get_rank(), size=get_group_size())


def rank() -> int:
    """This process's number, from 0; 0 when there is only one."""
    return _world["rank"]


def world_size() -> int:
    """How many processes train together; 1 when `init_distributed` was not called."""
    if _world["size"] == 1 and GlobalComm.INITED:  # a user's own script may have called init() itself
        _world.update(rank=get_rank(), size=get_group_size())
    return _world["size"]


def sum_over_ranks(values: Iterable[float]) -> np.ndarray:
    """Sums float64 numbers over all ranks, in an order and precision that do not depend on their number.

    The CPU's collectives know fp32 sums only, so each number travels as three fp32 parts that are exact together.
    """
    numbers = np.asarray(list(values), dtype=np.float64)
    if world_size() == 1:
        return numbers
    high = numbers.astype(np.float32)
    middle = (numbers - high).astype(np.float32)
    low = (numbers - high - middle).astype(np.float32)
    own = np.zeros((world_size(), 3, numbers.size), np.float32)
    own[rank()] = high, middle, low
    # Each rank fills its own row, so that the reduction adds zeros only and the float64 sum below has a fixed order.
    rows = ops.AllReduce()(ms.Tensor(own)).asnumpy().astype(np.float64)
    return rows.sum(axis=1).sum(axis=0)


def broadcast_parameters(parameters: Iterable) -> None:
    """Gives every rank the values of rank 0, in graph mode and PyNative alike."""
    if world_size() == 1:
        return
    broadcast = ops.Broadcast(0)
    for parameter in parameters:
        parameter.set_data(broadcast((parameter.value(),))[0])


class AllReduceSum(nn.Cell):
    """Sums a tensor over all ranks (upstream's interface). Input and output have the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.all_reduce = ops.AllReduce()

    def construct(self, x):
        return self.all_reduce(x)
