"""From samples to a dataset of MindSpore: the order of an epoch gives indices, and a reader makes rows of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import mindspore.dataset as ds
import numpy as np
from mindspore.dataset.engine.datasets import MapDataset

from .distributed_sampler import RepeatAugSampler, ShardSampler
from .image_reader import BLANK, ImageReader
from .images.reading import Reading
from .mixup import Mixup
from .randomness import dataset_seed
from .sources.samples import Samples

__all__ = [
    "EpochKeys",
    "KeyDataset",
    "Pipeline",
    "SampleDataset",
    "get_samples",
    "pipeline_of",
    "set_dataset_epoch",
    "source_of",
    "stages",
]

_KEYS_AT_ONCE = 1024


class EpochKeys:
    """A source for `GeneratorDataset`: the keys of the samples of an epoch, in a sampler's order.

    Args:
        sampler: Its iterator gives the indices of one epoch, and each new one those of the next.
        reader: What the keys are for.
        batch_size: Keys come in arrays of so many, int64 (N, 4). None: one by one, int64 (4,).
        drop_remainder: Whether a last array that is not full is left out.
    """

    def __init__(
        self,
        sampler: Any,
        reader: ImageReader,
        batch_size: int | None = None,
        drop_remainder: bool = False,
    ) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self._reader = reader
        self._num_keys = sampler.num_samples if hasattr(sampler, "num_samples") else len(sampler)
        if batch_size is not None and drop_remainder:
            self._num_keys -= self._num_keys % batch_size
        self.start_at(0)

    def start_at(self, first_batch: int) -> None:
        """Lets the next epoch begin with one of its batches, from 0; those before are blank and not to be used.

        MindSpore insists on as many as `len` says, and skips those that `set_init_step` names.
        """
        self._first_key = first_batch * (self.batch_size or 1)
        self._reader.epoch_size = self._num_keys - self._first_key

    def __len__(self) -> int:
        return -(-self._num_keys // (self.batch_size or 1))

    def __iter__(self) -> Iterator[tuple[np.ndarray]]:
        seed, epoch = dataset_seed(), self.sampler.epoch
        indices = self.sampler.next_epoch()[: self._num_keys]
        self._reader.samples.prefetch(indices[self._first_key :])
        indices[: self._first_key] = BLANK
        self._first_key = 0
        # Made batch by batch: those of a whole epoch would take a good part of a large index's memory.
        count = self.batch_size or _KEYS_AT_ONCE
        for start in range(0, len(indices), count):
            some = indices[start : start + count]
            keys = np.stack(np.broadcast_arrays(seed, epoch, np.arange(start, start + len(some)), some), axis=1)
            if self.batch_size is None:
                yield from ((key,) for key in keys)
            else:
                yield (keys,)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """What a dataset of `create_dataset` consists of; with another reader it is that of a loader.

    Attributes:
        order: Which samples come in an epoch of this rank, one after the other.
        reader: Makes a row of a key, or of a batch of them.
    """

    order: ShardSampler | RepeatAugSampler
    reader: ImageReader

    @property
    def samples(self) -> Samples:
        """What is read."""
        return self.reader.samples

    @property
    def columns(self) -> list[str]:
        """Names of what is in a row."""
        return ["image", *self.reader.columns]

    def with_reading(self, reading: Reading) -> "Pipeline":
        """Returns a pipeline of the same samples and order, whose reader does this with a sample."""
        return replace(self, reader=self.reader.with_reading(reading))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pipeline":
        """MindSpore copies the whole tree of operations for every iterator; all of them are of one pipeline."""
        return self


class KeyDataset(ds.GeneratorDataset):
    """The source of a pipeline: the keys of the samples, see `EpochKeys`."""

    def __init__(self, pipeline: Pipeline, keys: EpochKeys) -> None:
        super().__init__(keys, ["key"], shuffle=False, num_parallel_workers=1)
        self.pipeline = pipeline
        self.keys = keys

    def get_class_indexing(self) -> dict[str, int]:
        """Labels by the names of the classes, as ImageFolderDataset has them; MindSpore asks the source."""
        names = self.pipeline.samples.class_names or []
        return {name: index for index, name in enumerate(names) if name}


@dataclass(frozen=True)
class _MixingReader:
    """A reader of batches that also gives how they are to be mixed, without another stage that copies the images."""

    reader: ImageReader
    mixup: Mixup

    def __call__(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.mixup.draw(*self.reader(keys))


class SampleDataset(MapDataset):
    """The rows of a pipeline: what `create_dataset` returns, and what a loader begins with.

    Args:
        pipeline: The pipeline.
        batch_size: Rows are batches of so many samples. None: rows are samples.
        drop_remainder: Whether a last batch that is not full is left out.
        mixup: Draws how a device mixes each batch, a column `mix`. None: there is none.
        **stage: num_parallel_workers and python_multiprocessing of `dataset.map`.

    Attributes:
        num_shards: How many ranks share the samples.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        batch_size: int | None = None,
        drop_remainder: bool = False,
        mixup: Mixup | None = None,
        **stage: Any,
    ) -> None:
        keys = EpochKeys(pipeline.order, pipeline.reader, batch_size, drop_remainder)
        reader, columns = pipeline.reader, pipeline.columns
        if mixup is not None:
            reader, columns = _MixingReader(reader, mixup), [*columns, "mix"]
        super().__init__(KeyDataset(pipeline, keys), [reader], ["key"], columns, **stage)
        self.pipeline = pipeline
        self.num_shards = pipeline.order.num_shards

    def num_classes(self) -> int:
        """Number of classes; MindSpore would ask the source's C++ part, which does not know it."""
        return self.pipeline.samples.num_classes


def stages(dataset: ds.Dataset) -> Iterator[ds.Dataset]:
    """Yields a dataset and those that it was put on, back to the source."""
    yield dataset
    while dataset.children:
        dataset = dataset.children[0]
        yield dataset


def source_of(dataset: ds.Dataset) -> ds.Dataset:
    """Returns the dataset that map, batch and the like were put on."""
    *_, source = stages(dataset)
    return source


def pipeline_of(dataset: ds.Dataset) -> Pipeline | None:
    """Returns the pipeline of a dataset of `create_dataset`, also after map and batch; None for others."""
    source = source_of(dataset)
    return source.pipeline if isinstance(source, KeyDataset) else None


def get_samples(dataset: ds.Dataset) -> Samples | None:
    """Returns the samples of a dataset of `create_dataset`, also after map and batch; None for others."""
    pipeline = pipeline_of(dataset)
    return None if pipeline is None else pipeline.samples


def set_dataset_epoch(dataset: ds.Dataset, epoch: int) -> None:
    """Sets the epoch (from 0) that the next iterator over `dataset` starts with, also after map and batch.

    An iterator over several epochs advances by itself; each new iterator starts from the epoch that was set last.

    Raises:
        ValueError: `create_dataset` did not make the dataset.
    """
    pipeline = pipeline_of(dataset)
    if pipeline is None:
        raise ValueError(f"{type(source_of(dataset)).__name__} has no sampler of mindcv, so its epoch cannot be set")
    pipeline.order.set_epoch(epoch)
