from collections import Counter

import mindspore.dataset as ds
import numpy as np
import pytest
from array_files import write_cifar, write_mnist

from mindcv.data import (
    check_num_classes,
    create_dataset,
    get_class_names,
    get_num_classes,
    set_dataset_epoch,
)

# Labels of the UCI digits by class (sklearn's documentation of the set).
DIGITS_BY_CLASS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_image_folder_numbers_classes_by_name(image_folder, one_epoch):
    dataset = create_dataset("imagenet", str(image_folder), "train", shuffle=False)
    assert one_epoch(dataset) == [0] * 7 + [1] * 6
    assert dataset.get_dataset_size() == 13
    batches = dataset.batch(4)
    assert get_num_classes(batches) == 2
    assert get_class_names(batches) == ["cat", "dog"]
    assert len(one_epoch(create_dataset("my pets", str(image_folder), "val"))) == 5


def test_image_folder_without_split(image_folder, one_epoch):
    assert len(one_epoch(create_dataset("", str(image_folder / "val"), ""))) == 5


@pytest.mark.parametrize(
    ("named", "split", "count"), [("train", "train", 13), ("train", "val", 5), ("val", "train", 13)]
)
def test_the_folder_of_a_split_will_do(image_folder, one_epoch, named, split, count):
    assert len(one_epoch(create_dataset("", str(image_folder / named), split))) == count


def test_image_folder_leaves_out_what_is_no_class_and_no_image(image_folder, one_epoch):
    train = image_folder / "train"
    (train / ".cache").mkdir()
    (train / ".cache" / "000.jpg").write_bytes((train / "cat" / "000.jpg").read_bytes())
    (train / "cat" / "notes.txt").write_text("not an image")
    (train / "cat" / "nested").mkdir()
    (train / "dog" / "UPPER.JPG").write_bytes((train / "dog" / "000.jpg").read_bytes())
    dataset = create_dataset("", str(image_folder), "train", shuffle=False)
    assert dataset.get_dataset_size() == 14
    assert one_epoch(dataset) == [0] * 7 + [1] * 7
    assert get_class_names(dataset) == ["cat", "dog"]


def test_a_class_folder_without_images_is_a_class(image_folder, one_epoch, caplog):
    (image_folder / "train" / "cow").mkdir()
    dataset = create_dataset("imagenet", str(image_folder), shuffle=False)
    assert one_epoch(dataset) == [0] * 7 + [2] * 6
    assert get_class_names(dataset) == ["cat", "cow", "dog"]
    assert "1 of 3 class folders in" in caplog.text
    balanced = create_dataset("imagenet", str(image_folder), sampler="balanced", seed=1)
    drawn = one_epoch(balanced)
    assert sorted(drawn.count(label) for label in (0, 1, 2)) == [0, 6, 7]
    assert 1 not in drawn


def test_image_folder_with_its_own_class_numbers(image_folder, one_epoch):
    dataset = create_dataset("", str(image_folder), "train", shuffle=False, class_indexing={"dog": 0, "cat": 4})
    assert Counter(one_epoch(dataset)) == {4: 7, 0: 6}
    assert get_num_classes(dataset) == 5
    assert get_class_names(dataset) == ["dog", "", "", "", "cat"]
    assert dataset.get_class_indexing() == {"dog": 0, "cat": 4}
    shared = create_dataset("", str(image_folder), "train", class_indexing={"dog": 1, "cat": 1})
    assert (get_num_classes(shared), get_class_names(shared)) == (2, ["", "dog/cat"])
    with pytest.raises(ValueError, match="class_indexing: labels are numbers from 0 on, but those of cat are not"):
        create_dataset("", str(image_folder), "train", class_indexing={"dog": 0, "cat": -1})


