"""Memory that gets its pages ahead of its use."""

import ctypes
import mmap
from pathlib import Path

import numpy as np
import pytest

from mindcv.kernels import library, memory

needs_library = pytest.mark.skipif(library("multi_tensor") is None, reason="the kernels were not built")
SIZE = 8 * 2**20


@pytest.fixture
def block():
    """Memory of its own mapping, none of which has a page."""
    with mmap.mmap(-1, SIZE) as block:
        yield block


def address_of(block):
    return np.frombuffer(block, np.uint8).ctypes.data


@needs_library
def test_pages_are_there_and_what_is_in_them_stays(block, monkeypatch):
    monkeypatch.setattr(memory, "usable_cores", lambda: 2)
    block[5] = 7
    address = address_of(block)
    before = memory.resident_bytes(address)
    thread = memory.populate([(address + 3, SIZE // 2 - 3), (0, 1 << 20), (address + SIZE - 10, 10)])
    thread.join()
    if memory.resident_bytes(address) == before:
        pytest.skip("a Linux before 5.14")
    assert SIZE // 2 <= memory.resident_bytes(address) < SIZE
    assert bytes(block[:10]) == bytes([0, 0, 0, 0, 0, 7, 0, 0, 0, 0])
    assert not any(block[10:])


def test_nothing_is_done_with_one_core_or_no_library(block, monkeypatch):
    monkeypatch.setattr(memory, "usable_cores", lambda: 1)
    assert memory.populate([(address_of(block), SIZE)]) is None
    monkeypatch.setattr(memory, "usable_cores", lambda: 2)
    monkeypatch.setattr(memory, "library", lambda name: None)
    assert memory.populate([(address_of(block), SIZE)]) is None


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="no glibc")
def test_what_is_free_amid_the_heap_is_given_back():
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]

    def resident():
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE

    part, count = 64 << 10, 512
    blocks = [libc.malloc(part) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, part)
    for block in blocks[:-1]:
        libc.free(block)
    before = resident()
    memory.give_back()
    assert resident() < before - part * count // 2
    libc.free(blocks[-1])


def test_what_lies_behind_an_address(block):
    address = address_of(block)
    assert memory.bytes_behind(address + 100) >= SIZE - 100
    assert memory.bytes_behind(address) - memory.bytes_behind(address + 100) == 100
    assert memory.bytes_behind(1) == memory.resident_bytes(1) == 0
