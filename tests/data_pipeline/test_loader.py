import logging
import struct
import zlib

import mindspore.dataset as ds
import numpy as np
import pytest

from mindcv.data import (
    create_dataset,
    create_loader,
    create_transforms,
    epoch_batches,
    explain_pipeline_error,
    pipeline_errors,
)
from mindcv.data.images import decoding
from mindcv.data.pipeline import source_of, stages
from mindcv.data.workers import cap_workers
from mindcv.utils.cores import usable_cores
from mindcv.utils.remote import RemoteError

POLICY = {"auto_augment": "randaug-m9-mstd0.5-inc1", "re_prob": 0.3}


def batches(loader, epochs=1):
    iterator = loader.create_dict_iterator(num_epochs=epochs, output_numpy=True)
    return [(row["image"], row["label"]) for _ in range(epochs) for row in iterator]


def pets(root, is_training=False, **kwargs):
    return create_dataset("imagenet", str(root), "train", shuffle=is_training, **kwargs)


def test_batches_of_a_folder(image_folder):
    loader = create_loader(pets(image_folder), 5, transform=create_transforms("imagenet", 16))
    rows = batches(loader)
    assert [image.shape for image, _ in rows] == [(5, 3, 16, 16), (5, 3, 16, 16), (3, 3, 16, 16)]
    assert {(image.dtype, label.dtype) for image, label in rows} == {(np.dtype("float32"), np.dtype("int32"))}
    np.testing.assert_array_equal(np.concatenate([label for _, label in rows]), [0] * 7 + [1] * 6)
    dropped = create_loader(pets(image_folder), 5, True, transform=create_transforms("imagenet", 16))
    assert len(batches(dropped)) == dropped.get_dataset_size() == 2
    assert loader.get_col_names() == ["image", "label"]


def test_without_transform_it_warns(image_folder, caplog):
    with caplog.at_level(logging.WARNING, "mindcv"):
        loader = create_loader(pets(image_folder), 13)
    assert "no transform given" in caplog.text
    assert batches(loader)[0][0].shape == (13, 3, 224, 224)


def test_fine_labels_of_cifar100_become_labels():
    data = {
        "image": np.zeros((4, 32, 32, 3), np.uint8),
        "coarse_label": np.zeros(4, np.uint32),
        "fine_label": np.arange(4, dtype=np.uint32),
    }
    loader = create_loader(ds.NumpySlicesDataset(data, shuffle=False), 4, transform=create_transforms("cifar100", 32))
    assert loader.get_col_names() == ["image", "label"]
    assert batches(loader)[0][1].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("batch_size", "mixing"),
    [
        (4, {"mixup": 0.8}),
        (5, {"cutmix": 1.0}),
        (5, {"mixup": 0.2, "cutmix": 1.0}),
    ],
)
def test_mixing_gives_rows_that_sum_to_one(image_folder, batch_size, mixing):
    loader = create_loader(
        pets(image_folder),
        batch_size,
        is_training=True,
        cutmix_prob=1.0,
        num_classes=3,
        transform=create_transforms("imagenet", 16, True),
        **mixing,
    )
    rows = batches(loader)
    assert sum(len(label) for _, label in rows) == 13
    for image, label in rows:
        assert (label.shape, label.dtype, image.dtype) == ((len(image), 3), np.float32, np.float32)
        np.testing.assert_allclose(label.sum(1), 1.0, atol=1e-6)
        assert (label[:, 2] == 0).all()


def test_mixing_only_in_training_and_with_a_chance(image_folder, caplog):
    transform = create_transforms("imagenet", 16)
    evaluated = create_loader(pets(image_folder), 4, mixup=0.8, cutmix_prob=1.0, transform=transform)
    assert batches(evaluated)[0][1].shape == (4,)
    with caplog.at_level(logging.WARNING, "mindcv"):
        never = create_loader(pets(image_folder), 4, is_training=True, mixup=0.8, transform=transform)
    assert "cutmix_prob is 0" in caplog.text
    assert batches(never)[0][1].shape == (4,)


