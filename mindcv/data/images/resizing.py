"""Resizing by Pillow, as evaluation and inference do it, and grey images."""

import random
from collections.abc import Callable

import numpy as np
from PIL import Image

from .image_check import to_rgb
from .reading import Transform

__all__ = ["ROUNDINGS", "ResizeAndCrop", "ToGrey"]

# How the longer side of a resized image becomes a whole number of pixels.
ROUNDINGS: dict[str, Callable[[float], int]] = {"floor": int, "round": round}


def _pixels_of(image: np.ndarray | Image.Image) -> np.ndarray:
    """Returns uint8 (H, W, C) of an array, as it is, or of a Pillow image, as an image file of it would be read."""
    return np.asarray(to_rgb(image)) if isinstance(image, Image.Image) else image


class ToGrey:
    """uint8 (H, W, 3), RGB, to (H, W, 1), by Pillow's rule (ITU-R 601-2): 0.299 R + 0.587 G + 0.114 B, rounded."""

    def __call__(self, image: np.ndarray | Image.Image) -> np.ndarray:
        """Returns grey pixels; an image of one channel as it is."""
        image = _pixels_of(image)
        if image.shape[-1] == 1:
            return image
        return np.asarray(Image.fromarray(image).convert("L"))[..., None]


class ResizeAndCrop(Transform):
    """Resizes an image by Pillow and cuts out its centre, as torchvision does; uint8 (H, W, C) in and out.

    A Pillow image is taken too. What the crop reaches beyond the resized image is black.

    Args:
        resize: The shorter side after resizing, in pixels; or (height, width) that the resized image covers, by no
            more than its own proportions need.
        crop: (height, width) of what is cut out.
        interpolation: Pillow's constant.
        rounding: "floor" rounds the longer side down, "round" to the nearest pixel.
        squash: Whether the image takes just the size `resize`, which is a pair, whatever its proportions.
    """

    def __init__(
        self,
        resize: int | tuple[int, int],
        crop: tuple[int, int],
        interpolation: Image.Resampling,
        rounding: str = "floor",
        squash: bool = False,
    ) -> None:
        self.resize = resize
        self.squash = squash
        self.crop = crop
        self.interpolation = interpolation
        self.rounding: Callable[[float], int] = ROUNDINGS[rounding]

    def resized(self, image: np.ndarray | Image.Image) -> np.ndarray:
        """Returns the whole image at its new size."""
        image = _pixels_of(image)
        height, width, channels = image.shape
        if self.squash:
            new_height, new_width = self.resize
        elif isinstance(self.resize, int):
            short = min(height, width)
            new_height, new_width = (self.rounding(self.resize * side / short) for side in (height, width))
        else:
            shrinks_by = min(height / self.resize[0], width / self.resize[1])
            new_height, new_width = round(height / shrinks_by), round(width / shrinks_by)
        # The region in front of resizing that the crop needs would do too, but Pillow's rounding at its edge differs.
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        resized = np.asarray(picture.resize((new_width, new_height), self.interpolation))
        return resized.reshape(new_height, new_width, channels)

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        return self(data)

    def __call__(self, image: np.ndarray | Image.Image) -> np.ndarray:
        resized = self.resized(image)
        missing = [max(wanted - side, 0) for wanted, side in zip(self.crop, resized.shape[:2], strict=True)]
        if any(missing):
            resized = np.pad(resized, [*((by // 2, by - by // 2) for by in missing), (0, 0)])
        top, left = (round((side - wanted) / 2) for wanted, side in zip(self.crop, resized.shape[:2], strict=True))
        return np.ascontiguousarray(resized[top : top + self.crop[0], left : left + self.crop[1]])
