"""Datasets by name: image folders, cifar10, cifar100, mnist and the embedded digits."""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import mindspore.dataset as ds
import numpy as np

from ..utils.fs import is_remote, local_path
from ..utils.registry import Registry, suggest
from .dataset_download import Cifar10Download, Cifar100Download, MnistDownload, _Download, get_dataset_download_root
from .distributed_sampler import RepeatAugSampler, ShardSampler
from .workers import cap_workers

__all__ = [
    "check_num_classes",
    "create_dataset",
    "get_class_names",
    "get_num_classes",
    "is_encoded",
    "set_dataset_epoch",
]

_logger = logging.getLogger(__name__)

# What `mindspore.dataset` decodes. It compares suffixes case by case, so each is given in the spellings that occur.
_SUFFIXES = ("jpg", "jpeg", "png", "bmp", "webp", "tif", "tiff")
IMAGE_EXTENSIONS = [f".{spelling}" for s in _SUFFIXES for spelling in (s, s.upper(), s.capitalize())]

_DIGITS_VAL_EVERY = 5


@dataclass(frozen=True)
class Source:
    """One split of a dataset, found and checked, not yet opened.

    `build` makes the `mindspore.dataset` object; it takes the keywords of its class.
    """

    build: Callable[..., ds.Dataset]
    size: int
    num_classes: int
    class_names: list[str] | None = None


@dataclass(frozen=True)
class DatasetSpec:
    """What there is to know about a named dataset.

    `find(root, split)` looks for a split. `download` fetches the dataset; None where that is not possible.
    """

    find: Callable[[str, str], Source]
    download: type[_Download] | None = None
    needs_root: bool = True


def _names(folder: Path) -> list[str]:
    """Names of the folders inside `folder`, sorted as class numbers are given; hidden ones are left out."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _listing(names: Iterable[str], most: int = 10) -> str:
    """Names for a message, not too many."""
    names = list(names)
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def _count_images(folder: Path, extensions: Iterable[str]) -> int:
    """Number of files that MindSpore's image folder takes for images of a class; it does not look into subfolders."""
    wanted = tuple(extensions)
    return sum(name.endswith(wanted) for name in os.listdir(folder))


def _check_folder(root: str, name: str) -> Path:
    """Returns `root` as a folder that exists.

    Raises:
        FileNotFoundError: It does not; when the dataset's name is close to a built-in one, that is said.
    """
    if is_remote(root):
        raise ValueError(f"data_dir {root!r} is an address; copy the dataset to a local folder first")
    folder = local_path(root)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise FileNotFoundError(
            f"the data folder {str(folder)!r} of dataset {name!r} {what}; set data_dir to the folder that holds the "
            f"dataset{_name_hint(name)}"
        )
    return folder


def _name_hint(name: str) -> str:
    """What to add to a message about a missing folder when the dataset's name may be a slip of the pen."""
    if name in DATASETS or name in ("", "imagenet"):
        return ""
    choices = ", ".join(DATASETS)
    return f"; {name!r} is read as a folder of images, built-in datasets are {choices}{suggest(name, DATASETS)}"


def _find_image_folder(
    name: str,
    root: str,
    split: str,
    class_indexing: dict[str, int] | None = None,
    extensions: list[str] | None = None,
) -> Source:
    """Looks for `root/split/class/image`, with every class and its images counted.

    MindSpore's own count takes in hidden folders and folders that are not in `class_indexing`, and rows that are then
    not there are left out of an epoch without a word.
    """
    extensions = IMAGE_EXTENSIONS if extensions is None else extensions
    root_folder = _check_folder(root, name)
    folder = root_folder / split if split else root_folder
    if not folder.is_dir():
        there = _names(root_folder)
        raise FileNotFoundError(
            f"split {split!r}: there is no folder {str(folder)!r}{suggest(split, there) or '.'} "
            f"Folders there: {_listing(there) or 'none'} (split '' if these are the classes){_name_hint(name)}"
        )
    classes = _names(folder) if class_indexing is None else list(class_indexing)
    if not classes:
        raise ValueError(f"the data folder {str(folder)!r} is empty: it has no class folders (<class>/<image>.jpg)")
    absent = [c for c in classes if not (folder / c).is_dir()]
    if absent:
        raise FileNotFoundError(f"class_indexing: {str(folder)!r} has no folders {_listing(absent)}")
    counts = {c: _count_images(folder / c, extensions) for c in classes}
    empty = [c for c, count in counts.items() if count == 0]
    if empty:
        raise ValueError(
            f"{len(empty)} of {len(classes)} class folders in {str(folder)!r} have no image: {_listing(empty)}; "
            f"add images ({_listing(sorted({e.lower() for e in extensions}))}) or remove the folder"
        )
    indexing = class_indexing or {c: i for i, c in enumerate(classes)}

    def build(**kwargs: Any) -> ds.Dataset:
        return ds.ImageFolderDataset(str(folder), extensions=extensions, class_indexing=indexing, **kwargs)

    names = sorted(indexing, key=indexing.__getitem__)
    return Source(build, sum(counts.values()), max(indexing.values()) + 1, names)


