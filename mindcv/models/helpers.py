"""MindCV's import path of what building a model needs."""

import importlib
import os
from typing import Any

from mindcv.utils import get_default_download_root

from ._create import build_model_with_cfg
from ._features import FeatureExtractWrapper
from ._loading import auto_map, load_model_checkpoint, load_pretrained
from .layers import make_divisible
from .layers.helpers import to_ntuple

__all__ = [
    "ConfigDict",
    "FeatureExtractWrapper",
    "auto_map",
    "build_model_with_cfg",
    "get_checkpoint_download_root",
    "get_default_download_root",
    "load_model_checkpoint",
    "load_pretrained",
    "make_divisible",
]


_ntuple = to_ntuple  # private in MindCV too, but its families import it, and so do users' networks after them


class ConfigDict(dict[str, Any]):
    """A dictionary whose entries are attributes too; one that is not there is None."""

    __getattr__ = dict.get
    __setattr__ = dict.__setitem__
    __delattr__ = dict.__delitem__


def get_checkpoint_download_root() -> str:
    """Returns the folder where downloaded weights are kept."""
    return os.path.join(get_default_download_root(), "models")


def __getattr__(name: str) -> Any:
    if name == "DownLoad":
        return importlib.import_module("mindcv.utils").DownLoad
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
