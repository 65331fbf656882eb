"""Makes pixels of encoded images, no more of them than a training crop needs.

Uses the C extension `_jpeg` for baseline JPEG files and Pillow for others, and for all where the extension was not
built. The pixels equal those of MindSpore's Decode, and crops are drawn from the distribution of its
RandomCropDecodeResize.
"""

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
from mindspore.dataset import vision
from PIL import Image

from ..preprocess import ResizeAndCrop
from ..randomness import RandomOperation, dataset_seed, generator_for
from .extensions import jpeg as _jpeg
from .image_check import MAX_PIXELS, checked_pixels

__all__ = [
    "Decoder",
    "RandomBox",
    "RandomCrop",
    "SimpleRandomCrop",
    "WholeImage",
    "check_pixels",
    "decode_image",
    "decoder_of",
    "is_jpeg_extension_built",
]

_ATTEMPTS = 10
_SIMPLE_BORDER = 4
_CROP_SALT = 13
_REDUCTIONS = (8, 4, 2)

Box = tuple[int, int, int, int]  # top, left, height, width
# Takes an image file, random numbers, and an array that the pixels may be put into.
Decoder = Callable[[bytes, random.Random, np.ndarray | None], np.ndarray]


def is_jpeg_extension_built() -> bool:
    """Whether images are decoded by the C extension; else Pillow does it, as a whole and more slowly."""
    return _jpeg is not None


