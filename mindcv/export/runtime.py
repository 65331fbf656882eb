"""Networks ready to run, whatever they come from: a live one, a MINDIR or an ONNX file. All give scores as numpy."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ..utils.fs import local_path
from ..utils.runtime import prepare_cpu_runtime
from .info import ExportInfo, read_info
from .int8_check import check_int8
from .onnx_runtimes import (
    AUTO,
    FP32,
    ONNXRUNTIME,
    OPENVINO,
    OnnxRuntime,
    Run,
    UnloadableError,
    choose_runtime,
    fallback,
    load_onnx,
)

__all__ = ["KEY_FILE_VARIABLE", "ExportedModel", "Run", "is_exported_file", "live_run", "load_run", "read_key"]

_logger = logging.getLogger(__name__)

KEY_FILE_VARIABLE = "MINDCV_KEY_FILE"
_SUFFIXES = (".mindir", ".onnx")


class ExportedModel:
    """An exported file and how to run it; called with images of any number, it gives as many rows.

    Args:
        path: The .mindir or .onnx file; its JSON has to be beside it.
        key: Key of an encrypted file. None: that of the file which `MINDCV_KEY_FILE` names.
        shares_cores: Whether other threads work meanwhile; onnxruntime's then sleep where they would spin.
        runtime: What runs an ONNX file: `onnxruntime`, `openvino`, or `auto`, see `choose_runtime`.
        precision: `fp32`, or `bf16` where the processor computes in it and the runtime is OpenVINO.

    Attributes:
        runtime: What runs an ONNX file, and why it was chosen; None for a MINDIR, which MindSpore runs.

    Raises:
        FileNotFoundError: The file or its JSON is not there.
        ImportError: The runtime is not installed.
        ValueError: The file is damaged, the key is missing or wrong, or the runtime cannot do what is asked.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key: bytes | None = None,
        *,
        shares_cores: bool = False,
        runtime: str = AUTO,
        precision: str = FP32,
    ) -> None:
        self.path = local_path(path)
        self.info = read_info(self.path)
        self.runtime = choose_runtime(self.path, self.info, runtime, precision)
        if self.info.encryption and key is None:
            key_file = os.environ.get(KEY_FILE_VARIABLE)
            if not key_file:
                raise ValueError(
                    f"{path} is encrypted ({self.info.encryption}); name the file with its key in {KEY_FILE_VARIABLE}"
                )
            key = read_key(key_file)
        try:
            self._run = load_run(self.path, self.info, key, self.runtime, shares_cores)
        except UnloadableError as error:
            other = fallback(self.runtime, error)
            if other is None:
                raise
            _logger.debug("%s", error)
            self.runtime = other
            self._run = load_run(self.path, self.info, key, other, shares_cores)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return in_batches(self._run, images, self.info.batch_size)


def is_exported_file(name: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a file which `ExportedModel` runs."""
    return os.fspath(name).lower().endswith(_SUFFIXES)


def in_batches(run: Run, images: np.ndarray, batch_size: int | None) -> np.ndarray:
    """Runs images in batches of exactly that many, the last one filled up; None runs all at once."""
    if batch_size is None or len(images) == batch_size:
        return run(images)
    scores = []
    for begin in range(0, len(images), batch_size):
        part = images[begin : begin + batch_size]
        filling = np.repeat(part[-1:], batch_size - len(part), axis=0)
        scores.append(run(np.concatenate([part, filling]))[: len(part)])
    return np.concatenate(scores)


def in_sizes(run: Run, images: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Runs images in batches of these sizes, 1 among them, the largest that fits first; none is filled up."""
    scores, begin = [], 0
    while begin < len(images):
        size = max(size for size in sizes if size <= len(images) - begin)
        scores.append(run(images[begin : begin + size]))
        begin += size
    return np.concatenate(scores)


def live_run(network: nn.Cell) -> Run:
    """Returns how to run a network as it is, in evaluation and in the mode that is set."""
    prepare_cpu_runtime()

    def run(images: np.ndarray) -> np.ndarray:
        was_training = network.training
        network.set_train(False)
        output = network(Tensor(images))
        network.set_train(was_training)
        if isinstance(output, (tuple, list)):  # auxiliary heads come after the main one
            output = output[0]
        return output.asnumpy().astype(np.float32)

    return run


def load_run(
    path: Path,
    info: ExportInfo,
    key: bytes | None = None,
    runtime: OnnxRuntime | None = None,
    shares_cores: bool = False,
) -> Run:
    """Loads an exported file and returns how to run a batch of the size it takes.

    Args:
        path: The file.
        info: What its JSON says.
        key: Key of an encrypted MINDIR.
        runtime: What runs an ONNX file. None: onnxruntime.
        shares_cores: See `ExportedModel`.

    Raises:
        ImportError: The runtime is not installed.
        ValueError: The file cannot be loaded.
    """
    if info.format == "mindir":
        return _load_mindir(path, info, key)
    runtime = runtime or OnnxRuntime(ONNXRUNTIME)
    run = load_onnx(path, info, runtime, shares_cores)
    if runtime.name == OPENVINO and info.weights_dtype == "int8":
        check_int8(path, info, run)
    return run


def _load_mindir(path: Path, info: ExportInfo, key: bytes | None) -> Run:
    prepare_cpu_runtime()
    decryption = {"dec_key": key, "dec_mode": info.encryption} if info.encryption else {}
    try:
        network = nn.GraphCell(ms.load(str(path), **decryption))
    except RuntimeError as error:
        reason = (
            "the key is wrong, or the file is damaged" if info.encryption else "it is damaged, or of a newer MindSpore"
        )
        raise ValueError(f"{path}: MindSpore {ms.__version__} cannot load it: {reason}") from error
    return lambda images: network(Tensor(images)).asnumpy()


def read_key(path: str | os.PathLike[str]) -> bytes:
    """Reads a key for `enc_key`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not 16, 24 or 32 bytes long.
    """
    source = local_path(path)
    if not source.is_file():
        raise FileNotFoundError(f"{path}: there is no such key file")
    key = source.read_bytes()
    if len(key) not in (16, 24, 32):
        raise ValueError(f"{path}: a key has 16, 24 or 32 bytes, this file has {len(key)}")
    return key
