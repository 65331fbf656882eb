"""Datasets by name: image folders and packed sets, lists, tar shards, MindRecord, cifar, mnist, the embedded digits."""

import functools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mindspore.dataset as ds
import numpy as np

from ..utils.cores import usable_cores
from ..utils.fs import atomic_write, is_remote
from ..utils.registry import Registry, suggest, unknown_name_message
from ..utils.text import names_to_bytes
from .classes import UNKNOWN_CLASSES, with_classes
from .distributed_sampler import RepeatAugSampler, ShardSampler
from .image_reader import BAD_SAMPLES, BadSampleList, ImageReader, find_bad_samples
from .images.decoding import Decode
from .images.reading import Reading
from .pipeline import Pipeline, SampleDataset, get_samples, source_of
from .sources.array_files import find_cifar10, find_cifar100, find_digits, find_mnist
from .sources.dataset_download import (
    Cifar10Download,
    Cifar100Download,
    DatasetDownload,
    MnistDownload,
    get_dataset_download_root,
)
from .sources.image_folder import find_image_folder
from .sources.listed import find_listed
from .sources.packed import find_mindrecord
from .sources.remote_shards import find_remote
from .sources.samples import Samples, Subset, single_labels
from .sources.tar_shards import find_tar_shards
from .splits import Part
from .workers import cap_workers

__all__ = [
    "check_num_classes",
    "create_dataset",
    "find_samples",
    "get_class_names",
    "get_num_classes",
    "is_encoded",
    "is_multi_label",
    "save_class_names",
]

_logger = logging.getLogger(__name__)

SAMPLERS = ("uniform", "balanced")
_FOLDER_OPTIONS = ("class_indexing", "extensions")
_MOST_NAMED = 10


@dataclass(frozen=True)
class DatasetSpec:
    """What there is to know about a named dataset.

    `find(root, split)` looks for a split. `download` fetches the dataset; None where that is not possible.
    """

    find: Callable[..., Samples]
    download: type[DatasetDownload] | None = None
    needs_root: bool = True
    is_encoded: bool = False


DATASETS: Registry[DatasetSpec] = Registry("dataset", ignore_case=True)
DATASETS.register("mnist", DatasetSpec(find_mnist, MnistDownload))
DATASETS.register("cifar10", DatasetSpec(find_cifar10, Cifar10Download))
DATASETS.register("cifar100", DatasetSpec(find_cifar100, Cifar100Download))
DATASETS.register("digits", DatasetSpec(find_digits, needs_root=False))
DATASETS.register("csv", DatasetSpec(find_listed, is_encoded=True))
DATASETS.register("tar", DatasetSpec(find_tar_shards, is_encoded=True))
DATASETS.register("mindrecord", DatasetSpec(find_mindrecord, is_encoded=True))


def is_encoded(name: str) -> bool:
    """Whether the images of this dataset are files that the transforms must decode, not arrays of pixels."""
    return name not in DATASETS or DATASETS.get(name).is_encoded


def _name_hint(name: str) -> str:
    """What to add to a message about a missing folder when the dataset's name may be a typo."""
    if name in DATASETS or name in ("", "imagenet"):
        return ""
    choices = ", ".join(DATASETS)
    return f"; {name!r} is read as a folder of images, built-in datasets are {choices}{suggest(name, DATASETS)}"


def find_samples(name: str, root: str, split: str, **options: Any) -> Samples:
    """Finds the samples of one split; arguments and errors are those of `create_dataset`."""
    if is_remote(root):
        return find_remote(name, root, split, options.get("class_names"))
    if name in DATASETS:
        return DATASETS.get(name).find(root, split, **options)
    return find_image_folder(name, root, split, _name_hint(name), **options)


