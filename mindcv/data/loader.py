"""The loader: transforms, batches, mixup and augmentation splits on top of a dataset, and its errors in one line."""

import contextlib
import copy
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore.dataset import transforms, vision
from mindspore.dataset.engine.datasets import ProjectDataset
from mindspore.dataset.transforms.transforms import TensorOperation

from .image_reader import recently_read
from .images.decoding import is_jpeg_extension_built
from .images.image_check import refuse_broken_jpeg
from .images.reading import NUM_SPLITS, Reading, SplitReading, Transform
from .mixup import Mixup
from .pipeline import KeyDataset, SampleDataset, get_samples, pipeline_of, set_dataset_epoch, source_of, stages
from .randomness import ImageOperation, RandomOperation, SeededByPixels
from .transforms_factory import create_transforms
from .workers import cap_workers

__all__ = ["create_loader", "epoch_batches", "explain_pipeline_error", "pipeline_errors"]

_logger = logging.getLogger(__name__)

_SPLIT_COLUMNS = ["image", *(f"image_{i}" for i in range(1, NUM_SPLITS))]


def create_loader(
    dataset: ds.Dataset,
    batch_size: int | Callable,
    drop_remainder: bool = False,
    is_training: bool = False,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    cutmix_prob: float = 0.0,
    num_classes: int = 1000,
    transform: Callable | Sequence | None = None,
    target_transform: Callable | Sequence[Callable] | None = None,
    num_parallel_workers: int | None = None,
    python_multiprocessing: bool = False,
    separate: bool = False,
    *,
    mix_on_device: bool = False,
    switch_prob: float = 0.5,
    mixup_off_epoch: int = 0,
) -> ds.Dataset:
    """Puts transforms and batching on a dataset.

    Args:
        dataset: What `create_dataset` returned.
        batch_size: Samples a batch, or a function of MindSpore's BatchInfo.
        drop_remainder: Whether a last batch that is not full is left out.
        is_training: Whether mixup and cutmix may be done.
        mixup: Alpha of mixup, 0: none.
        cutmix: Alpha of cutmix, 0: none. With both, each batch gets one of them, by `switch_prob`.
        cutmix_prob: How often a batch is mixed at all, by mixup or cutmix. A batch of one sample never is.
        num_classes: Number of classes, for mixed labels.
        transform: What `create_transforms` returned. None: evaluation transforms of imagenet.
        target_transform: Operations on labels. None: conversion to int32.
        num_parallel_workers: Threads (processes with `python_multiprocessing`) of each stage, capped to the cores there
            are.
        python_multiprocessing: Whether Python transforms run in processes.
        separate: Augmentation splits (AugMix with JSD): `transform` is the three lists of
            `create_transforms(separate=True)`; each sample is given once clean and twice augmented. A batch then has 3N
            images and labels: all clean ones, then the others. It is for training: with one list, or none, and without
            `is_training` it has no effect.
        mix_on_device: Whether what is drawn for mixing comes as a third column, `mix`, for the device to do it.
        switch_prob: Share of the mixed batches that are cutmix's, with both on.
        mixup_off_epoch: Epochs, counted by `epoch_batches`, after which batches are no longer mixed; 0: never.

    Returns:
        A dataset with the columns `image`, float32 (N, C, H, W), and `label`, int32 (N,), or float32 (N, `num_classes`)
        when mixed. Labels are not smoothed here; that is the loss's part.

    Raises:
        ValueError: The dataset is smaller than one batch that must be full, a column is missing, or arguments
            contradict each other.
    """
    columns = dataset.get_col_names()
    label_column = "label" if "label" in columns else "fine_label"
    if "image" not in columns or label_column not in columns:
        raise ValueError(f"the dataset needs the columns 'image' and 'label', got {', '.join(columns)}")
    mixes = is_training and (mixup > 0 or cutmix > 0)
    separate = separate and (is_training or _is_in_parts(transform))
    _check(dataset, batch_size, drop_remainder, mixes, separate, transform)
    if mixes and (cutmix_prob == 0 or batch_size == 1):
        reason = "cutmix_prob is 0" if cutmix_prob == 0 else "a batch of one sample has no other to mix with"
        _logger.warning("mixup=%s and cutmix=%s have no effect: %s", mixup, cutmix, reason)
        mixes = False
    if transform is None:
        _logger.warning("create_loader: no transform given, images get the evaluation transforms of imagenet")
        transform = create_transforms("imagenet", is_training=False)
    stage = {
        "num_parallel_workers": cap_workers(num_parallel_workers),
        "python_multiprocessing": python_multiprocessing,
    }

    is_ours = get_samples(dataset) is not None
    mix = None
    if mixes:
        mix = Mixup(
            *(mixup, cutmix),
            prob=cutmix_prob,
            switch_prob=switch_prob,
            label_smoothing=0.0,
            num_classes=num_classes,
            off_epoch=mixup_off_epoch,
        )
    is_batched = False
    whole = batch_size if isinstance(batch_size, int) and target_transform is None else None
    if isinstance(dataset, SampleDataset):
        drawing = mix if mix_on_device else None
        dataset, transform, is_batched = _decode_as_read(
            dataset, transform, separate, whole, drop_remainder, drawing, stage
        )
        *_, label_column = dataset.pipeline.columns
    if label_column != "label":
        dataset = dataset.rename(label_column, "label")
    if target_transform is not None or not is_ours:
        dataset = dataset.map(target_transform or transforms.TypeCast(ms.int32), "label", **stage)
    if _decodes(transform) and not is_ours:
        # A stage of its own: MindSpore names the file only when the first operation of a stage fails.
        dataset = dataset.map(refuse_broken_jpeg, "image", num_parallel_workers=1)
    splits_columns = separate and not is_batched
    if splits_columns:
        dataset = _map_splits(dataset, transform, stage)
    elif transform:
        dataset = dataset.map(transform, "image", **stage)
    columns = ["image", "label"]
    if mix is not None and mix_on_device and is_batched:
        return Loader(dataset, [*columns, "mix"], whole, mix)
    # Only now: after a projection MindSpore no longer names the file that an operation failed on.
    dataset = dataset.project([*_SPLIT_COLUMNS, "label"] if splits_columns else columns)
    if not is_batched:
        dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    if separate:
        join, split = (_join_splits, [*_SPLIT_COLUMNS, "label"]) if splits_columns else (_join_split_images, columns)
        dataset = dataset.map(join, split, columns, **stage)
    if mix is not None:
        given, operation = columns, mix
        if mix_on_device:
            columns, operation = [*columns, "mix"], mix.draw
        dataset = dataset.map(operation, given, columns, **stage)
    return Loader(dataset, columns, whole if is_batched else None, mix)


