"""The CPU runtime's switches that MindSpore leaves in a slow position; benchmarks/train_step.py measures them.

`MINDCV_CPU_RUNTIME=0` leaves everything as MindSpore has it. A variable that the user has set is never changed.
"""

import contextlib
import functools
import importlib.metadata
import importlib.util
import logging
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .._version import __version__
from .cores import usable_cores
from .switches import is_on

_logger = logging.getLogger(__name__)

ONEDNN_ISA_VARIABLE = "ONEDNN_MAX_CPU_ISA"
# The limit that mindcv set: a process started from here inherits both, and knows that the limit is not the user's.
_OWN_LIMIT_VARIABLE = "MINDCV_ONEDNN_LIMIT"
# Flags of processors that add products of int8 in 32 bits, and the limits of oneDNN that leave none of it.
_INT8_FLAGS = {"avx_vnni", "avx512_vnni", "amx_int8"}
_ISAS_WITHOUT_INT8 = {"SSE41", "AVX", "AVX2", "AVX512_CORE"}
_CPUINFO = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")
_done: list[str] = []
_state = {"environment": False, "blocking": False, "logged": False}


def is_enabled() -> bool:
    """Whether mindcv may set the CPU runtime's switches."""
    return is_on("MINDCV_CPU_RUNTIME", default=True)


def has_avx512() -> bool:
    """Whether this machine's processor has AVX-512 (Linux; False where it cannot be told)."""
    try:
        return "avx512f" in _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


@functools.cache
def onednn_library() -> Path | None:
    """Returns the oneDNN 3 of MindSpore's wheel, without importing MindSpore; None before 2.9, which has oneDNN 2."""
    spec = importlib.util.find_spec("mindspore")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "lib" / "libdnnl.so.3"
    return path if path.is_file() else None


def multiplies_int8() -> bool | None:
    """Whether oneDNN multiplies int8 numbers here without overflow: on x86 that takes VNNI or AMX.

    None where it cannot be told: no Linux, or no x86.
    """
    try:
        found = re.search(r"^flags\s*: (.+)$", _CPUINFO.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    except OSError:
        found = None
    if found is None:
        return None
    limit = os.environ.get(ONEDNN_ISA_VARIABLE)
    is_users = limit is not None and not _is_own(limit)
    return not _INT8_FLAGS.isdisjoint(found[1].split()) and not (is_users and limit.upper() in _ISAS_WITHOUT_INT8)


def prepare_cpu_environment() -> None:
    """Keeps oneDNN 3 off its reference convolution, 50 times too slow, on AVX-512 processors (MindSpore 2.9, 2.10).

    oneDNN reads the variable when its first primitive is made, so this works at any time before the first convolution.
    It touches the host's kernels only and has no effect on Ascend or GPU.
    """
    if _state["environment"] or not is_enabled():
        return
    _state["environment"] = True
    if ONEDNN_ISA_VARIABLE not in os.environ and has_avx512() and onednn_library() is not None:
        os.environ[ONEDNN_ISA_VARIABLE] = os.environ[_OWN_LIMIT_VARIABLE] = "AVX2"
    limit = os.environ.get(ONEDNN_ISA_VARIABLE)
    if limit is not None and _is_own(limit):
        _done.append(f"{ONEDNN_ISA_VARIABLE}={limit}")


@contextlib.contextmanager
def without_isa_limit() -> Iterator[None]:
    """Takes back what `prepare_cpu_environment` set, while another library with a oneDNN of its own makes its kernels.

    OpenVINO's would be held to AVX2 too, where it has neither bf16 nor VNNI. A limit that the user has set stays.
    """
    limit = os.environ.get(ONEDNN_ISA_VARIABLE)
    if limit is None or not _is_own(limit):
        yield
        return
    del os.environ[ONEDNN_ISA_VARIABLE]
    try:
        yield
    finally:
        os.environ[ONEDNN_ISA_VARIABLE] = limit


def _is_own(limit: str) -> bool:
    """Whether a limit of oneDNN is the one that mindcv set."""
    return limit == os.environ.get(_OWN_LIMIT_VARIABLE)


def prepare_cpu_runtime() -> None:
    """Prepares a CPU run, once: the environment above, and operators launched without a thread hand-off (4 ms each)."""
    prepare_cpu_environment()
    if is_enabled() and not _state["blocking"]:
        import mindspore as ms

        _state["blocking"] = True
        if ms.get_context("device_target") == "CPU":
            ms.runtime.launch_blocking()
            _done.append("launch_blocking")
    if _done and not _state["logged"]:
        _state["logged"] = True
        _logger.info("CPU runtime: set %s (MINDCV_CPU_RUNTIME=0 leaves it alone)", ", ".join(_done))


@contextlib.contextmanager
def eager_mode() -> Iterator[None]:
    """PyNative mode for a while: hooks are not called in graph mode. The mode is one for all threads."""
    import mindspore as ms

    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        yield
    finally:
        ms.set_context(mode=mode)


def cpu_runtime_state() -> dict[str, object]:
    """What was set by mindcv and what is in force, for `mindcv doctor`."""
    return {
        "enabled": is_enabled(),
        "avx512": has_avx512(),
        ONEDNN_ISA_VARIABLE: os.environ.get(ONEDNN_ISA_VARIABLE),
        "set_by_mindcv": list(_done),
    }


def environment() -> dict[str, str]:
    """Returns versions and machine, for a run's log; no name of a host or user."""
    facts = {"mindcv": __version__, "python": platform.python_version()}
    for name in ("mindspore", "numpy", "pillow"):
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = usable_cores()
    return {**facts, "platform": platform.platform(), "processor": _processor(), "cores": str(cores)}


def _processor() -> str:
    try:
        found = re.search(
            r"^model name\s*: (.+)$", _CPUINFO.read_text(encoding="utf-8", errors="replace"), re.MULTILINE
        )
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def peak_memory_mb() -> dict[str, float]:
    """Returns the most memory that this process has used so far, in MiB.

    `host_peak_mb` is the resident set. `device_peak_mb` is what tensors took on an Ascend or GPU, and is not there on a
    CPU, where MindSpore counts nothing. With several ranks each has its own figures.
    """
    peak = {"host_peak_mb": _host_peak_bytes() / 2**20}
    if "mindspore" in sys.modules:
        import mindspore as ms

        if ms.get_context("device_target") != "CPU":
            peak["device_peak_mb"] = ms.runtime.max_memory_allocated() / 2**20
    return peak


def _host_peak_bytes() -> int:
    """The largest resident set of this process."""
    if _STATUS.exists():
        # Not getrusage: on Linux a new process starts there from the peak of the one that started it.
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="utf-8"))
        if found:
            return 1024 * int(found.group(1))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
