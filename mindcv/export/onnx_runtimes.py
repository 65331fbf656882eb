"""What runs an ONNX file: onnxruntime, or OpenVINO, which computes in bf16 too where the processor does."""

import dataclasses
import importlib.util
import logging
import os
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np

from ..utils.registry import unknown_name_message
from ..utils.runtime import multiplies_int8, without_isa_limit
from ._groups import with_whole_blocks
from .info import ExportInfo

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "OnnxRuntime",
    "Run",
    "UnloadableError",
    "choose_runtime",
    "fallback",
    "is_installed",
    "load_onnx",
]

_logger = logging.getLogger(__name__)

# Images (N, C, H, W) to scores or probabilities (N, num_classes).
Run = Callable[[np.ndarray], np.ndarray]

AUTO, ONNXRUNTIME, OPENVINO = "auto", "onnxruntime", "openvino"
RUNTIMES = (AUTO, ONNXRUNTIME, OPENVINO)
FP32, BF16 = "fp32", "bf16"
PRECISIONS = (FP32, BF16)

_INSTALL = {ONNXRUNTIME: "pip install 'mindcv[export]'", OPENVINO: "pip install 'mindcv[openvino]'"}
_INT8 = "auto: the file is int8"


class UnloadableError(ValueError):
    """A runtime cannot load a file, or computes something else.

    Args:
        message: What is told to who asked for the runtime.
        reason: Why another one runs the file, where nobody asked.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class OnnxRuntime:
    """What runs an ONNX file.

    Attributes:
        name: onnxruntime or openvino.
        precision: fp32 or bf16: what is computed in where the file does not say int8.
        reason: Why it was chosen; '' when it was asked for by name.
    """

    name: str
    precision: str = FP32
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name} {metadata.version(self.name)}, {self.precision}{self.reason and f' ({self.reason})'}"


def choose_runtime(path: Path, info: ExportInfo, runtime: str = AUTO, precision: str = FP32) -> OnnxRuntime | None:
    """Returns what is to run an exported file; None for a MINDIR, which MindSpore runs.

    `auto` is OpenVINO for bf16, and for int8 where it is installed and the processor has VNNI, since it runs that
    faster; else onnxruntime, or whichever of them is installed.

    Raises:
        ImportError: The runtime is not installed.
        ValueError: There is no such runtime or precision, or the runtime cannot do it.
    """
    if runtime not in RUNTIMES:
        raise ValueError(unknown_name_message("runtime", runtime, RUNTIMES))
    if precision not in PRECISIONS:
        raise ValueError(unknown_name_message("precision", precision, PRECISIONS))
    if info.format != "onnx":
        if runtime != AUTO or precision != FP32:
            raise ValueError(f"{path}: MindSpore runs a {info.format}; runtime and precision are for ONNX files")
        return None
    reason = ""
    if runtime == AUTO:
        if precision == BF16:
            runtime, reason = OPENVINO, "auto: bf16"
        elif info.weights_dtype == "int8" and is_installed(OPENVINO) and multiplies_int8() is not False:
            runtime, reason = OPENVINO, _INT8
        elif is_installed(ONNXRUNTIME) or not is_installed(OPENVINO):
            runtime, reason = ONNXRUNTIME, "auto"
        else:
            runtime, reason = OPENVINO, "auto: onnxruntime is not installed"
    if precision == BF16 and runtime == ONNXRUNTIME:
        raise ValueError(f"onnxruntime does not compute in bf16; use runtime openvino ({_INSTALL[OPENVINO]})")
    if not is_installed(runtime):
        raise ImportError(f"{path}: {runtime} is not installed; {_INSTALL[runtime]}")
    if runtime == OPENVINO and info.weights_dtype == "int8" and multiplies_int8() is False:
        raise ValueError(
            f"{path}: OpenVINO's int8 sums overflow here, as this processor has no VNNI, or ONEDNN_MAX_CPU_ISA forbids "
            f"it; use runtime {ONNXRUNTIME} ({_INSTALL[ONNXRUNTIME]})"
        )
    return OnnxRuntime(runtime, precision, reason)


def fallback(runtime: OnnxRuntime | None, error: UnloadableError) -> OnnxRuntime | None:
    """Returns what runs a file that `auto` chose OpenVINO for because it is the faster one, and that is not to be run.

    It cannot load some files in int8 (CaiT, RepMLP and Swin v2 with OpenVINO 2026.4), and computes others wrongly.
    None: there is nothing else.
    """
    if runtime is None or runtime.reason != _INT8 or not is_installed(ONNXRUNTIME):
        return None
    return OnnxRuntime(ONNXRUNTIME, runtime.precision, f"auto: {error.reason}")


def load_onnx(path: Path, info: ExportInfo, runtime: OnnxRuntime, shares_cores: bool = False) -> Run:
    """Loads an ONNX file and returns how to run a batch of the size it takes.

    Raises:
        ImportError: The package onnx, which reads it, is not installed.
        ValueError: The file cannot be loaded, or it is not what its JSON says.
    """
    _logger.debug("runtime: %s", runtime)
    if runtime.name == OPENVINO:
        return _load_in_openvino(path, info, runtime.precision)
    return _load_in_onnxruntime(path, info, shares_cores)


def _load_in_onnxruntime(path: Path, info: ExportInfo, shares_cores: bool) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _cores()
    if shares_cores:  # its threads sleep where they would spin
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # int8 products of a processor without VNNI would overflow.
    options.add_session_config_entry("session.x64quantprecision", "1")
    # It would quantise convolutions that the file leaves in float, by tensor, which depthwise ones do not bear.
    disabled = ["WeightBiasQuantization"] if info.weights_dtype == "int8" else []
    source = with_whole_blocks(path)
    try:
        session = onnxruntime.InferenceSession(
            source, options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled
        )
    except Exception as error:  # it raises classes of its own that share no base
        raise ValueError(f"{path}: onnxruntime cannot load it: {_first_line(error)}") from error
    _check_names(
        path, info, [value.name for value in session.get_inputs()], [value.name for value in session.get_outputs()]
    )

    def run(images: np.ndarray) -> np.ndarray:
        try:
            return session.run([info.output_name], {info.input_name: images})[0]
        except Exception as error:
            raise ValueError(f"{path}: onnxruntime cannot run it: {_first_line(error)}") from error

    return run


def _load_in_openvino(path: Path, info: ExportInfo, precision: str) -> Run:
    import openvino

    options = {
        # Without it OpenVINO takes bf16 by itself where it is fast.
        "INFERENCE_PRECISION_HINT": {FP32: "f32", BF16: "bf16"}[precision],
        "INFERENCE_NUM_THREADS": _cores(),
        # All threads on one batch: it has as many images as the caller likes to wait for.
        "PERFORMANCE_HINT": "LATENCY",
    }
    source = with_whole_blocks(path)
    with without_isa_limit():
        core = openvino.Core()
        if precision == BF16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError("this processor does not compute in bf16 (it has neither AVX512-BF16 nor AMX); use fp32")
    try:
        with without_isa_limit():
            compiled = core.compile_model(core.read_model(source), "CPU", options)
            first = np.zeros((info.batch_size or 1, *info.input_shape[1:]), info.input_dtype)
            compiled.create_infer_request().infer({0: first})  # makes its kernels
    except Exception as error:
        other = f"; use runtime {ONNXRUNTIME}" if info.weights_dtype == "int8" else ""
        raise UnloadableError(
            f"{path}: OpenVINO cannot load it: {_first_line(error)}{other}", "OpenVINO cannot load the file"
        ) from error
    _check_names(
        path,
        info,
        [name for port in compiled.inputs for name in port.get_names()],
        [name for port in compiled.outputs for name in port.get_names()],
    )
    own = threading.local()  # a request is for one thread at a time

    def run(images: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        try:
            return own.request.infer({info.input_name: images})[info.output_name]
        except Exception as error:
            raise ValueError(f"{path}: OpenVINO cannot run it: {_first_line(error)}") from error

    return run


def _check_names(path: Path, info: ExportInfo, inputs: list[str], outputs: list[str]) -> None:
    for what, names, expected in (("input", inputs, info.input_name), ("output", outputs, info.output_name)):
        if names != [expected]:
            raise ValueError(f"{path}: has the {what} {', '.join(names)}, but its JSON says {expected}; export again")


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def _cores() -> int:
    """Cores that this process may use; the runtimes' own defaults count others too. 0 leaves it to them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def _first_line(error: Exception) -> str:
    """The first line that says something: OpenVINO's begin with places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from ", "Check '"))]
    return (told or lines or [type(error).__name__])[0]
