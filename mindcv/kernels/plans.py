"""oneDNN's primitives for a graph that is known, made while MindSpore loads it.

The kernels make each when it is first needed, which costs the first step as long as generating the code takes.
"""

import ctypes
import threading

from ..utils.cores import usable_cores
from .onednn import loaded, start

__all__ = ["make_plans", "plans_made"]

# A plan's key has 24 numbers of 8 bytes (_plans.h).
_KEY_BYTES = 24 * 8
_MOST_PLANS = 2048


def plans_made() -> bytes:
    """Returns what this process has had the kernels compute so far, for `make_plans`; empty without kernels."""
    path = start().path
    if path is None:
        return b""
    keys = (ctypes.c_int64 * (_MOST_PLANS * _KEY_BYTES // 8))()
    count = min(loaded(path).mindcv_plan_keys(keys, _MOST_PLANS), _MOST_PLANS)
    return bytes(keys)[: count * _KEY_BYTES]


def make_plans(plans: bytes) -> threading.Thread | None:
    """Lets a thread make what `plans_made` returned in another process.

    Returns:
        The thread; None where there is nothing to do, or one core only.
    """
    count = min(len(plans) // _KEY_BYTES, _MOST_PLANS)
    path = start().path if count else None
    if path is None or usable_cores() < 2:
        return None
    keys = (ctypes.c_int64 * (count * _KEY_BYTES // 8)).from_buffer_copy(plans)
    thread = threading.Thread(target=loaded(path).mindcv_make_plans, args=(keys, count), daemon=True)
    thread.start()
    return thread
