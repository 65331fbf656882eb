"""From a user's image to a network's input, by the same operations as `validate`."""

import os
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from ..data.images.decoding import decode_image
from ..data.images.image_check import to_rgb
from ..data.loader import explain_pipeline_error
from ..data.preprocess import EvalPreprocess, check_channels
from ..data.tta import view_operations
from ..utils.fs import read_bytes

__all__ = ["ImageReader", "name_of"]

_NOT_THE_REASON = re.compile(r"^the data pipeline failed: |\.?\s*Dump the abnormal image.*")


class ImageReader:
    """Makes (C, H, W) of paths, bytes of an image file, Pillow images and arrays. Threads may share one.

    Args:
        preprocess: Resize, crop and normalisation.
        normalise: Whether to normalise; else the result is uint8 pixels.
        tta: Make views, (V, C, H, W), of an image, see `mindcv.data.tta.Views`. None: one, (C, H, W).
    """

    def __init__(self, preprocess: EvalPreprocess, normalise: bool = True, tta: str | None = None) -> None:
        self.preprocess = preprocess
        self.normalise = normalise
        self.channels = len(preprocess.mean)
        self.tta = tta
        self._operations()  # what cannot be is told now
        self._own = threading.local()  # an operation of MindSpore's is not made for two threads at once

    def __call__(self, image: Any) -> np.ndarray:
        """Returns the network's input for one image.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: The file cannot be read.
            ValueError: It is not an image, or of a kind that is not known.
        """
        if isinstance(image, (str, os.PathLike)):
            image = read_bytes(image)
        if isinstance(image, (bytes, bytearray, Image.Image)):
            check_channels(self.channels)
        if isinstance(image, (bytes, bytearray)):
            return self._run(decode_image(bytes(image)))
        return self._run(self._pixels(image))

    def _pixels(self, image: Any) -> np.ndarray:
        """Returns uint8 (H, W, 1 or 3)."""
        if isinstance(image, Image.Image):
            image = np.asarray(to_rgb(image))
        if not isinstance(image, np.ndarray):
            kinds = "a path, bytes of an image file, a Pillow image or a numpy array"
            raise ValueError(f"an image is {kinds}, got {type(image).__name__}")
        if image.ndim == 2:
            image = np.repeat(image[..., None], self.channels, axis=-1)
        takes = (1, 3) if self.channels == 1 else (self.channels,)
        if image.ndim != 3 or image.shape[-1] not in takes or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                f"an array has to be uint8 (height, width, {self.channels}), RGB, got {image.dtype} {image.shape}"
            )
        return np.ascontiguousarray(image)

    def _operations(self) -> list[Callable]:
        if self.tta is None:
            return self.preprocess.operations(encoded=False, normalise=self.normalise)
        return view_operations(self.preprocess, self.tta, encoded=False, normalise=self.normalise)

    def _run(self, image: np.ndarray) -> np.ndarray:
        if not hasattr(self._own, "operations"):
            self._own.operations = self._operations()
        try:
            for operation in self._own.operations:
                image = operation(image)
        except RuntimeError as error:
            reason = explain_pipeline_error(error) or str(error).strip().splitlines()[0]
            raise ValueError(_NOT_THE_REASON.sub("", reason)) from error
        return image


def name_of(image: Any, index: int) -> str:
    """What an image is called in results: its path, else its index."""
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else f"image {index}"
