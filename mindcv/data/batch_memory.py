"""Memory of batches, which is used again once nobody has the batch any more.

A batch of 128 images takes 19 MB. Asked of the system anew for each, as many pages would be cleared and mapped, and
what several threads give back to the C library would leave holes there.
"""

import contextlib
import math
import mmap
from collections import deque

import numpy as np

__all__ = ["BatchMemory"]

# Batches whose memory is kept for later ones: the next ones of two threads.
_MOST_FREE = 2


class BatchMemory:
    """Gives arrays, in the memory of earlier ones that are gone. Any thread may call it."""

    def __init__(self) -> None:
        self._free: deque[np.ndarray] = deque(maxlen=_MOST_FREE)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Returns an array of any content, as `np.empty` does."""
        size = math.prod(shape) * dtype.itemsize
        try:
            memory = self._free.pop()
        except IndexError:
            memory = None
        if memory is None or len(memory) < size:
            memory = _new_memory(size)
        return np.asarray(_Lent(self._free, memory, memory[:size].view(dtype).reshape(shape)))


class _Lent:
    """What an array in lent memory, and all views of it, hold on to; it gives the memory back with the last of them."""

    def __init__(self, free: deque[np.ndarray], memory: np.ndarray, array: np.ndarray) -> None:
        self._free, self._memory = free, memory
        self.__array_interface__ = array.__array_interface__

    def __del__(self) -> None:
        self._free.append(self._memory)


def _new_memory(size: int) -> np.ndarray:
    """Memory of the system, uint8 (size,), which it has back as soon as it is not kept, unlike that of the heap."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):  # Windows
        return np.empty(size, np.uint8)
    area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without large pages, which are only quicker
            area.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(area, np.uint8)
