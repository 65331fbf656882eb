"""Getting batches to the training step: from the host, or from the device's own queue (data sinking)."""

import logging
import time
from typing import Any

import mindspore as ms
from mindspore import nn
from mindspore.train import DatasetHelper, connect_network_with_dataset

_logger = logging.getLogger(__name__)

__all__ = ["HostFeed", "SinkFeed", "create_feed"]


class HostFeed:
    """Fetches each batch from the data pipeline and hands it to the step.

    Args:
        step: The training step.
        loader: Dataset whose columns are the step's inputs.
        epochs: How many passes the whole run makes.
        first_step: Steps of the run that are done; the next batch is the one after them.
    """

    def __init__(self, step: nn.Cell, loader: Any, epochs: int, first_step: int = 0) -> None:
        self.step = step
        _skip(loader, first_step)
        self.batches = loader.create_tuple_iterator(num_epochs=epochs)
        self.wait_s = 0.0

    def run_step(self) -> Any:
        """Runs one step and returns its loss; `wait_s` grows by the time spent waiting for data."""
        begin = time.perf_counter()
        batch = next(self.batches, None)
        if batch is None:  # the end of a pass; the next one begins
            batch = next(self.batches)
        self.wait_s += time.perf_counter() - begin
        return self.step(*batch)


class SinkFeed:
    """Lets the device fetch batches from its own queue, one a call, so that each step is still seen by the host.

    Ascend and GPU in graph mode only (FACTS: the CPU has no queue). Not measured here.
    """

    def __init__(self, step: nn.Cell, loader: Any, epochs: int, first_step: int = 0) -> None:
        _skip(loader, first_step)
        loops = epochs * loader.get_dataset_size() - first_step
        self.helper = DatasetHelper(loader, dataset_sink_mode=True, sink_size=1, epoch_num=loops)
        self.step = connect_network_with_dataset(step, self.helper)
        self.wait_s = 0.0

    def run_step(self) -> Any:
        """Runs one step and returns its loss."""
        loss = None
        for inputs in self.helper:
            loss = self.step(*inputs)
        return loss


def _skip(loader: Any, steps: int) -> None:
    """Makes the first batch the one after `steps`, with the random numbers that it has in a run without a break."""
    if steps:
        # Fast recovery would restore the order of samples only; without it the steps are replayed, unseen.
        ms.dataset.config.set_fast_recovery(False)
        loader.set_init_step(steps)


def create_feed(
    step: nn.Cell, loader: Any, epochs: int, first_step: int, sink: bool, device: str, mode: int
) -> HostFeed | SinkFeed:
    """Returns a sinking feed where it is wanted and there is one, else one from the host, and says so.

    Args:
        step: The training step.
        loader: Dataset whose columns are the step's inputs.
        epochs: How many passes the whole run makes.
        first_step: Steps of the run that are done.
        sink: Whether data sinking is wanted (`dataset_sink_mode`).
        device: Device target.
        mode: 0 graph mode, 1 PyNative.
    """
    if sink and device != "CPU" and mode == 0:
        return SinkFeed(step, loader, epochs, first_step)
    if sink:
        where = "on CPU" if device == "CPU" else "in PyNative mode"
        _logger.info("dataset_sink_mode has no effect %s: batches come from the host", where)
    return HostFeed(step, loader, epochs, first_step)
