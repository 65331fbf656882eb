"""The options by which commands that run a model are told which one: infer, explain and serve."""

import argparse
import sys
from typing import TYPE_CHECKING

from ._imports import add_import_option

if TYPE_CHECKING:
    from mindcv.export.onnx_runtimes import OnnxRuntime


def add_model_options(parser: argparse.ArgumentParser, takes_exported: bool = True) -> None:
    """Adds `--import`, the model, and what belongs to it; with `takes_exported` it can be an exported file."""
    add_import_option(parser)
    exported = ".mindir or .onnx file of `mindcv export`, " if takes_exported else ""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help=f"{exported}a checkpoint, a model's name, or hf-hub:... or local-dir:...",
    )
    parser.add_argument(
        "-c",
        "--config",
        default="",
        metavar="RECIPE",
        help="a checkpoint's recipe (default: config.yaml beside it), or one that prepares a model's images",
    )
    parser.add_argument(
        "--pretrained",
        nargs="?",
        const="",
        default="",
        metavar="FILE",
        help="for MODEL that is a name: its published weights (the default), or those of a checkpoint, path or address",
    )
    parser.add_argument(
        "--class_names", metavar="FILE", help="text file with one class name a line (default: the model's)"
    )
    if takes_exported:
        parser.add_argument("--key_file", metavar="FILE", help="key of an encrypted mindir")
        parser.add_argument(
            "--runtime",
            metavar="NAME",
            help="what runs an .onnx file: onnxruntime, openvino, or auto (default): openvino for bf16, and for "
            "int8 where it is installed and the processor has VNNI",
        )
        parser.add_argument(
            "--precision", metavar="TYPE", help="fp32 (default), or bf16 by openvino where the processor has it"
        )
    parser.add_argument("--device_target", default="auto", help="Ascend, GPU, CPU or auto (default: auto)")


def say_runtime(runtime: "OnnxRuntime | None", is_asked: bool) -> None:
    """Says on stderr what runs an exported file, where it is not what always does or somebody asked."""
    if runtime is not None and (is_asked or runtime.name != "onnxruntime"):
        print(f"mindcv: runtime: {runtime}", file=sys.stderr)
