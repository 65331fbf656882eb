import io
import random
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore.dataset import vision
from PIL import Image

from mindcv.data import create_transforms
from mindcv.data.auto_augment import AutoAugment, RandAugment
from mindcv.data.constants import (
    CIFAR_MEAN,
    CIFAR_STD,
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    MNIST_MEAN,
    MNIST_STD,
)
from mindcv.data.transforms_factory import RandomErasing

PHOTO = Path(__file__).parent.parent / "data" / "photos" / "flower.jpg"


def run(operations, image):
    for operation in operations:
        image = operation(image)
    return image


def run_often(operations, image, times):
    """Maps copies of an image in a pipeline; called by hand, MindSpore's operations draw the same numbers each time."""
    dataset = ds.NumpySlicesDataset({"image": np.stack([image] * times)}, shuffle=False).map(operations, "image")
    return [row["image"] for row in dataset.create_dict_iterator(num_epochs=1, output_numpy=True)]


def ramp(height=64, width=64):
    """Red is the row, green the column, blue 255 everywhere: a crop can be read off its values."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 4, columns * 4, np.full_like(rows, 255)], -1).astype(np.uint8)


PLAIN = {"mean": [0, 0, 0], "std": [1, 1, 1], "color_jitter": None}


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(("name", "size"), [("imagenet", 32), ("", (24, 40)), ("my flowers", 32)])
def test_encoded_images_become_normalised_chw(name, size, is_training):
    result = run(create_transforms(name, size, is_training), np.fromfile(PHOTO, np.uint8))
    assert result.dtype == np.float32
    assert result.shape == (3, 32, 32) if size == 32 else (3, 24, 40)
    pixels = result.transpose(1, 2, 0) * IMAGENET_DEFAULT_STD + IMAGENET_DEFAULT_MEAN
    assert -0.01 <= pixels.min() < 60
    assert 200 < pixels.max() <= 255.01


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(
    ("name", "channels", "mean", "std"),
    [
        ("digits", 3, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
        ("cifar10", 3, CIFAR_MEAN, CIFAR_STD),
        ("CIFAR100", 3, CIFAR_MEAN, CIFAR_STD),
        ("mnist", 1, MNIST_MEAN, MNIST_STD),
    ],
)
def test_decoded_images(name, channels, mean, std, is_training):
    image = np.full((32, 32, channels), 200, np.uint8)
    # A crop of cifar's padded image may hold black; the middle is the image.
    result = run(create_transforms(name, 48, is_training, crop_pct=1.0), image)
    assert (result.dtype, result.shape) == (np.float32, (channels, 48, 48))
    np.testing.assert_allclose(result[:, 24, 24], (200 - np.array(mean)) / np.array(std), rtol=1e-4)


def test_crop_area_ratio_and_place():
    """Areas and log ratios of 600 crops are spread as asked for."""
    ds.config.set_seed(11)
    options = PLAIN | {"hflip": 0.0, "scale": (0.2, 0.5), "ratio": (0.5, 2.0), "interpolation": "nearest"}
    operations = create_transforms("digits", 16, True, **options)
    image = ramp(60, 60)
    areas, ratios, tops = [], [], []
    for rows, columns, _ in np.array(run_often(operations, image, 600)) / 4:
        height, width = np.ptp(rows) * 16 / 15, np.ptp(columns) * 16 / 15
        areas.append(height * width / 3600)
        ratios.append(width / height)
        tops.append(rows.min())
    # Uniform area: mean 0.35, deviation 0.0866 (0.0035 of the mean). Uniform log ratio: mean 0, deviation 0.4.
    assert np.mean(areas) == pytest.approx(0.35, abs=0.02)
    assert np.std(areas) == pytest.approx(0.0866, abs=0.015)
    assert np.mean(np.log(ratios)) == pytest.approx(0.0, abs=0.07)
    assert np.std(np.log(ratios)) == pytest.approx(0.4, abs=0.05)
    assert min(areas) > 0.15
    assert max(areas) < 0.57
    assert len({round(top) for top in tops}) > 15


@pytest.mark.parametrize(("hflip", "vflip"), [(0.5, 0.0), (0.0, 0.3), (1.0, 0.5)])
def test_flip_rates(hflip, vflip):
    ds.config.set_seed(5)
    options = PLAIN | {"hflip": hflip, "vflip": vflip, "scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    operations = create_transforms("digits", 32, True, **options)
    results = run_often(operations, ramp(), 500)
    # Four standard deviations of a rate of 500.
    assert np.mean([r[1, 0, 0] > r[1, 0, -1] for r in results]) == pytest.approx(hflip, abs=0.09)
    assert np.mean([r[0, 0, 0] > r[0, -1, 0] for r in results]) == pytest.approx(vflip, abs=0.09)


def test_cifar_crops_its_padded_image():
    ds.config.set_seed(5)
    operations = create_transforms("cifar10", 32, True, hflip=0.0)
    image = np.full((32, 32, 3), 255, np.uint8)
    black = -np.array(CIFAR_MEAN[0]) / CIFAR_STD[0]
    columns = [int((result[0, 16] < black + 0.01).sum()) for result in run_often(operations, image, 400)]
    # Offsets 0 to 8: 4, 3, 2, 1, 0, 1, 2, 3, 4 black columns.
    share = np.bincount(columns, minlength=5) / 400
    assert len(share) == 5
    np.testing.assert_allclose(share, np.array([1, 2, 2, 2, 2]) / 9, atol=0.09)


def kinds(operations):
    return [type(operation).__name__ for operation in operations]


def test_policy_takes_the_place_of_colour_jitter():
    def middle(**kwargs):
        return create_transforms("", 32, True, separate=True, **kwargs)[1]

    assert kinds(middle(color_jitter=0.4)) == ["ColorJitter"]
    assert middle(color_jitter=None) == middle(color_jitter=0.0) == []
    assert kinds(middle(color_jitter=0.4, auto_augment="randaug-m9")) == [RandAugment.__name__]
    assert kinds(middle(color_jitter=0.3, auto_augment="3a")) == [AutoAugment.__name__, "ColorJitter"]


def test_separate_parts_make_up_the_whole():
    options = {"auto_augment": "augmix-m5-w4-d2", "re_prob": 0.25, "hflip": 0.5, "vflip": 0.1}
    parts = create_transforms("", 32, True, separate=True, **options)
    whole = create_transforms("", 32, True, **options)
    assert [len(part) for part in parts] == [3, 1, 3]
    assert kinds(parts[0] + parts[1] + parts[2]) == kinds(whole)
    assert kinds(parts[2]) == ["Normalize", "HWC2CHW", "RandomErasing"]


@pytest.mark.parametrize("name", ["nearest", "bilinear", "BICUBIC", "area", "pilcubic", "linear", "cubic"])
def test_interpolations_in_training(name):
    result = run(create_transforms("", 20, True, interpolation=name), np.fromfile(PHOTO, np.uint8))
    assert result.shape == (3, 20, 20)


def test_random_erasing():
    image = np.ones((3, 32, 32), np.float32)
    results = []
    for index in range(400):
        image[0, 0, 0] = index
        results.append(RandomErasing(0.5, (0.1, 0.3), (0.5, 2.0), value=-1)(image))
    areas = np.array([(r[1] == -1).mean() for r in results])
    assert np.mean(areas > 0) == pytest.approx(0.5, abs=0.1)
    erased = areas[areas > 0]
    assert 0.08 < erased.min() < 0.13
    assert 0.27 < erased.max() < 0.33
    assert np.mean(erased) == pytest.approx(0.2, abs=0.02)
    one = next(r[1] == -1 for r in results if (r[1] == -1).any())
    assert one.sum() == one.any(0).sum() * one.any(1).sum()
    assert (image[1:] == 1).all()


def test_random_erasing_values():
    image = np.zeros((3, 32, 32), np.float32)
    by_channel = RandomErasing(1.0, value=(1, 2, 3))(image)
    assert [set(np.unique(channel)) for channel in by_channel] == [{0, 1}, {0, 2}, {0, 3}]
    noise = RandomErasing(1.0, (0.3, 0.3), value="random")(image)
    values = noise[noise != 0]
    assert np.std(values) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"interpolation": "bilinar", "is_training": True}, ["interpolation for training", "did you mean 'bilinear'?"]),
        ({"interpolation": "antialias", "is_training": True}, ["Allowed: area, bicubic, bilinear"]),
        ({"interpolation": "bilinar"}, ["interpolation for evaluation", "did you mean 'bilinear'?"]),
        ({"colour_jitter": 0.4}, ["'colour_jitter'", "did you mean 'color_jitter'?"]),
        ({"color_jitter": (1, 2), "is_training": True}, ["color_jitter"]),
        ({"hflip": 1.5, "is_training": True}, ["hflip must be between 0 and 1"]),
        ({"scale": (0.5, 0.2), "is_training": True}, ["scale must be two numbers"]),
        ({"ratio": (0, 2), "is_training": True}, ["ratio must be two numbers"]),
        ({"re_prob": 0.5, "re_value": "noise", "is_training": True}, ["re_value"]),
        ({"auto_augment": "randaugg", "is_training": True}, ["did you mean 'randaug'?"]),
        ({"dataset_name": "mnist", "auto_augment": "randaug", "is_training": True}, ["mnist", "one"]),
        ({"image_resize": -3}, ["image_resize"]),
    ],
)
def test_wrong_options(kwargs, parts):
    with pytest.raises(ValueError, match=r".") as caught:
        create_transforms(**kwargs)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_options_of_the_other_mode_are_taken_from_one_recipe():
    recipe = {"scale": (0.1, 1), "hflip": 0.5, "crop_pct": 0.9, "interpolation": "bicubic", "re_prob": 0.1}
    assert isinstance(create_transforms("", 32, True, **recipe)[0], vision.RandomCropDecodeResize)
    assert kinds(create_transforms("", 32, False, **recipe)) == ["Decode", "ResizeAndCrop", "Normalize", "HWC2CHW"]


def test_pillow_sees_the_image_as_it_is():
    """The policy's image has the channels in the order that came in."""
    image = ramp()
    transform = create_transforms("digits", 64, True, auto_augment="randaug-m0-mstd0-n1", separate=True)[1][0]
    transform.ops = [op for op in transform.ops if op.operation.argument(0.0, np.random.default_rng(0)) == 0.0][:1]
    np.testing.assert_array_equal(transform(image), np.asarray(Image.fromarray(image)))


