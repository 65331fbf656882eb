"""What augmentation does to an image: uint8 (H, W, 3), RGB, in and out; nothing here is random.

Done by the C extension `_augment`, which does not hold Python's lock, and by Pillow where that was not built, for other
shapes and for nearest neighbours. Both give the same pixels: colours, sharpness and blur bit for bit; in geometry,
which Pillow does in double precision and the extension in single, a value in some hundred is a grey level off.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from .extensions import augment as _augment

__all__ = [
    "affine",
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

_LEVELS = np.arange(256)
_IN_EXTENSION = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)


def is_augment_extension_built() -> bool:
    """Whether the C extension does the operations; else Pillow does, more slowly."""
    return _augment is not None


def _is_ours(image: np.ndarray) -> bool:
    """Whether the extension takes an image."""
    return (
        _augment is not None and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size > 0
    )


def _by_pillow(image: np.ndarray, operation: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    return np.asarray(operation(Image.fromarray(image)))


def _looked_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Replaces each value by the one that its channel's table, (3, 256), has for it."""
    out = np.empty(image.shape, np.uint8)
    _augment.look_up(np.ascontiguousarray(image), table.astype(np.uint8), out)
    return out


def _histograms(image: np.ndarray) -> np.ndarray:
    """How often each value occurs in each channel, (3, 256)."""
    counts = np.empty((3, 256), np.int32)
    _augment.count_levels(np.ascontiguousarray(image), counts)
    return counts


def _blended(image: np.ndarray, level: int, factor: float) -> np.ndarray:
    """Values that lie `factor` of the way from one level to the image's."""
    out = np.empty(image.shape, np.uint8)
    _augment.blend_level(np.ascontiguousarray(image), level, factor, out)
    return out


def auto_contrast(image: np.ndarray) -> np.ndarray:
    """Stretches the values of each channel over 0 to 255."""
    if not _is_ours(image):
        return _by_pillow(image, ImageOps.autocontrast)
    tables = []
    for counts in _histograms(image):
        present = np.flatnonzero(counts)
        least, greatest = int(present[0]), int(present[-1])
        scale = 255.0 / (greatest - least) if greatest > least else 1.0
        offset = -least * scale if greatest > least else 0.0
        tables.append(np.clip((_LEVELS * scale + offset).astype(int), 0, 255))
    return _looked_up(image, np.stack(tables))


