"""What a run needs before its first tensor: device, execution mode, jit level, ranks, seeds."""

import contextlib
import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
import numpy as np

from ..kernels import onednn
from ..utils.registry import unknown_name_message
from ..utils.runtime import prepare_cpu_runtime
from . import distributed

_logger = logging.getLogger(__name__)

__all__ = ["choose_device", "set_execution_mode", "set_seed", "setup_run"]

_NVIDIA_DRIVER = Path("/dev/nvidiactl")
DEVICE_TARGETS = ("Ascend", "GPU", "CPU")
JIT_LEVELS = ("O0", "O1", "O2")


def setup_run(device_target: str, mode: int, jit_level: str | None, distribute: bool, seed: int) -> str:
    """Prepares the process for a run and returns the device target.

    Ranks get different seeds for augmentation and drop-out. The order of the data must have the same one on all ranks,
    so it is handed to `create_dataset`.

    Args:
        device_target: Ascend, GPU, CPU, or auto for the first of these that there is.
        mode: 0 graph mode, 1 PyNative.
        jit_level: O0, O1, O2 or None for MindSpore's default.
        distribute: Join the other workers of a distributed job. Found by itself under msrun.
        seed: Seed of everything random.

    Raises:
        ValueError: The device is not there, or the jit level is not accepted on it.
    """
    device = choose_device(device_target)
    if device == "CPU":
        prepare_cpu_runtime()
    set_execution_mode(mode, jit_level, device)
    if distribute or distributed.is_launched():
        distributed.init_distributed()
    if device == "CPU":
        onednn.begin()  # behind all that sets variables of the environment, which oneDNN reads
    set_seed(seed, distributed.rank())
    ms.dataset.config.set_seed(_of_32_bits(seed + distributed.rank()))
    return device


def choose_device(device_target: str) -> str:
    """Sets the device and returns its name.

    Raises:
        ValueError: The name is unknown, or the installed MindSpore or this machine has no such device.
    """
    if device_target == "auto":
        for candidate in DEVICE_TARGETS[:-1]:
            # Without NVIDIA's driver MindSpore prints errors about its libraries before it says no.
            is_driven = candidate != "GPU" or _NVIDIA_DRIVER.exists()
            with _quiet_search():
                is_there = is_driven and _try_device(candidate) is None
            if is_there:
                return candidate
        candidates: tuple[str, ...] = ("CPU",)
    elif device_target in DEVICE_TARGETS:
        candidates = (device_target,)
    else:
        raise ValueError(unknown_name_message("device_target", device_target, (*DEVICE_TARGETS, "auto")))
    reason = _try_device(candidates[0])
    if reason is not None:
        raise ValueError(
            f"device_target {candidates[0]!r} is not available here ({reason}); "
            "pass --device_target CPU, or auto for the best there is"
        )
    return candidates[0]


@contextlib.contextmanager
def _quiet_search() -> Iterator[None]:
    """Hides what MindSpore warns of an Ascend that is only looked for, unless the user has set the level (GLOG_v)."""
    disabled = logging.root.manager.disable
    if "GLOG_v" not in os.environ:
        # Its logger is made with its first message, so that there is none to set a level of.
        logging.disable(max(disabled, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(disabled)


def _try_device(device: str) -> str | None:
    """Sets the device; returns why that did not work, or None."""
    try:
        ms.set_device(device)
    except (RuntimeError, ValueError) as error:
        # A notebook that has computed something already is on its device for good.
        if "initialized" in str(error) and ms.get_context("device_target") == device:
            return None
        return str(error).splitlines()[0].strip().rstrip(".")
    return None


def set_execution_mode(mode: int, jit_level: str | None, device: str) -> None:
    """Sets graph mode (0) or PyNative (1) and, in graph mode, the compiler's optimisation level.

    Raises:
        ValueError: The mode or level is unknown, or this device or MindSpore does not take it.
    """
    if mode not in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
        raise ValueError(f"mode is {mode!r}; allowed: 0 (graph mode), 1 (PyNative)")
    ms.set_context(mode=mode)
    if jit_level is None:
        return
    if jit_level not in JIT_LEVELS:
        raise ValueError(unknown_name_message("jit_level", jit_level, JIT_LEVELS))
    if jit_level == "O2" and device != "Ascend":
        raise ValueError(f"jit_level 'O2' compiles with GE, which only Ascend has; on {device} use O0 or O1")
    if mode == ms.PYNATIVE_MODE:
        _logger.info("jit_level %s has no effect in PyNative mode (mode 1)", jit_level)
        return
    try:
        ms.set_context(jit_level=jit_level)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"jit_level {jit_level!r} is not accepted by MindSpore {ms.__version__} here: {error}"
        ) from error


def set_seed(seed: int = 42, rank: int | None = 0) -> None:
    """Seeds Python, numpy and MindSpore with `seed + rank`, modulo 2**32."""
    seed = _of_32_bits(seed + (rank or 0))
    random.seed(seed)
    np.random.seed(seed)
    ms.set_seed(seed)


def _of_32_bits(seed: int) -> int:
    """numpy's and MindSpore's seeds have 32 bits, and a rank is added to the largest one as well."""
    return seed % 2**32
