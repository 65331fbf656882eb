"""Cells that the model families share, one noun per file."""

from .activation import Swish
from .conv import conv2d
from .dense import classifier_head, dense
from .drop import DropPath, check_rate, drop_path_rates
from .norm import batch_norm2d
from .pooling import GlobalAvgPooling, StemMaxPool
from .squeeze_excite import SqueezeExciteDense
from .width import make_divisible

__all__ = [
    "DropPath",
    "GlobalAvgPooling",
    "SqueezeExciteDense",
    "StemMaxPool",
    "Swish",
    "batch_norm2d",
    "check_rate",
    "classifier_head",
    "conv2d",
    "dense",
    "drop_path_rates",
    "make_divisible",
]
