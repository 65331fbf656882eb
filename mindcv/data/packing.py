"""Packing a dataset once: images made smaller, in MindRecord shards with an index and checksums (`mindcv prepare`)."""

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import multiprocessing
import os
import shutil
import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..utils.fs import atomic_write, file_sha256, require_directory
from ..utils.text import harmless, line_of, names_to_bytes
from .classes import with_classes
from .image_reader import reason_of
from .images.image_check import checked_image, to_rgb
from .sources.packed import FORMAT, MANIFEST, index_shard, is_packed
from .sources.samples import Samples, StringArray

__all__ = ["Packing", "pack", "repacked"]

_logger = logging.getLogger(__name__)

_PARTIAL = ".partial"
_REJECTED = "rejected.tsv"
_LEAST_PAGE = 1 << 22
# Blocks of 16 x 16 pixels from one restart marker (T.81, E.2.4) to the next. A reader goes from marker to marker where
# its crop needs nothing. They make a file 1.3 % larger. (Pillow before 10.2 writes none.)
_RESTART_BLOCKS = 4
_HEADER = 1 << 20
_ROWS_AT_ONCE = 256
_ORDER_SEED = 0
# Samples of a shard, between which it is a 64th of its split.
_LEAST_SHARD, _MOST_SHARD, _MOST_KEPT = 256, 4096, 1024


@dataclasses.dataclass(frozen=True)
class Packing:
    """How images are stored.

    Attributes:
        size: The shorter side that larger images are brought to, in pixels. None: files are kept as they are.
        quality: Of JPEG, 1 to 100.
    """

    size: int | None = 256
    quality: int = 90

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError(f"size must be at least 1 pixel, got {self.size}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be between 1 and 100, got {self.quality}")


@dataclasses.dataclass(frozen=True)
class _Shard:
    """One shard to be written: which samples of which split."""

    split: str
    name: str
    indices: np.ndarray


def repacked(data: bytes, packing: Packing) -> bytes:
    """Returns an image as it is stored: without a size as it is, as plain JPEGs that are not larger than wanted are.

    Raises:
        ValueError: The image cannot be decoded.
    """
    is_plain = checked_image(data) is data
    try:
        with Image.open(io.BytesIO(data)) as image:
            is_jpeg = image.format == "JPEG"
            if packing.size is not None and min(image.size) > packing.size:
                # Decoding a JPEG at half or a quarter of its size is quicker; twice the wanted size loses nothing.
                share = 2 * packing.size / min(image.size)
                image.draft("RGB", (round(image.width * share), round(image.height * share)))
                picture = _shrunk(to_rgb(image), packing.size)
            else:
                picture = to_rgb(image)
                # Readers decode every kind alike, so what is kept has the pixels of its file.
                if packing.size is None or (is_plain and is_jpeg):
                    return data
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"the image cannot be decoded: {error}") from error
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=packing.quality, restart_marker_blocks=_RESTART_BLOCKS)
    return file.getvalue()


