"""CPU kernels in C and C++, which are built where there is a compiler; everything works without them, more slowly.

Each is a shared library beside this file, built by setup.py as an optional extension and run by MindSpore as an
`ops.Custom` operator of the kind "aot", which takes the library's path and a function's name. `MINDCV_CPU_KERNELS=0`
leaves all of them unused.
"""

import ctypes
import functools
import importlib.machinery
import os
import sys
from pathlib import Path

from ..utils.switches import is_on

__all__ = ["KERNELS", "REBUILD", "built_library", "describe_kernels", "is_current", "is_enabled", "library"]

# Library -> what it computes.
KERNELS = {"multi_tensor": "updates of all parameters at once", "convolution": "convolution and BatchNorm"}
# Library -> its `interface`: that changes with its functions and what they take.
_INTERFACES = {"multi_tensor": 4, "convolution": 9}
REBUILD = "built from other sources; rebuild it by `pip install -e .` or `python setup.py build_ext --inplace`"

_FOLDER = Path(__file__).resolve().parent
# With it set, MindSpore runs no library outside of that folder.
_ALLOWED_FOLDER = "MS_CUSTOM_AOT_WHITE_LIST"


def is_enabled() -> bool:
    """Whether kernels may be used at all."""
    return is_on("MINDCV_CPU_KERNELS", default=True)


def built_library(name: str) -> Path | None:
    """Returns a kernel library's file, None where it was not built.

    Args:
        name: A name of `KERNELS`.
    """
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = _FOLDER / f"_{name}{suffix}"
        if path.is_file():
            return path
    return None


def is_current(name: str) -> bool:
    """Returns whether a kernel library was built, from the sources of this version.

    Args:
        name: A name of `KERNELS`.
    """
    path = built_library(name)
    return path is not None and _interface(str(path)) == _INTERFACES[name]


@functools.cache
def _interface(path: str) -> int | None:
    """A library's number; None of one that is not of this machine, or of before there were numbers."""
    try:
        return ctypes.c_int.in_dll(ctypes.CDLL(path), "interface").value
    except (OSError, ValueError):
        return None


def library(name: str) -> str | None:
    """Returns the path of a kernel library that operators may use here and now, None where they must do without.

    Args:
        name: A name of `KERNELS`.
    """
    if not is_enabled() or sys.platform != "linux":
        return None
    import mindspore as ms

    path = built_library(name)
    if path is None or not is_current(name) or ms.get_context("device_target") != "CPU":
        return None
    allowed = os.environ.get(_ALLOWED_FOLDER)
    if allowed is not None and not path.is_relative_to(Path(allowed).resolve()):
        return None
    return str(path)


def describe_kernels() -> str:
    """Returns one line for `mindcv doctor`: what is built, and whether it is used."""
    states = (f"{name} ({what}): {_state(name)}" for name, what in KERNELS.items())
    return f"{'on' if is_enabled() else 'off (MINDCV_CPU_KERNELS)'}; " + ", ".join(states)


def _state(name: str) -> str:
    if built_library(name) is None:
        return "not built"
    return "built" if is_current(name) else REBUILD
