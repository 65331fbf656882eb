"""Tar shards in WebDataset's layout: files that share the beginning of their names make a sample."""

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from ..images.image_formats import LeftOut, has_hidden_part, is_hidden, is_image_name
from .folders import check_folder, listing, read_class_names
from .labels import class_index, index_by_name
from .samples import StoredSamples, StringArray

__all__ = ["find_tar_shards", "index_tar"]

_LABELS = (".cls", ".json")
_MOST_LABEL_BYTES = 1 << 20
_BLOCK = 512


def find_tar_shards(root: str, split: str, class_names: Sequence[str] | None = None) -> StoredSamples:
    """Indexes `root/<split>/*.tar` or `root/<split>*.tar`; nothing is unpacked.

    A label is in `<key>.cls`, a whole number or a name of `class_names.txt`, or in `<key>.json` under `label`; where
    there are both, the first one counts. `<key>.jpg` (or another image) is its image. A key may have dots: an image
    belongs to the label whose key is the longest beginning of its name up to a dot, so `pic.0.png` to `pic.0.cls`, or
    else to `pic.cls`, as WebDataset has it. `class_names.txt` in `root`, one name a line, may name the classes; without
    it, `class_names` does.

    Raises:
        FileNotFoundError: There are no shards.
        ValueError: A shard is compressed, damaged or cut off; a member is a link or leads out of its folder, or is
            there twice; an image has no label, or a label two images; or a label is no class.
    """
    folder = check_folder(root, "tar")
    shards = _shards(folder / split, "") if split and (folder / split).is_dir() else []
    shards = shards or _shards(folder, split)
    if not shards:
        there = sorted(path.name for path in folder.glob("*.tar"))
        raise FileNotFoundError(
            f"split {split!r}: there are no shards {folder / split}*.tar or {folder / split}/*.tar. "
            f"Shards there: {listing(there) or 'none'}"
        )
    class_names = read_class_names(folder) or (class_names and list(class_names))
    locations, labels, names, left_out = [], [], [], LeftOut()
    for index, shard in enumerate(shards):
        with shard.open("rb") as file:
            found = index_tar(file, str(shard), class_names, left_out)
        for name, label, offset, size in found:
            locations.append((index, offset, size))
            labels.append(label)
            names.append(name)
    if not locations:
        raise ValueError(
            f"the shards in {folder} hold no samples (<key>.jpg with <key>.cls)"
            f"{f', but {left_out}' if left_out else ''}"
        )
    label_array = np.array(labels, np.int32)
    num_classes = max(int(label_array.max()) + 1, len(class_names or ()))
    samples = StoredSamples(
        shards, np.array(locations, np.int64), label_array, num_classes, class_names, StringArray.of(names)
    )
    samples.left_out = left_out
    return samples


def _shards(folder: Path, prefix: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"{prefix}*.tar") if not is_hidden(path.name) and path.is_file())


def index_tar(
    file: IO[bytes], shard: str, class_names: Sequence[str] | None, left_out: LeftOut
) -> list[tuple[str, int, int, int]]:
    """Name, label, offset and size of each image in a shard.

    Args:
        file: The shard.
        shard: What to call it in a message.
        class_names: Names by label; None when there are none.
        left_out: Where members that are no samples are noted.

    Raises:
        ValueError: See `find_tar_shards`.
    """
    try:
        # "r:" refuses compression, through which there is no random access.
        with tarfile.open(fileobj=file, mode="r:") as tar:
            members = list(_members(tar, shard, left_out))
            _check_end(file, tar.offset, shard)
            texts = {
                member.name: tar.extractfile(member).read(_MOST_LABEL_BYTES + 1)  # type: ignore[union-attr]
                for member in members
                if _suffix(member) in _LABELS
            }
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{shard} is damaged, cut off or no plain tar archive: {error}") from error
    index_of = index_by_name(class_names, "class_names.txt") if class_names is not None else None
    samples = []
    for image, label in sorted(_pairs(members, shard, left_out), key=lambda pair: pair[0].offset_data):
        where = f"{shard}: {label.name}"
        class_label = _label(texts[label.name], _suffix(label), index_of, where)
        samples.append((image.name, class_label, image.offset_data, image.size))
    return samples


