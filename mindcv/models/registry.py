"""MindCV's import path of the model registry."""

from collections.abc import Iterator, Mapping

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
    model_entrypoint,
    register_model,
)

__all__ = [
    "get_pretrained_cfg",
    "get_pretrained_cfg_value",
    "has_pretrained_cfg_key",
    "is_model",
    "is_model_in_modules",
    "is_model_pretrained",
    "list_models",
    "list_modules",
    "model_entrypoint",
    "register_model",
]


class _DefaultCfgs(Mapping[str, PretrainedCfg]):
    """The default weights of the models that are registered, by name; private in MindCV too, but scripts read it."""

    def __getitem__(self, name: str) -> PretrainedCfg:
        if not is_model(name) or "." in name:
            raise KeyError(name)
        return get_pretrained_cfg(name)

    def __iter__(self) -> Iterator[str]:
        return iter(list_models())

    def __len__(self) -> int:
        return len(list_models())


_model_pretrained_cfgs = _DefaultCfgs()
