"""Export to files that prove themselves, and inference with them or with a live network."""

from .classifier import Classifier, Label, Prediction
from .exporter import export_model
from .info import ExportInfo, info_path, read_info
from .onnx_runtimes import OnnxRuntime, choose_runtime
from .runtime import ExportedModel

__all__ = [
    "Classifier",
    "ExportInfo",
    "ExportedModel",
    "Label",
    "OnnxRuntime",
    "Prediction",
    "choose_runtime",
    "export_model",
    "info_path",
    "read_info",
]