def test_digits_are_split_by_index(one_epoch):
    train, val = (create_dataset("digits", split=split, shuffle=False) for split in ("train", "val"))
    assert (train.get_dataset_size(), val.get_dataset_size()) == (1437, 360)
    labels = Counter(one_epoch(train) + one_epoch(val))
    assert [labels[digit] for digit in range(10)] == DIGITS_BY_CLASS
    image = one_epoch(val, "image")[0]
    assert (image.shape, image.dtype) == ((8, 8, 3), np.uint8)
    # The first digit of the file is a 0 whose first row holds 0 0 5 13 9 1 0 0 of 16.
    np.testing.assert_array_equal(image[0, :, 1], [0, 0, 80, 207, 143, 16, 0, 0])
    assert (get_num_classes(train), get_class_names(train)[3]) == (10, "3")
    assert create_dataset("Digits", split="all").get_dataset_size() == 1797


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_evaluation_shards_cover_each_sample_once(world, one_epoch):
    images = Counter()
    sizes = []
    for rank in range(world):
        dataset = create_dataset("digits", split="all", num_shards=world, shard_id=rank, pad_shards=False)
        rows = one_epoch(dataset, "image")
        assert len(rows) == dataset.get_dataset_size()
        sizes.append(len(rows))
        images.update(row.tobytes() for row in rows)
    whole = Counter(row.tobytes() for row in one_epoch(create_dataset("digits", split="all"), "image"))
    assert images == whole
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("world", [2, 3, 5])
def test_training_shards_are_equal_and_repeat_only_the_tail(world, image_folder, one_epoch):
    rows = []
    for rank in range(world):
        dataset = create_dataset("", str(image_folder), num_shards=world, shard_id=rank, seed=3)
        rows += one_epoch(dataset, "image")
        assert dataset.get_dataset_size() == -(-13 // world)
    seen = Counter(row.tobytes() for row in rows)
    assert len(seen) == 13
    assert sum(seen.values()) - 13 == -13 % world
    assert max(seen.values()) <= 2


def test_order_follows_from_seed_and_epoch(one_epoch):
    def order(seed, epoch):
        dataset = create_dataset("digits", split="val", seed=seed)
        set_dataset_epoch(dataset.batch(2), epoch)
        return [row.tobytes() for row in one_epoch(dataset, "image")]

    iterator = create_dataset("digits", split="val", seed=1).create_dict_iterator(num_epochs=3, output_numpy=True)
    epochs = [[row["image"].tobytes() for row in iterator] for _ in range(3)]
    assert epochs == [order(1, epoch) for epoch in range(3)]
    assert epochs[0] != epochs[1]
    assert order(2, 0) != order(1, 0)


def test_seed_of_mindspore_dataset_is_the_default(one_epoch):
    ds.config.set_seed(77)
    assert one_epoch(create_dataset("digits")) == one_epoch(create_dataset("digits", seed=77))


@pytest.mark.parametrize(("num_samples", "world", "expected"), [(10, None, 10), (10, 2, 10), (10_000, None, 1437)])
def test_num_samples(num_samples, world, expected, one_epoch):
    dataset = create_dataset("digits", num_samples=num_samples, num_shards=world, shard_id=world and 1)
    assert len(one_epoch(dataset)) == expected == dataset.get_dataset_size()


def test_repeated_augmentation_of_a_dataset(image_folder, one_epoch):
    seen = Counter()
    for rank in range(2):
        dataset = create_dataset("", str(image_folder), num_shards=2, shard_id=rank, num_aug_repeats=3, seed=0)
        assert dataset.get_dataset_size() == 7
        seen.update(row.tobytes() for row in one_epoch(dataset, "image"))
    assert sorted(seen.values()) == [2, 3, 3, 3, 3]


def test_mnist(tmp_path, one_epoch):
    write_mnist(tmp_path)
    dataset = create_dataset("mnist", str(tmp_path), "val", shuffle=False)
    assert one_epoch(dataset) == [i % 10 for i in range(20)]
    assert one_epoch(dataset, "image")[0].shape == (28, 28, 1)
    assert get_num_classes(dataset.batch(2)) == 10


@pytest.mark.parametrize(
    ("name", "folder", "label_bytes", "classes"),
    [("cifar10", "cifar-10-batches-bin", 1, 10), ("cifar100", "cifar-100-binary", 2, 100)],
)
def test_cifar(tmp_path, one_epoch, name, folder, label_bytes, classes):
    (tmp_path / folder).mkdir()
    write_cifar(tmp_path / folder, label_bytes, 30)
    if name == "cifar100":
        names = "\n".join(f"class {i}" for i in range(100))
        (tmp_path / folder / "fine_label_names.txt").write_text(names + "\n")
    dataset = create_dataset(name, str(tmp_path), "val", num_samples=25, shuffle=False)
    column = "fine_label" if name == "cifar100" else "label"
    assert one_epoch(dataset, column) == [i % 10 for i in range(25)]
    assert get_num_classes(dataset) == classes
    assert get_class_names(dataset) == (None if name == "cifar10" else [f"class {i}" for i in range(100)])


def test_num_classes_must_suffice(image_folder):
    dataset = create_dataset("", str(image_folder)).batch(2)
    check_num_classes(dataset, 2)
    check_num_classes(dataset, 1000)
    with pytest.raises(ValueError, match="num_classes is 1, but the dataset has 2 classes"):
        check_num_classes(dataset, 1)


def _no_folder(root):
    return ("", str(root / "nowhere")), {}


def _file_for_folder(root):
    (root / "file").write_text("x")
    return ("imagenet", str(root / "file")), {}


def _empty_folder(root):
    (root / "train" / ".hidden").mkdir(parents=True)
    return ("imagenet", str(root)), {}


def _classes_without_images(root):
    for name in ("cat", "dog"):
        (root / "train" / name).mkdir(parents=True)
        (root / "train" / name / "a.txt").write_bytes(b"x")
    return ("imagenet", str(root)), {}


def _wrong_split(root):
    for name in ("train", "validation"):
        (root / name).mkdir()
    return ("imagenet", str(root), "validaton"), {}


def _cifar_without_files(root):
    (root / "cifar-10-batches-bin").mkdir()
    return ("cifar10", str(root), "test"), {}


@pytest.mark.parametrize(
    ("make", "error", "parts"),
    [
        (_no_folder, FileNotFoundError, ["nowhere' of dataset '' does not exist", "data_dir"]),
        (_file_for_folder, FileNotFoundError, ["is a file, not a folder"]),
        (_empty_folder, ValueError, ["train' is empty"]),
        (_classes_without_images, ValueError, ["none of the 2 class folders", "has an image: cat, dog", ".jpg"]),
        (
            _wrong_split,
            FileNotFoundError,
            ["'validaton'", "did you mean 'validation'?", "train, validation"],
        ),
        (lambda root: (("digit", str(root / "x")), {}), FileNotFoundError, ["did you mean 'digits'?"]),
        (lambda root: (("digits", None, "trian"), {}), ValueError, ["'trian'", "did you mean 'train'?"]),
        (lambda root: (("cifar10", str(root), "dev"), {}), ValueError, ["no split 'dev'", "train, test"]),
        (_cifar_without_files, FileNotFoundError, ["test_batch.bin", "dataset_download"]),
        (lambda root: (("imagenet", str(root)), {"download": True}), ValueError, ["cannot be downloaded", "cifar10"]),
        (lambda root: (("mnist", "memory://bucket/set"), {}), ValueError, ["memory://bucket/set", "mnist", "tar"]),
        (lambda root: (("digits",), {"num_samples": 0}), ValueError, ["num_samples must be at least 1"]),
        (
            lambda root: (("digits",), {"num_samples": 5, "num_aug_repeats": 3}),
            ValueError,
            ["num_samples=5 and num_aug_repeats=3"],
        ),
        (lambda root: (("digits",), {"num_shards": 2}), ValueError, ["belong together"]),
        (lambda root: (("digits",), {"num_shards": 2, "shard_id": 2}), ValueError, ["shard_id=2"]),
        (
            lambda root: (("digits", None, "val"), {"num_shards": 400, "shard_id": 399, "pad_shards": False}),
            ValueError,
            ["360 samples, fewer than the 400 ranks"],
        ),
        (lambda root: (("digits",), {"num_parallel_workers": 0}), ValueError, ["num_parallel_workers"]),
    ],
)
def test_bad_input_gives_one_line(tmp_path, make, error, parts):
    args, kwargs = make(tmp_path)
    with pytest.raises(error) as caught:
        create_dataset(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