def _members(tar: tarfile.TarFile, shard: str, left_out: LeftOut) -> Iterator[tarfile.TarInfo]:
    """Images and labels of an archive; other files are noted."""
    seen = set()
    for member in tar:
        if member.isdir():
            continue
        path = PurePosixPath(member.name)
        if not member.isreg() or member.issparse() or path.is_absolute() or ".." in path.parts:
            raise ValueError(
                f"{shard}: refused the member {member.name!r}: it is a link, a device or sparse, or leads out of its "
                "folder; do not trust this archive"
            )
        if member.name in seen:
            raise ValueError(f"{shard} has the member {member.name!r} twice; which one counts? Pack it again")
        seen.add(member.name)
        if has_hidden_part(member.name):
            left_out.add("hidden", f"{shard}:{member.name}")
        elif is_image_name(member.name) or _suffix(member) in _LABELS:
            yield member
        else:
            left_out.add("unknown", f"{shard}:{member.name}")


def _check_end(file: IO[bytes], end: int, shard: str) -> None:
    """Checks that an archive ends with its mark, two blocks of zeros, and that nothing follows.

    A reader stops without a word where a file was cut between two members, or where a header is damaged.

    Raises:
        ValueError: It does not.
    """
    file.seek(end)
    mark = file.read(2 * _BLOCK)
    if mark != bytes(2 * _BLOCK):
        what = "it is cut off there" if len(mark) < 2 * _BLOCK else "the header there is damaged"
        raise ValueError(f"{shard} is damaged or cut off: it has no end mark at byte {end}: {what}; copy it again")
    while block := file.read(1 << 20):
        if block.count(0) != len(block):
            raise ValueError(
                f"{shard} goes on behind its end mark at byte {end}: two archives in one file? Pack it again"
            )


def _suffix(member: tarfile.TarInfo) -> str:
    return PurePosixPath(member.name).suffix.lower()


def _key(member: tarfile.TarInfo) -> str:
    """The name of a member up to its last dot."""
    return str(PurePosixPath(member.name).with_suffix(""))


def _pairs(
    members: Sequence[tarfile.TarInfo], shard: str, left_out: LeftOut
) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarInfo]]:
    """Each image with its label."""
    labels: dict[str, tarfile.TarInfo] = {}
    for suffix in reversed(_LABELS):
        own: dict[str, tarfile.TarInfo] = {}
        for member in members:
            if _suffix(member) == suffix and own.setdefault(_key(member), member) is not member:
                raise _clash(shard, own[_key(member)], member, "both are the label of one image")
        labels |= own
    images: dict[str, list[tarfile.TarInfo]] = {}
    for member in members:
        if _suffix(member) not in _LABELS:
            images.setdefault(_longest_key(member, labels, shard), []).append(member)
    chosen = {}
    for key, candidates in images.items():
        exact = [member for member in candidates if _key(member) == key] or candidates
        if len(exact) > 1:
            raise _clash(shard, *exact[:2], f"both belong to the label {labels[key].name!r}")
        chosen[key] = exact[0]
        for member in candidates:
            if member is not exact[0]:
                left_out.add("part", f"{shard}:{member.name}")
    for key, member in labels.items():
        if key in chosen:
            yield chosen[key], member
        else:
            left_out.add("label", f"{shard}:{member.name}")


def _longest_key(image: tarfile.TarInfo, labels: dict[str, tarfile.TarInfo], shard: str) -> str:
    key = PurePosixPath(_key(image))
    while str(key) not in labels:
        if not key.suffix:
            expected = " or ".join(f"{_key(image)}{suffix}" for suffix in _LABELS)
            raise ValueError(f"{shard}: the image {image.name!r} has no label; expected {expected} (with 'label')")
        key = key.with_suffix("")
    return str(key)


def _clash(shard: str, one: tarfile.TarInfo, other: tarfile.TarInfo, why: str) -> ValueError:
    return ValueError(
        f"{shard}: the members {one.name!r} and {other.name!r} clash: {why}; give them names of their own"
    )


def _label(data: bytes, suffix: str, index_of: dict[str, int] | None, where: str) -> int:
    """The class that a label says.

    Raises:
        ValueError: It is none.
    """
    value: Any = None
    try:
        if len(data) <= _MOST_LABEL_BYTES:
            value = data.decode().strip() if suffix == ".cls" else json.loads(data)["label"]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    return class_index(value, index_of, where)