class Loader(ProjectDataset):
    """What `create_loader` returns: batches, and what is known of them.

    Args:
        dataset: The batches.
        columns: Their columns.
        batch_size: Samples of a batch that a reader made. None: MindSpore knows it.
        mixup: What mixes them; None when nothing does.

    Attributes:
        num_shards: How many ranks share the samples.
    """

    def __init__(self, dataset: ds.Dataset, columns: list[str], batch_size: int | None, mixup: Mixup | None) -> None:
        super().__init__(dataset, columns)
        self.read_batch_size = batch_size
        self.mixup = mixup
        pipeline = pipeline_of(dataset)
        self.num_shards = 1 if pipeline is None else pipeline.order.num_shards

    def num_classes(self) -> int | None:
        """Number of classes; None where the dataset does not say."""
        samples = get_samples(self)
        return super().num_classes() if samples is None else samples.num_classes

    def get_batch_size(self) -> int:
        """Samples of a batch."""
        return super().get_batch_size() if self.read_batch_size is None else self.read_batch_size


def _check(
    dataset: ds.Dataset,
    batch_size: int | Callable,
    drop_remainder: bool,
    mixes: bool,
    separate: bool,
    transform: Callable | Sequence | None,
) -> None:
    """Raises ValueError for arguments that cannot give a batch."""
    if isinstance(batch_size, int):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        size = dataset.get_dataset_size()
        if drop_remainder and size < batch_size:
            raise ValueError(
                f"batch_size is {batch_size}, but there are only {size} samples (on this rank) and drop_remainder is "
                "set, which leaves no batch; use a smaller batch_size or drop_remainder: False"
            )
    if separate and mixes:
        raise ValueError("augmentation splits and mixup or cutmix exclude each other; set one of them")
    if separate and not _is_in_parts(transform):
        raise ValueError("separate needs the three lists of create_transforms(..., separate=True) as transform")


