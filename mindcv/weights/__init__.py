"""Weight files: formats, names, adaptation to a model, downloads. Knows numpy arrays and names, not networks."""

from .formats import read_ckpt, read_weights, write_ckpt, write_weights
from .loading import LoadReport

__all__ = ["LoadReport", "read_ckpt", "read_weights", "write_ckpt", "write_weights"]
