"""Which samples a batch has, found from the order of the epoch and not by reading."""

import copy

import mindspore.dataset as ds

from .dataset_factory import _source_of
from .image_reader import number_read

__all__ = ["batch_names"]


def batch_names(loader: ds.Dataset, epoch: int, step: int, batch_size: int) -> list[str]:
    """Returns what the samples of a batch are called: their paths, or their numbers where they have no files.

    Args:
        loader: What `create_loader` returned for a dataset of `create_dataset`.
        epoch: The epoch, from 0.
        step: The batch of that epoch, from 0.
        batch_size: Samples in a batch.
    """
    source = _source_of(loader)
    order = copy.copy(source.epoch_sampler)
    order.set_epoch(epoch)
    numbers = order.next_epoch()[step * batch_size : (step + 1) * batch_size].tolist()
    samples = source.samples
    if not hasattr(samples, "name"):
        return [f"sample {number}" for number in numbers]
    return [samples.name(number_read(samples, number)) for number in numbers]
