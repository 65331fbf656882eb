"""Models of timm's form, on the Hugging Face hub or in a folder, as models of ours."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mindspore import nn

from mindcv.weights.hub import OWN_ENTRY, HubModel, read_hub_model
from mindcv.weights.outputs import HEADS, SINGLE

from ._network import ImageClassifier
from ._pretrained import PretrainedCfg
from ._registry import (
    arguments_of_timm,
    get_pretrained_cfg,
    list_weights,
    model_entrypoint,
    name_of_timm,
    names_of_timm,
)
from .layers import as_pair

HUB_SOURCE = "Hugging Face hub"
# Those that have another name there.
INTERPOLATIONS_OF_TIMM = {"box": "area", "lanczos": "antialias"}
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "lanczos", "area", "pilcubic", "antialias")

_LARGEST_SIDE = 1 << 14
# Arguments of timm's networks that make no other network in evaluation; any further one does, and is refused.
_HARMLESS = {
    *("img_size", "image_size", "in_chans", "num_classes", "strict_img_size", "pretrained"),
    *("drop_rate", "drop_path_rate", "drop_block_rate", "proj_drop_rate", "attn_drop_rate", "pos_drop_rate"),
    *("patch_drop_rate", "weight_init", "zero_init_last", "fix_init", "ls_init_value", "init_values"),
}
_POOLS = (None, "", "avg", "token")  # the networks' own
# Networks that timm has under the same name, of those whose weights here are not from timm's repositories on the hub.
_NAMED_AS_AT_TIMM = (
    *("densenet161", "densenet169", "densenet201", "ghostnet_050", "ghostnet_130"),
    *("mnasnet_050", "mnasnet_075", "mnasnet_140", "repvgg_a0", "repvgg_a1"),
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x4d", "resnext101_64x4d", "skresnet50"),
    *("seresnet18", "seresnet34", "seresnet50", "seresnet101", "seresnet152"),
    *("seresnext50_32x4d", "seresnext101_32x4d", "senet154", "vgg11", "vgg13", "vgg16", "vgg19"),
)


def find_on_hub(name: str, pretrained: bool | str) -> tuple[str, bool | str, PretrainedCfg]:
    """Returns our name for a model of timm's form, the path of its weights where wanted, and what is known of them.

    Args:
        name: `hf-hub:OWNER/NAME` or `local-dir:FOLDER`.
        pretrained: Whether its weights are wanted.

    Raises:
        FileNotFoundError, OSError: Its files cannot be had.
        ValueError: Its network is not here, its description is not of timm's form, or other weights are named too.
    """
    if isinstance(pretrained, str) and pretrained:
        raise ValueError(f"{name} brings its own weights and pretrained={pretrained!r} names others; give one of them")
    hub_model = read_hub_model(name)
    ours = _name_of_own(hub_model) if hub_model.own else name_of_timm(hub_model.architecture)
    if ours is None:
        raise ValueError(
            f"{name}: its network is timm's {hub_model.architecture!r}, which is not here; see `mindcv models`"
        )
    _refuse_other_networks(hub_model)
    try:
        cfg = _describe(ours, hub_model)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: config.json has a pretrained_cfg of another form than timm's ({error})") from None
    return ours, str(hub_model.weights()) if pretrained else False, cfg


def _refuse_other_networks(hub_model: HubModel) -> None:
    """Refuses arguments that make another network of the same parameters, whose logits would be wrong."""
    said = hub_model.model_args
    other = [] if hub_model.own else [key for key in said if key not in _HARMLESS and key != "global_pool"]
    if said.get("global_pool", hub_model.pretrained_cfg.get("global_pool")) not in _POOLS:
        other.append("global_pool")
    if other:
        raise ValueError(
            f"{hub_model.title}: config.json gives its network {', '.join(other)}, which is not here; timm computes "
            "something else with it"
        )


def _name_of_own(hub_model: HubModel) -> str:
    """Our name for a model that `mindcv push` wrote."""
    name = hub_model.own.get("model")
    if not isinstance(name, str):
        raise ValueError(f"{hub_model.title}: config.json has an entry {OWN_ENTRY!r} without a model's name")
    try:
        return model_entrypoint(name).__name__
    except ValueError as error:
        raise ValueError(f"{hub_model.title}: {error}; a model of your own has to be imported first") from None


def name_at_timm(model: nn.Cell, arrays: Mapping[str, np.ndarray]) -> str | None:
    """Returns timm's name for just this network, None where timm has none that computes the same.

    Args:
        model: A network that was made by name.
        arrays: Its weights by timm's names.
    """
    if not isinstance(model, ImageClassifier):
        return None
    name = model.default_cfg.architecture
    told = model.told_arguments(arrays)
    if any(".se_module.fc1." in parameter for parameter in arrays):  # the scheme of timm's `legacy_se*`
        return f"legacy_{name}"
    candidates = [*names_of_timm(name), *([(name, _arguments_at_timm(name))] if name in _NAMED_AS_AT_TIMM else [])]
    for candidate, arguments in candidates:
        wanted = {**told, **{key: value for key, value in arguments.items() if key != "image_size"}}
        if all(getattr(model, key) == value for key, value in wanted.items()):
            return candidate
    return None


def _arguments_at_timm(name: str) -> Mapping[str, Any]:
    """Arguments of timm's network of the same name: those of weights that are timm's or torchvision's."""
    published = (get_pretrained_cfg(weights) for weights in list_weights(name))
    return next((cfg.model_args for cfg in published if cfg.source.startswith(("timm", "torchvision"))), {})