def _shrunk(picture: Image.Image, size: int) -> Image.Image:
    short = min(picture.size)
    width, height = (max(size, round(side * size / short)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def pack(
    splits: dict[str, Samples],
    folder: str | os.PathLike[str],
    packing: Packing,
    workers: int,
    progress: Callable[[int], Any] = lambda done: None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Packs the splits of a dataset into a folder and returns the manifest.

    A shard that is complete is kept when the process is killed; calling this again goes on with the others. Each shard
    is read back and compared before it counts. The manifest is written last: a folder that has it is complete.

    Args:
        splits: The samples of each split.
        folder: Where the shards go.
        packing: How images are stored.
        workers: Processes.
        progress: Called with a number of samples when these are done.
        overwrite: Whether to begin anew where a dataset, or a part of another one, is already.

    Raises:
        ValueError: The folder holds a packed dataset or the beginning of another one; a split has classes that the
            training split lacks; or samples have several labels.
    """
    target = require_directory(folder, "DST")
    class_names = _class_names(splits)
    shards = _plan(splits, packing)
    fingerprint = _fingerprint(splits, packing)
    partial = target / _PARTIAL
    if overwrite:
        _remove_packed(target)
    elif is_packed(target):
        raise ValueError(f"{target} holds a packed dataset already; choose another folder or give --overwrite")
    _check_plan(partial, fingerprint)
    results = {shard.name: result for shard in shards if (result := _finished(partial, shard)) is not None}
    if results:
        _logger.info("%d of %d shards are there already", len(results), len(shards))
    progress(sum(len(shard.indices) for shard in shards if shard.name in results))
    missing = [shard for shard in shards if shard.name not in results]
    for shard, result in _write_all(missing, splits, target, packing, workers):
        results[shard.name] = result
        progress(len(shard.indices))
    manifest = {
        "format": FORMAT,
        "class_names": class_names,
        "packing": dataclasses.asdict(packing),
        "splits": {split: _finish_split(split, shards, results, target) for split in splits},
    }
    with atomic_write(target / _REJECTED) as file:
        for shard in shards:
            for name, reason in results[shard.name]["rejected"]:
                file.write(line_of(name, reason))
    with atomic_write(target / "class_names.txt") as file:
        file.write(names_to_bytes(class_names, "the class name"))
    with atomic_write(target / MANIFEST, "w") as file:
        json.dump(manifest, file, indent=1)
    shutil.rmtree(partial)
    return manifest


def _class_names(splits: dict[str, Samples]) -> list[str]:
    """Returns the names of the classes, those of the training split, and gives the others' labels their indices.

    A split may lack classes. Without a split `train`, the one with the most classes counts.

    Raises:
        ValueError: Samples have several labels or soft ones, or a split has images of a class that the first has not.
    """
    names = {}
    for split, samples in splits.items():
        if samples.labels.ndim != 1:
            raise ValueError(
                "a packed dataset has one label a sample; lists of several or soft labels stay as they are"
            )
        names[split] = samples.class_names or [str(index) for index in range(samples.num_classes)]
    first = "train" if "train" in names else max(names, key=lambda split: len(names[split]))
    for split, samples in splits.items():
        there = {names[split][index] for index in np.unique(samples.labels)}
        odd = sorted(there - set(names[first]))
        if odd:
            raise ValueError(
                f"the split {split!r} has classes that {first!r} has not ({', '.join(odd[:5])}), so that labels would "
                "not agree; give them the same class folders or choose with --splits"
            )
        if names[split] != names[first]:
            with_classes(samples, names[first], len(names[first]), what=f"the split {split!r}")
    return names[first]


def _plan(splits: dict[str, Samples], packing: Packing) -> list[_Shard]:
    """Divides each split, in random order, so that whoever reads shards one after the other gets mixed classes."""
    shards = []
    most = _MOST_KEPT if packing.size is None else _MOST_SHARD
    for split, samples in splits.items():
        order = np.random.default_rng(_ORDER_SEED).permutation(len(samples))
        size = int(np.clip(-(-len(samples) // 64), _LEAST_SHARD, most))
        for index, start in enumerate(range(0, len(order), size)):
            shards.append(_Shard(split, f"{split}-{index:05d}", order[start : start + size]))
    return shards


def _fingerprint(splits: dict[str, Samples], packing: Packing) -> str:
    """What tells one preparation from another."""
    digest = hashlib.sha256(repr((FORMAT, packing)).encode())
    for split, samples in splits.items():
        digest.update(
            f"{split} {len(samples)} {samples.name(0)} {samples.name(len(samples) - 1)}".encode(errors="replace")
        )
        digest.update(samples.labels.tobytes())
    return digest.hexdigest()


def _check_plan(partial: Path, fingerprint: str) -> None:
    plan = partial / "plan.json"
    if plan.is_file():
        if json.loads(plan.read_text())["fingerprint"] != fingerprint:
            raise ValueError(
                f"{partial.parent} holds the beginning of another dataset, or of this one with other settings; give "
                "the same settings, another folder or --overwrite"
            )
        return
    partial.mkdir(exist_ok=True)
    with atomic_write(plan, "w") as file:
        json.dump({"fingerprint": fingerprint}, file)


def _remove_packed(target: Path) -> None:
    """Removes what an earlier preparation wrote, the manifest first."""
    with contextlib.suppress(FileNotFoundError):
        (target / MANIFEST).unlink()
    for pattern in ("*.mindrecord", "*.mindrecord.db", "*.index.npz", _REJECTED, "class_names.txt"):
        for path in target.glob(pattern):
            path.unlink()
    shutil.rmtree(target / _PARTIAL, ignore_errors=True)


def _finished(partial: Path, shard: _Shard) -> dict[str, Any] | None:
    """What is known of a shard that is complete, else None."""
    path = partial / f"{shard.name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


_worker: dict[str, Any] = {}


def _start_worker(splits: dict[str, Samples], target: Path, packing: Packing) -> None:
    # Ctrl-C is the main process's affair, which then ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker.update(splits=splits, target=target, packing=packing)


def _write_in_worker(shard: _Shard) -> tuple[_Shard, dict[str, Any]]:
    return shard, _write_shard(shard, _worker["splits"][shard.split], _worker["target"], _worker["packing"])


def _write_all(
    shards: list[_Shard], splits: dict[str, Samples], target: Path, packing: Packing, workers: int
) -> Iterator[tuple[_Shard, dict[str, Any]]]:
    """Gives each shard and what is known of it as soon as it is written."""
    if workers == 1 or len(shards) < 2:
        for shard in shards:
            yield shard, _write_shard(shard, splits[shard.split], target, packing)
        return
    # Not forked: MindSpore's threads would be lost with their locks held.
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(shards)), _start_worker, (splits, target, packing)) as pool:
        yield from pool.imap_unordered(_write_in_worker, shards)


def _write_shard(shard: _Shard, samples: Samples, target: Path, packing: Packing) -> dict[str, Any]:
    """Writes a shard and moves it into place when it has been read back."""
    rows, rejected = [], []
    for index in shard.indices.tolist():
        try:
            data = repacked(samples.read(index), packing)
        except (OSError, ValueError) as error:
            rejected.append((samples.name(index), reason_of(error)))
            continue
        # MindRecord takes text in UTF-8 only, and a file's name may hold any bytes.
        name = harmless(samples.name(index))
        rows.append({"image": data, "label": int(samples.labels[index]), "name": name})
    result: dict[str, Any] = {"samples": len(rows), "rejected": rejected}
    if rows:
        folder = target / _PARTIAL / shard.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = folder / f"{shard.name}.mindrecord"
        _write_mindrecord(path, rows)
        _compare(path, rows)
        files = [path, path.with_name(f"{path.name}.db")]
        result["file"] = path.name
        result["bytes"] = path.stat().st_size
        result["sha256"], result["db_sha256"] = (file_sha256(file) for file in files)
        for file in files:
            os.chmod(file, 0o644)
            os.replace(file, target / file.name)
        folder.rmdir()
    with atomic_write(target / _PARTIAL / f"{shard.name}.json", "w") as file:
        json.dump(result, file)
    return result


def _write_mindrecord(path: Path, rows: list[dict[str, Any]]) -> None:
    from mindspore.mindrecord import FileWriter

    largest = max(len(row["image"]) for row in rows)
    page = _LEAST_PAGE
    while page < 2 * largest:
        page *= 2
    writer = FileWriter(str(path), shard_num=1, overwrite=True)
    writer.set_header_size(_HEADER)
    writer.set_page_size(page)
    writer.add_schema({"image": {"type": "bytes"}, "label": {"type": "int32"}, "name": {"type": "string"}}, "images")
    writer.add_index(["label", "name"])
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        writer.write_raw_data(rows[start : start + _ROWS_AT_ONCE])
    writer.commit()


def _compare(path: Path, rows: list[dict[str, Any]]) -> None:
    """Reads a shard as training will, and compares.

    Raises:
        OSError: It does not hold what was written.
    """
    locations, labels, names = index_shard(path)
    expected = [(row["name"], zlib.crc32(row["image"]), row["label"]) for row in rows]
    with path.open("rb") as file:
        found = [
            (name, zlib.crc32(os.pread(file.fileno(), size, offset)), label)
            for (offset, size), label, name in zip(locations.tolist(), labels.tolist(), names, strict=True)
        ]
    if sorted(found) != sorted(expected):
        raise OSError(f"{path} does not hold what was written to it; is the disk full or failing?")


def _finish_split(split: str, shards: list[_Shard], results: dict[str, Any], target: Path) -> dict[str, Any]:
    """Writes the index of a split and returns its part of the manifest."""
    own = [results[shard.name] for shard in shards if shard.split == split]
    written = [result for result in own if result["samples"]]
    if not written:
        raise ValueError(f"no image of the split {split!r} can be used, such as {' '.join(own[0]['rejected'][0])}")
    parts = [index_shard(target / result["file"]) for result in written]
    names = StringArray.of([name for _, _, names in parts for name in names])
    index = target / f"{split}.index.npz"
    with atomic_write(index) as file:
        np.savez(
            file,
            places=np.concatenate([np.insert(locations, 0, n, axis=1) for n, (locations, _, _) in enumerate(parts)]),
            labels=np.concatenate([labels for _, labels, _ in parts]),
            text=names.text,
            ends=names.ends,
        )
    kept = ("file", "bytes", "samples", "sha256", "db_sha256")
    return {
        "samples": len(names),
        "rejected": sum(len(result["rejected"]) for result in own),
        "index": index.name,
        "index_sha256": file_sha256(index),
        "shards": [{key: result[key] for key in kept} for result in written],
    }