def _is_in_parts(transform: Callable | Sequence | None) -> bool:
    """Whether transforms are the three lists that `create_transforms(separate=True)` gives."""
    return isinstance(transform, Sequence) and len(transform) == 3 and all(isinstance(part, list) for part in transform)


def _decode_as_read(
    dataset: SampleDataset,
    transform: Callable | Sequence,
    separate: bool,
    batch_size: int | None,
    drop_remainder: bool,
    mix: Mixup | None,
    stage: dict[str, Any],
) -> tuple[SampleDataset, Callable | Sequence, bool]:
    """Lets the reader of a dataset decode image files, or crop arrays, and where it can do all the rest, make batches.

    With `mix` these come with how a device is to mix them. Where not, it does what draws random numbers right behind
    the crop.

    Returns:
        The dataset, the operations that are left, and whether it is in batches; those of augmentation splits are
        (N, 3, H, W, C) then.
    """
    first, *later = transform if separate else [transform]
    begins_with_transform = isinstance(first, list) and first and isinstance(first[0], Transform)
    pipeline = dataset.pipeline
    if not begins_with_transform or pipeline.reader.reading is not None:
        return dataset, transform, False
    if pipeline.samples.is_encoded and not is_jpeg_extension_built():
        _logger.info("Pillow decodes the images, more slowly than the JPEG extension would: see mindcv doctor")
    start, rest = first[0].joined(first[1:])
    if batch_size is not None and all(_is_for_reader(operation) for part in (rest, *later) for operation in part):
        reading = SplitReading(start, rest, *later) if separate else Reading(start, rest)
        return SampleDataset(pipeline.with_reading(reading), batch_size, drop_remainder, mix, **stage), [], True
    readers_own = ImageOperation | Transform
    count = next((i for i, each in enumerate(rest) if not isinstance(each, readers_own)), len(rest))
    dataset = SampleDataset(pipeline.with_reading(Reading(start, rest[:count])), **stage)
    left = [_seeded_by_pixels(operation) for operation in rest[count:]]
    return dataset, [left, *later] if separate else left, False


def _seeded_by_pixels(operation: Callable) -> Callable:
    """Seeds an operation by its pixels, for which MindSpore would draw as its threads arrive."""
    is_both = isinstance(operation, ImageOperation) and isinstance(operation, TensorOperation)
    return SeededByPixels(operation) if is_both else operation


def _is_for_reader(operation: Callable) -> bool:
    """Whether a reader can do an operation; those of MindSpore alone are for MindSpore."""
    return isinstance(operation, ImageOperation | Transform) or not isinstance(operation, TensorOperation)


def _decodes(transform: Callable | Sequence) -> bool:
    """Whether the transform begins by decoding a file."""
    first = transform
    while isinstance(first, Sequence) and first:
        first = first[0]
    return isinstance(first, vision.Decode | vision.RandomCropDecodeResize)


def _map_splits(dataset: ds.Dataset, transform: Sequence, stage: dict) -> ds.Dataset:
    """Gives each sample a clean image and augmented ones, in a column each. All come from the same crop."""
    first, policy, last = transform
    if first:
        dataset = dataset.map(first, "image", **stage)
    dataset = dataset.map(_copy_image, "image", _SPLIT_COLUMNS, **stage)
    for index, column in enumerate(_SPLIT_COLUMNS):
        operations = [*(_salted(policy, index) if index else []), *last]
        if operations:  # none are left for the clean image when the device normalises
            dataset = dataset.map(operations, column, **stage)
    return dataset


def _salted(operations: Sequence, salt: int) -> list:
    """Copies of operations that draw other numbers than the originals for the same image."""
    salted = [copy.copy(operation) for operation in operations]
    for operation in salted:
        if isinstance(operation, RandomOperation):
            operation.salt = salt
    return salted


def _copy_image(image: np.ndarray) -> tuple[np.ndarray, ...]:
    return (image,) * NUM_SPLITS


