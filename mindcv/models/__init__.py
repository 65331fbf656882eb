"""Models by name: `create_model`, the registry, and the families' classes and entry points."""

import importlib
from typing import Any

from mindcv.utils.imports import submodule

from ._create import (
    as_evaluated,
    build_model_with_cfg,
    build_network,
    built_for,
    create_model,
    file_tells,
    network_of_file,
    published_weights,
    require_published_head,
)
from ._family import Family, Variant
from ._features import FeatureExtractWrapper
from ._hub import INTERPOLATIONS_OF_TIMM, name_at_timm
from ._loading import (
    checkpoint_marks,
    load_model_checkpoint,
    load_pretrained,
    optional_parameters,
    to_timm_names,
    with_tables,
)
from ._network import ImageClassifier, require_classifier
from ._pretrained import PretrainedCfg
from ._registry import (
    get_pretrained_cfg,
    get_pretrained_cfg_value,
    has_pretrained_cfg_key,
    is_model,
    is_model_in_modules,
    is_model_pretrained,
    list_models,
    list_modules,
    list_weights,
    model_entrypoint,
    register_model,
)
from ._sizes import Size, list_sizes
from .layers import Swish

FAMILIES = (
    "bit",
    "cait",
    "cmt",
    "coat",
    "convit",
    "convnext",
    "crossvit",
    "densenet",
    "dpn",
    "edgenext",
    "efficientnet",
    "ghostnet",
    "googlenet",
    "halonet",
    "hrnet",
    "inceptionv3",
    "inceptionv4",
    "mae",
    "mixnet",
    "mlpmixer",
    "mnasnet",
    "mobilenetv1",
    "mobilenetv2",
    "mobilenetv3",
    "mobilevit",
    "nasnet",
    "pit",
    "pnasnet",
    "poolformer",
    "pvt",
    "pvtv2",
    "regnet",
    "repmlp",
    "repvgg",
    "res2net",
    "resnest",
    "resnet",
    "resnetv2",
    "rexnet",
    "senet",
    "shufflenetv1",
    "shufflenetv2",
    "sknet",
    "squeezenet",
    "swintransformer",
    "swintransformerv2",
    "vgg",
    "visformer",
    "vit",
    "volo",
    "xception",
    "xcit",
)

__all__ = [
    "FAMILIES",
    "INTERPOLATIONS_OF_TIMM",
    "Family",
    "FeatureExtractWrapper",
    "ImageClassifier",
    "PretrainedCfg",
    "Size",
    "Swish",
    "Variant",
    "as_evaluated",
    "build_model_with_cfg",
    "build_network",
    "built_for",
    "checkpoint_marks",
    "create_model",
    "file_tells",
    "get_pretrained_cfg",
    "get_pretrained_cfg_value",
    "has_pretrained_cfg_key",
    "is_model",
    "is_model_in_modules",
    "is_model_pretrained",
    "list_models",
    "list_modules",
    "list_sizes",
    "list_weights",
    "load_model_checkpoint",
    "load_pretrained",
    "model_entrypoint",
    "name_at_timm",
    "network_of_file",
    "optional_parameters",
    "published_weights",
    "register_model",
    "require_classifier",
    "require_published_head",
    "to_timm_names",
    "with_tables",
]

for _family in FAMILIES:
    _module = importlib.import_module(f".{_family}", __name__)
    globals().update({name: getattr(_module, name) for name in _module.__all__})
    __all__ += _module.__all__


def __getattr__(name: str) -> Any:
    helpers = importlib.import_module(".helpers", __name__)
    if name in helpers.__all__:
        return getattr(helpers, name)
    return submodule(__name__, name)  # MindCV's import paths: registry, helpers, features, model_factory
