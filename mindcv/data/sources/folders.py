"""Folders of datasets: that they are there, what is inside, and messages about them."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...utils.fs import is_remote, local_path
from ...utils.registry import suggest
from ...utils.text import names_in
from ..images.image_formats import is_hidden

__all__ = ["check_folder", "choose_split", "folder_names", "listing", "read_class_names"]


def folder_names(folder: Path) -> list[str]:
    """Names of the folders inside `folder`, sorted as class numbers are given; hidden ones are left out."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not is_hidden(entry.name) and entry.is_dir())


def listing(names: Iterable[str], most: int = 10) -> str:
    """Names for a message, not too many."""
    names = list(names)
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def check_folder(root: str, name: str, hint: str = "") -> Path:
    """Returns `root` as a folder that exists.

    Raises:
        FileNotFoundError: It does not; `hint` is added to the message.
    """
    if is_remote(root):
        raise ValueError(f"{root!r} is an address, from which this cannot be read; copy the dataset to a local folder")
    folder = local_path(root)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise FileNotFoundError(
            f"the data folder {str(folder)!r} of dataset {name!r} {what}; set data_dir to the folder that holds the "
            f"dataset{hint}"
        )
    return folder


def choose_split(name: str, split: str, splits: dict[str, Any]) -> Any:
    """Returns the value of `splits` for `split`.

    Raises:
        ValueError: The dataset has no such split.
    """
    if split not in splits:
        raise ValueError(
            f"dataset {name!r} has no split {split!r}{suggest(split, splits) or '.'} Allowed: {', '.join(splits)}"
        )
    return splits[split]


def read_class_names(folder: Path) -> list[str] | None:
    """Names of `class_names.txt`, one a line; None when there is no such file.

    Raises:
        ValueError: It has no names.
    """
    path = folder / "class_names.txt"
    if not path.is_file():
        return None
    names = names_in(path.read_bytes())
    if not names:
        raise ValueError(f"{path} is empty; it has one class name a line, or remove it")
    return names
