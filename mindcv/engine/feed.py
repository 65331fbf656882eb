"""Getting batches to the training step: from the host, or from the device's own queue (data sinking)."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mindspore as ms
from mindspore import nn
from mindspore.train import DatasetHelper, connect_network_with_dataset

from .compile_cache import CompileCache
from .distributed import report_alive

_logger = logging.getLogger(__name__)

__all__ = ["HostFeed", "SinkFeed", "can_sink"]


class HostFeed:
    """Fetches each batch from the data pipeline and hands it to the step.

    Each epoch has an iterator of its own, so that what comes in it does not depend on the epochs before.

    Args:
        step: The training step.
        open_epoch: Called with an epoch (from 0) and a step of it; returns an iterator over its batches from there on.
        compile_cache: Where the step's compiled graph is kept; None: it is compiled at each start.
    """

    def __init__(
        self,
        step: nn.Cell,
        open_epoch: Callable[[int, int], Iterator[Sequence[Any]]],
        compile_cache: CompileCache | None = None,
    ) -> None:
        self.step = step
        self.open_epoch = open_epoch
        self.compile_cache = compile_cache
        self.wait_s = 0.0

    def begin_epoch(self, epoch: int, first_step: int) -> None:
        """Starts a pass over the data at a step of it."""
        begin = time.perf_counter()
        self._batches = self.open_epoch(epoch, first_step)
        self.wait_s += time.perf_counter() - begin

    def run_step(self) -> Any:
        """Runs one step and returns its loss; `wait_s` grows by the time spent waiting for data."""
        begin = time.perf_counter()
        batch = next(self._batches)
        self.wait_s += time.perf_counter() - begin
        report_alive()
        if self.compile_cache is not None:
            self.compile_cache.compile(self.step, tuple(batch), "the training step")
        return self.step(*batch)


class SinkFeed:
    """Lets the device fetch batches from its own queue, one a call, so that each step is still seen by the host.

    Ascend and GPU in graph mode only, as the CPU has no queue. One queue serves all epochs, since another one would
    compile the step again; so a resumed run replays the data of all steps before. Not measured here.

    Args:
        step: The training step.
        loader: Dataset whose columns are the step's inputs.
        epochs: How many passes the whole run makes.
        first_step: Steps of the run that are done.
    """

    def __init__(self, step: nn.Cell, loader: Any, epochs: int, first_step: int = 0) -> None:
        if first_step:
            # Fast recovery would restore the order of the samples, but not their random numbers.
            ms.dataset.config.set_fast_recovery(False)
            loader.set_init_step(first_step)
        loops = epochs * loader.get_dataset_size() - first_step
        self.helper = DatasetHelper(loader, dataset_sink_mode=True, sink_size=1, epoch_num=loops)
        self.step = connect_network_with_dataset(step, self.helper)
        self.wait_s = 0.0

    def begin_epoch(self, epoch: int, first_step: int) -> None:
        """Nothing to do: the queue runs over all epochs."""

    def run_step(self) -> Any:
        """Runs one step and returns its loss."""
        loss = None
        for inputs in self.helper:
            loss = self.step(*inputs)
        return loss


def can_sink(wanted: bool, device: str, mode: int) -> bool:
    """Whether batches can come from the device's queue; says so when they are wanted there and can't.

    Args:
        wanted: `dataset_sink_mode`.
        device: Device target.
        mode: 0 graph mode, 1 PyNative.
    """
    if wanted and (device == "CPU" or mode != ms.GRAPH_MODE):
        where = "on CPU" if device == "CPU" else "in PyNative mode"
        _logger.info("dataset_sink_mode has no effect %s: batches come from the host", where)
        return False
    return wanted
