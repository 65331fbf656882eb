"""Datasets of arrays (cifar10, cifar100, mnist, digits) go the way of image files: the reader makes whole batches."""

import random
from concurrent.futures import ThreadPoolExecutor

import mindspore.dataset as ds
import numpy as np
import pytest
from array_files import write_cifar, write_mnist
from mindspore.dataset import vision

from mindcv.data import (
    Part,
    create_dataset,
    create_loader,
    create_transforms,
    epoch_batches,
    get_samples,
    pipeline_errors,
)
from mindcv.data.images.arrays import PaddedCrop, RandomArrayCrop
from mindcv.data.images.decoding import RandomCrop
from mindcv.data.pipeline import pipeline_of, source_of

STRONG = {"auto_augment": "randaug-m9-mstd0.5-inc1", "re_prob": 0.5, "re_value": "random", "vflip": 0.5}
CASES = {
    "digits": ("digits", {}),
    "digits, strong": ("digits", STRONG),
    "digits, jitter": ("digits", {"color_jitter": [0.4, 0.4, 0.4, 0.1], "interpolation": "bicubic", "re_prob": 0.5}),
    "digits, nearest": ("digits", {"interpolation": "nearest"}),
    "digits, simple crop": ("digits", {"train_crop": "simple", "auto_augment": "3a", "color_jitter": 0.3}),
    "digits, grey": ("digits", {"in_channels": 1, "auto_augment": "trivialaugwide"}),
    "cifar10": ("cifar10", {}),
    "cifar10, strong": ("cifar10", STRONG),
    "cifar10, bicubic": ("cifar10", {"interpolation": "bicubic", "color_jitter": 0.4, "re_prob": 1.0}),
    "cifar100": ("cifar100", {"auto_augment": "autoaug"}),
    "mnist": ("mnist", {}),
    "mnist, bicubic": ("mnist", {"interpolation": "bicubic"}),
    "splits of digits": ("digits", {"auto_augment": "augmix-m5-w4-d2", "separate": True}),
    "splits of cifar10": ("cifar10", {**STRONG, "separate": True}),
}
BATCH = 4


@pytest.fixture
def root(tmp_path):
    """Files of cifar10, cifar100 and mnist."""
    write_mnist(tmp_path)
    write_cifar(tmp_path, 1)
    write_cifar(tmp_path, 2)
    return tmp_path


def training_loader(name, root, num_workers, options, batch_size=BATCH, **mixing):
    """Two or more batches of 24 x 20 pixels an epoch, without those of the steps before."""
    ds.config.set_seed(num_workers)  # epoch_batches has the seed that counts
    separate = options.get("separate", False)
    dataset = create_dataset(
        name, str(root) if name != "digits" else None, num_samples=14, num_parallel_workers=num_workers, seed=1
    )
    transform = create_transforms(name, (24, 20), True, **options)
    return create_loader(
        *(dataset, batch_size, True, True),
        transform=transform,
        num_parallel_workers=num_workers,
        separate=separate,
        num_classes=dataset.num_classes(),
        **mixing,
    )


def read(loader, epoch=3, first_step=0):
    return [[column.asnumpy() for column in batch] for batch in epoch_batches(loader, epoch, first_step, seed=1)]


def assert_equal(batches, expected):
    for batch, expected_batch in zip(batches, expected, strict=True):
        for column, expected_column in zip(batch, expected_batch, strict=True):
            np.testing.assert_array_equal(column, expected_column)


@pytest.mark.parametrize("on_device", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_batches_follow_from_seed_epoch_and_position_alone(root, case, on_device):
    """The same with any number of workers (MindSpore takes no more than there are cores) and from any step on."""
    name, options = CASES[case]
    options = {**options, "normalize_on_device": on_device}

    def batches(num_workers, epoch=3, first_step=0):
        loader = training_loader(name, root, num_workers, options)
        assert source_of(loader).keys.batch_size == BATCH  # the reader makes whole batches
        return read(loader, epoch, first_step)

    whole = batches(1)
    images = 3 * BATCH if options.get("separate") else BATCH
    channels = 1 if name == "mnist" or options.get("in_channels") else 3
    shape = (24, 20, channels) if on_device else (channels, 24, 20)
    assert [(image.shape, label.shape) for image, label in whole] == [((images, *shape), (images,))] * 3
    for num_workers, first_step in ((2, 0), (4, 0), (4, 1), (1, 2)):
        assert_equal(batches(num_workers, first_step=first_step), whole[first_step:])
    other = batches(2, epoch=4)
    # The same samples in another order: mnist's are resized, no more.
    assert (other[0][0] != whole[0][0]).any()
    if name != "mnist":
        seen = {image.tobytes() for batch, _ in whole for image in batch}
        assert sum(image.tobytes() not in seen for batch, _ in other for image in batch) >= 2 * BATCH


@pytest.mark.parametrize("case", CASES)
def test_four_threads_make_the_same_batches_in_any_order(root, case):
    """What MindSpore's workers call, on machines of any size."""
    name, options = CASES[case]
    reader = pipeline_of(training_loader(name, root, 1, options | {"normalize_on_device": True})).reader
    positions = np.arange(48)
    keys = np.stack(np.broadcast_arrays(1, 3, positions, positions % 7), axis=1).reshape(12, BATCH, 4)
    expected = [reader(batch) for batch in keys]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(reader, keys[::-1]))[::-1]
    assert_equal(found, expected)


