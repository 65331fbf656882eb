"""Tar shards in WebDataset's layout: files that share a name up to the first dot make a sample."""

import json
import tarfile
from pathlib import PurePosixPath
from typing import IO, Any

import numpy as np

from .image_folder import IMAGE_EXTENSIONS, check_folder, listing
from .listed import read_class_names
from .samples import Names, StoredSamples

__all__ = ["find_tar_shards", "index_tar"]

_IMAGES = frozenset(extension[1:].lower() for extension in IMAGE_EXTENSIONS)


def find_tar_shards(root: str, split: str) -> StoredSamples:
    """Indexes `root/<split>/*.tar` or `root/<split>*.tar`; nothing is unpacked.

    A sample is `<key>.jpg` (or another image) with its label in `<key>.cls`, a whole number, or in `<key>.json` under
    `label`. `class_names.txt` in `root`, one name a line, may name the classes.

    Raises:
        FileNotFoundError: There are no shards.
        ValueError: A shard is compressed or damaged, a member is a link or leads out of its folder, or a sample has no
            label.
    """
    folder = check_folder(root, "tar")
    shards = sorted((folder / split).glob("*.tar")) if split and (folder / split).is_dir() else []
    shards = shards or sorted(folder.glob(f"{split}*.tar"))
    if not shards:
        there = sorted(path.name for path in folder.glob("*.tar"))
        raise FileNotFoundError(
            f"split {split!r}: there are no shards {folder / split}*.tar or {folder / split}/*.tar. "
            f"Shards there: {listing(there) or 'none'}"
        )
    places, labels, names = [], [], []
    for number, shard in enumerate(shards):
        with shard.open("rb") as file:
            found = index_tar(file, str(shard))
        for name, label, offset, size in found:
            places.append((number, offset, size))
            labels.append(label)
            names.append(name)
    if not places:
        raise ValueError(f"the shards in {folder} hold no samples (<key>.jpg with <key>.cls)")
    numbers = np.array(labels, np.int32)
    class_names = read_class_names(folder)
    num_classes = max(int(numbers.max()) + 1, len(class_names or ()))
    return StoredSamples(shards, np.array(places, np.int64), numbers, num_classes, class_names, Names.of(names))


def index_tar(file: IO[bytes], shard: str) -> list[tuple[str, int, int, int]]:
    """Name, label, offset and size of each image in a shard.

    Args:
        file: The shard.
        shard: What to call it in a message.

    Raises:
        ValueError: See `find_tar_shards`.
    """
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        # "r:" refuses compression, through which there is no random access.
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                path = PurePosixPath(member.name)
                if not member.isreg() or path.is_absolute() or ".." in path.parts:
                    raise ValueError(
                        f"{shard}: refused the member {member.name!r}: it is a link or a device, or leads out of its "
                        "folder; do not trust this archive"
                    )
                key, _, extension = path.name.partition(".")
                samples.setdefault(str(path.parent / key), {})[extension.lower()] = member
            return [found for key, files in samples.items() if (found := _sample(shard, tar, key, files))]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{shard} is damaged, cut off or no plain tar archive: {error}") from error


def _sample(
    shard: str, tar: tarfile.TarFile, key: str, files: dict[str, tarfile.TarInfo]
) -> tuple[str, int, int, int] | None:
    image = next((member for extension, member in files.items() if extension in _IMAGES), None)
    if image is None:
        return None
    label: Any = None
    try:
        if "cls" in files:
            label = int(tar.extractfile(files["cls"]).read())  # type: ignore[union-attr]
        elif "json" in files:
            label = json.load(tar.extractfile(files["json"]))["label"]  # type: ignore[arg-type]
    except (ValueError, KeyError, TypeError):
        label = None
    if not isinstance(label, int) or label < 0:
        raise ValueError(f"{shard}: the sample {key!r} has no label; expected {key}.cls or 'label' in {key}.json")
    return image.name, label, image.offset_data, image.size