@pytest.mark.parametrize("on_device", [False, True])
def test_erasing_of_several_rectangles(on_device):
    """From one to three of them, equally often, whose areas together are those of one."""
    counts, areas = [], []
    operation = create_transforms(
        image_resize=64,
        is_training=True,
        normalize_on_device=on_device,
        re_prob=1.0,
        re_count=3,
        re_scale=(0.09, 0.09),
        re_ratio=(1.0, 1.0),
        re_value=255,
    )[-1]
    for seed in range(300):
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 3, (64, 64, 3)).astype(np.uint8) if on_device else rng.random((3, 64, 64), np.float32)
        erased = (operation(image) == 255)[..., 0] if on_device else (operation(image) == 255)[0]
        side = {1: 19, 2: 14, 3: 11}  # of 0.09 * 64 * 64 / count
        total = int(erased.sum())
        areas.append(total)
        exact = [count for count, length in side.items() if total == count * length**2]
        counts += exact
    assert min(areas) >= 11**2
    assert max(areas) <= 2 * 14**2
    shares = [counts.count(count) / 300 for count in (1, 2, 3)]
    assert 0.25 < shares[0] < 0.42
    assert 0.2 < shares[1] < 0.4  # some overlap
    assert 0.15 < shares[2] < 0.4
    with pytest.raises(ValueError, match="re_count must be at least 1, got 0"):
        create_transforms(is_training=True, re_prob=0.1, re_count=0)


