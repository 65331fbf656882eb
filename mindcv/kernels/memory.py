"""Gives memory its pages before the first step needs them, and takes them from what is free after compiling.

Memory that nobody has written to yet has no pages: the first step takes some 100,000 page faults for its activations
and the optimizer's states, in all threads at once. A thread that does it while MindSpore loads a graph costs nothing.
"""

import ctypes
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..utils.cores import usable_cores
from . import library
from .onednn import loaded

__all__ = ["bytes_behind", "give_back", "populate", "resident_bytes"]

_LIBRARY = "multi_tensor"
_MAPS, _DETAILS = Path("/proc/self/maps"), Path("/proc/self/smaps")
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) ")
_RESIDENT = re.compile(r"Rss:\s+(\d+) kB")


def populate(ranges: Sequence[tuple[int, int]]) -> threading.Thread | None:
    """Lets a thread give ranges of memory their pages; what is in them does not change.

    Args:
        ranges: Addresses and bytes. What is not this process's is left alone.

    Returns:
        The thread, which does nothing on a Linux before 5.14; None where the library is not used, or on one core.
    """
    path = library(_LIBRARY)
    if path is None or usable_cores() < 2 or not ranges:
        return None
    starts = (ctypes.c_size_t * len(ranges))(*(start for start, _ in ranges))
    sizes = (ctypes.c_size_t * len(ranges))(*(size for _, size in ranges))
    kernels = loaded(path)
    kernels.prepare_populate()
    thread = threading.Thread(target=kernels.populate, args=(len(ranges), starts, sizes), daemon=True)
    thread.start()
    return thread


def give_back() -> None:
    """Takes the pages from what is free in glibc's heap, which keeps them amid what is in use; else does nothing."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(ctypes.c_size_t(0))


def bytes_behind(address: int) -> int:
    """Bytes from an address to the end of the mapping that it lies in; 0 where that cannot be known."""
    for start, end, _ in _mappings(_MAPS):
        if start <= address < end:
            return end - address
    return 0


def resident_bytes(address: int) -> int:
    """Bytes that have pages in the mapping that an address lies in; 0 where that cannot be known."""
    for start, end, resident in _mappings(_DETAILS):
        if start <= address < end:
            return resident
    return 0


def _mappings(path: Path) -> Iterator[tuple[int, int, int]]:
    """Yields start, end and resident bytes of this process's mappings, as far as the file tells them."""
    start = end = 0
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    is_brief = path == _MAPS
    for line in lines:
        if mapping := _MAPPING.match(line):
            start, end = int(mapping[1], 16), int(mapping[2], 16)
            if is_brief:
                yield start, end, 0
        elif resident := _RESIDENT.match(line):
            yield start, end, int(resident[1]) * 1024
