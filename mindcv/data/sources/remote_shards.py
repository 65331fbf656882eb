"""Datasets in an object store: shards are fetched when they are needed, into a cache of this host that stays small.

`MINDCV_CACHE_GB`: how large the cache in `$MINDCV_HOME/shards` may become (default 100). While it is that large, a
shard that is fetched takes the place of those that were not used for longest. All processes of a host share it.
"""

import dataclasses
import fcntl
import hashlib
import io
import logging
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...utils.cache import get_default_download_root
from ...utils.fs import file_sha256, locked, open_file, require_directory
from ...utils.registry import unknown_name_message
from ...utils.remote import Entry, RemoteError, files_below, find_file
from ...utils.text import names_in
from ...utils.transfer import download
from ..distributed_sampler import ShuffleWindows
from ..images.image_formats import LeftOut, has_hidden_part
from .packed import MANIFEST, parse_manifest, read_index, split_facts
from .samples import StoredSamples, StringArray, read_arrays, write_arrays
from .tar_shards import index_tar

__all__ = ["RemoteSamples", "find_remote"]

_logger = logging.getLogger(__name__)

CACHE_VARIABLE = "MINDCV_CACHE_GB"
_CACHE_GB = 100.0
# Of the lists of samples that are kept.
_INDEX_VERSION = 2
_NAMES = ("imagenet", "mindrecord", "tar")


@dataclasses.dataclass(frozen=True)
class Shard:
    """A large file in a store.

    Attributes:
        url: Its address.
        size: In bytes.
        sha256: Its checksum; empty when unknown.
        tag: What the store calls its contents.
        modified_s: Time of its last change.
    """

    url: str
    size: int
    sha256: str = ""
    tag: str = ""
    modified_s: float | None = None

    @property
    def name(self) -> str:
        """Its file in the cache; another one for another version of it."""
        version = f"{self.url} {self.size} {self.sha256 or (self.tag, self.modified_s)}"
        return f"{hashlib.sha256(version.encode()).hexdigest()[:24]}-{self.url.rpartition('/')[2]}"


def cache_limit() -> int:
    """Size of the cache in bytes.

    Raises:
        ValueError: The setting is no number above 0.
    """
    text = os.environ.get(CACHE_VARIABLE, str(_CACHE_GB))
    try:
        limit = int(float(text) * 1e9)
    except ValueError:
        limit = 0
    if limit <= 0:
        raise ValueError(f"{CACHE_VARIABLE} is {text!r}; give the size of the cache in GB, a number above 0")
    return limit


