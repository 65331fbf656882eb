"""Models of timm's form, on the Hugging Face hub or in a folder, as models of ours."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from mindcv.weights.hub import HubModel, read_hub_model

from ._pretrained import PretrainedCfg
from ._registry import arguments_of_timm, get_pretrained_cfg, model_entrypoint, name_of_timm
from .layers import as_pair

HUB_SOURCE = "Hugging Face hub"

_LARGEST_SIDE = 1 << 14


def find_on_hub(name: str, pretrained: bool | str) -> tuple[str, bool | str, PretrainedCfg]:
    """Returns our name for a model of timm's form, its weights' place where they are wanted, and what is known of them.

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
    ours = name_of_timm(hub_model.architecture)
    if ours is None:
        raise ValueError(
            f"{name}: its network is timm's {hub_model.architecture!r}, which is not here; see `mindcv models`"
        )
    try:
        cfg = _describe(ours, hub_model)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: config.json has a pretrained_cfg of another form than timm's ({error})") from None
    return ours, str(hub_model.weights()) if pretrained else False, cfg


def _describe(name: str, hub_model: HubModel) -> PretrainedCfg:
    """What is said of the weights, in our units; what is not said is as for the model's own."""
    given = hub_model.pretrained_cfg
    is_fixed = given.get("fixed_input_size") is True
    test_size = None if is_fixed else given.get("test_input_size")
    facts: dict[str, Any] = {
        "mean": _pixels(given, "mean", 0.0),
        "std": _pixels(given, "std", 1e-6),
        "input_size": _size(test_size or given.get("input_size")),
        "num_classes": hub_model.num_classes,
        "licence": str(given.get("license") or ""),
        "interpolation": given.get("interpolation"),
    }
    crop = given.get("test_crop_pct") or given.get("crop_pct")
    if crop is not None:
        facts["crop_pct"] = _within("crop_pct", crop, 0.01, 2.0)
    arguments = dict(arguments_of_timm(hub_model.architecture))
    # What the network is built for is said outright, or it is the size of a fixed input.
    said = hub_model.model_args
    channels, *sides = facts["input_size"] or get_pretrained_cfg(name).input_size
    size = said.get("img_size", said.get("image_size"))
    if size is None and is_fixed and getattr(model_entrypoint(name), "takes_image_size", False):
        size = tuple(sides)
    if size is not None:
        arguments["image_size"], sides = size, list(as_pair(size))
    facts["input_size"] = _size([said.get("in_chans", channels), *sides])
    facts = {key: value for key, value in facts.items() if value is not None}
    nothing: dict[str, Any] = {"top1": None, "top5": None, "url": "", "sha256": "", "tag": ""}
    nothing |= {"label_offset": 0, "unused_classes": 0}
    return dataclasses.replace(
        get_pretrained_cfg(name),
        **(nothing | facts),
        source=HUB_SOURCE,
        # All others are told by the names in the file, or follow from timm's name of the network.
        model_args=arguments,
        extra={"label_names": hub_model.label_names, "title": hub_model.title},
    )


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
