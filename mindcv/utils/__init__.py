"""Ground-level helpers, and upstream's `mindcv.utils` names; those that need MindSpore are loaded when first used."""

import importlib
from typing import TYPE_CHECKING, Any

from .archive import detect_file_type
from .cache import get_default_download_root, set_default_download_root
from .download import DownLoad
from .imports import submodule

if TYPE_CHECKING:
    from ..engine.amp import auto_mixed_precision
    from ..engine.metrics import get_metrics
    from ..engine.setup import set_seed
    from ..engine.train_step import TrainStep
    from ..engine.upstream import (
        AllReduceSum,
        CheckpointManager,
        GradientAccumulation,
        StateMonitor,
        ValCallback,
        create_trainer,
        require_customized_train_step,
    )
    from .log import set_logger

_EXPORTS = {
    "AllReduceSum": "mindcv.engine.upstream",
    "CheckpointManager": "mindcv.engine.upstream",
    "GradientAccumulation": "mindcv.engine.upstream",
    "StateMonitor": "mindcv.engine.upstream",
    "TrainStep": "mindcv.engine.train_step",
    "ValCallback": "mindcv.engine.upstream",
    "auto_mixed_precision": "mindcv.engine.amp",
    "create_trainer": "mindcv.engine.upstream",
    "get_metrics": "mindcv.engine.metrics",
    "require_customized_train_step": "mindcv.engine.upstream",
    "set_logger": "mindcv.utils.log",
    "set_seed": "mindcv.engine.setup",
}

__all__ = [
    "AllReduceSum",
    "CheckpointManager",
    "DownLoad",
    "GradientAccumulation",
    "StateMonitor",
    "TrainStep",
    "ValCallback",
    "auto_mixed_precision",
    "create_trainer",
    "detect_file_type",
    "get_default_download_root",
    "get_metrics",
    "require_customized_train_step",
    "set_default_download_root",
    "set_logger",
    "set_seed",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        return submodule(__name__, name)
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
