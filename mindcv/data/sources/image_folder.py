"""Folders of images, a folder for each class."""

import logging
import os
from pathlib import Path

import numpy as np

from ...utils.registry import suggest
from ..images.image_formats import IMAGE_SUFFIXES, LeftOut, is_hidden, is_image_name, reason_to_leave_out
from .folders import check_folder, choose_split, folder_names, listing
from .packed import find_packed, is_packed
from .samples import FileSamples, Samples, scan_classes

_logger = logging.getLogger(__name__)

__all__ = ["check_folder", "choose_split", "find_image_folder", "find_splits", "listing"]

_SPLITS = ("train", "val", "test")


def _split_folder(root: Path, split: str, hint: str) -> Path:
    """The folder of a split: `root/split`; `root` itself when it is named so; its neighbour when it is another split.

    Raises:
        FileNotFoundError: There is none.
    """
    folder = root / split if split else root
    if folder.is_dir():
        return folder
    if root.resolve().name == split:
        return root
    beside = root.resolve().with_name(split) if split else folder
    if root.resolve().name in _SPLITS and beside.is_dir():
        return beside
    there = folder_names(root)
    raise FileNotFoundError(
        f"split {split!r}: there is no folder {str(folder)!r}{suggest(split, there) or '.'} "
        f"Folders there: {listing(there) or 'none'} (split '' if these are the classes){hint}"
    )


def find_image_folder(
    name: str,
    root: str,
    split: str,
    hint: str = "",
    class_indexing: dict[str, int] | None = None,
    extensions: list[str] | None = None,
    class_split: str | None = None,
) -> Samples:
    """Looks for `root/split/class/image`; or for a set that `mindcv prepare` packed, in `root` or in `root/split`.

    Args:
        name: Name of the dataset, for messages.
        root: The folder above the splits; the folder of one of them (`train`, `val`, `test`) will do.
        split: Folder of the split; '' when `root` holds the classes.
        hint: What to add to a message about a missing folder.
        class_indexing: Class folders and their labels; labels of no folder have no name, folders of one label share
            it. None: all folders, numbered in the order of their names.
        extensions: Endings of image files. None: those of the kinds that can be decoded, in any case of letters.
        class_split: The split that a network learns from, where it is another one: labels are the numbers of its class
            folders, so that a split that lacks some of them has the same numbers. None, or not there: its own.

    Raises:
        FileNotFoundError: A folder is not there.
        ValueError: There are no classes, none of them has an image, or `class_split` lacks one.
    """
    root_folder = check_folder(root, name, hint)
    if is_packed(root_folder):
        return find_packed(root_folder, split)
    folder = _split_folder(root_folder, split, hint)
    if is_packed(folder):
        return find_packed(folder, "")
    known = None if class_indexing is not None else _classes_of(root_folder, class_split, folder)
    classes = folder_names(folder) if class_indexing is None else list(class_indexing)
    if not classes:
        raise ValueError(f"the data folder {str(folder)!r} is empty: it has no class folders (<class>/<image>.jpg)")
    absent = [c for c in classes if not (folder / c).is_dir()]
    if absent:
        raise FileNotFoundError(f"class_indexing: {str(folder)!r} has no folders {listing(absent)}")
    wrong = [c for c, label in (class_indexing or {}).items() if label < 0]
    if wrong:
        raise ValueError(f"class_indexing: labels are numbers from 0 on, but those of {listing(wrong)} are not")
    names, counts, left_out = scan_classes(folder, classes, extensions)
    empty = [c for c, count in zip(classes, counts, strict=True) if count == 0]
    if len(empty) == len(classes):
        raise ValueError(
            f"none of the {len(classes)} class folders in {str(folder)!r} has an image: {listing(empty)}; "
            f"add images ({listing(extensions or IMAGE_SUFFIXES)}){f'. Left out: {left_out}' if left_out else ''}"
        )
    if empty:
        # A class that has none of a split's images is a class all the same.
        _logger.warning(
            "%d of %d class folders in %s have no image: %s", len(empty), len(classes), folder, listing(empty)
        )
    indexing = class_indexing or {c: i for i, c in enumerate(known or classes)}
    labels = np.repeat(np.array([indexing[c] for c in classes], np.int32), counts)
    class_names = [""] * (max(indexing.values()) + 1)
    for name, label in indexing.items():
        class_names[label] = f"{class_names[label]}/{name}".lstrip("/")
    samples = FileSamples(folder, names, labels, len(class_names), class_names, has_class_folders=True)
    _note_files_beside(folder, left_out)
    samples.left_out = left_out
    return samples


def _note_files_beside(folder: Path, left_out: LeftOut) -> None:
    """Notes what lies beside the class folders and may have been meant as a sample or a class."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if is_hidden(entry.name):
                left_out.add("hidden", entry.path)
            elif not entry.is_dir() and reason_to_leave_out(entry.path) is None:
                left_out.add("beside", entry.path)


def _classes_of(root: Path, class_split: str | None, folder: Path) -> list[str] | None:
    """The class folders of the split that a network learns from, when `folder` is another split than that.

    Raises:
        ValueError: `folder` has a class that is not among them.
    """
    try:
        other = _split_folder(root, class_split, "") if class_split else None
    except FileNotFoundError:
        return None
    known = folder_names(other) if other is not None and other != folder else []
    if not known:
        return None
    own = folder_names(folder)
    unknown = [name for name in own if name not in known]
    if unknown:
        raise ValueError(
            f"{str(folder)!r} has class folders that {str(other)!r} lacks: {listing(unknown)}; a network cannot learn "
            "them, so add them there or remove them here"
        )
    if len(own) < len(known):
        _logger.warning(
            "%s has no images of %d of the %d classes of %s: %s; the others keep their numbers",
            *(folder, len(known) - len(own), len(known), other, listing(name for name in known if name not in own)),
        )
    return known


def find_splits(root: str) -> list[str]:
    """Returns the folders in `root` that hold class folders; `root`'s own name when it holds them itself.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There are no class folders.
    """
    folder = check_folder(root, "imagenet")
    splits = [name for name in folder_names(folder) if _is_split(folder / name)]
    if splits:
        return splits
    if not folder_names(folder):
        raise ValueError(
            f"{str(folder)!r} has no folders <split>/<class> or <class>; name other datasets with --dataset"
        )
    return [folder.resolve().name]


def _is_split(folder: Path) -> bool:
    """Whether a folder has class folders; a class, which may have folders inside too, has images."""
    if not folder_names(folder):
        return False
    return folder.name in _SPLITS or not any(is_image_name(name) and not is_hidden(name) for name in os.listdir(folder))
