"""Compiled graphs in a folder, one file each, named by its key.

A file is one line of JSON (format, key, checksum, what it is of, what is known of it), what the kernels compute in the
graph (`kernels.plans`), and the graph as MindSpore wrote it. The last two are compressed, as a graph may hold zeros in
the size of all weights. A file appears whole or not at all, and is used only if it belongs to this user, has that key
and has that checksum. What does not is put aside. The folder is bounded: what was used longest ago goes first.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import stat
import time
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from .cache import get_default_download_root
from .fs import atomic_write

__all__ = [
    "FOLDER_VARIABLE",
    "MOST_BYTES",
    "GraphStore",
    "KeptGraph",
    "StoredGraph",
    "UnusableGraphError",
    "default_cache_folder",
]

FOLDER_VARIABLE = "MINDCV_COMPILE_CACHE"
# All graphs together; one of ResNet-50's training step has 0.9 MB, of Swin-Tiny's 2 MB.
MOST_BYTES = 256 * 2**20
# One graph, not compressed.
MOST_GRAPH_BYTES = 2**30
MOST_PLANS_BYTES = 2**20

_FORMAT = 1
_LONGEST_HEADER = 2**20
_GRAPH = re.compile(r"(?P<key>[0-9a-f]{64})\.graph")
_ASIDE = re.compile(r"[0-9a-f]{64}\.bad")
_REMAINS = re.compile(r"\.[0-9a-f]{64}\.graph\.[a-z0-9_]{8}\.tmp")
# A temporary file that is older belongs to no process that still writes.
_REMAINS_S = 24 * 3600.0


def default_cache_folder() -> Path:
    """Where graphs are kept with `compile_cache: auto`: `$MINDCV_COMPILE_CACHE`, else beside the downloads."""
    return Path(os.environ.get(FOLDER_VARIABLE) or Path(get_default_download_root()) / "compile_cache").expanduser()


class UnusableGraphError(Exception):
    """A file is no graph of that key; the message says why."""


@dataclasses.dataclass(frozen=True)
class KeptGraph:
    """A graph, and what is known of it.

    Attributes:
        graph: As MindSpore wrote it.
        missed: What the kernels did not compute when it was made, and how often.
        memory: Bytes of MindSpore's memory that a run of it needed; None: not known.
        plans: What the kernels compute in a run of it; empty: not known.
    """

    graph: bytes
    missed: dict[str, int] = dataclasses.field(default_factory=dict)
    memory: int | None = None
    plans: bytes = b""


@dataclasses.dataclass(frozen=True)
class StoredGraph:
    """A file in the folder.

    Attributes:
        path: Its file.
        size: Its bytes.
        used: When it was used last, in seconds since 1970.
        of: What it is of, as its file says; empty where that cannot be read.
        is_aside: Whether it was put aside as unusable.
    """

    path: Path
    size: int
    used: float
    of: str
    is_aside: bool


class GraphStore:
    """The folder.

    Args:
        folder: Made where it is not there, for this user alone.
        most_bytes: What all files together may have.
        is_read: The folder is only looked at: it is not made.

    Raises:
        OSError: It cannot be made.
        ValueError: It belongs to somebody else, or others may write to it; the message says so.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES, is_read: bool = False) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        if not is_read:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.exists():
            _require_own(folder)

    def take(self, key: str) -> KeptGraph | None:
        """Returns the graph of a key, None where there is none. What is there and unusable is put aside.

        Raises:
            UnusableGraphError: It was; the message says why.
        """
        path = self._path(key)
        try:
            graph = _read(path, key)
        except FileNotFoundError:
            return None
        except (UnusableGraphError, OSError) as error:
            self.put_aside(key)
            raise UnusableGraphError(f"{path} is not used ({_reason(error)})") from error
        with contextlib.suppress(OSError):  # a folder that can only be read keeps no time of use
            os.utime(path)
        return graph

    def keep(self, key: str, kept: KeptGraph, of: str) -> None:
        """Writes a graph, and removes those that were used longest ago if all have more bytes than they may.

        Args:
            key: Its key.
            kept: The graph.
            of: What it is of.

        Raises:
            OSError: It cannot be written.
            ValueError: It is too large.
        """
        plans = zlib.compress(kept.plans, 1)
        content = plans + zlib.compress(kept.graph, 1)
        if len(kept.graph) > MOST_GRAPH_BYTES or len(content) > self.most_bytes // 2:
            raise ValueError(f"its graph has {len(kept.graph) / 2**20:.0f} MiB")
        header = {"format": _FORMAT, "key": key, "sha256": hashlib.sha256(content).hexdigest(), "of": of}
        header |= {"plans": len(plans), "memory": kept.memory, "missed": kept.missed}
        with atomic_write(self._path(key), permissions=0o600) as file:
            file.write(json.dumps(header).encode() + b"\n")
            file.write(content)
        self._bound(self._path(key))

    def put_aside(self, key: str) -> None:
        """Renames the graph of a key, so that it is not used again."""
        with contextlib.suppress(OSError):
            os.replace(self._path(key), self.folder / f"{key}.bad")

    def graphs(self) -> list[StoredGraph]:
        """Returns what is there, the one that was used last first."""
        found = []
        for path in _files(self.folder):
            is_aside = _ASIDE.fullmatch(path.name) is not None
            if is_aside or _GRAPH.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError):
                    status = path.lstat()
                    of = "" if is_aside else _of(path)
                    found.append(StoredGraph(path, status.st_size, status.st_mtime, of, is_aside))
        return sorted(found, key=lambda graph: graph.used, reverse=True)

    def clear(self) -> tuple[int, int]:
        """Removes all graphs, and nothing else in the folder; returns how many there were and their bytes.

        Raises:
            OSError: One cannot be removed.
        """
        graphs = self.graphs()
        for graph in graphs:
            graph.path.unlink(missing_ok=True)
        self._remove_remains(0.0)
        return len(graphs), sum(graph.size for graph in graphs)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.graph"

    def _bound(self, newest: Path) -> None:
        graphs = self.graphs()
        total = sum(graph.size for graph in graphs)
        for graph in reversed(graphs):
            if total <= self.most_bytes:
                break
            if graph.path != newest:
                with contextlib.suppress(OSError):
                    graph.path.unlink(missing_ok=True)
                total -= graph.size
        self._remove_remains(_REMAINS_S)

    def _remove_remains(self, age_s: float) -> None:
        """Removes what processes left that were killed while they wrote."""
        for path in _files(self.folder):
            if _REMAINS.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    if time.time() - path.lstat().st_mtime >= age_s:
                        path.unlink()


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _require_own(folder: Path) -> None:
    """Checks that nobody else can have put a graph there, as MindSpore runs what a graph says.

    Raises:
        ValueError: Somebody can.
    """
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{folder} is no folder")
    if status.st_uid != os.geteuid():
        raise ValueError(f"{folder} belongs to another user")
    if status.st_mode & 0o022:
        raise ValueError(f"others may write to {folder}: chmod go-w {folder}")


