"""Which samples a batch has, found from the order of the epoch and not by reading; and one sample as a picture."""

import copy

import mindspore.dataset as ds
import numpy as np
from PIL import Image

from .image_reader import index_read
from .images.decoding import decode_image
from .pipeline import pipeline_of
from .sources.samples import Samples

__all__ = ["batch_names", "epoch_indices", "picture_of"]


def batch_names(loader: ds.Dataset, epoch: int, step: int, batch_size: int) -> list[str]:
    """Returns what the samples of a batch are called: their paths, or their indices where they have no files.

    Args:
        loader: What `create_loader` returned for a dataset of `create_dataset`.
        epoch: The epoch, from 0.
        step: The batch of that epoch, from 0.
        batch_size: Samples in a batch.
    """
    indices = epoch_indices(loader, epoch)[step * batch_size : (step + 1) * batch_size].tolist()
    samples = pipeline_of(loader).samples
    return [samples.name(index_read(samples, index)) for index in indices]


def epoch_indices(loader: ds.Dataset, epoch: int = 0) -> np.ndarray:
    """Returns the indices of the samples that this rank reads in an epoch, in their order, int64 (N,).

    Args:
        loader: What `create_loader` returned for a dataset of `create_dataset`.
        epoch: The epoch, from 0.
    """
    order = copy.copy(pipeline_of(loader).order)
    order.set_epoch(epoch)
    return order.next_epoch()


def picture_of(samples: Samples, index: int) -> Image.Image:
    """Returns a sample as it is, before any transform.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no image, or damaged.
    """
    data = samples.read(index)
    pixels = decode_image(data) if samples.is_encoded else data
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