@pytest.mark.parametrize("on_device", [True, False])
@pytest.mark.parametrize("name", ["digits", "cifar10", "mnist"])
def test_mixing_is_the_same_with_any_number_of_workers(root, name, on_device):
    def batches(num_workers, first_step=0):
        loader = training_loader(
            *(name, root, num_workers, {"normalize_on_device": on_device}),
            mixup=0.8,
            cutmix=1.0,
            cutmix_prob=1.0,
            mix_on_device=on_device,
        )
        return read(loader, first_step=first_step)

    whole = batches(1)
    assert len({batch[-1].tobytes() for batch in whole}) == 3  # the labels, or how to mix
    for num_workers, first_step in ((2, 0), (4, 0), (2, 1)):
        assert_equal(batches(num_workers, first_step), whole[first_step:])


@pytest.mark.parametrize("case", ["digits, strong", "digits, nearest", "cifar10, bicubic", "cifar100", "mnist"])
def test_whole_batches_are_those_that_mindspore_makes_of_single_images(root, case):
    name, options = CASES[case]
    options = {**options, "normalize_on_device": True}
    loader = training_loader(name, root, 2, options, batch_size=lambda info: BATCH)
    assert source_of(loader).keys.batch_size is None
    assert_equal(read(loader), read(training_loader(name, root, 2, options)))


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_what_is_behind_an_operation_of_mindspore_is_the_same_with_any_number_of_workers(root, name):
    """Image by image: the reader does what is in front of it, and operations behind it draw from the pixels."""

    def batches(num_workers, first_step=0):
        dataset = create_dataset(name, str(root) if name != "digits" else None, num_samples=14, seed=1)
        first, policy, last = create_transforms(
            name, (24, 20), True, separate=True, normalize_on_device=True, hflip=0.5, **STRONG
        )
        transform = [*first, vision.CenterCrop((20, 20)), *policy, *last]
        loader = create_loader(dataset, BATCH, True, True, transform=transform, num_parallel_workers=num_workers)
        assert source_of(loader).keys.batch_size is None
        return read(loader, first_step=first_step)

    whole = batches(1)
    assert whole[0][0].shape == (BATCH, 20, 20, 3)
    for num_workers, first_step in ((2, 0), (2, 1)):
        assert_equal(batches(num_workers, first_step), whole[first_step:])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "antialias", "nearest"])
@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100", "mnist"])
def test_evaluation_has_the_pixels_of_its_operations(root, name, interpolation):
    """To the bit, in whole batches, with normalisation as MindSpore's and without it."""
    images = get_samples(create_dataset(name, str(root) if name != "digits" else None, "test")).images[:6]
    options = {"image_resize": 20, "interpolation": interpolation, "crop_pct": 0.8}
    for on_device in (True, False):
        dataset = create_dataset(name, str(root) if name != "digits" else None, "test", shuffle=False, num_samples=6)
        operations = create_transforms(name, normalize_on_device=on_device, **options)
        loader = create_loader(dataset, BATCH, transform=operations, num_parallel_workers=2)
        assert source_of(loader).keys.batch_size == BATCH
        found = np.concatenate([image for image, _ in loader.create_tuple_iterator(output_numpy=True)])
        for image, pixels in zip(images, found, strict=True):
            for operation in operations:
                image = operation(image)
            np.testing.assert_array_equal(pixels, image)


def test_mnist_is_resized_in_training_as_by_mindspore(root):
    dataset = create_dataset("mnist", str(root), shuffle=False)
    images = get_samples(dataset).images
    transform = create_transforms("mnist", (24, 40), True, normalize_on_device=True)
    (batch, _), *_ = create_loader(dataset, BATCH, transform=transform).create_tuple_iterator(output_numpy=True)
    resize = vision.Resize((24, 40))
    np.testing.assert_array_equal(batch, [resize(image) for image in images[:BATCH]])


