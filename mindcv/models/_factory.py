"""Models from names."""

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from mindspore import nn

from mindcv.utils.fs import is_remote, local_path
from mindcv.utils.runtime import prepare_cpu_runtime
from mindcv.weights import read_weights
from mindcv.weights.sources import fetch

from ._features import FeatureExtractWrapper
from ._loading import load_checkpoint_arrays, load_pretrained_arrays, to_our_names
from ._registry import get_pretrained_cfg, is_model_pretrained, model_entrypoint, split_tag

__all__ = ["create_model"]

_logger = logging.getLogger(__name__)


def create_model(
    model_name: str,
    num_classes: int | None = 1000,
    pretrained: bool | str = False,
    in_channels: int | None = 3,
    checkpoint_path: str = "",
    ema: bool = False,
    auto_mapping: bool = False,
    **kwargs: Any,
) -> nn.Cell:
    """Creates a model by name, with fresh, published or local weights.

    An argument that is None is not passed on, so that the model's own default holds.

    `pretrained` weights are adapted: a head of another size starts fresh, and a first convolution for another number of
    channels is fitted. Those of `checkpoint_path` have to fit exactly. Where the names in a file tell of a network with
    other arguments (`stem_pool_pad` of torchvision's and timm's ResNet), that network is created.

    Args:
        model_name: A name of `list_models()`, or `name.tag` of `list_models(pretrained=True)`.
        num_classes: Number of classes; 0 gives a network that ends in its pooled features (N, num_features).
        pretrained: Whether to load published weights: those of the name's tag, or the model's default ones. Or which:
            a tag, an address (`https://`, `s3://` ..., downloaded once), or a file.
        in_channels: Channels of the input image.
        checkpoint_path: File to load in place of published weights, or its address, which is read each time.
        ema: Whether to take the averaged weights of a file.
        auto_mapping: Whether to map differing names in `checkpoint_path` to the closest ones of the same shape.
        **kwargs: Arguments of the network (`drop_rate`, `drop_path_rate`, `features_only`, `out_indices` ...).

    Returns:
        The model, whose `default_cfg` says how its input is prepared.

    Raises:
        ValueError: Unknown model, tag or argument, weights that do not fit, or both `pretrained` and `checkpoint_path`.
        FileNotFoundError: There is no such file.
        OSError: The weights cannot be downloaded.
    """
    prepare_cpu_runtime()
    if checkpoint_path and pretrained:
        raise ValueError(f"pretrained and checkpoint_path ({checkpoint_path}) exclude each other; give one of them")
    create_fn = model_entrypoint(model_name)
    model_name, weights_file = _find_weights(model_name, pretrained)
    if split_tag(model_name)[1]:
        kwargs["pretrained_cfg"] = get_pretrained_cfg(model_name)
    is_published = bool(pretrained) and not weights_file
    if is_published and not is_model_pretrained(model_name):
        raise ValueError(
            f"no weights are published for {model_name!r}; list_models(pretrained=True) lists what there is"
        )
    arguments = {"num_classes": num_classes, "in_channels": in_channels, **kwargs}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    features_only = arguments.pop("features_only", False)
    out_indices = {"out_indices": arguments.pop("out_indices")} if "out_indices" in arguments else {}
    source = checkpoint_path or weights_file
    arrays: Mapping[str, np.ndarray] = {}
    if source:
        arrays = read_weights(fetch(weights_file) if weights_file else checkpoint_path, ema=ema)
        arguments = {**_network_arguments(create_fn, arrays, source, arguments), **arguments}
    model = create_fn(pretrained=is_published, **arguments)
    if checkpoint_path:
        load_checkpoint_arrays(model, arrays, source, auto_mapping=auto_mapping)
    elif weights_file:
        arrays = to_our_names(model, arrays, source)
        cfg = get_pretrained_cfg(model_name)
        load_pretrained_arrays(model, arrays, cfg, source, model.num_classes, arguments.get("in_channels", 3))
    return FeatureExtractWrapper(model, **out_indices) if features_only else model


def _find_weights(model_name: str, pretrained: bool | str) -> tuple[str, str]:
    """Returns the name of the model, with its tag where there is one, and the file or address that is not registered.

    Raises:
        FileNotFoundError: `pretrained` looks like a file and there is none.
        ValueError: The model's name has another tag.
    """
    if not isinstance(pretrained, str) or not pretrained:
        return model_name, ""
    if is_remote(pretrained) or local_path(pretrained).is_file():
        return model_name, pretrained
    name, tag = split_tag(model_name)
    wanted = pretrained.removeprefix(f"{name}.")
    if PurePath(wanted).suffix or PurePath(wanted).name != wanted:
        raise FileNotFoundError(f"pretrained: there is no file {pretrained}")
    if tag not in ("", wanted):
        raise ValueError(
            f"the model {model_name!r} has a tag and pretrained={pretrained!r} is another; give one of them"
        )
    return f"{name}.{wanted}", ""


def _network_arguments(
    create_fn: Callable[..., nn.Cell], arrays: Mapping[str, np.ndarray], source: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what a file's names tell of its network, by the family's `checkpoint_model_args`, and logs the news."""
    args_fn = getattr(sys.modules[create_fn.__module__], "checkpoint_model_args", None)
    arguments = args_fn(arrays) if args_fn else {}
    known = {**given.get("pretrained_cfg", {}).get("model_args", {}), **given}
    for name, value in arguments.items():
        if name not in known:
            _logger.warning(
                "%s: these weights need %s=%r, so the network has it; give it with files that MindSpore saves from it",
                source,
                name,
                value,
            )
    return arguments
