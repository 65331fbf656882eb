"""Weight files: formats, names, adaptation to a model, downloads. Knows numpy arrays and names, not networks."""

from .formats import read_ckpt, read_weights, write_ckpt, write_weights
from .load_report import LoadReport
from .outputs import ModelOutputs, read_outputs

__all__ = [
    "LoadReport",
    "ModelOutputs",
    "read_ckpt",
    "read_outputs",
    "read_weights",
    "write_ckpt",
    "write_weights",
]