@pytest.mark.parametrize(("size", "image"), [((32, 32), (64, 96)), ((32, 32), (96, 64)), ((24, 40), (48, 96))])
def test_simple_crop_moves_a_resized_image_by_some_pixels(size, image):
    """The shorter side fits; each offset, 4 pixels of border and all of the longer side, comes up."""
    rows, columns = np.mgrid[: image[0], : image[1]]
    pixels = np.stack([rows * 2, columns * 2, rows * 0], -1).astype(np.uint8)
    (crop,) = create_transforms(
        *("csv", size), is_training=True, train_crop="simple", interpolation="bilinear", hflip=0, color_jitter=None
    )[:1]
    data = np.frombuffer(encoded_png(pixels), np.uint8)
    by = min(image[0] / size[0], image[1] / size[1])
    whole = np.asarray(
        Image.fromarray(pixels).resize((round(image[1] / by), round(image[0] / by)), Image.Resampling.BILINEAR)
    )
    padded = np.pad(whole, ((4, 4), (4, 4), (0, 0)), "reflect")
    spare = [padded.shape[axis] - size[axis] for axis in (0, 1)]
    offsets = {}
    for top in range(spare[0] + 1):
        for left in range(spare[1] + 1):
            offsets[padded[top : top + size[0], left : left + size[1]].tobytes()] = (top, left)
    found = [offsets[crop.transform(data.tobytes(), random.Random(seed)).tobytes()] for seed in range(400)]
    assert {top for top, _ in found} == set(range(spare[0] + 1))
    assert len({left for _, left in found}) > 0.9 * (spare[1] + 1)
    assert crop.transform(data.tobytes(), random.Random(1)).shape == (*size, 3)
    # As an operation of a pipeline it draws by the seed of mindspore.dataset: another one, another offset.
    ds.config.set_seed(1)
    first = crop(data)
    np.testing.assert_array_equal(crop(data), first)
    np.testing.assert_array_equal(crop(pixels)[..., 2], 0)
    ds.config.set_seed(2)
    assert offsets[first.tobytes()] != offsets[crop(data).tobytes()]


def encoded_png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_unknown_crop():
    with pytest.raises(ValueError, match="unknown train_crop 'simpl'; did you mean 'simple'"):
        create_transforms(is_training=True, train_crop="simpl")
