"""Facts about MindCV's data pipeline that its tests and tutorials rely on."""

import logging
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest
from image_files import write_images
from mindspore.dataset.transforms import OneHot
from PIL import Image

from mindcv.data import create_dataset, create_loader, create_transforms
from mindcv.data.preprocess import ResizeAndCrop, ToGrey

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "china.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """root/{train,val}/{dogs,wolves}: 5 + 4 images each."""
    root = tmp_path_factory.mktemp("canidae")
    for seed, (split, name, count) in enumerate([(s, n, c) for s in ("train", "val") for n, c in PETS.items()]):
        write_images(root / split / name, count, seed=seed)
    return root


PETS = {"dogs": 5, "wolves": 4}


def open_split(folder, split="train", **kwargs):
    return create_dataset("ImageNet", str(folder), split, shuffle=False, **kwargs)


def first_batch(loader):
    row = next(loader.create_dict_iterator(num_epochs=1, output_numpy=True))
    return row["image"], row["label"]


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("target_transform", [None, [OneHot(2)]])
@pytest.mark.parametrize("mixup", [0, 1])
def test_loader_says_its_shape(folder, is_training, batch_size, target_transform, mixup):
    loader = create_loader(
        open_split(folder),
        batch_size,
        drop_remainder=True,
        is_training=is_training,
        mixup=mixup,
        cutmix_prob=1.0,
        num_classes=2,
        transform=None,
        target_transform=target_transform,
        num_parallel_workers=2,
    )
    assert loader.get_batch_size() == batch_size
    assert loader.output_shapes()[0] == [batch_size, 3, 224, 224]
    assert loader.get_dataset_size() == 9 // batch_size
    image, label = first_batch(loader)
    assert (image.shape, image.dtype) == ((batch_size, 3, 224, 224), np.float32)
    has_classes = target_transform is not None or (mixup and is_training and batch_size > 1)
    assert label.shape == ((batch_size, 2) if has_classes else (batch_size,))


@pytest.mark.parametrize("mixing", [{"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 0.5, "cutmix": 1.0}])
@pytest.mark.parametrize("mix_on_device", [False, True])
def test_one_sample_is_not_mixed(folder, caplog, mixing, mix_on_device):
    transform = create_transforms("imagenet", 16)
    plain = first_batch(create_loader(open_split(folder), 1, transform=transform))
    with caplog.at_level(logging.WARNING, "mindcv"):
        loader = create_loader(
            *(open_split(folder), 1, False, True),
            **mixing,
            cutmix_prob=1.0,
            num_classes=2,
            transform=transform,
            mix_on_device=mix_on_device,
        )
    assert "a batch of one sample has no other to mix with" in caplog.text
    assert loader.get_col_names() == ["image", "label"]
    for got, expected in zip(first_batch(loader), plain, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_splits_are_for_training(folder):
    """MindCV ignores `separate` in evaluation, so that one call with the recipe's value serves both."""
    for transform in (None, create_transforms("imagenet", 224)):
        loader = create_loader(open_split(folder), 4, is_training=False, transform=transform, separate=True)
        plain = create_loader(open_split(folder), 4, transform=transform)
        assert loader.output_shapes()[0] == [4, 3, 224, 224]
        np.testing.assert_array_equal(first_batch(loader)[0], first_batch(plain)[0])


@pytest.mark.parametrize("count", [2, 3])
def test_a_plain_list_is_no_splits(folder, count):
    transform = create_transforms("imagenet", 16)[:count]
    with pytest.raises(ValueError, match="separate needs the three lists"):
        create_loader(open_split(folder), 4, is_training=True, transform=transform, separate=True)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("num_samples", [2, None])
def test_image_folder(folder, split, shuffle, num_samples):
    """A dataset of MindSpore with its columns, size and classes; of a class of our own, see UPGRADING.md."""
    dataset = create_dataset(
        name="ImageNet",
        root=str(folder),
        split=split,
        shuffle=shuffle,
        num_samples=num_samples,
        num_parallel_workers=2,
        download=False,
    )
    assert isinstance(dataset, ds.Dataset)
    assert dataset.get_col_names() == ["image", "label"]
    assert dataset.get_dataset_size() == (num_samples or 9)
    assert dataset.num_classes() == 2
    assert dataset.get_class_indexing() == {"dogs": 0, "wolves": 1}
    loader = create_loader(dataset, 2, transform=create_transforms("imagenet", 16))
    assert (loader.num_classes(), loader.get_class_indexing()) == (2, {"dogs": 0, "wolves": 1})
    rows = list(dataset.create_dict_iterator(num_epochs=1, output_numpy=True))
    assert len(rows) == (num_samples or 9)
    assert rows[0]["image"].tobytes()[:2] == b"\xff\xd8"  # encoded, as ImageFolderDataset gives it
    if num_samples is None:
        assert sorted(int(row["label"]) for row in rows) == [0] * 5 + [1] * 4