class ShardCache:
    """Local copies of some shards, of which those in use are kept by a lock that other processes respect.

    Args:
        shards: All shards of a dataset.

    Raises:
        ValueError: The cache is smaller than two of them.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = shards
        self.limit = cache_limit()
        largest = max(shard.size for shard in shards)
        self.most = self.limit // max(largest, 1)
        if self.most < 2 and len(shards) > 1:
            raise ValueError(
                f"{CACHE_VARIABLE} is {self.limit / 1e9:g}, but two shards must fit, and those of {shards[0].url} "
                f"have up to {largest / 1e9:.3g} GB; set at least {2.1 * largest / 1e9:.2g}"
            )
        self.folder = require_directory(os.path.join(get_default_download_root(), "shards"), "MINDCV_HOME")
        self._reset()

    def _reset(self) -> None:
        self._open: OrderedDict[int, IO[bytes]] = OrderedDict()
        self._loading: set[int] = set()  # shards that are being fetched; their room is taken
        self._remaining: dict[int, int] = {}  # samples still to be read, of each shard
        self._first_use: dict[int, int] = {}  # when each shard is needed first
        self._plans = 0
        self._changed = threading.Condition()

    def __getstate__(self) -> dict[str, Any]:
        """Other processes open the files for themselves."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def path(self, index: int) -> Path:
        """Where the copy of a shard is, when there is one."""
        return self.folder / self.shards[index].name

    def prefetch(self, order: np.ndarray) -> None:
        """Fetches shards ahead, as many as fit.

        Args:
            order: Index of the shard of each sample that will be read, in order.
        """
        indices, first, counts = np.unique(order, return_index=True, return_counts=True)
        plan = indices[np.argsort(first)].tolist()
        with self._changed:
            self._plans += 1
            self._remaining = dict(zip(indices.tolist(), counts.tolist(), strict=True))
            self._first_use = {index: position for position, index in enumerate(plan)}
            for index in [index for index in self._open if index not in plan[: self.most]]:
                self._release(index)
            self._changed.notify_all()
            arguments = (plan, self._plans)
        threading.Thread(target=self._fetch_ahead, args=arguments, name="shards", daemon=True).start()

    def _fetch_ahead(self, plan: list[int], own: int) -> None:
        for index in plan:
            with self._changed:
                self._changed.wait_for(lambda: own != self._plans or self._has_room())
                if own != self._plans:
                    return
                if index not in self._remaining or index in self._open or index in self._loading:
                    continue
                self._loading.add(index)
            try:
                self._load(index)
            except (RemoteError, OSError) as error:
                # Whoever needs the shard meets the same, and says so.
                _logger.warning("%s", error)
                return
            with self._changed:
                if index not in self._remaining:  # all of it was read in between
                    self._release(index)

    def open(self, index: int) -> IO[bytes]:
        """Returns a shard's copy, open; it stays until `count` was called for the last sample in it.

        Raises:
            RemoteError: It cannot be fetched, or is not what the manifest says.
        """
        with self._changed:
            while index not in self._open and (index in self._loading or not self._has_room()):
                if index in self._loading or not self._open:
                    self._changed.wait()
                else:
                    self._release(max(self._open, key=self._needed_in))
            if index in self._open:
                self._open.move_to_end(index)
                return self._open[index]
            self._loading.add(index)
        return self._load(index)

    def _has_room(self) -> bool:
        return len(self._open) + len(self._loading) < max(self.most, 1)

    def _load(self, index: int) -> IO[bytes]:
        """Fetches and opens a shard whose room is taken."""
        file = None
        try:
            file = self._fetched(index)
        finally:
            with self._changed:
                self._loading.remove(index)
                if file is not None:
                    self._open[index] = file
                self._changed.notify_all()
        return file

    def _needed_in(self, index: int) -> float:
        """How late a shard is needed; never when all of it was read."""
        return self._first_use[index] if index in self._remaining else math.inf

    def count(self, index: int) -> None:
        """Notes that a sample of a shard was read."""
        with self._changed:
            left = self._remaining.get(index, 0) - 1
            if left > 0:
                self._remaining[index] = left
            elif left == 0:
                del self._remaining[index]
                self._release(index)
                self._changed.notify_all()

    def _release(self, index: int) -> None:
        file = self._open.pop(index, None)
        if file is not None:
            # Whoever reads from it at this moment may go on; it is closed with its last use.
            fcntl.flock(file, fcntl.LOCK_UN)

    def _fetched(self, index: int) -> IO[bytes]:
        """Opens and locks the copy, and makes it when there is none."""
        path = self.path(index)
        while True:
            try:
                file = path.open("rb", buffering=0)
                fcntl.flock(file, fcntl.LOCK_SH)
                if os.fstat(file.fileno()).st_nlink:  # else it was removed in between
                    os.utime(path)
                    return file
            except FileNotFoundError:
                pass
            with locked(self.folder / ".lock"):
                if not path.exists():
                    self._fetch(self.shards[index], path)

    def _fetch(self, shard: Shard, path: Path) -> None:
        self._make_room(shard.size, path)
        whole = path.with_name(f".{path.name}.whole")
        try:
            download(shard.url, whole, Entry(shard.size, shard.tag, shard.modified_s))
        except OSError as error:
            # Not an OSError: a shard is not an image that may be replaced by another one.
            raise RemoteError(f"{shard.url} cannot be fetched to {self.folder}: {error}") from error
        if shard.sha256:
            digest = file_sha256(whole)
            if digest != shard.sha256:
                whole.unlink()
                raise RemoteError(
                    f"{shard.url} has the sha256 {digest[:16]}..., not {shard.sha256[:16]}..., which the "
                    "manifest says; upload it again or prepare again"
                )
        os.replace(whole, path)

    def _make_room(self, size: int, path: Path) -> None:
        """Removes copies that nobody uses: those first that will not be needed soon, or were not used for longest."""
        with self._changed:
            needed = {self.shards[index].name: self._first_use[index] for index in self._remaining}
        copies = []
        for other in self.folder.iterdir():
            stat = other.stat()
            if other.name != ".lock" and not other.name.startswith(f".{path.name}"):
                copies.append((-needed.get(other.name, math.inf), stat.st_mtime, stat.st_size, other))
        total = sum(size for *_, size, _ in copies)
        for *_, freed, other in sorted(copies):
            if total + size <= self.limit:
                return
            if _remove_unused(other):
                total -= freed
        if total + size > self.limit:
            _logger.warning(
                "the cache %s grows to %.2f GB, since all that is in it is being read; %s is %g",
                *(self.folder, (total + size) / 1e9, CACHE_VARIABLE, self.limit / 1e9),
            )