def create_dataset(
    name: str = "",
    root: str | None = None,
    split: str = "train",
    shuffle: bool = True,
    num_samples: int | None = None,
    num_shards: int | None = None,
    shard_id: int | None = None,
    num_parallel_workers: int | None = None,
    download: bool = False,
    num_aug_repeats: int = 0,
    *,
    pad_shards: bool = True,
    shard_batch: int | None = None,
    seed: int | None = None,
    part: Part | None = None,
    sampler: str = "uniform",
    bad_samples: str = "error",
    bad_samples_file: str | os.PathLike[str] | None = None,
    class_split: str | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    unknown_classes: str = "refuse",
    **kwargs: Any,
) -> ds.Dataset:
    """Opens one split of a dataset.

    Args:
        name: `digits` (embedded), `cifar10`, `cifar100`, `mnist`, `csv` (lists, see `find_listed`), `tar` (WebDataset
            shards, see `find_tar_shards`), `mindrecord`, in any case of letters; any other name, also `imagenet` and
            the empty one, is a folder of images, `root/split/class/image.jpg`, or a set that `mindcv prepare` packed.
            Classes are numbered in the sorted order of their folders.
        root: Folder of the dataset; or the address (`s3://`, `obs://`) of one that `mindcv prepare` packed or of tar
            shards, see `remote_shards`. None: a folder of the dataset's name in `get_dataset_download_root()`.
        split: Name of the split. Folders: a folder in `root`; '' means that `root` itself holds the class folders, and
            so it is taken when its own name is that of the split. cifar and mnist: train, test (also called val), all.
            digits: train, val, all.
        shuffle: Whether the order is random, another one every epoch. It follows from the seed and the epoch, on all
            ranks alike.
        num_samples: At most so many samples an epoch (for each shard), at random when shuffled. None: all.
        num_shards: Number of ranks that share the dataset. None: it is not divided.
        shard_id: This rank; goes with `num_shards`.
        num_parallel_workers: Threads that read files, capped to the cores there are. None: MindSpore's setting.
        download: Whether to download a dataset that is not there (cifar10, cifar100, mnist).
        num_aug_repeats: Repeated augmentation: how often each sample is repeated; 0 or 1: not at all.
        pad_shards: Training wants all shards equally long, so samples are read twice to fill up the last ones. False,
            for evaluation: every sample is read exactly once and shards differ by up to one sample.
        shard_batch: For exact evaluation: ranks take turns with batches of so many samples, so that their batches are
            those of one process, and each sample is read exactly once. Where there are fewer batches than ranks, all
            ranks read all of them; the result's attribute `num_shards` is then 1.
        seed: Seed of the order, the same on all ranks. None: the seed of `mindspore.dataset`.
        part: Only the one or the other side of the split, see `Part`.
        sampler: `uniform`: every sample once an epoch; `balanced`: every class equally often, an epoch being as long.
        bad_samples: What to do about images that are damaged, cut off, empty, gone or no images. `error`: raise when
            one is met; `replace`: use the next good sample in its place; `skip`: decode all of them now, and leave out
            those that the decoder refuses.
        bad_samples_file: File to which the bad samples that are replaced or skipped are added.
        class_split: Folders: the split whose class folders are numbered, for a split that may lack some of them; see
            `find_image_folder`. None: the split's own. It has no effect together with `class_names`.
        num_classes: Number of classes that labels are for, such as a model's. None: as many as there are names in
            `class_names`, else the dataset's own.
        class_names: Names of the classes in their order, such as those of a model, by which samples get their labels;
            '' for a class without a name. Classes of the dataset may be missing. None: the dataset's own order.
        unknown_classes: What to do about a class of the dataset that is not in `class_names`: `refuse` it, or `skip`
            its samples.
        **kwargs: Folders: `class_indexing` (class folders and their labels), `extensions` (endings of image files).
            Encoded images: `decode` (bool, whether to decode them).

    Returns:
        A dataset with the columns `image`, the uint8 bytes of an image file or pixels (H, W, C), and `label`, int32, or
        float32 (`num_classes`,) of zeros and ones where a sample has several (cifar100: `coarse_label` and
        `fine_label`).

    Raises:
        FileNotFoundError: The folder, the split or the files are not there.
        ValueError: A class folder has no images, the split is unknown, or arguments are unknown or contradict each
            other.
    """
    name = name.lower() if name.lower() in DATASETS else name
    repeats = num_aug_repeats if num_aug_repeats > 1 else 0
    if num_samples is not None and repeats:
        raise ValueError(f"num_samples={num_samples} and num_aug_repeats={repeats} exclude each other; set one of them")
    spec = DATASETS.get(name)
    if download and (spec is None or spec.download is None):
        can = ", ".join(n for n, s in DATASETS.items() if s.download is not None)
        raise ValueError(
            f"dataset {name!r} cannot be downloaded (only {can}); unpack it and set data_dir to its folder"
        )
    if root is None and (spec is None or spec.needs_root):
        root = os.path.join(get_dataset_download_root(), name)
    if sampler == "balanced" and repeats:
        raise ValueError("sampler 'balanced' does not go together with repeated augmentation; use sampler: uniform")
    for option, value, allowed in (
        ("sampler", sampler, SAMPLERS),
        ("bad_samples", bad_samples, BAD_SAMPLES),
        ("unknown_classes", unknown_classes, UNKNOWN_CLASSES),
    ):
        if value not in allowed:
            raise ValueError(unknown_name_message(option, value, allowed))
    options = {key: kwargs.pop(key) for key in _FOLDER_OPTIONS if spec is None and key in kwargs}
    decode = kwargs.pop("decode", False) if is_encoded(name) else False
    if kwargs:
        allowed = ("decode", *_FOLDER_OPTIONS) if spec is None else ("decode",) if is_encoded(name) else ()
        raise ValueError(unknown_name_message(f"option of dataset {name!r}", next(iter(kwargs)), allowed))
    if spec is None:
        options["class_split"] = None if class_names else class_split
    if spec is not None and not spec.needs_root and root not in (None, "", "./"):
        raise ValueError(
            f"root {str(root)!r} would not be read: the dataset {name!r} is part of the package; for the folder take "
            "the name 'imagenet', else leave out root"
        )
    workers = cap_workers(num_parallel_workers)

    if download and spec is not None:
        spec.download(str(root)).download()
    if name == "tar":
        options["class_names"] = class_names  # its labels may be names
    samples = find_samples(name, str(root), split, **options)
    if samples.left_out:
        _log_left_out(f"{root}, {split or 'all'}: left out: {samples.left_out}")
    if class_names or num_classes:
        count = num_classes or len(class_names or ())
        what = f"the split {split!r} of {root}" if root else f"the split {split!r} of {name}"
        samples = with_classes(samples, class_names, count, unknown_classes, what)
    whole = samples
    if part is not None:
        samples = Subset(samples, part.indices(samples.labels))
    if bad_samples == "skip" and samples.is_encoded:
        samples = _without_bad_samples(samples, workers or usable_cores(), bad_samples_file)

    if samples is not whole:
        samples.whole = whole
    reader = ImageReader(samples, bad_samples, bad_samples_file, Reading(Decode()) if decode else None)
    if shard_batch is not None and num_shards is not None and len(samples) <= shard_batch * (num_shards - 1):
        num_shards = shard_id = None
    if repeats:
        order: RepeatAugSampler | ShardSampler = RepeatAugSampler(
            *(len(samples), num_shards, shard_id, shuffle, repeats, 0),
            seed=seed,
            windows=samples.windows,
        )
        _logger.info("repeated augmentation: each of %d samples is repeated %d times", len(samples), repeats)
    else:
        order = ShardSampler(
            len(samples),
            num_shards,
            shard_id,
            shuffle=shuffle,
            pad=pad_shards and shard_batch is None,
            run=shard_batch or 1,
            num_samples=num_samples,
            seed=seed,
            balance=_labels_to_balance(samples) if sampler == "balanced" else None,
            windows=samples.windows,
        )
    return SampleDataset(Pipeline(order, reader), num_parallel_workers=workers)