def test_splits_are_one_clean_and_two_augmented(image_folder):
    parts = create_transforms("imagenet", 16, True, auto_augment="augmix-m9-w3", separate=True, hflip=0.0)
    loader = create_loader(pets(image_folder), 4, True, True, transform=parts, separate=True)
    for image, label in batches(loader):
        assert (image.shape, label.shape) == ((12, 3, 16, 16), (12,))
        clean, first, second = np.split(image, 3)
        np.testing.assert_array_equal(label[:4], label[4:8])
        np.testing.assert_array_equal(label[:4], label[8:])
        for one, other in ((clean, first), (clean, second), (first, second)):
            assert (np.abs(one - other).reshape(4, -1).max(1) > 0).sum() >= 3
        # Of the same crop: the augmented images are closer to their own clean image than to the others.
        distance = np.abs(clean[:, None] - (first + second)[None] / 2).mean((2, 3, 4))
        assert distance.trace() / 4 < distance.mean()


@pytest.mark.parametrize("options", [{}, POLICY, POLICY | {"auto_augment": "augmix-m5-w4-d2"}])
@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.2, "cutmix": 1.0, "cutmix_prob": 0.9}])
def test_two_runs_of_one_seed_are_equal_bit_for_bit(image_folder, options, mixing):
    def run(seed):
        ds.config.set_seed(seed)
        dataset = pets(image_folder, is_training=True, num_parallel_workers=2)
        transform = create_transforms("imagenet", 16, True, color_jitter=0.4, **options)
        loader = create_loader(
            dataset, 4, is_training=True, num_classes=2, transform=transform, num_parallel_workers=2, **mixing
        )
        return batches(loader, epochs=2)

    first, second, other = run(1), run(1), run(2)
    assert len(first) == 8
    for (image, label), (image_again, label_again) in zip(first, second, strict=True):
        np.testing.assert_array_equal(image, image_again)
        np.testing.assert_array_equal(label, label_again)
    assert (first[0][0] != other[0][0]).any()
    assert (first[0][0] != first[4][0]).any()


STRONG = {
    "randaug": {"auto_augment": "randaug-m9-mstd0.5-inc1"},
    "autoaug": {"auto_augment": "autoaug"},
    "wide": {"auto_augment": "trivialaugwide"},
    "3a": {"auto_augment": "3a", "color_jitter": 0.3, "train_crop": "simple", "vflip": 0.5},
    "augmix": {"auto_augment": "augmix-m5-w4-d2"},
    "jitter": {"color_jitter": [0.4, 0.4, 0.4, 0.1]},
    "splits": {"auto_augment": "augmix-m5-w4-d2", "separate": True},
}


@pytest.mark.parametrize("name", STRONG)
def test_strong_augmentation_is_the_readers_and_follows_from_seed_epoch_and_position(image_folder, name):
    """Whole batches; the same with one worker and two, and from any step on, which only the reader's numbers allow."""
    options = {"re_prob": 0.5, "re_value": "random", "normalize_on_device": True, **STRONG[name]}
    separate = options.get("separate", False)

    def run(workers, first_step=0, epoch=3):
        ds.config.set_seed(1)
        dataset = pets(image_folder, is_training=True, num_parallel_workers=workers)
        transform = create_transforms("imagenet", 16, True, **options)
        loader = create_loader(
            dataset, 4, True, True, transform=transform, num_parallel_workers=workers, separate=separate
        )
        assert source_of(loader).keys.batch_size == 4  # the reader makes whole batches
        return [batch[0].asnumpy() for batch in epoch_batches(loader, epoch, first_step, seed=1)]

    whole = run(1)
    assert [batch.shape for batch in whole] == [(12 if separate else 4, 16, 16, 3)] * 3
    for workers, first_step in ((2, 0), (2, 1), (1, 2)):
        for expected, batch in zip(whole[first_step:], run(workers, first_step), strict=True):
            np.testing.assert_array_equal(batch, expected)
    assert (run(2, epoch=4)[0] != whole[0]).any()


@pytest.fixture
def _full_recovery():
    """Skipped steps run through all operations, so that their random numbers are used up."""
    ds.config.set_fast_recovery(False)
    yield
    ds.config.set_fast_recovery(True)


