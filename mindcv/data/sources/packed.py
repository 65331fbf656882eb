"""Reading packed datasets: MindRecord shards with any sample at hand, by the locations that their index gives.

A MindRecord file is a header, then pages of one size; in its pages of blobs an image lies behind eight bytes of length.
The SQLite file beside it says in which page and where. So any program that reads MindRecord reads what
`mindcv prepare` wrote, and what is read here needs no more than one `pread` a sample.
"""

import json
import sqlite3
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...utils.registry import suggest
from ..images.image_formats import is_hidden
from .folders import check_folder, read_class_names
from .labels import class_index
from .samples import StoredSamples, StringArray

__all__ = ["MANIFEST", "find_mindrecord", "find_packed", "index_shard", "is_packed", "read_manifest"]

MANIFEST = "mindcv_packed.json"
FORMAT = 1
_LENGTH_BYTES = 8


def is_packed(folder: Path) -> bool:
    """Whether `mindcv prepare` has finished with a folder."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns what `mindcv prepare` wrote about a packed dataset.

    Raises:
        ValueError: It is damaged, or of a later format.
    """
    path = folder / MANIFEST
    return parse_manifest(path.read_bytes(), str(path))


def parse_manifest(text: bytes, where: str) -> dict[str, Any]:
    """Returns what a manifest says; `where` it is, for messages.

    Raises:
        ValueError: It is damaged, or of a later format.
    """
    try:
        manifest = json.loads(text)
        version = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{where} is damaged ({error}); run mindcv prepare again") from error
    if version != FORMAT:
        raise ValueError(f"{where} is of format {version}, this version reads {FORMAT}; update mindcv or prepare again")
    return manifest


def split_facts(manifest: dict[str, Any], split: str, where: object) -> dict[str, Any]:
    """Returns what a manifest says of a split; '' is its only one.

    Raises:
        ValueError: There is no such split.
    """
    splits = manifest["splits"]
    if not split and len(splits) == 1:
        split = next(iter(splits))
    if split not in splits:
        raise ValueError(
            f"the packed dataset {where} has no split {split!r}{suggest(split, splits) or '.'} "
            f"Allowed: {', '.join(splits)}"
        )
    return splits[split]


def read_index(file: Path | IO[bytes], where: object) -> tuple[np.ndarray, np.ndarray, StringArray]:
    """Returns locations, labels and names of the samples of a split.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return arrays["places"], arrays["labels"], StringArray(arrays["text"], arrays["ends"])
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"{where} is damaged ({error}); copy it again or prepare again") from error


def find_packed(folder: Path, split: str) -> StoredSamples:
    """Opens a split of a packed dataset; '' is its only one.

    Raises:
        FileNotFoundError: A shard is not there.
        ValueError: There is no such split, or a file is not whole.
    """
    manifest = read_manifest(folder)
    facts = split_facts(manifest, split, folder)
    shards = [folder / shard["file"] for shard in facts["shards"]]
    for path, shard in zip(shards, facts["shards"], strict=True):
        if not path.is_file():
            raise FileNotFoundError(f"the packed dataset {folder} lacks {path.name}; copy it again or prepare again")
        if path.stat().st_size != shard["bytes"]:
            raise ValueError(
                f"{path} has {path.stat().st_size} bytes in place of {shard['bytes']}; copy it again or prepare again"
            )
    index = folder / facts["index"]
    try:
        locations, labels, names = read_index(index, index)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"the packed dataset {folder} lacks {index.name}; copy it again or prepare again"
        ) from error
    class_names = manifest["class_names"]
    return StoredSamples(shards, locations, labels, len(class_names), class_names, names)


def index_shard(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Reads where the images of a MindRecord file are: offsets and sizes (N, 2), labels (N,), names.

    Raises:
        FileNotFoundError: The file or its `.db` is not there.
        ValueError: It is no MindRecord file, or not one of images with a whole number as label.
    """
    database = path.with_name(f"{path.name}.db")
    for needed in (path, database):
        if not needed.is_file():
            raise FileNotFoundError(f"the MindRecord file {needed} does not exist")
    header = _header(path)
    blobs, fields = header["blob_fields"], [entry["index_field"] for entry in header["index_fields"]]
    if len(blobs) != 1 or "label" not in fields or header["is_compressed"]:
        raise ValueError(
            f"{path} must have one field of bytes, the image, and an indexed field 'label'; it has the fields of bytes "
            f"{', '.join(blobs) or 'none'} and the indexed fields {', '.join(fields) or 'none'}"
        )
    # The columns of the fields end in the number of their schema, of which there is one.
    name = next((f"{field}_0" for field in ("name", "file_name") if field in fields), "ROW_ID")
    query = f"SELECT PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END, label_0, {name} FROM INDEXES ORDER BY ROW_ID"
    try:
        connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            rows = connection.execute(query).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ValueError(f"{database} is damaged ({error})") from error
    pages = np.array([row[:3] for row in rows], np.int64).reshape(-1, 3)
    starts = header["header_size"] + pages[:, 0] * header["page_size"] + pages[:, 1] + _LENGTH_BYTES
    sizes = pages[:, 2] - pages[:, 1] - _LENGTH_BYTES
    labels = np.array([class_index(row[3], None, f"{path}: {row[4]}") for row in rows], np.int32)
    return np.stack([starts, sizes], 1), labels, [str(row[4]) for row in rows]


def _header(path: Path) -> dict[str, Any]:
    """The JSON text behind the eight bytes of its length at the start of a MindRecord file."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        text = file.read(size) if size < path.stat().st_size else b""
    try:
        header = json.loads(text)
        header = {**header, **header["schema"][0]}
        return {key: header[key] for key in ("blob_fields", "index_fields", "header_size", "page_size")} | {
            "is_compressed": bool(header.get("compression_size"))
        }
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{path} is damaged or no MindRecord file") from error


def find_mindrecord(root: str, split: str) -> StoredSamples:
    """Opens MindRecord files that another program wrote: `root/<split>*.mindrecord`, or those in `root/<split>`.

    Raises:
        FileNotFoundError: There are none.
        ValueError: One is damaged or holds something else than images with labels.
    """

    folder = check_folder(root, "mindrecord")
    if is_packed(folder):
        return find_packed(folder, split)
    # MindSpore numbers several files as train.mindrecord0, train.mindrecord1 and so on.
    patterns = [f"{split}/*.mindrecord*", f"{split}*.mindrecord*"] if split else ["*.mindrecord*"]
    found = (sorted(path for path in folder.glob(pattern) if _is_shard(path)) for pattern in patterns)
    shards = next((paths for paths in found if paths), [])
    if not shards:
        raise FileNotFoundError(f"split {split!r}: there are no files {folder / split}*.mindrecord")
    parts = [index_shard(shard) for shard in shards]
    locations = np.concatenate(
        [np.insert(locations, 0, index, axis=1) for index, (locations, _, _) in enumerate(parts)], axis=0
    )
    labels = np.concatenate([labels for _, labels, _ in parts])
    if not len(labels):
        raise ValueError(f"the MindRecord files of {folder} hold no samples")
    class_names = read_class_names(folder)
    num_classes = max(int(labels.max()) + 1, len(class_names or ()))
    names = StringArray.of([name for _, _, names in parts for name in names])
    return StoredSamples(shards, locations, labels, num_classes, class_names, names)


def _is_shard(path: Path) -> bool:
    return path.suffix != ".db" and not is_hidden(path.name) and path.is_file()