def _plain_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of an image that the extension may try; None: it is one for `checked_pixels`."""
    size = _jpeg.size(data) if _jpeg is not None else None
    return size if size and size[0] * size[1] <= MAX_PIXELS else None


def decode_image(data: bytes) -> np.ndarray:
    """Checks and decodes an image file into uint8 (H, W, 3), RGB, upright; see `to_rgb` for other depths and colours.

    Raises:
        ValueError: It is no image, damaged or too large.
    """
    size = _plain_size(data)
    if size:
        pixels = np.empty((*size, 3), np.uint8)
        if _jpeg.decode(data, 0, 0, *size, 1, pixels):
            return pixels
    return checked_pixels(data)


def check_pixels(data: bytes) -> None:
    """Decodes an image for no more than to see whether `decode_image` takes it, as quickly as that can be seen.

    Raises:
        ValueError: It does not.
    """
    size = _plain_size(data)
    if size:
        by = _REDUCTIONS[0]
        height, width = (-(-side // by) for side in size)
        if _jpeg.decode(data, 0, 0, height, width, by, np.empty((height, width, 3), np.uint8)):
            return
    checked_pixels(data)


class WholeImage:
    """Decodes an encoded image as a whole."""

    def __call__(self, data: bytes, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        """Does what `decode_image` does."""
        return decode_image(data)


class RandomCrop:
    """Random crop, resize and mirroring of an encoded image (https://arxiv.org/abs/1409.4842).

    Args:
        size: (height, width) of the result, in pixels.
        scale: Least and greatest area of the crop, as shares of the image.
        ratio: Least and greatest width of the crop in heights, evenly drawn on a logarithmic scale.
        hflip: Share of images that are mirrored left to right.
    """

    def __init__(
        self, size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float], hflip: float = 0.0
    ) -> None:
        self.size = size
        self.scale = scale
        self.ratio = ratio
        self.hflip = hflip

    def __call__(self, data: bytes, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        """Checks and crops an image.

        Args:
            data: An image file.
            rng: Where the random numbers come from.
            out: Where to put the pixels, uint8 (height, width, 3). None: a new array.

        Returns:
            uint8 (height, width, 3), RGB.

        Raises:
            ValueError: It is no image, damaged or too large.
        """
        if out is None or out.shape != (*self.size, 3):  # the batch of a grey model has room for one channel
            out = np.empty((*self.size, 3), np.uint8)
        size = _plain_size(data)
        pixels = None if size else checked_pixels(data)
        box = self.box(*(size or pixels.shape[:2]), rng)
        flip = rng.random() < self.hflip
        if size:
            by = self._reduction(box)
            if _jpeg.crop(data, *(value // by for value in box), by, out, *self.size, flip):
                return out
            pixels = checked_pixels(data)
        top, left, height, width = box
        cut = np.ascontiguousarray(pixels[top : top + height, left : left + width])
        _jpeg.resize(cut, height, width, out, *self.size, flip)
        return out

    def _reduction(self, box: Box) -> int:
        """How often the sides can be halved while decoding without the crop becoming smaller than the result."""
        height, width = self.size
        return next((by for by in _REDUCTIONS if box[2] >= by * height and box[3] >= by * width), 1)

    def box(self, height: int, width: int, rng: random.Random) -> Box:
        """Draws top, left, height and width of a crop in an image of the given size."""
        least, greatest = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(_ATTEMPTS):
            area = rng.uniform(*self.scale) * height * width
            ratio = math.exp(rng.uniform(least, greatest))
            columns, rows = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < rows <= height and 0 < columns <= width:
                return rng.randint(0, height - rows), rng.randint(0, width - columns), rows, columns
        # An image far from the wanted ratios: the largest part of its middle that has one of them.
        rows = min(height, max(1, round(width / self.ratio[0])))
        columns = min(width, max(1, round(height * self.ratio[1])))
        return (height - rows) // 2, (width - columns) // 2, rows, columns


class RandomBox(RandomCrop):
    """The random crop before it is resized, where MindSpore does that; not mirrored.

    Args:
        size: (height, width) that it will be resized to, in pixels. A crop that is at least twice as large is halved.
        scale: See `RandomCrop`.
        ratio: See `RandomCrop`.
    """

    def __call__(self, data: bytes, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        """Checks and crops an image; uint8 (H, W, 3), RGB. `out` is not used.

        Raises:
            ValueError: It is no image, damaged or too large.
        """
        size = _plain_size(data)
        pixels = None if size else checked_pixels(data)
        box = self.box(*(size or pixels.shape[:2]), rng)
        by = self._reduction(box)
        if size:
            top, left, height, width = (value // by for value in box)
            cut = np.empty((height, width, 3), np.uint8)
            if _jpeg.decode(data, top, left, height, width, by, cut):
                return cut
            pixels = checked_pixels(data)
        top, left, height, width = box
        cut = np.ascontiguousarray(pixels[top : top + height, left : left + width])
        return cut if by == 1 else np.asarray(Image.fromarray(cut).reduce(by))


class SimpleRandomCrop:
    """DeiT III's simple random crop (arXiv 2204.07118, section 3.2), which keeps nearly all of an image.

    It is resized so that its shorter side is that of the result (so that it covers a result that is not square), gets
    a border of 4 pixels by reflection, and is cropped somewhere. It is also an operation for `dataset.map`, whose
    random numbers follow from the seed of `mindspore.dataset` and the image.

    Args:
        size: (height, width) of the result, in pixels.
        interpolation: Pillow's constant.
    """

    def __init__(self, size: tuple[int, int], interpolation: Image.Resampling) -> None:
        height, width = size
        self.size = size
        self.resize = ResizeAndCrop(height if height == width else size, size, interpolation)

    def __call__(
        self, data: bytes | np.ndarray, rng: random.Random | None = None, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Crops an image.

        Args:
            data: An image file as bytes or uint8 (N,), or pixels, uint8 (H, W, C).
            rng: Where the random numbers come from. None: from the seed and the image.
            out: Not used.

        Returns:
            uint8 (height, width, C).

        Raises:
            ValueError: It is no image, damaged or too large.
        """
        if isinstance(data, np.ndarray):
            numbers = generator_for(dataset_seed(), _CROP_SALT, data)
            pixels = data if data.ndim == 3 else decode_image(data.tobytes())
        else:
            pixels = decode_image(data)
        whole = self.resize.resized(pixels)
        border = _SIMPLE_BORDER
        padded = np.pad(whole, ((border, border), (border, border), (0, 0)), "reflect")
        spare = [side - wanted for side, wanted in zip(padded.shape, self.size, strict=False)]
        draw = rng.randint if rng is not None else lambda least, most: int(numbers.integers(least, most + 1))
        top, left = draw(0, spare[0]), draw(0, spare[1])
        return np.ascontiguousarray(padded[top : top + self.size[0], left : left + self.size[1]])


class RandomFlip(RandomOperation):
    """Mirrors images.

    Args:
        prob: Share of images that are mirrored.
        axis: 1: left to right; 0: top to bottom.
    """

    def __init__(self, prob: float, axis: int) -> None:
        super().__init__()
        self.prob = prob
        self.axis = axis

    def apply(self, image: np.ndarray, rng: random.Random) -> np.ndarray:
        return np.ascontiguousarray(np.flip(image, self.axis)) if rng.random() < self.prob else image


_FLIP_AXES = {vision.RandomHorizontalFlip: 1, vision.RandomVerticalFlip: 0}


def _with_own_flips(operations: Sequence[Callable]) -> list[Callable]:
    """Puts our flips, which a reader can give random numbers, in the place of MindSpore's."""
    return [RandomFlip(each.prob, _FLIP_AXES[type(each)]) if type(each) in _FLIP_AXES else each for each in operations]


def decoder_of(transform: Sequence[Callable]) -> tuple[Decoder, list[Callable]] | None:
    """Splits a list of operations into a decoder of this module and the operations behind it.

    Args:
        transform: Operations that may begin with MindSpore's Decode, or RandomCropDecodeResize and
            RandomHorizontalFlip.

    Returns:
        The decoder that does the same and the other operations; None when they begin otherwise, or when their settings
        (attempts, Pillow images) are others than those of this module.
    """
    if not transform:
        return None
    first, rest = transform[0], list(transform[1:])
    if isinstance(first, SimpleRandomCrop):
        return first, _with_own_flips(rest)
    if type(first) is vision.Decode and not first.to_pil:
        return WholeImage(), _with_own_flips(rest)
    if type(first) is not vision.RandomCropDecodeResize or first.max_attempts != _ATTEMPTS:
        return None
    if _jpeg is None or first.interpolation != vision.Inter.BILINEAR:
        resize = vision.Resize(first.size, first.interpolation)
        return RandomBox(first.size, first.scale, first.ratio), [resize, *_with_own_flips(rest)]
    hflip = rest.pop(0).prob if rest and type(rest[0]) is vision.RandomHorizontalFlip else 0.0
    return RandomCrop(first.size, first.scale, first.ratio, hflip), _with_own_flips(rest)