@pytest.mark.usefixtures("_full_recovery")
@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("step", [1, 3, 5, 8])
def test_a_run_can_be_taken_up_at_any_step_bit_for_bit(image_folder, step, on_device):
    """13 images, one of them bad, batch 4 without remainder: 3 steps an epoch, 9 in all."""
    damage(image_folder / "train" / "cat" / "003.jpg", "cut")

    def run(first_step):
        ds.config.set_seed(1)
        dataset = pets(image_folder, is_training=True, num_parallel_workers=2, bad_samples="replace")
        options = {"color_jitter": 0.4, "normalize_on_device": on_device, **POLICY}
        loader = create_loader(
            dataset,
            4,
            True,
            True,
            0.2,
            1.0,
            0.9,
            num_classes=2,
            transform=create_transforms("imagenet", 16, True, **options),
            num_parallel_workers=2,
            mix_on_device=on_device,
        )
        if first_step:
            loader.set_init_step(first_step)
        iterator = loader.create_tuple_iterator(num_epochs=3, output_numpy=True)
        return [row for _ in range(3 - first_step // 3) for row in iterator]

    whole, rest = run(0), run(step)
    assert len(rest) == 9 - step
    assert len(whole[0]) == (3 if on_device else 2)
    for expected, row in zip(whole[step:], rest, strict=True):
        for column, column_again in zip(expected, row, strict=True):
            np.testing.assert_array_equal(column, column_again)


def test_a_reader_of_batches_gives_how_a_device_mixes_them(image_folder):
    """The same as `Mixup.draw` gives for the batch, without a stage of its own."""
    ds.config.set_seed(1)
    dataset = pets(image_folder, is_training=True)
    transform = create_transforms("imagenet", 16, True, normalize_on_device=True)
    options = {"num_classes": 2, "transform": transform, "mix_on_device": True}
    loader = create_loader(dataset, 4, True, True, 0.2, 1.0, 0.9, **options)
    assert [type(stage).__name__ for stage in stages(loader)] == ["Loader", "SampleDataset", "KeyDataset"]
    drawn = []
    for images, labels, mix in loader.create_tuple_iterator(num_epochs=3, output_numpy=True):
        np.testing.assert_array_equal(mix, loader.mixup.draw(images, labels)[2])
        drawn.append(mix.tolist())
    assert len(drawn) > 2
    assert drawn[0] != drawn[1]


def test_processes_give_the_same_as_threads(image_folder):
    def run(python_multiprocessing):
        transform = create_transforms("imagenet", 16, crop_pct=0.9)
        return batches(
            create_loader(
                pets(image_folder),
                13,
                transform=transform,
                num_parallel_workers=2,
                python_multiprocessing=python_multiprocessing,
            )
        )

    np.testing.assert_array_equal(run(False)[0][0], run(True)[0][0])


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"batch_size": 20, "drop_remainder": True}, ["batch_size is 20", "only 13 samples", "drop_remainder"]),
        ({"batch_size": 0}, ["batch_size must be at least 1"]),
        ({"batch_size": 4, "separate": True, "is_training": True}, ["three lists"]),
        ({"batch_size": 4, "separate": True, "mixup": 0.1, "is_training": True}, ["exclude each other"]),
    ],
)
def test_wrong_arguments(image_folder, kwargs, parts):
    with pytest.raises(ValueError, match=r".") as caught:
        create_loader(pets(image_folder), transform=create_transforms("imagenet", 16), **kwargs)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_columns_must_be_there():
    dataset = ds.NumpySlicesDataset({"picture": np.zeros((2, 4, 4, 3), np.uint8), "label": np.zeros(2)})
    with pytest.raises(ValueError, match="needs the columns 'image' and 'label', got picture, label"):
        create_loader(dataset, 2)


def damage(path, kind):
    content = path.read_bytes()
    path.write_bytes(
        {"no picture": content[:300], "cut": content[:650], "empty": b"", "text": b"this is not an image " * 9}[kind]
    )


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("no picture", "this JPEG of 300 bytes ends, or is damaged, before its picture begins"),
        ("cut", "this JPEG is cut off after 650 bytes"),
        ("empty", "the file is empty (its size is 0)"),
        ("text", "this is no image file (it begins with b'this is '"),
    ],
)
def test_a_damaged_image_is_named_in_one_line(image_folder, kind, reason, is_training):
    bad = image_folder / "train" / "cat" / "003.jpg"
    damage(bad, kind)
    loader = create_loader(
        pets(image_folder), 4, transform=create_transforms("imagenet", 16, is_training), num_parallel_workers=1
    )
    with pytest.raises(RuntimeError) as caught:
        batches(loader)
    message = explain_pipeline_error(caught.value)
    assert message.startswith(f"cannot use the image {bad}: {reason}")
    assert message.endswith(
        "; replace or delete the file, set bad_samples: skip or replace, or find all such files with: mindcv data check"
    )
    assert "\n" not in message