def _read(path: Path, key: str) -> KeptGraph:
    """Returns the graph in a file.

    Raises:
        OSError: It cannot be read.
        UnusableGraphError: It is not what it should be.
    """
    with _opened(path) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise UnusableGraphError("it is no file of this user alone")
        if status.st_size > MOST_BYTES:
            raise UnusableGraphError("it is too large")
        header = _header(file.readline(_LONGEST_HEADER))
        content = file.read(MOST_BYTES)
    if header.get("format") != _FORMAT or header.get("key") != key:
        raise UnusableGraphError("it is of another key or version")
    if header.get("sha256") != hashlib.sha256(content).hexdigest():
        raise UnusableGraphError("its contents were cut or changed")
    size, unpacker = _size_of_plans(header), zlib.decompressobj()
    try:
        graph = unpacker.decompress(memoryview(content)[size:], MOST_GRAPH_BYTES)
        plans = zlib.decompressobj().decompress(content[:size], MOST_PLANS_BYTES)
    except zlib.error as error:
        raise UnusableGraphError(f"it is not compressed as it should be: {error}") from error
    if unpacker.unused_data:
        raise UnusableGraphError("there is something behind it")
    if not unpacker.eof:
        raise UnusableGraphError("it is too large")
    return KeptGraph(graph, _missed(header), _memory(header), plans)


def _opened(path: Path) -> BinaryIO:
    """Opens a file, and nothing else of that name."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _size_of_plans(header: dict[str, Any]) -> int:
    """Bytes before the graph."""
    size = header.get("plans")
    return size if isinstance(size, int) and 0 <= size <= MOST_PLANS_BYTES else 0


def _memory(header: dict[str, Any]) -> int | None:
    memory = header.get("memory")
    return memory if isinstance(memory, int) and memory >= 0 else None


def _missed(header: dict[str, Any]) -> dict[str, int]:
    missed = header.get("missed")
    return {what: n for what, n in missed.items() if isinstance(n, int)} if isinstance(missed, dict) else {}


def _header(line: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        header = json.loads(line)
        if isinstance(header, dict):
            return header
    return {}


def _of(path: Path) -> str:
    """Returns what a file says that its graph is of; empty where it cannot be read."""
    with contextlib.suppress(OSError), _opened(path) as file:
        return str(_header(file.readline(_LONGEST_HEADER)).get("of", ""))
    return ""


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
