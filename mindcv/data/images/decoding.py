"""Makes pixels of encoded images, no more of them than a training crop needs.

Uses the C extension `_jpeg` for baseline JPEG files and Pillow for others, and for all where the extension was not
built. What a list of transforms begins with is an operation of MindSpore, which does it for datasets that are not of
`create_dataset`, and a `Transform`, by which a reader does the same: with the pixels of MindSpore's Decode, and with
crops from the distribution of its RandomCropDecodeResize. `arrays` has those for datasets whose images are arrays.
"""

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
from mindspore.dataset import vision
from PIL import Image

from ..randomness import dataset_seed, generator_for
from .extensions import jpeg as _jpeg
from .flips import RandomHorizontalFlip
from .image_check import MAX_PIXELS, checked_pixels
from .reading import Transform
from .resizing import ResizeAndCrop

__all__ = [
    "Decode",
    "RandomBox",
    "RandomCrop",
    "Resize",
    "SimpleRandomCrop",
    "check_pixels",
    "decode_image",
    "is_jpeg_extension_built",
]

_ATTEMPTS = 10
_SIMPLE_BORDER = 4
_CROP_SALT = 13
_REDUCTIONS = (8, 4, 2)

# Interpolations that a reader has, by MindSpore's constants.
_IS_CUBIC = {vision.Inter.BILINEAR: False, vision.Inter.BICUBIC: True, vision.Inter.PILCUBIC: True}

Box = tuple[int, int, int, int]  # top, left, height, width


def is_jpeg_extension_built() -> bool:
    """Whether images are decoded by the C extension; else Pillow does it, as a whole and more slowly."""
    return _jpeg is not None


def _plain_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of an image that the extension may try; None: it is one for `checked_pixels`."""
    size = _jpeg.size(data) if _jpeg is not None else None
    return size if size and size[0] * size[1] <= MAX_PIXELS else None


def _size_or_pixels(data: bytes | np.ndarray) -> tuple[tuple[int, int] | None, np.ndarray | None]:
    """Height and width of an image file that the extension may try; of another, and of an array, the pixels."""
    if isinstance(data, np.ndarray):
        return None, data
    size = _plain_size(data)
    return size, None if size else checked_pixels(data)


def _cut(pixels: np.ndarray, box: Box, reduction: int = 1) -> np.ndarray:
    """The pixels of a box; `reduction`: the means of so many in each direction, grouped as in the extension."""
    top, left, height, width = (value // reduction * reduction for value in box)
    cut = np.ascontiguousarray(pixels[top : top + height, left : left + width])
    return cut if reduction == 1 else np.asarray(Image.fromarray(cut).reduce(reduction))


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


def _room(shape: tuple[int, ...], out: np.ndarray | None) -> np.ndarray:
    """Returns `out` where it has the shape, which a batch for a grey model has not; else a new array."""
    return np.empty(shape, np.uint8) if out is None or out.shape != shape else out


def _resized(
    pixels: np.ndarray,
    size: tuple[int, int],
    interpolation: vision.Inter,
    flip: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Resizes an image, into `out` where that has the shape, and mirrors it left to right with `flip`.

    Bicubic is Pillow's filter; all others, MindSpore's. The extension does bilinear and bicubic to one grey level.
    """
    channels = pixels.shape[2]
    out = _room((*size, channels), out)
    is_cubic = _IS_CUBIC.get(interpolation)
    if _jpeg is not None and channels == 3 and is_cubic is not None:
        _jpeg.resize(np.ascontiguousarray(pixels), *pixels.shape[:2], out, *size, flip, is_cubic)
        return out
    if is_cubic:
        picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        resized = np.asarray(picture.resize(size[::-1], Image.Resampling.BICUBIC))
    else:
        resized = vision.Resize(size, interpolation)(pixels)
    resized = resized.reshape(out.shape)
    out[:] = resized[:, ::-1] if flip else resized
    return out


class Decode(vision.Decode, Transform):
    """Decodes an encoded image as a whole."""

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        return data if isinstance(data, np.ndarray) else decode_image(data)


class Resize(vision.Resize, Transform):
    """Resizes a whole image, whatever its proportions.

    Args:
        size: (height, width) of the result, in pixels.
        interpolation: MindSpore's constant, see `RandomCrop`.
    """

    def __init__(self, size: tuple[int, int], interpolation: vision.Inter) -> None:
        super().__init__(size, interpolation)
        self.size = size

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        return _resized(data, self.size, self.interpolation, out=out)


