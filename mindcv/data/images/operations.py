"""What augmentation does to an image: uint8 (H, W, 3), RGB; nothing here is random.

Functions here give a step, a name and its numbers, and `apply_steps` does steps in turn: by the C extension `_augment`,
which does not hold Python's lock, and by Pillow where that was not built, for other shapes and for nearest neighbours.
Both give the same pixels: colours, sharpness and blur bit for bit; in geometry, which Pillow does in double precision
and the extension in single, a value in some hundred is a grey level off.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from .extensions import augment as _augment

__all__ = [
    "Step",
    "affine",
    "apply_steps",
    "auto_contrast",
    "brightness",
    "contrast",
    "equalize",
    "gaussian_blur",
    "hue",
    "invert",
    "is_augment_extension_built",
    "posterize",
    "rotate",
    "saturation",
    "sharpness",
    "solarize",
]

# A name and numbers.
Step = tuple

# Those that the extension has, and what it calls them.
_IS_CUBIC = {Image.Resampling.BILINEAR: False, Image.Resampling.BICUBIC: True}


def is_augment_extension_built() -> bool:
    """Whether the C extension does the operations; else Pillow does, more slowly."""
    return _augment is not None


def apply_steps(image: np.ndarray, steps: Sequence[Step]) -> None:
    """Changes an image, uint8 (H, W, 3), in its place."""
    is_rgb = image.ndim == 3 and image.shape[2] == 3 and image.size > 0
    if _augment is None or not is_rgb or any(name == "affine_nearest" for name, *_ in steps):
        for name, *numbers in steps:
            image[:] = np.asarray(_BY_PILLOW[name](Image.fromarray(image), *numbers))
        return
    height, width = image.shape[:2]
    if image.flags.c_contiguous:
        _augment.apply(image, height, width, steps)
    else:
        whole = np.ascontiguousarray(image)
        _augment.apply(whole, height, width, steps)
        image[:] = whole


def auto_contrast() -> Step:
    """Stretches the values of each channel over 0 to 255."""
    return ("auto_contrast",)


def equalize() -> Step:
    """Makes all values of a channel about equally frequent."""
    return ("equalize",)


def invert() -> Step:
    """Dark becomes light."""
    return ("invert",)


def solarize(threshold: float) -> Step:
    """Inverts values from a threshold on."""
    return ("solarize", threshold)


def posterize(bits: int) -> Step:
    """Keeps the upper bits, 1 to 8, of each value."""
    return ("posterize", bits)


def brightness(factor: float) -> Step:
    """Makes an image darker (below 1) or lighter."""
    return ("brightness", factor)


def contrast(factor: float) -> Step:
    """Brings values closer to the mean luma (below 1), or further from it."""
    return ("contrast", factor)


def saturation(factor: float) -> Step:
    """Brings colours closer to grey (below 1; 0: all grey), or further from it."""
    return ("saturation", factor)


def hue(share: float) -> Step:
    """Turns the hue by a share, -0.5 to 0.5, of the circle of colours."""
    return ("hue", int(share * 255) % 256)


def sharpness(factor: float) -> Step:
    """Makes an image smoother (below 1) or sharper."""
    return ("sharpness", factor)


def gaussian_blur(radius: float) -> Step:
    """Blurs by a normal distribution of this standard deviation, above 0, in pixels."""
    return ("gaussian_blur", radius)


def affine(matrix: Sequence[float], resampling: Image.Resampling, filling: Sequence[int]) -> Step:
    """Moves pixels.

    Args:
        matrix: a, b, c, d, e, f: the point (x, y), from the upper left corner, comes from (ax + by + c, dx + ey + f).
        resampling: How values between pixels are found: nearest, bilinear or bicubic.
        filling: The colour of what comes from outside.
    """
    if resampling not in _IS_CUBIC:
        return ("affine_nearest", *matrix, *filling)
    return ("affine", *matrix, _IS_CUBIC[resampling], *filling)


def rotate(size: tuple[int, int], degrees: float, resampling: Image.Resampling, filling: Sequence[int]) -> Step:
    """Turns an image of a size (height, width) about its middle, counter-clockwise; see `affine`."""
    height, width = size
    cosine, sine = (round(function(math.radians(degrees % 360.0)), 15) for function in (math.cos, math.sin))
    x, y = width / 2, height / 2
    matrix = (cosine, -sine, (cosine * -x - sine * -y) + x, sine, cosine, (sine * -x + cosine * -y) + y)
    return affine(matrix, resampling, filling)


def _turned_hue(image: Image.Image, by: int) -> Image.Image:
    bands = np.array(image.convert("HSV"))
    bands[..., 0] += np.uint8(by)
    return Image.fromarray(bands, "HSV").convert("RGB")


def _warped(image: Image.Image, resampling: Image.Resampling, matrix: list[float], filling: list[int]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resampling, fillcolor=tuple(filling))


def _affine(image: Image.Image, *numbers: Any) -> Image.Image:
    *matrix, is_cubic, red, green, blue = numbers
    resampling = Image.Resampling.BICUBIC if is_cubic else Image.Resampling.BILINEAR
    return _warped(image, resampling, matrix, [red, green, blue])


def _affine_nearest(image: Image.Image, *numbers: Any) -> Image.Image:
    return _warped(image, Image.Resampling.NEAREST, [*numbers[:6]], [*numbers[6:]])


_BY_PILLOW: dict[str, Callable[..., Image.Image]] = {
    "auto_contrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "invert": ImageOps.invert,
    "solarize": ImageOps.solarize,
    "posterize": ImageOps.posterize,
    "brightness": lambda image, factor: ImageEnhance.Brightness(image).enhance(factor),
    "contrast": lambda image, factor: ImageEnhance.Contrast(image).enhance(factor),
    "saturation": lambda image, factor: ImageEnhance.Color(image).enhance(factor),
    "hue": _turned_hue,
    "sharpness": lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor),
    "gaussian_blur": lambda image, radius: image.filter(ImageFilter.GaussianBlur(radius)),
    "affine": _affine,
    "affine_nearest": _affine_nearest,
}