@functools.cache
def _log_left_out(text: str) -> None:
    """Once a process, however often a split is opened."""
    _logger.warning("%s", text)


def _without_bad_samples(samples: Samples, workers: int, file: str | os.PathLike[str] | None) -> Samples:
    """Leaves out the samples that cannot be used, and says which."""
    bad = find_bad_samples(samples, workers)
    for index, reason in list(bad.items())[:_MOST_NAMED]:
        _logger.warning("skipped the bad image %s: %s", samples.name(index), reason)
    listing = BadSampleList(file)
    listing.add([(samples.name(index), reason) for index, reason in bad.items()])
    if len(bad) == len(samples):
        raise ValueError(f"all {len(bad)} images are bad, the first one is {samples.name(0)}: {bad[0]}")
    if not bad:
        return samples
    where = f", listed in {file}" if listing.is_complete else ""
    _logger.warning("%d of %d images are bad and skipped%s", len(bad), len(samples), where)
    return Subset(samples, np.setdiff1d(np.arange(len(samples)), list(bad)))


def _labels_to_balance(samples: Samples) -> np.ndarray:
    labels = single_labels(samples)
    if labels is None:
        raise ValueError("sampler 'balanced' does not go together with several labels a sample; use sampler: uniform")
    return labels


def get_num_classes(dataset: ds.Dataset) -> int:
    """Returns the number of classes of a dataset, also after map and batch.

    Raises:
        ValueError: The dataset does not say (one that `create_dataset` did not make).
    """
    samples = get_samples(dataset)
    source = source_of(dataset)
    num_classes = samples.num_classes if samples is not None else source.num_classes()
    if num_classes is None or num_classes < 1:
        raise ValueError(f"{type(source).__name__} does not say its number of classes; set num_classes")
    return int(num_classes)


def get_class_names(dataset: ds.Dataset) -> list[str] | None:
    """Returns the names of the classes by label, also after map and batch; None when there are none."""
    return getattr(get_samples(dataset), "class_names", None)


def save_class_names(dataset: ds.Dataset, folder: str | os.PathLike[str]) -> None:
    """Writes `class_names.txt`, one name a line by label, into a folder; nothing when the classes have no names."""
    names = get_class_names(dataset)
    if names is not None:
        with atomic_write(os.path.join(folder, "class_names.txt")) as file:
            texts = [name or str(index) for index, name in enumerate(names)]
            file.write(names_to_bytes(texts, "the class name"))


def is_multi_label(dataset: ds.Dataset) -> bool:
    """Whether a sample has several labels, as zeros and ones, also after map and batch."""
    samples = get_samples(dataset)
    return samples is not None and single_labels(samples) is None


def check_num_classes(dataset: ds.Dataset, num_classes: int) -> None:
    """Checks that a network with `num_classes` outputs can learn the labels of a dataset.

    Raises:
        ValueError: The dataset has more classes; or, with several labels a sample, another number of them.
    """
    needed = get_num_classes(dataset)
    samples = get_samples(dataset)
    if samples is not None and samples.labels.ndim == 2 and num_classes != needed:
        values = "probabilities" if samples.is_soft else "zeros and ones"
        raise ValueError(
            f"num_classes is {num_classes}, but the samples are labelled with {values} for {needed} classes; "
            f"set num_classes to {needed} or leave it out"
        )
    if num_classes < needed:
        raise ValueError(
            f"num_classes is {num_classes}, but the dataset has {needed} classes (labels 0 to {needed - 1}); "
            f"set num_classes to {needed} or leave it out"
        )
