"""Test-time augmentation: several views of an image, whose probabilities are averaged."""

import random
from collections.abc import Callable

import numpy as np
from PIL import Image

from ..utils.registry import unknown_name_message
from .images.decoding import Decode
from .images.interpolation import pillow_interpolation
from .images.reading import Transform
from .images.resizing import ResizeAndCrop, ToGrey
from .preprocess import EvalPreprocess

__all__ = ["TTA", "Views", "view_operations"]

TTA = ("flip", "five_crop", "ten_crop", "scales")
# From one of `scales` to the next the image is enlarged by so much.
_ENLARGED_BY = 8 / 7


def view_operations(
    preprocess: EvalPreprocess, tta: str, encoded: bool = True, normalise: bool = True, channels_last: bool = False
) -> list[Callable]:
    """Returns the operations for `dataset.map` that make views in the place of one image.

    Args:
        preprocess: The evaluation's preprocessing.
        tta: See `Views`.
        encoded: Whether images come as the bytes of a file, not as uint8 (H, W, C).
        normalise: See `Views`.
        channels_last: See `Views`.

    Raises:
        ValueError: See `Views`.
    """
    return [*([Decode()] if encoded else []), Views(preprocess, tta, normalise, channels_last)]


class Views(Transform):
    """uint8 (H, W, C), of any size, to views of the network's size, (V, C, H, W).

    `flip`: the centre crop, and mirrored (2 views). `five_crop`: the centre and the corners of the resized image;
    `ten_crop`: these, and mirrored. `scales`: centre crops of the image at three sizes, from 7/8 of the evaluation's
    on, but no smaller than the crop, each 8/7 of the one before.

    Args:
        preprocess: The evaluation's preprocessing.
        tta: The kind of views.
        normalise: Whether mean and std are applied, which gives float32; else the result is uint8.
        channels_last: Whether a view is (H, W, C), for a network that normalises itself.

    Raises:
        ValueError: The kind is unknown, or the preprocessing leaves nothing to crop.
    """

    def __init__(
        self, preprocess: EvalPreprocess, tta: str, normalise: bool = True, channels_last: bool = False
    ) -> None:
        if tta not in TTA:
            raise ValueError(unknown_name_message("tta", tta, TTA))
        if not preprocess.antialias:
            raise ValueError(f"tta {tta!r} needs images that Pillow resizes; set antialias to True")
        if tta.endswith("_crop") and preprocess.crop_pct >= 1:
            raise ValueError(
                f"tta {tta!r}: with crop_pct {preprocess.crop_pct:g} the crops are the same; set crop_pct below 1, or "
                "tta flip or scales"
            )
        self.tta = tta
        self.crop = preprocess.image_size
        self.is_grey = len(preprocess.mean) == 1
        self.normalise, self.channels_last = normalise, channels_last
        self.mean, self.std = (np.array(values, np.float32) for values in (preprocess.mean, preprocess.std))
        interpolation = pillow_interpolation(preprocess.interpolation)
        size, rounding = preprocess.resize_size, preprocess.resize_rounding
        least = max(1 / _ENLARGED_BY, min(preprocess.crop_pct, 1.0))
        self.resizes = [
            ResizeAndCrop(_scaled(size, by), self.crop, interpolation, rounding, preprocess.crop_mode == "squash")
            for by in ([least * _ENLARGED_BY**power for power in range(3)] if tta == "scales" else [1.0])
        ]

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        return self(data)

    def __call__(self, image: np.ndarray | Image.Image) -> np.ndarray:
        views = [resize(image) for resize in self.resizes]
        if self.tta.endswith("_crop"):
            views += self._corners(self.resizes[0].resized(image))
        if self.is_grey:
            grey = ToGrey()
            views = [grey(view) for view in views]
        if self.tta in ("flip", "ten_crop"):
            views += [view[:, ::-1] for view in views]
        stacked = np.stack(views)
        if self.normalise:
            stacked = (stacked.astype(np.float32) - self.mean) / self.std
        return stacked if self.channels_last else np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))

    def _corners(self, resized: np.ndarray) -> list[np.ndarray]:
        height, width = self.crop
        return [
            resized[rows, columns]
            for rows in (slice(0, height), slice(resized.shape[0] - height, None))
            for columns in (slice(0, width), slice(resized.shape[1] - width, None))
        ]


def _scaled(size: int | tuple[int, int], by: float) -> int | tuple[int, int]:
    return round(size * by) if isinstance(size, int) else (round(size[0] * by), round(size[1] * by))