def test_repeated_augmentation_is_in_a_batch(folder):
    dataset = create_dataset("imagenet", str(folder), "val", num_aug_repeats=3, num_parallel_workers=8, num_shards=1,
                             shard_id=0)  # fmt: skip
    image, _ = first_batch(create_loader(dataset, 8, transform=create_transforms("imagenet", 16)))
    means = [round(float(mean), 6) for mean in image.mean((1, 2, 3))]
    assert len(set(means)) < len(means)


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("side", [32, 48])
def test_transforms_are_a_list(folder, is_training, side):
    transform = create_transforms("ImageNet", side, is_training)
    assert type(transform) is list
    loader = create_loader(open_split(folder), 4, True, is_training, transform=transform, num_parallel_workers=2)
    assert loader.output_shapes()[0][2] == side


def run(operations, image):
    for operation in operations:
        image = operation(image)
    return image


def test_transforms_of_a_pillow_image():
    """The inference tutorial drops the decoding and gives the operations a Pillow image, one after the other."""
    image = Image.open(PHOTO).convert("RGB")
    operations = create_transforms(dataset_name="imagenet", is_training=False)
    of_file = run(operations, np.fromfile(PHOTO, np.uint8))
    operations.pop(0)
    of_image = run(operations, image)
    assert (of_image.shape, of_image.dtype) == ((3, 224, 224), np.float32)
    assert np.abs(of_image - of_file).max() <= 2 / 57  # two JPEG decoders: a grey level here and there
    np.testing.assert_array_equal(of_image, run(operations, np.asarray(image)))


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "I;16"])
def test_pillow_images_of_other_modes(mode):
    image = Image.open(PHOTO).convert("RGB").resize((64, 48))
    grey = np.asarray(image.convert("L"))
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    operations = create_transforms("imagenet", 32)[1:]
    got = run(operations, image)
    expected = grey[..., None].repeat(3, 2) if mode in ("L", "I;16") else np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(got, run(operations, expected))


@pytest.mark.parametrize(
    "options", [{}, {"auto_augment": "randaug-m9-mstd0.5-inc1", "re_prob": 1.0}, {"color_jitter": 0.4, "vflip": 0.5}]
)
def test_training_transforms_of_a_pillow_image(options):
    operations = create_transforms("imagenet", 32, True, **options)[1:]  # without the decoding crop
    got = run(operations, Image.open(PHOTO).convert("RGB").resize((32, 32)))
    assert (got.shape, got.dtype) == ((3, 32, 32), np.float32)
    assert 0.1 < got.std() < 3


def test_grey_of_a_pillow_image():
    image = Image.open(PHOTO).resize((20, 10))
    expected = np.asarray(image.convert("L"))[..., None]
    np.testing.assert_array_equal(ToGrey()(image), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(60, 80), (80, 60), (61, 61)])
def test_a_crop_beyond_the_image_is_black(size, channels):
    """volo_d4's recipe has crop_pct 1.15: 448 pixels around an image of 389, as torchvision's CenterCrop pads them."""
    image = np.random.default_rng(0).integers(1, 256, (*size, channels), dtype=np.uint8)
    crop = ResizeAndCrop(39, (45, 45), Image.Resampling.BILINEAR)
    got = crop(image)
    assert got.shape == (45, 45, channels)
    rows, columns = np.nonzero(got.any(-1))
    for side, found in zip(size, (rows, columns), strict=True):
        short = int(39 * side / min(size))
        above = max(45 - short, 0) // 2
        assert (found.min(), found.max()) == (above, above + min(short, 45) - 1)
    height, width = (int(39 * side / min(size)) for side in size)
    middle = ResizeAndCrop(39, (min(height, 45), min(width, 45)), Image.Resampling.BILINEAR)(image)
    np.testing.assert_array_equal(got[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], middle)


def test_crop_pct_above_one_in_a_pipeline(folder):
    transform = create_transforms("imagenet", 32, crop_pct=1.15, mean=[0, 0, 0], std=[1, 1, 1])
    image, _ = first_batch(create_loader(open_split(folder), 4, transform=transform))
    assert image.shape == (4, 3, 32, 32)
    assert image[:, :, :2].max() == image[:, :, -2:].max() == 0
    assert image[:, :, 8:24, 8:24].min() > 0
