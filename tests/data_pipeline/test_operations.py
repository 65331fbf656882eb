"""Operations on pixels against Pillow: colours bit for bit; geometry within a grey level, 0.05 on average."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from mindcv.data.images import operations

PHOTOS = sorted((Path(__file__).parents[1] / "data" / "photos").glob("*.jpg"))[:2]
BILINEAR, BICUBIC, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST
FILLING = (124, 116, 104)


def images() -> list[np.ndarray]:
    """Photos, noise, a picture of few colours, one colour, and sides of one to three pixels."""
    rng = np.random.default_rng(0)
    found = [np.asarray(Image.open(path).convert("RGB").resize((224, 192))) for path in PHOTOS]
    found += [rng.integers(0, 256, (65, 37, 3), dtype=np.uint8), rng.integers(60, 63, (20, 20, 3), dtype=np.uint8)]
    found += [np.full((8, 9, 3), value, np.uint8) for value in (0, 77, 255)]
    found += [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((1, 1), (1, 7), (9, 2), (3, 3))]
    return found


IMAGES = images()
FACTORS = (0.0, 0.01, 0.1, 0.37, 0.9, 1.0, 1.3, 1.9, 1.99)


def enhanced(enhancer):
    return lambda image, factor: enhancer(image).enhance(factor)


@pytest.fixture(params=["extension", "pillow"])
def road(request, monkeypatch):
    """Both ways to do it."""
    if request.param == "pillow":
        monkeypatch.setattr(operations, "_augment", None)
    else:
        assert operations.is_augment_extension_built(), "build it: python setup.py build_ext --inplace"
    return request.param


@pytest.mark.parametrize(
    ("operation", "pillow", "arguments"),
    [
        (operations.auto_contrast, ImageOps.autocontrast, [()]),
        (operations.equalize, ImageOps.equalize, [()]),
        (operations.invert, ImageOps.invert, [()]),
        (operations.solarize, ImageOps.solarize, [(value,) for value in (0, 1, 110, 128, 255, 256)]),
        (operations.posterize, ImageOps.posterize, [(bits,) for bits in range(1, 9)]),
        (operations.brightness, enhanced(ImageEnhance.Brightness), [(factor,) for factor in FACTORS]),
        (operations.contrast, enhanced(ImageEnhance.Contrast), [(factor,) for factor in FACTORS]),
        (operations.saturation, enhanced(ImageEnhance.Color), [(factor,) for factor in FACTORS]),
        (operations.sharpness, enhanced(ImageEnhance.Sharpness), [(factor,) for factor in FACTORS]),
        (
            operations.gaussian_blur,
            lambda image, radius: image.filter(ImageFilter.GaussianBlur(radius)),
            [(radius,) for radius in (0.1, 0.33, 0.8, 1.0, 1.7, 2.0, 6.5)],
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_colours_are_pillows_to_the_bit(road, operation, pillow, arguments):
    for image in IMAGES:
        before = image.copy()
        for values in arguments:
            expected = np.asarray(pillow(Image.fromarray(image), *values))
            result = operation(image, *values)
            assert result.dtype == np.uint8
            np.testing.assert_array_equal(result, expected, err_msg=f"{image.shape} {values}")
        np.testing.assert_array_equal(image, before)


# Shears, translations by whole and broken pixels, and something of all.
MATRICES = [
    *((1, slope, 0, 0, 1, 0) for slope in (0.0, 0.27, -0.3, 0.99)),
    *((1, 0, 0, slope, 1, 0) for slope in (0.11, -0.99)),
    *((1, 0, shift, 0, 1, 0) for shift in (3, -0.5, 17.3, -1000)),
    *((1, 0, 0, 0, 1, shift) for shift in (0.25, -9.7)),
    (0.8, 0.3, -5.1, -0.2, 1.1, 4.4),
]


def close(result: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for few values where single precision rounds otherwise than Pillow's double."""
    difference = np.abs(result.astype(int) - expected)
    assert difference.max(initial=0) <= 1
    assert difference.size < 1000 or difference.mean() < 0.05


@pytest.mark.parametrize("resampling", [BILINEAR, BICUBIC, NEAREST])
def test_geometry_is_pillows(road, resampling):
    for image in IMAGES:
        for matrix in MATRICES:
            picture = Image.fromarray(image)
            expected = picture.transform(picture.size, Image.Transform.AFFINE, matrix, resampling, fillcolor=FILLING)
            close(operations.affine(image, matrix, resampling, FILLING), np.asarray(expected))
        for degrees in (0, 13.7, -29.5, 90, 180, -90, 135, 359.99):
            expected = Image.fromarray(image).rotate(degrees, resampling, fillcolor=FILLING)
            close(operations.rotate(image, degrees, resampling, FILLING), np.asarray(expected))


def test_hue_turns_the_colours():
    red = np.full((2, 2, 3), (255, 0, 0), np.uint8)
    np.testing.assert_array_equal(operations.hue(red, 0.0), red)
    np.testing.assert_allclose(operations.hue(red, 1 / 3)[0, 0], (0, 255, 0), atol=6)
    np.testing.assert_allclose(operations.hue(red, -1 / 3)[0, 0], (0, 0, 255), atol=6)


def test_images_that_are_not_contiguous(road):
    image = IMAGES[0][::2, 5:-7:3]
    for operation in (operations.equalize, lambda each: operations.saturation(each, 0.3)):
        np.testing.assert_array_equal(operation(image), operation(np.ascontiguousarray(image)))


def test_the_extension_refuses_wrong_sizes():
    extension = operations._augment
    image, small = bytes(4 * 5 * 3), bytearray(4 * 4 * 3)
    with pytest.raises(ValueError, match="height x width x 3"):
        extension.sharpen(image, 4, 5, 0.5, small)
    with pytest.raises(ValueError, match="height x width x 3"):
        extension.warp(image, 5, 4, (1, 0, 0, 0, 1, 0), True, FILLING, small)
    with pytest.raises(ValueError, match="height x width x 3"):
        extension.blur(image, -4, -5, 1.0, bytearray(60))
    with pytest.raises(ValueError, match="radius"):
        extension.blur(image, 4, 5, float("inf"), bytearray(60))
    with pytest.raises(ValueError, match="one size"):
        extension.saturate(image, 0.5, small)
    with pytest.raises(ValueError, match="one size"):
        extension.blend_level(image, 0, 0.5, small)
    with pytest.raises(ValueError, match="3 x 256"):
        extension.look_up(image, bytes(255), bytearray(60))
    with pytest.raises(ValueError, match="3 x 256"):
        extension.count_levels(image, bytearray(60))
    with pytest.raises(TypeError):
        extension.saturate(image, 0.5, bytes(60))
