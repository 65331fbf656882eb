from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mindcv.data import EvalPreprocess, create_transforms
from mindcv.data.constants import CIFAR_MEAN, MNIST_MEAN

PHOTOS = Path(__file__).parent.parent / "data" / "photos"


def run(operations, image):
    for operation in operations:
        image = operation(image)
    return image


def reference(path, size, crop_pct, filter_):
    """torchvision's Resize(int), CenterCrop written out on Pillow."""
    image = Image.open(path).convert("RGB")
    short = int(np.floor(size / crop_pct))
    width, height = image.size
    new = (short, int(short * height / width)) if width < height else (int(short * width / height), short)
    image = image.resize(new, filter_)
    left, top = round((new[0] - size) / 2.0), round((new[1] - size) / 2.0)
    return np.asarray(image.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("photo", ["china.jpg", "flower.jpg"])
@pytest.mark.parametrize(
    ("name", "filter_"),
    [
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
        ("nearest", Image.Resampling.NEAREST),
        ("area", Image.Resampling.BOX),
        ("Antialias", Image.Resampling.LANCZOS),
    ],
)
@pytest.mark.parametrize(("size", "crop_pct"), [(224, 0.875), (192, 1.0), (480, 0.95)])
def test_equals_pillow_on_photos(photo, name, filter_, size, crop_pct):
    operations = create_transforms(
        "imagenet", size, interpolation=name, crop_pct=crop_pct, mean=[0, 0, 0], std=[1, 1, 1]
    )
    ours = run(operations, np.fromfile(PHOTOS / photo, np.uint8))
    assert (ours.dtype, ours.shape) == (np.float32, (3, size, size))
    theirs = reference(PHOTOS / photo, size, crop_pct, filter_)
    assert np.abs(ours.transpose(1, 2, 0) - theirs).max() <= 1


def test_portrait_and_small_images():
    image = np.random.default_rng(0).integers(0, 256, (30, 21, 3), dtype=np.uint8)
    operations = EvalPreprocess(16, crop_pct=0.8, mean=(0,) * 3, std=(1,) * 3).operations(encoded=False)
    expected = np.asarray(Image.fromarray(image).resize((20, 28), Image.Resampling.BILINEAR))[6:22, 2:18]
    np.testing.assert_array_equal(run(operations, image).transpose(1, 2, 0), expected)


def test_longer_side_is_rounded_down_or_to_the_nearest():
    """A photo of 640x427 whose shorter side becomes 256: 383.7 pixels."""
    photo = Image.open(PHOTOS / "china.jpg").convert("RGB")
    for rounding, width in (("floor", 383), ("round", 384)):
        operations = EvalPreprocess(224, mean=(0,) * 3, std=(1,) * 3, resize_rounding=rounding).operations(False)
        resized = np.asarray(photo.resize((width, 256), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(run(operations, np.asarray(photo)).transpose(1, 2, 0), resized[16:240, 80:304])
    for options, message in (
        ({"resize_rounding": "up"}, "resize_rounding is 'up'; give 'floor' or 'round'"),
        (
            {"resize_rounding": "round", "antialias": False},
            "resize_rounding 'round' is Pillow's; set antialias to True",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            EvalPreprocess(224, **options)


@pytest.mark.parametrize(("image_size", "crop_pct"), [(32, 1.0), (32, 0.8), ((24, 40), 0.8)])
def test_squashed(image_size, crop_pct):
    """Both sides get their own size, and the middle of that is taken."""
    photo = Image.open(PHOTOS / "china.jpg").convert("RGB")
    preprocess = EvalPreprocess(image_size, crop_pct, mean=(0,) * 3, std=(1,) * 3, crop_mode="squash")
    height, width = preprocess.image_size
    full = int(height / crop_pct), int(width / crop_pct)
    resized = np.asarray(photo.resize(full[::-1], Image.Resampling.BILINEAR))
    top, left = (full[0] - height) // 2, (full[1] - width) // 2
    found = run(preprocess.operations(False), np.asarray(photo)).transpose(1, 2, 0)
    np.testing.assert_array_equal(found, resized[top : top + height, left : left + width])
    for options, message in (
        ({"crop_mode": "border"}, "crop_mode is 'border'; give 'center' or 'squash'"),
        ({"crop_mode": "squash", "resize_rounding": "round"}, "leaves nothing to round"),
    ):
        with pytest.raises(ValueError, match=message):
            EvalPreprocess(32, **options)


def oblong_reference(path, size, crop_pct, filter_):
    """timm's resize and crop for sizes that are not square, written out on Pillow: both sides are covered."""
    image = Image.open(path).convert("RGB")
    scale = max(int(size[0] / crop_pct) / image.height, int(size[1] / crop_pct) / image.width)
    image = image.resize((round(image.width * scale), round(image.height * scale)), filter_)
    left, top = round((image.width - size[1]) / 2), round((image.height - size[0]) / 2)
    return np.asarray(image.crop((left, top, left + size[1], top + size[0])))


@pytest.mark.parametrize("photo", ["china.jpg", "flower.jpg"])
@pytest.mark.parametrize(
    ("name", "filter_"), [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)]
)
@pytest.mark.parametrize(
    ("size", "crop_pct"), [((192, 256), 0.875), ((256, 192), 0.9), ((100, 401), 1.0), ((320, 48), 0.95)]
)
def test_oblong_sizes_equal_pillow(photo, name, filter_, size, crop_pct):
    operations = create_transforms(
        "imagenet", size, interpolation=name, crop_pct=crop_pct, mean=[0, 0, 0], std=[1, 1, 1]
    )
    ours = run(operations, np.fromfile(PHOTOS / photo, np.uint8))
    assert ours.shape == (3, *size)
    assert np.abs(ours.transpose(1, 2, 0) - oblong_reference(PHOTOS / photo, size, crop_pct, filter_)).max() <= 1


def test_an_oblong_crop_keeps_proportions():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    # 24 / 0.5 rows and 32 / 0.5 columns are covered by 1.2 times the image: 48 rows, and 72 of at least 64 columns.
    operations = EvalPreprocess((24, 32), crop_pct=0.5, mean=(0,) * 3, std=(1,) * 3).operations(encoded=False)
    expected = np.asarray(Image.fromarray(image).resize((72, 48), Image.Resampling.BILINEAR))[12:36, 20:52]
    np.testing.assert_array_equal(run(operations, image).transpose(1, 2, 0), expected)


def test_oblong_size_and_normalisation():
    image = np.full((40, 60, 3), 100, np.uint8)
    preprocess = EvalPreprocess((24, 32), crop_pct=0.5, mean=(90, 100, 120), std=(10, 20, 5))
    assert preprocess.resize_size == (48, 64)
    result = run(preprocess.operations(encoded=False), image)
    assert result.shape == (3, 24, 32)
    np.testing.assert_allclose(result[:, 0, 0], [1.0, 0.0, -4.0], atol=1e-6)


def test_not_normalised():
    photo = np.fromfile(PHOTOS / "flower.jpg", np.uint8)
    preprocess = EvalPreprocess(64, mean=(0, 0, 0), std=(1, 1, 1))
    pixels = run(preprocess.operations(normalise=False), photo)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (3, 64, 64))
    np.testing.assert_array_equal(pixels, run(preprocess.operations(), photo))


def test_without_antialias_it_is_mindspores_resize():
    photo = np.fromfile(PHOTOS / "china.jpg", np.uint8)
    with_, without = (run(EvalPreprocess(antialias=a).operations(), photo) for a in (True, False))
    assert with_.shape == without.shape
    assert np.abs(with_ - without).max() > 0.5


def test_from_config_and_presets():
    config = SimpleNamespace(
        dataset="imagenet",
        in_channels=3,
        image_resize=160,
        crop_pct=0.9,
        interpolation="bicubic",
        mean=[1, 2, 3],
        std=[4, 5, 6],
    )
    assert EvalPreprocess.from_config(config) == EvalPreprocess((160, 160), 0.9, "bicubic", (1, 2, 3), (4, 5, 6))
    config.image_resize = (160, 96)
    assert EvalPreprocess.from_config(config).image_size == (160, 96)
    config.dataset, config.image_resize = "cifar10", 32
    cifar = EvalPreprocess.from_config(config)
    assert (cifar.crop_pct, cifar.mean) == (1.0, tuple(CIFAR_MEAN))
    assert EvalPreprocess.for_dataset("MNIST", 28).mean == tuple(MNIST_MEAN)


@pytest.mark.parametrize(
    ("kwargs", "part"),
    [
        ({"interpolation": "bicubik"}, "did you mean 'bicubic'?"),
        ({"interpolation": "antialias", "antialias": False}, "Allowed: area, bicubic"),
        ({"crop_pct": 0}, "crop_pct must be above 0"),
        ({"crop_pct": 2.1}, "crop_pct must be above 0"),
        ({"image_size": 0}, "image_resize"),
        ({"image_size": (1, 2, 3)}, "image_resize"),
        ({"mean": (1, 2)}, "one value a channel"),
        ({"std": (1, 0, 1)}, "std must be above 0"),
    ],
)
def test_wrong_values(kwargs, part):
    with pytest.raises(ValueError, match=r".") as caught:
        EvalPreprocess(**kwargs)
    assert part in str(caught.value)
