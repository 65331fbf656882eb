"""Ranks: finding out that there are several, sums over them, equal weights on all.

All ranks must call the same collectives in the same order, and none of them may go on after one that failed: what later
ones give is undefined. So no collective stands in a try block that catches.
"""

import os
import zlib
from collections.abc import Iterable, Sequence

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops
from mindspore.communication import GlobalComm, get_group_size, get_rank, init

__all__ = [
    "average_batch_norm",
    "average_gradients",
    "broadcast_parameters",
    "gather_over_ranks",
    "gather_rows",
    "init_distributed",
    "is_launched",
    "mean_over_ranks",
    "rank",
    "report_alive",
    "require_same_on_ranks",
    "require_same_parameters",
    "sum_integers",
    "sum_over_ranks",
    "wait_for_ranks",
    "world_size",
]

# Numbers of all ranks together that one collective takes.
_MOST_AT_ONCE = 1 << 20

_world = {"rank": 0, "size": 1}

# Integers travel in pieces of 12 bits, whose sum over up to 4096 ranks is exact in fp32.
_PIECE_BITS = 12
_PIECES = 32

# Endings of the names of BatchNorm's statistics.
STATISTICS = ("moving_mean", "moving_variance")


def is_launched() -> bool:
    """Whether this process is part of a job of `mindcv launch` or `msrun` (or started with the same variables).

    That includes the job's scheduler, as which msrun starts the script once more.
    """
    return os.environ.get("MS_ROLE") in ("MS_WORKER", "MS_SCHED")


def init_distributed() -> None:
    """Joins the other workers. Must run after the device is set and before any tensor is made.

    In the job's scheduler it does not return: the process serves the workers, then exits.

    Raises:
        ValueError: The process was not started by a launcher.
    """
    if not is_launched() and "OMPI_COMM_WORLD_SIZE" not in os.environ:
        raise ValueError(
            "distribute is on, but this process was not started by a launcher; start it with "
            "`mindcv launch --nproc N train.py ...`, or pass --distribute False"
        )
    # On the CPU, MindSpore's limit of 30 s is short for a rank that waits while another one compiles or saves.
    os.environ.setdefault("MS_CPU_COMM_OP_TIMEOUT", "1800")
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


def gather_over_ranks(values: Iterable[float]) -> np.ndarray:
    """Returns the float64 numbers of all ranks, `(world_size, N)`; each rank gives N of them.

    The CPU's collectives know fp32 sums only, so each number travels as three fp32 parts that are exact together.
    """
    numbers = np.asarray(list(values), dtype=np.float64)
    if world_size() == 1:
        return numbers[None]
    high = numbers.astype(np.float32)
    # Of inf and nan the first part says all.
    rest = np.where(np.isfinite(high), numbers - np.where(np.isfinite(high), high, 0), 0)
    middle = rest.astype(np.float32)
    low = (rest - middle).astype(np.float32)
    own = np.zeros((world_size(), 3, numbers.size), np.float32)
    own[rank()] = high, middle, low
    # Each rank fills its own row, so that the reduction adds zeros only.
    return ops.AllReduce()(ms.Tensor(own)).asnumpy().astype(np.float64).sum(axis=1)