class RandomCrop(vision.RandomCropDecodeResize, Transform):
    """Random crop, resize and, in a reader, mirroring of an encoded image (https://arxiv.org/abs/1409.4842).

    A reader takes an array too.

    Args:
        size: (height, width) of the result, in pixels.
        scale: Least and greatest area of the crop, as shares of the image.
        ratio: Least and greatest width of the crop in heights, evenly drawn on a logarithmic scale.
        interpolation: MindSpore's constant. A reader resizes by bilinear interpolation between the two nearest pixels,
            or for both kinds of bicubic by Pillow's filter.
        hflip: Share of images that a reader mirrors left to right.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale: tuple[float, float],
        ratio: tuple[float, float],
        interpolation: vision.Inter = vision.Inter.BILINEAR,
        hflip: float = 0.0,
    ) -> None:
        super().__init__(size, scale, ratio, interpolation, _ATTEMPTS)
        self.hflip = hflip

    def joined(self, operations: Sequence[Callable]) -> tuple[Transform, list[Callable]]:
        if self.interpolation not in _IS_CUBIC:
            resize = Resize(self.size, self.interpolation)
            return RandomBox(self.size, self.scale, self.ratio), [resize, *operations]
        if operations and isinstance(operations[0], RandomHorizontalFlip):
            with_flip = RandomCrop(self.size, self.scale, self.ratio, self.interpolation, operations[0].prob)
            return with_flip, list(operations[1:])
        return self, list(operations)

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        size, pixels = _size_or_pixels(data)
        box = self.box(*(size or pixels.shape[:2]), rng)
        flip = self.hflip > 0 and rng.random() < self.hflip
        by = self.reduction(box)
        if size:
            out = _room((*self.size, 3), out)
            is_cubic = _IS_CUBIC[self.interpolation]
            if _jpeg.crop(data, *(value // by for value in box), by, out, *self.size, flip, is_cubic):
                return out
            pixels = checked_pixels(data)
        return _resized(_cut(pixels, box, by), self.size, self.interpolation, flip, out)

    def reduction(self, box: Box) -> int:
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
                return rng.randrange(height - rows + 1), rng.randrange(width - columns + 1), rows, columns
        # An image far from the wanted ratios: the largest part of its middle that has one of them.
        rows = min(height, max(1, round(width / self.ratio[0])))
        columns = min(width, max(1, round(height * self.ratio[1])))
        return (height - rows) // 2, (width - columns) // 2, rows, columns


class RandomBox(RandomCrop):
    """The random crop before it is resized, for interpolations that the extension does not have; not mirrored.

    Args:
        size: (height, width) that it will be resized to, in pixels. A crop that is at least twice as large is halved.
        scale: See `RandomCrop`.
        ratio: See `RandomCrop`.
    """

    def joined(self, operations: Sequence[Callable]) -> tuple[Transform, list[Callable]]:
        return self, list(operations)

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        size, pixels = _size_or_pixels(data)
        box = self.box(*(size or pixels.shape[:2]), rng)
        by = self.reduction(box)
        if size:
            top, left, height, width = (value // by for value in box)
            cut = np.empty((height, width, 3), np.uint8)
            if _jpeg.decode(data, top, left, height, width, by, cut):
                return cut
            pixels = checked_pixels(data)
        return _cut(pixels, box, by)


class SimpleRandomCrop(Transform):
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

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Crops an image file, uint8 (N,), or pixels, uint8 (H, W, C), to uint8 (height, width, C).

        Raises:
            ValueError: It is no image, damaged or too large.
        """
        generator = generator_for(dataset_seed(), _CROP_SALT, image)
        pixels = image if image.ndim == 3 else decode_image(image.tobytes())
        return self._crop(pixels, lambda least, most: int(generator.integers(least, most + 1)))

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        return self._crop(data if isinstance(data, np.ndarray) else decode_image(data), rng.randint)

    def _crop(self, pixels: np.ndarray, draw: Callable[[int, int], int]) -> np.ndarray:
        """Crops at an offset that `draw` draws from the least to the greatest, both included."""
        whole = self.resize.resized(pixels)
        border = _SIMPLE_BORDER
        padded = np.pad(whole, ((border, border), (border, border), (0, 0)), "reflect")
        spare = [side - wanted for side, wanted in zip(padded.shape, self.size, strict=False)]
        top, left = draw(0, spare[0]), draw(0, spare[1])
        return np.ascontiguousarray(padded[top : top + self.size[0], left : left + self.size[1]])