def equalize(image: np.ndarray) -> np.ndarray:
    """Makes all values of a channel about equally frequent."""
    if not _is_ours(image):
        return _by_pillow(image, ImageOps.equalize)
    tables = []
    for counts in _histograms(image):
        present = counts[counts > 0]
        step = (int(present.sum()) - int(present[-1])) // 255
        if len(present) > 1 and step:
            below = np.cumsum(counts) - counts
            tables.append(np.minimum((step // 2 + below) // step, 255))
        else:
            tables.append(_LEVELS)
    return _looked_up(image, np.stack(tables))


def invert(image: np.ndarray) -> np.ndarray:
    """Dark becomes light."""
    return 255 - image if _is_ours(image) else _by_pillow(image, ImageOps.invert)


def solarize(image: np.ndarray, threshold: float) -> np.ndarray:
    """Inverts values from a threshold on."""
    if not _is_ours(image):
        return _by_pillow(image, lambda each: ImageOps.solarize(each, threshold))
    return np.where(image < threshold, image, 255 - image)


def posterize(image: np.ndarray, bits: int) -> np.ndarray:
    """Keeps the upper bits, 1 to 8, of each value."""
    if not _is_ours(image):
        return _by_pillow(image, lambda each: ImageOps.posterize(each, bits))
    return image & np.uint8(256 - (1 << 8 - bits))


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Makes an image darker (below 1) or lighter."""
    if not _is_ours(image):
        return _by_pillow(image, lambda each: ImageEnhance.Brightness(each).enhance(factor))
    return _blended(image, 0, factor)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Brings values closer to the mean luma (below 1), or further from it."""
    if not _is_ours(image):
        return _by_pillow(image, lambda each: ImageEnhance.Contrast(each).enhance(factor))
    image = np.ascontiguousarray(image)
    mean = int(_augment.sum_grey(image) / (image.size // 3) + 0.5)
    return _blended(image, mean, factor)


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Brings colours closer to grey (below 1; 0: all grey), or further from it."""
    if not _is_ours(image):
        return _by_pillow(image, lambda each: ImageEnhance.Color(each).enhance(factor))
    out = np.empty(image.shape, np.uint8)
    _augment.saturate(np.ascontiguousarray(image), factor, out)
    return out


def hue(image: np.ndarray, share: float) -> np.ndarray:
    """Turns the hue by a share, -0.5 to 0.5, of the circle of colours."""

    def turned(each: Image.Image) -> Image.Image:
        bands = np.array(each.convert("HSV"))
        bands[..., 0] += np.uint8(int(share * 255) % 256)
        return Image.fromarray(bands, "HSV").convert("RGB")

    return _by_pillow(image, turned)


def sharpness(image: np.ndarray, factor: float) -> np.ndarray:
    """Makes an image smoother (below 1) or sharper."""
    if not _is_ours(image):
        return _by_pillow(image, lambda each: ImageEnhance.Sharpness(each).enhance(factor))
    out = np.empty(image.shape, np.uint8)
    _augment.sharpen(np.ascontiguousarray(image), *image.shape[:2], factor, out)
    return out


def gaussian_blur(image: np.ndarray, radius: float) -> np.ndarray:
    """Blurs by a normal distribution of this standard deviation, in pixels."""
    if not _is_ours(image) or not radius > 0:
        return _by_pillow(image, lambda each: each.filter(ImageFilter.GaussianBlur(radius)))
    out = np.empty(image.shape, np.uint8)
    _augment.blur(np.ascontiguousarray(image), *image.shape[:2], radius, out)
    return out


def affine(
    image: np.ndarray, matrix: Sequence[float], resampling: Image.Resampling, filling: Sequence[int]
) -> np.ndarray:
    """Moves pixels.

    Args:
        image: The image.
        matrix: a, b, c, d, e, f: the point (x, y), from the upper left corner, comes from (ax + by + c, dx + ey + f).
        resampling: How values between pixels are found: nearest, bilinear or bicubic.
        filling: The colour of what comes from outside.
    """
    if not _is_ours(image) or resampling not in _IN_EXTENSION:
        size = image.shape[1::-1]
        return _by_pillow(
            image,
            lambda each: each.transform(
                size, Image.Transform.AFFINE, tuple(matrix), resampling, fillcolor=tuple(filling)
            ),
        )
    out = np.empty(image.shape, np.uint8)
    is_cubic = resampling == Image.Resampling.BICUBIC
    _augment.warp(np.ascontiguousarray(image), *image.shape[:2], tuple(matrix), is_cubic, tuple(filling), out)
    return out


def rotate(image: np.ndarray, degrees: float, resampling: Image.Resampling, filling: Sequence[int]) -> np.ndarray:
    """Turns an image about its middle, counter-clockwise; see `affine`."""
    height, width = image.shape[:2]
    degrees %= 360.0
    # Pillow moves whole pixels then.
    is_turn = degrees in (0, 180) or (degrees in (90, 270) and height == width)
    if is_turn or not _is_ours(image) or resampling not in _IN_EXTENSION:
        return _by_pillow(image, lambda each: each.rotate(degrees, resampling, fillcolor=tuple(filling)))
    cosine, sine = (round(function(math.radians(degrees)), 15) for function in (math.cos, math.sin))
    x, y = width / 2, height / 2
    matrix = (cosine, -sine, (cosine * -x - sine * -y) + x, sine, cosine, (sine * -x + cosine * -y) + y)
    return affine(image, matrix, resampling, filling)
