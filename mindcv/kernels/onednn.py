"""Starts the kernels that work over the oneDNN library of MindSpore's wheel, and says whether they can be used."""

import contextlib
import ctypes
import functools
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..utils.cores import usable_cores
from ..utils.runtime import ONEDNN_ISA_VARIABLE, cpu_runtime_state, has_avx512, onednn_library
from . import REBUILD, built_library, is_current, is_enabled, library

_logger = logging.getLogger(__name__)

__all__ = ["STARTING", "Status", "begin", "loaded", "start"]

# Held by the thread that starts the kernels, and while the process forks.
STARTING = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=STARTING.acquire, after_in_parent=STARTING.release, after_in_child=STARTING.release)

_NAME = "convolution"
# oneDNN's words for what a processor has, by bit.
_AVX2 = 0x4
_BF16 = 0x80
_ISA = {_AVX2: "AVX2", 0x20: "AVX-512", 0x40: "VNNI", _BF16: "BF16", 0x100: "AMX"}


@dataclass(frozen=True)
class Status:
    """Whether convolutions run by the kernels.

    Attributes:
        path: The library that operators name; None where they do not.
        text: What runs, or why nothing does, in a line.
        has_bf16: Whether the processor multiplies in bfloat16.
    """

    path: str | None
    text: str
    has_bf16: bool = False


def begin() -> None:
    """Lets a thread start the kernels: copying and loading oneDNN needs nothing of what a network is built by."""
    threading.Thread(target=start, daemon=True).start()


def start() -> Status:
    """Starts the kernels, once in a process, and says how that went."""
    with STARTING:
        return _start()


@functools.cache
def _start() -> Status:
    if not is_enabled():
        return Status(None, "off (MINDCV_CPU_KERNELS)")
    if built_library(_NAME) is None:
        return Status(None, "not built (no C++ compiler when mindcv was installed)")
    if not is_current(_NAME):
        _logger.warning("CPU kernels of convolutions: %s; MindSpore's convolution is used", REBUILD)
        return Status(None, f"off ({REBUILD}; MindSpore's convolution is used)")
    path = library(_NAME)
    if path is None:
        return Status(None, "off (not this device, or outside of MS_CUSTOM_AOT_WHITE_LIST)")
    onednn = onednn_library()
    if onednn is None:
        return Status(None, "off (this MindSpore has no oneDNN 3: 2.9 and later have it)")
    version, problem = (ctypes.c_int * 3)(), ctypes.create_string_buffer(512)
    try:
        kernels = loaded(path)
        with _own_copy(onednn) as copy:
            failed = kernels.mindcv_start(
                *(os.fsencode(copy or onednn), usable_cores(), int(copy is not None), version, problem, len(problem))
            )
    except (OSError, AttributeError) as error:
        return Status(None, f"off ({path}: {str(error).splitlines()[0]})")
    name = f"oneDNN {'.'.join(map(str, version))}"
    if failed:
        return Status(None, f"off ({name}: {problem.value.decode(errors='replace')})")
    isa = kernels.mindcv_isa()
    if not isa & _AVX2:
        return Status(None, "off (this processor has no AVX2)")
    has = " ".join(word for bit, word in _ISA.items() if isa & bit == bit)
    return Status(path, f"on ({name}, {has}, threads: {usable_cores()})", bool(isa & _BF16))


@functools.cache
def loaded(path: str) -> ctypes.CDLL:
    """The library in this process: the same one that MindSpore opens by this path."""
    return ctypes.CDLL(path)


@contextlib.contextmanager
def _own_copy(onednn: Path) -> Iterator[Path | None]:
    """A file with another oneDNN for the kernels, where mindcv holds MindSpore's to AVX2 (`utils.runtime`); else None.

    The limit is the library's in memory, and the loader gives a process one library for one file. The file is there
    until the library is loaded.
    """
    held = any(entry.startswith(ONEDNN_ISA_VARIABLE) for entry in cpu_runtime_state()["set_by_mindcv"])  # type: ignore[attr-defined]
    with contextlib.ExitStack() as stack:
        copy = None
        if held and has_avx512():
            try:
                copy = _new_file(stack)
                shutil.copyfile(onednn, copy)
            except OSError as error:
                _logger.warning("CPU kernels: no second oneDNN (%s), so they use AVX2 only", error)
                copy = None
        yield copy


def _new_file(stack: contextlib.ExitStack) -> Path:
    """An empty file that may be run: in memory where the folder for temporary files is mounted noexec."""
    if os.statvfs(tempfile.gettempdir()).f_flag & os.ST_NOEXEC:
        descriptor = os.memfd_create("mindcv-onednn")
        stack.callback(os.close, descriptor)
        return Path(f"/proc/self/fd/{descriptor}")
    descriptor, name = tempfile.mkstemp(prefix="mindcv-onednn-", suffix=".so")
    os.close(descriptor)
    stack.callback(os.unlink, name)
    return Path(name)