def _remove_unused(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink()
    return True


class RemoteSamples(StoredSamples):
    """Image files in large files of a store, which are fetched when they are needed.

    Args:
        shards: The large files.
        locations, labels, num_classes, class_names, names: See `StoredSamples`.
    """

    def __init__(
        self, shards: Sequence[Shard], locations: np.ndarray, *facts: Any, cache: ShardCache | None = None
    ) -> None:
        super().__init__([shard.url for shard in shards], locations, *facts)
        self.cache = cache or ShardCache(shards)
        # Half of the cache is for the shards that are being read, half for the next ones.
        self.windows = ShuffleWindows(locations[:, 0], max(self.cache.most // 2, 1))

    def prefetch(self, indices: np.ndarray) -> None:
        """Fetches the shards of these samples ahead."""
        self.cache.prefetch(self.locations[indices, 0])

    def read(self, index: int) -> bytes:
        """The image's bytes.

        Raises:
            RemoteError: The shard cannot be fetched.
        """
        data = super().read(index)
        self.cache.count(int(self.locations[index, 0]))
        return data

    def _file(self, shard: int) -> IO[bytes]:
        return self.cache.open(shard)


def find_remote(name: str, root: str, split: str, class_names: Sequence[str] | None = None) -> RemoteSamples:
    """Opens a split of a dataset in a store: one that `mindcv prepare` packed, or tar shards.

    Raises:
        FileNotFoundError: There is none.
        ValueError: A store has no datasets of that kind, or the set has no such split or is damaged.
        RemoteError: The store cannot be reached.
    """
    root = root.rstrip("/")
    if name == "tar":
        return _find_tar(root, split, class_names)
    for folder, part in ((root, split), (f"{root}/{split}", "")):
        try:
            entry = find_file(f"{folder}/{MANIFEST}")
        except FileNotFoundError:
            continue
        if entry is not None:
            return _find_packed(folder, part)
    if name in ("", *_NAMES):
        raise FileNotFoundError(
            f"there is no packed dataset {root} (no {MANIFEST}); make one with: mindcv prepare FOLDER {root}, or set "
            "dataset: tar for tar shards"
        )
    raise ValueError(f"{root}: {unknown_name_message('dataset in a store', name, _NAMES)}")


def _find_packed(root: str, split: str) -> RemoteSamples:
    with open_file(f"{root}/{MANIFEST}") as file:
        manifest = parse_manifest(file.read(), f"{root}/{MANIFEST}")
    facts = split_facts(manifest, split, root)
    where = f"{root}/{facts['index']}"
    with open_file(where) as file:
        index = file.read()
    if hashlib.sha256(index).hexdigest() != facts["index_sha256"]:
        raise ValueError(f"{where} is damaged (its sha256 is not the manifest's); upload it again or prepare again")
    locations, labels, names = read_index(io.BytesIO(index), where)
    shards = [Shard(f"{root}/{shard['file']}", shard["bytes"], shard["sha256"]) for shard in facts["shards"]]
    class_names = manifest["class_names"]
    return RemoteSamples(shards, locations, labels, len(class_names), class_names, names)


def _find_tar(root: str, split: str, class_names: Sequence[str] | None) -> RemoteSamples:
    """Tar shards `root/<split>/*.tar` or `root/<split>*.tar`, which are read once to find where their samples are."""
    there = files_below(root)
    found = sorted(name for name in there if name.endswith(".tar") and not has_hidden_part(name))
    chosen = [name for name in found if split and name.startswith(f"{split}/")]
    chosen = chosen or [name for name in found if name.startswith(split) and "/" not in name]
    if not chosen:
        raise FileNotFoundError(
            f"split {split!r}: there are no shards {root}/{split}*.tar or {root}/{split}/*.tar. "
            f"Shards there: {', '.join(found[:10]) or 'none'}"
        )
    entries = [there[name] for name in chosen]
    shards = [
        Shard(f"{root}/{name}", entry.size, "", entry.tag, entry.modified_s)
        for name, entry in zip(chosen, entries, strict=True)
    ]
    names = None if class_names is None else [*class_names]
    if "class_names.txt" in there:
        with open_file(f"{root}/class_names.txt") as file:
            names = names_in(file.read())
    cache = ShardCache(shards)
    # Labels may be names, so what is known of the shards goes with those.
    question = repr((_INDEX_VERSION, [shard.name for shard in shards], names))
    key = hashlib.sha256(question.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    path = Path(get_default_download_root()) / "index" / f"{key}.npz"
    arrays = read_arrays(path, ("places", "labels", "text", "ends", "left_out"))
    if arrays is None:
        arrays = _index_tars(cache, names)
        write_arrays(path, arrays)
    num_classes = max(int(arrays["labels"].max()) + 1, len(names or ()))
    texts = StringArray(arrays["text"], arrays["ends"])
    samples = RemoteSamples(shards, arrays["places"], arrays["labels"], num_classes, names, texts, cache=cache)
    samples.left_out = LeftOut.of_bytes(arrays["left_out"].tobytes())
    return samples


def _index_tars(cache: ShardCache, class_names: list[str] | None) -> dict[str, np.ndarray]:
    _logger.info("%d tar shards are read once, to find their samples", len(cache.shards))
    cache.prefetch(np.arange(len(cache.shards)))
    locations, labels, names, left_out = [], [], [], LeftOut()
    for index, shard in enumerate(cache.shards):
        cache.open(index)
        with cache.path(index).open("rb") as file:
            for name, label, offset, size in index_tar(file, shard.url, class_names, left_out):
                locations.append((index, offset, size))
                labels.append(label)
                names.append(name)
        cache.count(index)
    if not locations:
        raise ValueError(f"the shards {cache.shards[0].url} ... hold no samples (<key>.jpg with <key>.cls)")
    texts = StringArray.of(names)
    return {
        "places": np.array(locations, np.int64),
        "labels": np.array(labels, np.int32),
        "text": texts.text,
        "ends": texts.ends,
        "left_out": np.frombuffer(left_out.to_bytes(), np.uint8),
    }
