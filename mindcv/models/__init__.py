"""Models by name: `create_model`, the registry, and the families' classes and entry points."""

from . import resnet, senet
from ._builder import build_model_with_cfg
from ._factory import create_model
from ._features import FeatureExtractWrapper
from ._loading import load_model_checkpoint, load_pretrained
from ._pretrained import PretrainedCfg
from ._registry import (
    get_pretrained_cfg,
    is_model,
    is_model_in_modules,
    is_model_pretrained,
    list_models,
    list_modules,
    model_entrypoint,
    register_model,
)
from .resnet import *  # noqa: F403
from .senet import *  # noqa: F403

__all__ = [
    "FeatureExtractWrapper",
    "PretrainedCfg",
    "build_model_with_cfg",
    "create_model",
    "get_pretrained_cfg",
    "is_model",
    "is_model_in_modules",
    "is_model_pretrained",
    "list_models",
    "list_modules",
    "load_model_checkpoint",
    "load_pretrained",
    "model_entrypoint",
    "register_model",
    *resnet.__all__,
    *senet.__all__,
]