def test_a_padded_crop_has_each_offset_equally_often():
    image = np.random.default_rng(0).integers(1, 256, (32, 32, 3), np.uint8)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    offsets = {padded[top : top + 32, left : left + 32].tobytes(): (top, left) for top in range(9) for left in range(9)}
    crop = PaddedCrop((32, 32), 4)
    found = np.zeros((9, 9))
    for seed in range(4050):
        found[offsets[crop.transform(image, random.Random(seed)).tobytes()]] += 1
    # Each 50 times; the deviation of a count is 7.
    assert (found.min(), found.max()) > (22, 0)
    assert found.max() < 78


def test_the_crop_of_an_array_is_that_of_a_file():
    """Its range of areas and ratios, its size, and its share of mirrored images."""
    arguments = (16, 24), (0.2, 0.5), (0.5, 2.0), vision.Inter.BICUBIC
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    crop, of_file = RandomArrayCrop(*arguments), RandomCrop(*arguments)
    assert isinstance(crop, vision.RandomResizedCrop)
    for flips in ([], create_transforms("digits", 16, True, hflip=0.5)[1:2]):
        (one, rest), (other, other_rest) = crop.joined(flips), of_file.joined(flips)
        assert rest == other_rest == []
        for seed in range(20):
            pixels = one.transform(image, random.Random(seed))
            np.testing.assert_array_equal(pixels, other.transform(image, random.Random(seed)))
    assert pixels.shape == (16, 24, 3)


def test_the_labels_of_a_loader_are_those_that_are_learned(root):
    dataset = create_dataset("cifar100", str(root), shuffle=False)
    assert dataset.get_col_names() == ["image", "coarse_label", "fine_label"]
    row = next(iter(dataset.create_tuple_iterator(output_numpy=True)))
    assert ([int(value) for value in row[1:]], row[0].shape) == ([7, 0], (32, 32, 3))
    for transform in (create_transforms("cifar100", 32, normalize_on_device=True), [vision.HWC2CHW()]):
        loader = create_loader(dataset, BATCH, transform=transform)
        assert loader.get_col_names() == ["image", "label"]
        _, labels = next(iter(loader.create_tuple_iterator(output_numpy=True)))
        assert (labels.tolist(), labels.dtype) == ([0, 1, 2, 3], np.int32)


def test_a_part_of_arrays(root):
    """Both labels of the samples that are kept, and what these are called in the whole."""
    parts = [create_dataset("cifar100", str(root), shuffle=False, part=Part(side, 0.5)) for side in (False, True)]
    whole = get_samples(create_dataset("cifar100", str(root)))
    found = []
    for part in parts:
        samples = get_samples(part)
        for index, (image, coarse, fine) in enumerate(part.create_tuple_iterator(output_numpy=True)):
            name = samples.name(index)
            found.append(name)
            original = int(name.removeprefix("sample "))
            np.testing.assert_array_equal(image, whole.read(original))
            assert (coarse, fine) == (7, whole.labels[original])
    assert sorted(found) == sorted(f"sample {index}" for index in range(20))


def test_what_is_augmented_in_its_place_is_no_sample(root):
    """Operations that change an image in its place get a copy, also where nothing in front of them makes a new one."""
    dataset = create_dataset("digits", shuffle=False, num_samples=BATCH)
    before = get_samples(dataset).images.copy()
    transform = [*create_transforms("imagenet", normalize_on_device=True)[:1]]
    transform += create_transforms("digits", 8, True, hflip=1.0, normalize_on_device=True)[1:]
    (batch, _), *_ = create_loader(dataset, BATCH, transform=transform).create_tuple_iterator(output_numpy=True)
    np.testing.assert_array_equal(batch, before[:BATCH, :, ::-1])
    np.testing.assert_array_equal(get_samples(dataset).images, before)


def test_transforms_of_image_files_take_arrays_too():
    loader = create_loader(create_dataset("digits", shuffle=False), 2)
    image, _ = next(iter(loader.create_tuple_iterator(output_numpy=True)))
    assert (image.shape, image.dtype) == ((2, 3, 224, 224), np.float32)


def test_images_that_are_too_small_for_a_crop_are_told_in_one_line():
    transform = create_transforms("cifar10", 32, True, normalize_on_device=True)
    loader = create_loader(create_dataset("digits"), 2, transform=transform)
    expected = "^the data pipeline failed: ValueError: an image of 8 x 8 pixels with a border of 4 is smaller than .*"
    with pytest.raises(ValueError, match=expected), pipeline_errors():
        next(iter(loader.create_tuple_iterator(num_epochs=1)))