def _join_splits(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    *images, label = columns
    return np.concatenate(images), np.concatenate([label] * NUM_SPLITS)


def _join_split_images(images: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, ...), or one blank for each sample, which is not looked at."""
    if images.ndim == 5:
        images = images.swapaxes(0, 1).reshape(-1, *images.shape[2:])
    return np.ascontiguousarray(images), np.concatenate([label] * NUM_SPLITS)


_FILE = re.compile(r"The corresponding data file is: (?P<path>.+?\.\w+)\. (?P<reason>.*)")
_DUMP = re.compile(r"\.?\s*Dump the abnormal image.*")
_EXCEPTION = re.compile(r"^(?:\w+\.)*(\w+(?:Error|Exception)): (?!Traceback)(.*)", re.MULTILINE)
_ERROR = re.compile(r"\[ERROR\] (.*)")
_OWN = re.compile(r"ValueError: (cannot use the image .*)")


def explain_pipeline_error(error: BaseException) -> str | None:
    """Returns one line that says what went wrong in a data pipeline, with the file where it can be told.

    Args:
        error: What iterating over a loader raised.

    Returns:
        The line, or None when the error does not come from a data pipeline.
    """
    text = str(error)
    if "dataset pipeline" not in text and "user defined Python function in dataset" not in text:
        return None
    own = _OWN.search(text)
    if own:
        return own[1]
    exceptions = _EXCEPTION.findall(text)
    file = _FILE.search(text)
    if exceptions:
        reason = exceptions[-1][1] if file else ": ".join(exceptions[-1])
    elif file:
        reason = _DUMP.sub("", file["reason"])
    else:
        found = _ERROR.search(text)
        reason = found[1] if found else text.strip().splitlines()[0]
    reason = reason.strip().rstrip(".")
    if file:
        return f"cannot process the image {file['path']}: {reason}; if the file is damaged, replace or delete it"
    undecodable = None if exceptions or "Decode" not in text else _undecodable()
    if undecodable is not None:
        return f"cannot use the image {undecodable}: {reason}; replace or delete the file"
    return f"the data pipeline failed: {reason}"


def _undecodable() -> str | None:
    """Name of an image among those read last that passes the checks but not the decoder."""
    decode = vision.Decode()
    for name, data in recently_read():
        try:
            decode(np.frombuffer(data, np.uint8))
        except RuntimeError:
            return name
    return None


def epoch_batches(loader: ds.Dataset, epoch: int, first_step: int = 0, seed: int = 0) -> Iterator[list[ms.Tensor]]:
    """Iterates over one epoch, from one of its steps on.

    What comes depends on the seed and the epoch alone (where MindSpore draws random numbers, also on the number of
    workers), not on what was read before, so a run that is resumed in an epoch sees what it would have seen. Steps
    before `first_step` are not read where the reader makes whole batches, whose random numbers follow from their
    position; else they are replayed, unseen.

    Args:
        loader: What `create_loader` returned.
        epoch: The epoch, from 0.
        first_step: The first batch to give, from 0.
        seed: Seed of augmentation and mixing; another one for each rank.
    """
    # The epochs' seeds are far apart, so that neighbouring seeds of two runs or ranks have no epoch in common.
    ds.config.set_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
    set_dataset_epoch(loader, epoch)
    for stage in stages(loader):
        if isinstance(stage, Loader) and stage.mixup is not None:
            stage.mixup.epoch, stage.mixup.seed = epoch, seed % 2**32
        for operation in getattr(stage, "operations", None) or ():
            if isinstance(operation, RandomOperation):
                operation.seed = seed % 2**32
    source = source_of(loader)
    if isinstance(source, KeyDataset) and source.keys.batch_size is not None:
        source.keys.start_at(first_step)
    if first_step:
        # Fast recovery would restore the order of the samples, but not their random numbers.
        ds.config.set_fast_recovery(False)
    loader.set_init_step(first_step)
    return loader.create_tuple_iterator(num_epochs=1)


@contextlib.contextmanager
def pipeline_errors() -> Iterator[None]:
    """Turns what a data pipeline raises while it is iterated over into a ValueError of one line.

    Raises:
        ValueError: A file cannot be read, or a transform failed.
    """
    try:
        yield
    except RuntimeError as error:
        explanation = explain_pipeline_error(error)
        if explanation is None:
            raise
        raise ValueError(explanation) from error