def _choose(name: str, split: str, splits: dict[str, Any]) -> Any:
    """Returns what stands for `split`.

    Raises:
        ValueError: The dataset has no such split.
    """
    if split not in splits:
        raise ValueError(
            f"dataset {name!r} has no split {split!r}{suggest(split, splits) or '.'} Allowed: {', '.join(splits)}"
        )
    return splits[split]


# Upstream's default name of the evaluation split is "val"; these datasets call theirs "test".
_STANDARD_SPLITS = {"train": "train", "test": "test", "val": "test", "all": "all", "": "all"}


def _find_standard(
    download: type[_Download], dataset_class: Callable[..., ds.Dataset], num_classes: int, names_file: str | None
) -> Callable[[str, str], Source]:
    """Returns the `find` of a dataset that MindSpore reads itself."""
    needed = [name for name in download.resources if not name.endswith(".txt")]

    def find(root: str, split: str) -> Source:
        usage = _choose(download.name, split, _STANDARD_SPLITS)
        folder = _check_folder(root, download.name)
        if download.base_dir and (folder / download.base_dir).is_dir():
            folder = folder / download.base_dir
        wanted = [name for name in needed if usage == "all" or (usage == "test") == name.startswith(("test", "t10k"))]
        missing = [name for name in wanted if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"dataset {download.name!r}: {str(folder)!r} has no {', '.join(missing)}; "
                "set data_dir to the unpacked binary version, or download it with dataset_download: True"
            )
        names_path = folder / names_file if names_file else None
        class_names = None
        if names_path is not None and names_path.is_file():
            class_names = [line.strip() for line in names_path.read_text(encoding="utf-8").splitlines() if line.strip()]

        def build(**kwargs: Any) -> ds.Dataset:
            return dataset_class(str(folder), usage=usage, **kwargs)

        return Source(build, build().get_dataset_size(), num_classes, class_names)

    return find


def _find_digits(root: str, split: str) -> Source:
    """The embedded digits, 8x8, three equal channels: every fifth is `val` (360), the rest `train` (1437)."""
    del root
    usage = _choose("digits", split, {"train": "train", "val": "val", "test": "val", "all": "all", "": "all"})
    with (
        (resources.files("mindcv.data") / "assets" / "digits.npz").open("rb") as file,
        np.load(file) as archive,
    ):
        images, labels = archive["images"], archive["labels"].astype(np.int32)
    # Ink has 17 levels, 0 to 16.
    images = np.round(images * (255.0 / 16.0)).astype(np.uint8)
    images = np.repeat(images[..., None], 3, axis=-1)
    is_val = np.arange(len(images)) % _DIGITS_VAL_EVERY == 0
    chosen = {"train": ~is_val, "val": is_val, "all": np.ones_like(is_val)}[usage]

    def build(**kwargs: Any) -> ds.Dataset:
        return ds.NumpySlicesDataset({"image": images[chosen], "label": labels[chosen]}, **kwargs)

    return Source(build, int(chosen.sum()), 10, [str(digit) for digit in range(10)])


DATASETS: Registry[DatasetSpec] = Registry("dataset", ignore_case=True)
DATASETS.register("mnist", DatasetSpec(_find_standard(MnistDownload, ds.MnistDataset, 10, None), MnistDownload))
DATASETS.register(
    "cifar10",
    DatasetSpec(_find_standard(Cifar10Download, ds.Cifar10Dataset, 10, "batches.meta.txt"), Cifar10Download),
)
DATASETS.register(
    "cifar100",
    DatasetSpec(_find_standard(Cifar100Download, ds.Cifar100Dataset, 100, "fine_label_names.txt"), Cifar100Download),
)
DATASETS.register("digits", DatasetSpec(_find_digits, needs_root=False))


