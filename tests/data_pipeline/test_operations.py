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


def with_steps(image: np.ndarray, *steps) -> np.ndarray:
    changed = image.copy()
    operations.apply_steps(changed, steps)
    return changed


def with_turned_hue(image: Image.Image, share: float) -> Image.Image:
    bands = np.array(image.convert("HSV"))
    bands[..., 0] += np.uint8(int(share * 255) % 256)
    return Image.fromarray(bands, "HSV").convert("RGB")


@pytest.fixture(params=["extension", "pillow"])
def implementation(request, monkeypatch):
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
        (operations.hue, with_turned_hue, [(share,) for share in (-0.5, -0.31, 0.0, 0.004, 0.2, 0.5)]),
        (operations.sharpness, enhanced(ImageEnhance.Sharpness), [(factor,) for factor in FACTORS]),
        (
            operations.gaussian_blur,
            lambda image, radius: image.filter(ImageFilter.GaussianBlur(radius)),
            [(radius,) for radius in (0.1, 0.33, 0.8, 1.0, 1.7, 2.0, 6.5)],
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_colours_are_pillows_to_the_bit(implementation, operation, pillow, arguments):
    for image in IMAGES:
        for values in arguments:
            expected = np.asarray(pillow(Image.fromarray(image), *values))
            result = with_steps(image, operation(*values))
            assert result.dtype == np.uint8
            np.testing.assert_array_equal(result, expected, err_msg=f"{image.shape} {values}")


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
def test_geometry_is_pillows(implementation, resampling):
    for image in IMAGES:
        for matrix in MATRICES:
            picture = Image.fromarray(image)
            expected = picture.transform(picture.size, Image.Transform.AFFINE, matrix, resampling, fillcolor=FILLING)
            close(with_steps(image, operations.affine(matrix, resampling, FILLING)), np.asarray(expected))
        for degrees in (0, 13.7, -29.5, 90, 180, -90, 135, 359.99):
            expected = Image.fromarray(image).rotate(degrees, resampling, fillcolor=FILLING)
            turned = with_steps(image, operations.rotate(image.shape[:2], degrees, resampling, FILLING))
            close(turned, np.asarray(expected))


def test_hue_turns_the_colours():
    red = np.full((2, 2, 3), (255, 0, 0), np.uint8)
    np.testing.assert_array_equal(with_steps(red, operations.hue(0.0)), red)
    np.testing.assert_allclose(with_steps(red, operations.hue(1 / 3))[0, 0], (0, 255, 0), atol=6)
    np.testing.assert_allclose(with_steps(red, operations.hue(-1 / 3))[0, 0], (0, 0, 255), atol=6)


def test_hue_of_all_colours_is_pillows():
    """Every fifth level of red, green and blue, and the last."""
    levels = np.array([*range(0, 255, 5), 255], np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(52, -1, 3)
    for share in (0.0, 0.3, -0.2):
        expected = np.asarray(with_turned_hue(Image.fromarray(colours), share))
        np.testing.assert_array_equal(with_steps(colours, operations.hue(share)), expected)


def test_steps_are_done_in_turn(implementation):
    steps = [operations.posterize(3), operations.brightness(1.7), operations.invert()]
    each = IMAGES[0]
    for step in steps:
        each = with_steps(each, step)
    np.testing.assert_array_equal(with_steps(IMAGES[0], *steps), each)
    assert not np.array_equal(with_steps(IMAGES[0], *steps[::-1]), each)
    np.testing.assert_array_equal(with_steps(IMAGES[0]), IMAGES[0])


def test_a_part_of_an_image_is_changed_in_its_place(implementation):
    for step in (operations.equalize(), operations.saturation(0.3)):
        image = IMAGES[0].copy()
        part = image[::2, 5:-7:3]
        expected = with_steps(part, step)
        operations.apply_steps(part, [step])
        np.testing.assert_array_equal(image[::2, 5:-7:3], expected)
        np.testing.assert_array_equal(image[1::2], IMAGES[0][1::2])


def test_the_extension_refuses_what_is_no_step_or_no_image():
    extension = operations._augment
    image = bytearray(4 * 5 * 3)
    for height, width in ((4, 4), (-4, -5), (0, 0)):
        with pytest.raises(ValueError, match="height x width x 3"):
            extension.apply(image, height, width, [])
    for step, message in (
        (("melt",), "no operation 'melt'"),
        ((1,), "no operation 1"),
        ((), "tuple"),
        (["invert"], "tuple"),
        (("invert", 1), "invert needs 0 numbers"),
        (("solarize",), "solarize needs 1 numbers"),
        (("brightness", float("nan")), "between"),
        (("affine", 1, float("inf"), 0, 0, 1, 0, 1, *FILLING), "between"),
        (("gaussian_blur", 0), "radius"),
        (("gaussian_blur", 1001), "radius"),
    ):
        with pytest.raises(ValueError, match=message):
            extension.apply(image, 4, 5, [step])
    with pytest.raises(TypeError):
        extension.apply(image, 4, 5, [("solarize", "many")])
    with pytest.raises(TypeError):
        extension.apply(bytes(60), 4, 5, [])


def test_all_loops_give_the_same_to_the_bit():
    """Those of plain C against those for this processor, whatever the width leaves over at the ends of rows."""
    extension = operations._augment
    matrices = [*MATRICES, (0.8, -0.6, 30, 0.6, 0.8, -20), (1, 0.2, 7, 0, 1, 0), (3, 0, -50, 0, 0.4, 9)]
    steps = [operations.affine(matrix, how, FILLING) for matrix in matrices for how in (BILINEAR, BICUBIC)]
    changes = (operations.brightness, operations.contrast, operations.saturation, operations.sharpness)
    steps += [change(factor) for change in changes for factor in (*FACTORS, -0.5, 8.0, 1e8)]
    steps += [operations.auto_contrast(), operations.equalize(), operations.gaussian_blur(1.3)]
    assert extension.loops()[0] == "plain"
    try:
        for image in (*IMAGES, IMAGES[0][:32, :86], IMAGES[1][:40, :171]):
            height, width = image.shape[:2]
            for step in steps:
                results = []
                for loops in extension.loops():
                    extension.use_loops(loops)
                    results.append(image.copy())
                    extension.apply(results[-1], height, width, [step])
                    np.testing.assert_array_equal(results[-1], results[0], err_msg=f"{loops} {image.shape} {step}")
    finally:
        extension.use_loops(None)
    with pytest.raises(ValueError, match="no loops altivec"):
        extension.use_loops("altivec")


def test_far_away_points_come_from_outside():
    for matrix in ((1e8, 0, 0, 0, 1, 0), (1, 0, -9e8, 0, 1, 9e8), (0, 0, 1e8, 0, 0, 0)):
        for resampling in (NEAREST, BILINEAR, BICUBIC):
            result = with_steps(IMAGES[0], operations.affine(matrix, resampling, FILLING))
            assert (result == FILLING).all()