def test_a_damaged_image_of_mindspores_own_dataset_is_named(image_folder, monkeypatch):
    # MindSpore dumps what it cannot decode into the working folder.
    monkeypatch.chdir(image_folder)
    bad = image_folder / "train" / "cat" / "003.jpg"
    damage(bad, "text")
    dataset = ds.ImageFolderDataset(str(image_folder / "train"), shuffle=False, num_parallel_workers=1)
    loader = create_loader(dataset, 4, transform=create_transforms("imagenet", 16), num_parallel_workers=1)
    with pytest.raises(RuntimeError) as caught:
        batches(loader)
    message = explain_pipeline_error(caught.value)
    assert message.startswith(f"cannot process the image {bad}: ")
    assert message.endswith("image decode failed; if the file is damaged, replace or delete it")
    assert "Dump" not in message


def test_a_jpeg_that_would_kill_the_decoder_is_refused_in_mindspores_own_dataset(image_folder):
    damage(image_folder / "train" / "cat" / "003.jpg", "no picture")
    dataset = ds.ImageFolderDataset(str(image_folder / "train"), shuffle=False, num_parallel_workers=1)
    loader = create_loader(dataset, 4, transform=create_transforms("imagenet", 16), num_parallel_workers=1)
    with pytest.raises(ValueError, match=r"003.jpg: this JPEG of 300 bytes ends"), pipeline_errors():
        batches(loader)


@pytest.mark.parametrize("by", ["our decoder", "MindSpore's"])
def test_what_only_the_decoder_finds_is_named_too(by, image_folder, monkeypatch):
    """A PNG whose checksums are right and whose pixels are no compressed data."""
    if by == "MindSpore's":
        monkeypatch.setattr(decoding, "_jpeg", None)
    part = b"IDAT" + b"not compressed"
    header = b"IHDR" + struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, part, b"IEND")
    ]
    bad = image_folder / "train" / "cat" / "003.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    loader = create_loader(pets(image_folder), 4, transform=create_transforms("imagenet", 16), num_parallel_workers=1)
    with (
        pytest.raises(ValueError, match=f"^cannot use the image {bad}: .*; replace or delete the file"),
        pipeline_errors(),
    ):
        batches(loader)


def fail(image):
    raise ValueError("an operation of the user failed\nwith details")


def test_an_error_in_python_is_explained(image_folder):
    loader = create_loader(pets(image_folder), 4, transform=[fail], num_parallel_workers=1)
    with pytest.raises(RuntimeError) as caught:
        batches(loader)
    message = explain_pipeline_error(caught.value)
    assert message == "the data pipeline failed: ValueError: an operation of the user failed"
    assert "\n" not in message


def test_a_store_that_is_down_is_explained(image_folder):
    """An exception whose class has its module's name in front in a traceback."""

    def unreachable(image):
        raise RemoteError("s3://bucket/shard: failed 7 times")

    loader = create_loader(pets(image_folder), 4, transform=[unreachable], num_parallel_workers=1)
    with pytest.raises(ValueError, match=r"^the data pipeline failed: RemoteError: s3://bucket/.*"), pipeline_errors():
        batches(loader)


def test_a_label_beyond_num_classes_is_explained(image_folder):
    transform = create_transforms("imagenet", 16, True)
    loader = create_loader(
        pets(image_folder), 13, is_training=True, mixup=1.0, cutmix_prob=1.0, num_classes=1, transform=transform
    )
    with pytest.raises(RuntimeError) as caught:
        batches(loader)
    assert "num_classes is 1, but the labels of this batch go from 0 to 1" in explain_pipeline_error(caught.value)


def test_other_errors_are_not_explained():
    error = RuntimeError("out of memory")
    assert explain_pipeline_error(error) is None
    with pytest.raises(RuntimeError) as caught, pipeline_errors():
        raise error
    assert caught.value is error


