"""Interpolations by name, for MindSpore's operations and for Pillow's."""

from mindspore.dataset.vision import Inter
from PIL import Image

from ...utils.registry import unknown_name_message

_ALIASES = {"linear": "bilinear", "cubic": "bicubic", "lanczos": "antialias"}

# MindSpore's bilinear, bicubic and nearest take the pixels around the target point only (as OpenCV does); `area` and
# `pilcubic` average over the whole area that becomes one pixel (as Pillow does).
_MINDSPORE = {
    "nearest": Inter.NEAREST,
    "bilinear": Inter.BILINEAR,
    "bicubic": Inter.BICUBIC,
    "area": Inter.AREA,
    "pilcubic": Inter.PILCUBIC,
}
_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "pilcubic": Image.Resampling.BICUBIC,
    "antialias": Image.Resampling.LANCZOS,
}


def _look_up(name: str, table: dict, where: str):
    key = str(name).lower()
    key = _ALIASES.get(key, key)
    if key not in table:
        raise ValueError(unknown_name_message(f"interpolation {where}", name, table))
    return table[key]


def mindspore_interpolation(name: str) -> Inter:
    """Returns MindSpore's constant for an interpolation in training.

    Raises:
        ValueError: There is none of that name; the message has the choices.
    """
    return _look_up(name, _MINDSPORE, "for training")


def pillow_interpolation(name: str) -> Image.Resampling:
    """Returns Pillow's constant for an interpolation in evaluation.

    Raises:
        ValueError: There is none of that name; the message has the choices.
    """
    return _look_up(name, _PILLOW, "for evaluation")
