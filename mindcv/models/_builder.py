"""From a class, its arguments and a set of weights to a model."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mindspore import nn

from mindcv.utils.registry import suggest

from ._features import FeatureExtractWrapper
from ._loading import load_pretrained
from ._pretrained import as_pretrained_cfg


def build_model_with_cfg(
    model_cls: Callable[..., nn.Cell],
    pretrained: bool,
    default_cfg: Mapping[str, Any],
    features_only: bool = False,
    out_indices: Sequence[int] = (0, 1, 2, 3, 4),
    *,
    pretrained_cfg: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> nn.Cell:
    """Builds a network, loads published weights into it, and wraps it when only its feature maps are wanted.

    Args:
        model_cls: The network's class.
        pretrained: Whether to load published weights.
        default_cfg: The model's default weights (`PretrainedCfg` or a dictionary as in MindCV).
        features_only: Whether to return feature maps in place of logits.
        out_indices: Which entries of the network's `feature_info` to return.
        pretrained_cfg: Other weights, chosen by a tag; the network is built with their `model_args` even when they are
            not loaded.
        **kwargs: Arguments of the network; those given here go before the weights' `model_args`.

    Raises:
        ValueError: An argument that the network does not have, or weights that do not fit.
    """
    cfg = as_pretrained_cfg(default_cfg if pretrained_cfg is None else pretrained_cfg)
    if pretrained or pretrained_cfg is not None:
        kwargs = {**cfg.model_args, **kwargs}
    _check_arguments(model_cls, kwargs)
    model = model_cls(**kwargs)
    model.default_cfg = cfg
    if pretrained:
        load_pretrained(model, cfg, kwargs.get("num_classes", cfg.num_classes), kwargs.get("in_channels", 3))
    return FeatureExtractWrapper(model, out_indices) if features_only else model


def _check_arguments(model_cls: Callable[..., nn.Cell], kwargs: Mapping[str, Any]) -> None:
    parameters = inspect.signature(model_cls.__init__ if inspect.isclass(model_cls) else model_cls).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [name for name in parameters if name != "self"]
    for name in kwargs:
        if name not in known:
            raise ValueError(
                f"{model_cls.__name__} has no argument {name!r}{suggest(name, known) or '.'} It has: {', '.join(known)}"
            )