def is_encoded(name: str) -> bool:
    """Whether the images of this dataset are files that the transforms must decode, not arrays of pixels."""
    return name not in DATASETS


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
    seed: int | None = None,
    **kwargs: Any,
) -> ds.Dataset:
    """Opens one split of a dataset.

    Args:
        name: `digits` (embedded), `cifar10`, `cifar100`, `mnist`, in any case of letters; any other name, also
            `imagenet` and the empty one, is a folder of images: `root/split/class/image.jpg`. Classes are numbered in
            the sorted order of their folders.
        root: Folder of the dataset. None: a folder of the dataset's name in `get_dataset_download_root()`.
        split: Name of the split. Folders: a folder in `root`; '' means that `root` itself holds the class folders.
            cifar and mnist: train, test (also called val), all. digits: train, val, all.
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
        seed: Seed of the order, the same on all ranks. None: the seed of `mindspore.dataset`.
        **kwargs: Further arguments of the `mindspore.dataset` class.

    Returns:
        A dataset with the columns `image` and `label` (cifar100: `coarse_label` and `fine_label`).

    Raises:
        FileNotFoundError: The folder, the split or the files are not there.
        ValueError: A class folder has no images, the split is unknown, or arguments contradict each other.
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
    if spec is None:
        folder_options = {key: kwargs.pop(key) for key in ("class_indexing", "extensions") if key in kwargs}
        source = _find_image_folder(name, str(root), split, **folder_options)
    else:
        if download:
            spec.download(str(root)).download()
        source = spec.find(str(root), split)

    if num_parallel_workers is not None:
        kwargs["num_parallel_workers"] = cap_workers(num_parallel_workers)
    dataset = source.build(shuffle=False, **kwargs)
    if repeats:
        repeated = RepeatAugSampler(
            source.size, num_shards, shard_id, shuffle=shuffle, num_repeats=repeats, selected_round=0, seed=seed
        )
        _logger.info("repeated augmentation: each of %d samples is repeated %d times", source.size, repeats)
        sampler = ds.IterSampler(repeated)
    else:
        sampler = ShardSampler(
            source.size, num_shards, shard_id, shuffle=shuffle, pad=pad_shards, num_samples=num_samples, seed=seed
        )
    dataset.use_sampler(sampler)
    dataset.num_classes = lambda: source.num_classes
    dataset.class_names = source.class_names
    return dataset


def _source_of(dataset: ds.Dataset) -> ds.Dataset:
    """Returns the dataset that map, batch and the like were put on."""
    while dataset.children:
        dataset = dataset.children[0]
    return dataset


def get_num_classes(dataset: ds.Dataset) -> int:
    """Returns the number of classes of a dataset, also after map and batch.

    Raises:
        ValueError: The dataset does not say (one that `create_dataset` did not make).
    """
    number = _source_of(dataset).num_classes()
    if number is None or number < 1:
        raise ValueError(f"{type(_source_of(dataset)).__name__} does not say its number of classes; set num_classes")
    return int(number)


def get_class_names(dataset: ds.Dataset) -> list[str] | None:
    """Returns the names of the classes by label, also after map and batch; None when there are none."""
    return getattr(_source_of(dataset), "class_names", None)


def check_num_classes(dataset: ds.Dataset, num_classes: int) -> None:
    """Checks that a network with `num_classes` outputs can learn the labels of a dataset.

    Raises:
        ValueError: The dataset has more classes.
    """
    needed = get_num_classes(dataset)
    if num_classes < needed:
        raise ValueError(
            f"num_classes is {num_classes}, but the dataset has {needed} classes (labels 0 to {needed - 1}); "
            f"set num_classes to {needed} or leave it out"
        )


def set_dataset_epoch(dataset: ds.Dataset, epoch: int) -> None:
    """Sets the epoch (from 0) that the next iterator over `dataset` starts with, also after map and batch.

    An iterator over several epochs advances by itself; each new iterator starts from the epoch that was set last.

    Raises:
        ValueError: `create_dataset` did not make the dataset.
    """
    sampler = getattr(_source_of(dataset), "sampler", None)
    sampler = getattr(sampler, "sampler", sampler)
    if not isinstance(sampler, ShardSampler | RepeatAugSampler):
        raise ValueError(f"{type(_source_of(dataset)).__name__} has no sampler of mindcv, so its epoch cannot be set")
    sampler.set_epoch(epoch)
