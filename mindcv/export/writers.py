"""Writes a network to a file, one function a format. Paths are plain, as MindSpore demands; see `exporter`."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn

INPUT_NAME = "image"
_INSTALL = "pip install 'mindcv[export]'"

__all__ = ["INPUT_NAME", "check_onnx", "require_onnx", "write_air", "write_mindir", "write_onnx"]


def write_mindir(network: nn.Cell, images: Tensor, path: str, key: bytes | None = None, enc_mode: str = "") -> None:
    """Writes MindSpore's own graph format.

    Args:
        network: A fresh network whose `construct` has one argument, `image`.
        images: The input, with None for an unknown batch size in its shape.
        path: The file to write.
        key: Key of 16, 24 or 32 bytes to encrypt the file with.
        enc_mode: AES-GCM, AES-CBC or SM4-CBC.

    Raises:
        ValueError: The network is so large that MindSpore splits it into several files.
    """
    encryption = {"enc_key": key, "enc_mode": enc_mode} if key else {}
    with _syntax_level_kept():
        ms.export(network, images, file_name=path, file_format="MINDIR", **encryption)
    if not os.path.isfile(path):
        raise ValueError("MindSpore splits a MINDIR of more than 1 GB into several files; use fp16 weights, or onnx")


def write_onnx(network: nn.Cell, images: Tensor, path: str, output_name: str) -> None:
    """Writes ONNX, by MindSpore's present function where there is one (2.7.2 and later), else by the older one.

    Args:
        network: A fresh network.
        images: The input, with None for an unknown batch size in its shape.
        path: The file to write.
        output_name: Name of the output.

    Raises:
        ValueError: A layer cannot be written to ONNX, or the batch size is unknown and MindSpore is too old for that.
    """
    export: Any = getattr(getattr(ms, "onnx", None), "export", None)
    try:
        with _syntax_level_kept():
            if export is None:
                _write_onnx_before_2_7_2(network, images, path, output_name)
                return
            export(
                network,
                images,
                file_name=path,
                input_names=[INPUT_NAME],
                output_names=[output_name],
                dynamic_axes={INPUT_NAME: {0: "batch"}} if -1 in images.shape else None,
            )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        if "convert map" not in reason:
            raise
        raise ValueError(
            f"a layer cannot be written to ONNX ({reason}); write it with other operators, or add an equal one to "
            "mindcv.export.swaps.SWAPS"
        ) from error


def _write_onnx_before_2_7_2(network: nn.Cell, images: Tensor, path: str, output_name: str) -> None:
    """The older function knows fixed shapes only and names of its own."""
    if -1 in images.shape:
        raise ValueError(
            f"MindSpore {ms.__version__} writes ONNX for a fixed batch size only; give a number, or use 2.7.2 or later"
        )
    ms.export(network, images, file_name=path, file_format="ONNX")
    import onnx

    model = onnx.load(path)
    names = {model.graph.input[0].name: INPUT_NAME, model.graph.output[0].name: output_name}
    for value in (model.graph.input[0], model.graph.output[0]):
        value.name = names[value.name]
    for node in model.graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    os.remove(path)  # MindSpore leaves it read-only
    onnx.save(model, path)


def require_onnx() -> None:
    """Imports what an ONNX export is checked with.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ImportError(f"an ONNX export is verified with onnx and onnxruntime ({error}); {_INSTALL}") from error


def check_onnx(path: str) -> None:
    """Runs ONNX's own checker, with shape inference.

    Raises:
        ValueError: The file is not valid ONNX.
    """
    import onnx

    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(f"MindSpore wrote invalid ONNX: {str(error).strip().splitlines()[0]}") from error


def write_air(network: nn.Cell, images: Tensor, path: str) -> None:
    """Writes the Ascend backend's graph format. Not measured here: it needs an Ascend device.

    Raises:
        ValueError: This process does not run on Ascend.
    """
    device = ms.get_context("device_target")
    if device != "Ascend":
        raise ValueError(
            f"format 'air' is written by the Ascend backend only, and this device is {device}; run the command on an "
            "Ascend host, or export 'mindir' and convert that there with scripts/lite_convert.sh"
        )
    with _syntax_level_kept():
        ms.export(network, images, file_name=path, file_format="AIR")


@contextlib.contextmanager
def _syntax_level_kept() -> Iterator[None]:
    """`ms.export` makes the graph parser strict, and leaves it so when it fails."""
    level = ms.get_context("jit_syntax_level")
    try:
        yield
    finally:
        ms.set_context(jit_syntax_level=level)
