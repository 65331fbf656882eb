"""mindcv: image classification on MindSpore.

The names below are loaded when first used, so that neither `import mindcv` nor `--help` imports MindSpore. So are the
modules of the package (`mindcv.models`), and, as in MindCV, all names of those that a script is made of
(`mindcv.resnet50`, `mindcv.StateMonitor`).
"""

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .utils.imports import submodule
from .utils.registry import suggest
from .utils.runtime import prepare_cpu_environment

if TYPE_CHECKING:
    from .data import create_dataset, create_loader, create_transforms
    from .export import Classifier
    from .loss import create_loss
    from .models import create_model, is_model, list_models, list_modules, model_entrypoint, register_model
    from .optim import create_optimizer
    from .scheduler import create_scheduler

_EXPORTS = {
    "Classifier": "mindcv.export",
    "create_dataset": "mindcv.data",
    "create_loader": "mindcv.data",
    "create_loss": "mindcv.loss",
    "create_model": "mindcv.models",
    "create_optimizer": "mindcv.optim",
    "create_scheduler": "mindcv.scheduler",
    "create_transforms": "mindcv.data",
    "is_model": "mindcv.models",
    "list_models": "mindcv.models",
    "list_modules": "mindcv.models",
    "model_entrypoint": "mindcv.models",
    "register_model": "mindcv.models",
}

__all__ = [
    "Classifier",
    "__version__",
    "create_dataset",
    "create_loader",
    "create_loss",
    "create_model",
    "create_optimizer",
    "create_scheduler",
    "create_transforms",
    "is_model",
    "list_models",
    "list_modules",
    "model_entrypoint",
    "register_model",
]

# Whose names MindCV has at the top too.
_SCRIPT_MODULES = ("utils", "data", "loss", "models", "optim", "scheduler")

prepare_cpu_environment()


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        value = getattr(importlib.import_module(_EXPORTS[name]), name)
    else:
        try:
            value = submodule("mindcv", name)
        except AttributeError:
            if name.startswith("_"):
                raise
            value = _name_of_scripts(name)
    globals()[name] = value
    return value


def _name_of_scripts(name: str) -> Any:
    known = set(__all__)
    for part in _SCRIPT_MODULES:
        module = importlib.import_module(f"mindcv.{part}")
        if name in module.__all__:
            return getattr(module, name)
        known.update(module.__all__)
    raise AttributeError(f"module 'mindcv' has no attribute {name!r}{suggest(name, known)}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