def _describe(name: str, hub_model: HubModel) -> PretrainedCfg:
    """What is said of the weights, in our units; what is not said is as for the model's own."""
    given = hub_model.pretrained_cfg
    is_fixed = given.get("fixed_input_size") is True
    test_size = None if is_fixed else given.get("test_input_size")
    interpolation = _one_of(_INTERPOLATIONS, "interpolation", given)
    facts: dict[str, Any] = {
        "mean": _pixels(given, "mean", 0.0),
        "std": _pixels(given, "std", 1e-6),
        "input_size": _size(test_size or given.get("input_size")),
        "num_classes": hub_model.num_classes,
        "licence": str(given.get("license") or ""),
        "interpolation": INTERPOLATIONS_OF_TIMM.get(str(interpolation), interpolation),
    }
    crop = given.get("test_crop_pct") or given.get("crop_pct")
    if crop is not None:
        facts["crop_pct"] = _within("crop_pct", crop, 0.01, 2.0)
    arguments = dict(arguments_of_timm(hub_model.architecture))
    if hub_model.architecture == name and name in _NAMED_AS_AT_TIMM:
        network = getattr(model_entrypoint(name), "network", ImageClassifier)
        arguments = {**network.torch_arguments, **_arguments_at_timm(name), **arguments}
    # What the network is built for is said outright, or it is the size of a fixed input.
    said = hub_model.model_args
    channels, *sides = facts["input_size"] or get_pretrained_cfg(name).input_size
    size = said.get("img_size", said.get("image_size"))
    if size is None and is_fixed and getattr(model_entrypoint(name), "takes_image_size", False):
        size = tuple(sides)
    if size is not None:
        arguments["image_size"], sides = size, list(as_pair(size))
    facts["input_size"] = _size([said.get("in_chans", channels), *sides])
    # timm's third one, "border", is passed over, as its networks have crop_pct 1 there.
    facts["crop_mode"] = "squash" if given.get("crop_mode") == "squash" else None
    facts["resize_rounding"] = _one_of(("floor", "round"), "resize_rounding", hub_model.own)
    head = _one_of(HEADS, "head", hub_model.own) or SINGLE
    facts = {key: value for key, value in facts.items() if value is not None}
    nothing: dict[str, Any] = {"top1": None, "top5": None, "url": "", "sha256": "", "tag": ""}
    nothing |= {"label_offset": 0, "unused_classes": 0}
    return dataclasses.replace(
        get_pretrained_cfg(name),
        **(nothing | facts),
        source=HUB_SOURCE,
        # All others are told by the names in the file, or follow from timm's name of the network.
        model_args=arguments,
        extra={"label_names": hub_model.label_names, "title": hub_model.title, "head": head},
    )


def _one_of(choices: Sequence[str], key: str, given: Mapping[str, Any]) -> str | None:
    value = given.get(key)
    if value is not None and value not in choices:
        raise ValueError(f"{key} is {value!r}, not {' or '.join(choices)}")
    return value


def _pixels(given: Mapping[str, Any], key: str, lowest: float) -> tuple[float, ...] | None:
    """Mean or deviation, on the scale 0 to 1 in timm, on that of pixels."""
    values = given.get(key)
    return tuple(round(255 * _within(key, value, lowest, 1.0), 6) for value in values) if values else None


def _size(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    size = tuple(int(_within("input_size", side, 1, _LARGEST_SIDE)) for side in value)
    if len(size) != 3:
        raise ValueError(f"input_size is {list(value)}")
    return size


def _within(key: str, value: Any, lowest: float, highest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{key} has {value!r}, which is no number")
    if not lowest <= value <= highest:
        raise ValueError(f"{key} has {value!r}, not {lowest:g} to {highest:g}")
    return float(value)