def gather_rows(rows: np.ndarray) -> np.ndarray:
    """Returns the rows of all ranks, one rank after the other, on all ranks. Ranks may have different numbers of them.

    Args:
        rows: This rank's, float64 (N, width); the width is the same on all ranks.
    """
    if world_size() == 1:
        return rows
    counts = gather_over_ranks([len(rows)])[:, 0].astype(int)
    width = rows.shape[1]
    at_once = max(1, _MOST_AT_ONCE // (width * world_size()))
    parts: list[list[np.ndarray]] = [[] for _ in counts]
    for begin in range(0, int(counts.max()), at_once):
        size = min(at_once, int(counts.max()) - begin)
        own = rows[begin : begin + size]
        filled = np.concatenate([own, np.zeros((size - len(own), width))])
        gathered = gather_over_ranks(filled.reshape(-1)).reshape(-1, size, width)
        for part, values, count in zip(parts, gathered, counts, strict=True):
            part.append(values[: max(count - begin, 0)])
    return np.concatenate([values for part in parts for values in part] or [rows])


def sum_over_ranks(values: Iterable[float]) -> np.ndarray:
    """Sums float64 numbers over all ranks, in the order of the ranks. All ranks get the same result."""
    return gather_over_ranks(values).sum(axis=0)


def mean_over_ranks(values: Sequence[float]) -> list[float]:
    """Returns the means of float64 numbers over all ranks, the same on all ranks."""
    return list(values) if world_size() == 1 else (sum_over_ranks(values) / world_size()).tolist()


def sum_integers(values: Sequence[int]) -> list[int]:
    """Sums whole numbers of any size below 2**383 over all ranks, exactly."""
    if world_size() == 1:
        return list(values)
    mask = (1 << _PIECE_BITS) - 1
    pieces = [[value >> _PIECE_BITS * i & mask for i in range(_PIECES)] for value in values]
    sums = ops.AllReduce()(ms.Tensor(np.array(pieces, np.float32))).asnumpy()
    totals = [sum(int(piece) << _PIECE_BITS * i for i, piece in enumerate(row)) for row in sums]
    # The pieces of a negative number are those of its two's complement.
    modulus = 1 << _PIECE_BITS * _PIECES
    return [(total + modulus // 2) % modulus - modulus // 2 for total in totals]


def require_same_on_ranks(value: int, what: str, hint: str) -> None:
    """Makes sure that all ranks have the same number, without which they would wait for each other in vain.

    Raises:
        ValueError: They have not; raised on all ranks, with `what` it is and the `hint` what to look at.
    """
    values = gather_over_ranks([value])[:, 0].astype(int).tolist()
    if len(set(values)) > 1:
        raise ValueError(f"{what} must be the same on all ranks, but is {values}; {hint}")


def require_same_parameters(parameters: Iterable) -> None:
    """Makes sure that all ranks have the same weights, where they are not given those of rank 0.

    Raises:
        ValueError: They have not; raised on all ranks.
    """
    if world_size() > 1:
        checksum = 0
        for parameter in parameters:
            checksum = zlib.crc32(np.ascontiguousarray(parameter.asnumpy()).data, checksum)
        require_same_on_ranks(checksum, "the checksum of the weights", "set parameter_broadcast: True")


def wait_for_ranks() -> None:
    """Returns when all ranks have called it: before the end, so that none ends while another one is still saving."""
    sum_over_ranks([0.0])


def report_alive() -> None:
    """Tells `mindcv launch`, which ends jobs that hang, that this rank goes on. Called when a step has its batch."""
    path = os.environ.get("MINDCV_ALIVE_FILE")
    if path:
        os.utime(path)


def broadcast_parameters(parameters: Iterable) -> None:
    """Gives every rank the values of rank 0, in graph mode and PyNative alike."""
    if world_size() == 1:
        return
    broadcast = ops.Broadcast(0)
    for parameter in parameters:
        parameter.set_data(broadcast((parameter.value(),))[0])


def average_batch_norm(cell: nn.Cell) -> None:
    """Gives all ranks the mean over ranks of BatchNorm's moving statistics, also of those that `ema.*` averages.

    Called before evaluation and saving, since each rank's statistics are those of its own images. Nothing changes with
    `sync_bn`, where they are the same on all ranks.
    """
    _average([parameter for parameter in cell.get_parameters() if parameter.name.endswith(STATISTICS)])


def average_gradients(gradients: Iterable[Parameter]) -> None:
    """Gives all ranks the mean over ranks of the gradients that a step has added up but not yet used.

    Called before saving: the file of rank 0, with which all ranks go on, then says what all of them have seen, and the
    next update is the same one, since it takes the mean over ranks anyway.
    """
    _average(list(gradients))


def _average(parameters: Sequence[Parameter]) -> None:
    if world_size() == 1 or not parameters:
        return
    own = np.concatenate([parameter.asnumpy().reshape(-1) for parameter in parameters]).astype(np.float32)
    means = ops.AllReduce()(ms.Tensor(own)).asnumpy() / np.float32(world_size())
    for parameter, mean in zip(parameters, np.split(means, np.cumsum([p.size for p in parameters])[:-1]), strict=True):
        # In place: after set_data, a step that has run once would go on with the old memory.
        ops.assign(parameter, ms.Tensor(mean.reshape(parameter.shape), parameter.dtype))