def test_pipeline_errors_become_value_errors(image_folder):
    loader = create_loader(pets(image_folder), 4, transform=[fail], num_parallel_workers=1)
    expected = r"the data pipeline failed: ValueError: an operation"
    with pytest.raises(ValueError, match=expected) as caught, pipeline_errors():
        batches(loader)
    assert "\n" not in str(caught.value)


def test_workers_are_capped(caplog):
    with caplog.at_level(logging.INFO, "mindcv"):
        assert cap_workers(10_000) == usable_cores() == cap_workers(10_000)
    assert caplog.text.count("num_parallel_workers=10000 is capped") == 1
    assert cap_workers(1) == 1
    assert cap_workers(None) is None


@pytest.mark.parametrize("mix_on_device", [False, True])
def test_mixing_ends_after_its_epochs(image_folder, mix_on_device):
    """Whatever was read before, and wherever a run is taken up."""
    transforms = create_transforms("imagenet", 16, is_training=True, normalize_on_device=mix_on_device)
    dataset = create_dataset("imagenet", root=str(image_folder), split="train")
    options = {"num_classes": 2, "transform": transforms, "mix_on_device": mix_on_device, "mixup_off_epoch": 2}
    loader = create_loader(dataset, 4, True, True, 0.8, cutmix_prob=1.0, **options)
    assert loader.get_dataset_size() == 3
    for epoch, first_step in ((0, 0), (1, 0), (2, 0), (3, 1), (1, 2), (2, 1)):
        rows = [[column.asnumpy() for column in batch] for batch in epoch_batches(loader, epoch, first_step)]
        assert len(rows) == 3 - first_step
        if mix_on_device:
            whole = [np.array_equal(mix, [1, 1, 0, 0, 0, 0]) for _, _, mix in rows]
        else:
            whole = [bool(np.isin(labels, (0, 1)).all()) for _, labels in rows]
            assert all(labels.shape == (4, 2) for _, labels in rows)
        # Labels of a batch whose mirrored samples are of one class stay whole too.
        assert all(whole) if epoch >= 2 else first_step or not all(whole), (epoch, first_step)


@pytest.mark.parametrize("name", ["imagenet", "digits"])
@pytest.mark.parametrize("on_device", [False, True])
def test_an_epoch_follows_from_its_own_seed(image_folder, name, on_device):
    """Augmentation and mixing too, of files and of pixels in memory, whatever MindSpore's seed was before."""

    def read(before, seed):
        ds.config.set_seed(before)
        root = str(image_folder) if name == "imagenet" else None
        dataset = create_dataset(name, root, "train", num_samples=8, num_parallel_workers=1, seed=0)
        transform = create_transforms(
            name, 16, True, "randaug-m9", re_prob=0.5, hflip=0.0, normalize_on_device=on_device
        )
        options = {"num_classes": 10, "transform": transform, "mix_on_device": on_device, "num_parallel_workers": 1}
        loader = create_loader(dataset, 4, True, True, 0.8, cutmix_prob=1.0, **options)
        return [[column.asnumpy() for column in batch] for batch in epoch_batches(loader, 1, seed=seed)]

    first = read(1, 5)
    for batch, same, other in zip(first, read(2, 5), read(1, 6), strict=True):
        for column, same_column in zip(batch, same, strict=True):
            np.testing.assert_array_equal(column, same_column)
        assert (batch[0] != other[0]).any()
        assert (batch[-1] != other[-1]).any()  # how it was mixed


def test_the_simple_crop_in_a_pipeline(image_folder):
    """Another place in each epoch, the same one again for the same epoch, with threads and from any step."""
    transforms = create_transforms("imagenet", 16, is_training=True, train_crop="simple", hflip=0.0, color_jitter=None)
    dataset = create_dataset("imagenet", root=str(image_folder), split="train", shuffle=False)
    loader = create_loader(dataset, 4, True, True, transform=transforms, num_parallel_workers=2)

    def read(epoch, first_step=0):
        return np.concatenate([batch[0].asnumpy() for batch in epoch_batches(loader, epoch, first_step, seed=1)])

    first, second = read(0), read(1)
    assert first.shape == (12, 3, 16, 16)
    np.testing.assert_array_equal(read(0), first)
    np.testing.assert_array_equal(read(0, 1), first[4:])
    assert sum(not np.array_equal(*pair) for pair in zip(first, second, strict=True)) >= 9
