"""Lists, tar shards, python files of cifar, MindRecord of others, parts, balance, the kept list of a large folder."""

import io
import pickle
import shutil
import tarfile
import time
from collections import Counter

import numpy as np
import pytest
from mindspore import mindrecord
from PIL import Image

from mindcv.build import build_eval_loader
from mindcv.config import Config
from mindcv.data import (
    Part,
    check_num_classes,
    create_dataset,
    create_loader,
    create_transforms,
    get_class_names,
    get_samples,
)
from mindcv.data.dataset_factory import is_multi_label, save_class_names
from mindcv.data.distributed_sampler import ShardSampler
from mindcv.data.sources import samples as samples_module
from mindcv.data.sources.folders import read_class_names


def rows(dataset):
    return list(dataset.create_tuple_iterator(num_epochs=1, output_numpy=True))


def labels(dataset):
    return [row[1].tolist() for row in rows(dataset)]


LISTS = {
    "numbers": ("path,label\n{cat}/000.jpg,2\n{dog}/001.jpg,0\n", [2, 0], 3, None),
    "names": ("image,class\n{cat}/000.jpg,cat\n{dog}/001.jpg,ant\n", [1, 0], 2, ["ant", "cat"]),
    "several": (
        "file,labels\n{cat}/000.jpg,a;c\n{dog}/001.jpg,b|c\n{dog}/002.jpg,\n",
        [[1, 0, 1], [0, 1, 1], [0, 0, 0]],
        3,
        ["a", "b", "c"],
    ),
    "columns": ("path,furry,small\n{cat}/000.jpg,1,1\n{dog}/001.jpg,1,0\n", [[1, 1], [1, 0]], 2, ["furry", "small"]),
}


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("kind", LISTS)
def test_lists(image_folder, kind, suffix):
    text, expected, num_classes, names = LISTS[kind]
    text = text.format(cat="train/cat", dog=image_folder / "train" / "dog")
    (image_folder / f"train.{suffix}").write_text(text.replace(",", "\t") if suffix == "tsv" else text)
    dataset = create_dataset("CSV", str(image_folder), shuffle=False)
    assert labels(dataset) == expected
    assert rows(dataset)[0][0].tobytes() == (image_folder / "train" / "cat" / "000.jpg").read_bytes()
    assert (dataset.num_classes(), get_class_names(dataset)) == (num_classes, names)
    assert is_multi_label(dataset) == (kind in ("several", "columns"))
    loader = create_loader(dataset, 2, transform=create_transforms("csv", 16))
    assert rows(loader)[0][1].dtype == (np.float32 if is_multi_label(dataset) else np.int32)


SOFT = "path,{}\ntrain/cat/000.jpg,0.5,0.3,0.2\ntrain/dog/001.jpg,0,0.333,0.666\ntrain/dog/002.jpg,0,1,0\n"


@pytest.mark.parametrize(
    ("columns", "names"),
    [("p:ant,p:cat,p:dog", ["ant", "cat", "dog"]), ("p0,p1,p2", None), ("p0,p1,p2", ["x", "y", "z"])],
)
def test_soft_labels(image_folder, columns, names):
    (image_folder / "train.csv").write_text(SOFT.format(columns))
    if names and columns.startswith("p0"):
        (image_folder / "class_names.txt").write_text("".join(f"{name}\n" for name in names))
    dataset = create_dataset("csv", str(image_folder), shuffle=False)
    expected = np.array([[0.5, 0.3, 0.2], [0, 1 / 3, 2 / 3], [0, 1, 0]])
    np.testing.assert_allclose(labels(dataset), expected, rtol=1e-6)
    assert (dataset.num_classes(), get_class_names(dataset)) == (3, names)
    assert not is_multi_label(dataset)
    loader = create_loader(dataset, 3, transform=create_transforms("csv", 16))
    np.testing.assert_allclose(rows(loader)[0][1], expected, rtol=1e-6)
    check_num_classes(dataset, 3)
    with pytest.raises(ValueError, match="labelled with probabilities for 3 classes; set num_classes to 3"):
        check_num_classes(dataset, 4)


def test_soft_labels_of_views_stay_rows(image_folder):
    (image_folder / "train.csv").write_text(SOFT.format("p0,p1,p2"))
    transform = create_transforms("csv", 16, True, auto_augment="augmix-m5", separate=True)
    dataset = create_dataset("csv", str(image_folder), shuffle=False)
    images, label = rows(create_loader(dataset, 3, True, True, transform=transform, separate=True))[0]
    assert (len(images), label.shape) == (9, (9, 3))
    np.testing.assert_array_equal(label[3:6], label[:3])
    np.testing.assert_allclose(label.sum(1), 1, rtol=1e-6)


def test_soft_labels_are_drawn_by_their_most_probable_class(image_folder):
    text = SOFT.format("p0,p1,p2") + "".join(f"train/cat/{n:03d}.jpg,0.6,0.4,0\n" for n in range(1, 6))
    (image_folder / "train.csv").write_text(text)
    dataset = create_dataset("csv", str(image_folder), sampler="balanced", seed=1)
    drawn = np.bincount([int(np.argmax(row)) for row in labels(dataset)], minlength=3)
    assert drawn.max() - drawn.min() <= 1


@pytest.mark.parametrize(("skip", "kept"), [(False, 0), (True, 2)])
def test_soft_labels_with_a_class_that_the_model_does_not_know(image_folder, skip, kept):
    (image_folder / "val.csv").write_text(SOFT.format("p:ant,p:cat,p:dog"))
    options = {"class_names": ["dog", "cat"], "num_classes": 2, "shuffle": False}
    if not skip:
        with pytest.raises(ValueError, match=r"classes that the model does not know: 1 of 3 classes \(ant\)"):
            create_dataset("csv", str(image_folder), "val", **options)
        return
    dataset = create_dataset("csv", str(image_folder), "val", unknown_classes="skip", **options)
    np.testing.assert_allclose(labels(dataset), [[2 / 3, 1 / 3], [0, 1]], rtol=1e-6)
    assert len(labels(dataset)) == kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p0,p1\n{cat},0.5,0.5\n{cat},0.5,0.3\n", "line 3: the probabilities sum to 0.8; a soft label sums to 1"),
        ("p0,p1\n{cat},1,1\n", "line 2: the probabilities sum to 2"),
        ("p0,p1\n{cat},0,0\n", "line 2: the probabilities sum to 0"),
        ("p0,p1\n{cat},1.5,-0.5\n", "line 2: column 'p0' is '1.5'; allowed are numbers from 0 to 1"),
        ("p:a,p:b\n{cat},nan,1\n", "line 2: column 'p:a' is 'nan'; allowed are numbers from 0 to 1"),
        ("p:a,p:b\n{cat},x,1\n", "line 2: column 'p:a' is 'x'"),
        ("p:a,p:a\n{cat},0,1\n", "each class needs a name of its own; the first line has p:a twice"),
        (
            "a,b\n{cat},0.5,0.5\n",
            "column 'a' is '0.5'; allowed are 0 and 1 .probabilities have columns named p:a",
        ),
    ],
)
def test_wrong_soft_labels(image_folder, text, message):
    (image_folder / "train.csv").write_text("path," + text.format(cat="train/cat/000.jpg"))
    with pytest.raises(ValueError, match=message):
        create_dataset("csv", str(image_folder))


def test_class_names_fix_the_numbers_of_a_list(image_folder):
    (image_folder / "val.csv").write_text("path,label\nval/cat/000.jpg,cat\n")
    (image_folder / "class_names.txt").write_text("ant\ncat\ndog\n")
    dataset = create_dataset("csv", str(image_folder), "val")
    assert (labels(dataset), dataset.num_classes()) == ([1], 3)


def test_several_labels_mix_and_must_fit_the_network(image_folder):
    (image_folder / "train.csv").write_text(
        "path,labels\n" + "".join(f"train/cat/{i:03d}.jpg,{'ab'[i % 2]};c\n" for i in range(4))
    )
    dataset = create_dataset("csv", str(image_folder), shuffle=False)
    loader = create_loader(
        dataset, 4, True, True, mixup=1.0, cutmix_prob=1.0, num_classes=3, transform=create_transforms("csv", 16, True)
    )
    label = rows(loader)[0][1]
    np.testing.assert_allclose(label.sum(1), 2, atol=1e-6)
    assert 0 < label[0, 0] < 1
    check_num_classes(dataset, 3)
    with pytest.raises(ValueError, match="zeros and ones for 3 classes; set num_classes to 3"):
        check_num_classes(dataset, 4)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["the first line must name the columns", "path"]),
        ("label,path\na,b\n", ["the first line must name the columns", "got label, path"]),
        ("path,label\n", ["lists no images"]),
        ("path,label\n._a.jpg,0\n", ["lists no images. Left out: 1 hidden file or folder"]),
        ("path,label\na.jpg\n", ["line 2: 1 columns in place of 2"]),
        ("path,a,b\nx.jpg,1,0\ny.jpg,1,2\n", ["line 3: column 'b' is '2'; allowed are 0 and 1"]),
        ("path,label\nx.jpg,dig\n", ["line 2", "the label 'dig' is not in class_names.txt", "did you mean 'dog'?"]),
    ],
)
def test_wrong_lists(tmp_path, text, parts):
    (tmp_path / "train.csv").write_text(text)
    (tmp_path / "class_names.txt").write_text("cat\ndog\n")
    with pytest.raises(ValueError, match=r".") as caught:
        create_dataset("csv", str(tmp_path))
    for part in parts:
        assert part in str(caught.value)


def test_a_list_that_is_not_there(tmp_path):
    (tmp_path / "validation.csv").write_text("path,label\n")
    with pytest.raises(FileNotFoundError, match="did you mean 'validation'"):
        create_dataset("csv", str(tmp_path), "validaton")


def write_shard(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def photos(root, count=3):
    return [path.read_bytes() for path in sorted((root / "train" / "cat").glob("*.jpg"))[:count]]


@pytest.mark.parametrize("path", ["shards/train-000{}.tar", "shards/train/{}.tar"])
def test_tar_shards(image_folder, path):
    data = photos(image_folder)
    (image_folder / "shards" / "train").mkdir(parents=True)
    write_shard(
        image_folder / path.format(0),
        [("a/0.jpg", data[0]), ("a/0.cls", b"1"), ("a/1.v2.txt", b"no image"), ("b/0.cls", b"0"), ("b/0.jpg", data[1])],
    )
    write_shard(image_folder / path.format(1), [("c.jpg", data[2]), ("c.json", b'{"label": 4}')])
    dataset = create_dataset("tar", str(image_folder / "shards"), shuffle=False)
    found = rows(dataset)
    assert [row[1].item() for row in found] == [1, 0, 4]
    assert [row[0].tobytes() for row in found] == data
    assert dataset.num_classes() == 5


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([("../../etc/cron.jpg", b"x"), ("../../etc/cron.cls", b"0")], "refused the member '../../etc/cron.jpg'"),
        ([("/root/0.jpg", b"x")], "refused the member '/root/0.jpg'"),
        ([("0.jpg", "/etc/passwd"), ("0.cls", b"0")], "refused the member '0.jpg': it is a link"),
        ([("0.jpg", b"x")], r"the image '0.jpg' has no label; expected 0.cls or 0.json \(with 'label'\)"),
        ([("0.jpg", b"x"), ("0.cls", b"cat")], "0.cls: the label 'cat' is no class; allowed are whole numbers from 0"),
        ([("0.txt", b"x")], "hold no samples"),
    ],
)
def test_hostile_and_wrong_shards_are_refused(tmp_path, members, text):
    write_shard(tmp_path / "train.tar", members)
    with pytest.raises(ValueError, match=text):
        create_dataset("tar", str(tmp_path))


def test_damaged_compressed_and_absent_shards(tmp_path, image_folder):
    with pytest.raises(FileNotFoundError, match="there are no shards"):
        create_dataset("tar", str(tmp_path), "test")
    with tarfile.open(tmp_path / "train.tar", "w:gz") as tar:
        tar.add(image_folder / "train" / "cat" / "000.jpg", "0.jpg")
    with pytest.raises(ValueError, match="is damaged, cut off or no plain tar archive"):
        create_dataset("tar", str(tmp_path))


def test_a_shard_that_gets_shorter_is_named(tmp_path, image_folder):
    shard = tmp_path / "train.tar"
    write_shard(shard, [("0.jpg", photos(image_folder)[0]), ("0.cls", b"0")])
    dataset = create_dataset("tar", str(tmp_path))
    shard.write_bytes(shard.read_bytes()[:600])
    with pytest.raises(RuntimeError, match=r"cannot use the image .*train.tar:0.jpg: .*train.tar ends at byte 600"):
        rows(dataset)


def python_batch(count, **lists):
    data = np.arange(count * 3072, dtype=np.uint32).astype(np.uint8).reshape(count, 3072)
    return pickle.dumps({b"data": data, **{key.encode(): value for key, value in lists.items()}}, protocol=2)


def test_python_files_of_cifar(tmp_path):
    ten = tmp_path / "cifar-10-batches-py"
    ten.mkdir()
    (ten / "test_batch").write_bytes(python_batch(4, labels=[3, 1, 4, 1]))
    (ten / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"plane", b"car"]}))
    dataset = create_dataset("cifar10", str(tmp_path), "test", shuffle=False)
    assert labels(dataset) == [3, 1, 4, 1]
    assert get_class_names(dataset) == ["plane", "car"]
    image = rows(dataset)[0][0]
    assert (image.shape, image[0, 1].tolist()) == ((32, 32, 3), [1, (1024 + 1) % 256, (2048 + 1) % 256])
    hundred = tmp_path / "cifar-100-python"
    hundred.mkdir()
    (hundred / "train").write_bytes(python_batch(2, coarse_labels=[5, 6], fine_labels=[50, 99]))
    row = rows(create_dataset("cifar100", str(tmp_path), "train", shuffle=False))[1]
    assert [value.item() for value in row[1:]] == [6, 99]


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (pickle.dumps(Harmful()), "it asks for builtins.print, which is not data"),
        (pickle.dumps([1]), "it holds a list"),
        (pickle.dumps({b"data": 1}), "it has no images or no labels"),
        (python_batch(2, labels=[1, 11]), "labels go from 1 to 11"),
        (b"\x80\x02garbage", "is damaged or no file of this dataset"),
    ],
)
def test_harmful_and_damaged_python_files_are_refused(tmp_path, content, text, capsys):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(ValueError, match=text):
        create_dataset("cifar10", str(tmp_path), "test")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("pages", [1, 2])
def test_mindrecord_of_another_program(tmp_path, image_folder, pages):
    data = photos(image_folder)
    writer = mindrecord.FileWriter(str(tmp_path / "train.mindrecord"), pages, overwrite=True)
    writer.add_schema({"data": {"type": "bytes"}, "label": {"type": "int64"}, "file_name": {"type": "string"}}, "")
    writer.add_index(["label", "file_name"])
    writer.write_raw_data([{"data": d, "label": n * 2, "file_name": f"{n}.jpg"} for n, d in enumerate(data)])
    writer.commit()
    dataset = create_dataset("mindrecord", str(tmp_path), shuffle=False)
    assert sorted(labels(dataset)) == [0, 2, 4]
    assert {row[1].item(): row[0].tobytes() for row in rows(dataset)} == {2 * n: d for n, d in enumerate(data)}


def test_both_parts_of_one_folder(image_folder):
    kept, held = (
        create_dataset("", str(image_folder), shuffle=False, part=Part(side, share=0.3)) for side in (False, True)
    )
    assert (kept.get_dataset_size(), held.get_dataset_size()) == (10, 3)
    images = [row[0].tobytes() for row in rows(kept) + rows(held)]
    assert len(set(images)) == 13
    digits = [create_dataset("digits", part=Part(side, folds=5, fold=2)) for side in (False, True)]
    assert sum(part.get_dataset_size() for part in digits) == 1437


def test_balanced_sampling_draws_every_class_equally_often(image_folder):
    for path in sorted((image_folder / "train" / "dog").glob("*.jpg"))[2:]:
        path.unlink()
    dataset = create_dataset("", str(image_folder), sampler="balanced", seed=1)
    found = rows(dataset)
    assert len(found) == 9
    assert sorted(Counter(row[1].item() for row in found).values()) == [4, 5]
    cats = Counter(row[0].tobytes() for row in found if row[1].item() == 0)
    assert max(cats.values()) == 1


def test_balanced_order_follows_seed_and_epoch_and_covers_all_in_time():
    uneven = np.repeat([0, 1, 2], [50, 5, 5])
    samplers = [ShardSampler(60, 2, rank, seed=4, balance=uneven) for rank in range(2)]
    epochs = [np.concatenate([list(sampler) for sampler in samplers]) for _ in range(4)]
    for epoch in epochs:
        assert np.bincount(uneven[epoch]).tolist() == [20, 20, 20]
        assert np.bincount(epoch, minlength=60)[50:].tolist() == [4] * 10
    assert not np.array_equal(*epochs[:2])
    again = ShardSampler(60, 2, 0, seed=4, balance=uneven)
    again.set_epoch(1)
    np.testing.assert_array_equal(list(again), epochs[1][:30])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sampler": "balance"}, "did you mean 'balanced'"),
        ({"sampler": "balanced", "shuffle": False}, "balanced sampling is random"),
        ({"sampler": "balanced", "num_aug_repeats": 3}, "does not go together with repeated augmentation"),
        ({"class_index": {}}, "did you mean 'class_indexing'"),
    ],
)
def test_wrong_options(image_folder, options, text):
    with pytest.raises(ValueError, match=text):
        create_dataset("", str(image_folder), **options)


def test_a_split_given_directly_and_links_between_folders(image_folder, tmp_path):
    assert create_dataset("", str(image_folder / "train"), "train").get_dataset_size() == 13
    linked = tmp_path / "linked"
    (linked / "train").mkdir(parents=True)
    (linked / "train" / "cat").symlink_to(image_folder / "train" / "cat")
    (linked / "train" / "dog").symlink_to("../../train/dog")
    dataset = create_dataset("", str(linked))
    assert len(rows(dataset)) == 13


def test_the_list_of_a_large_folder_is_kept_until_a_folder_changes(image_folder, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MINDCV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(samples_module, "CACHED_FROM", 5)
    monkeypatch.setattr(samples_module, "_SETTLED_S", -1.0)

    def names():
        samples = get_samples(create_dataset("", str(image_folder)))
        return [samples.name(number) for number in range(len(samples))]

    first = names()
    kept = list((tmp_path / "home" / "index").iterdir())
    assert len(kept) == 1
    listed = []
    monkeypatch.setattr(samples_module.os, "listdir", lambda path: listed.append(path) or [])
    assert names() == first
    assert not listed
    monkeypatch.undo()
    monkeypatch.setenv("MINDCV_HOME", str(tmp_path / "home"))
    time.sleep(0.01)
    (image_folder / "train" / "cat" / "new.jpg").write_bytes(b"x")
    assert len(names()) == 14
    kept[0].write_bytes(b"damaged")
    assert len(names()) == 14
    assert "cannot be read" in caplog.text


def test_class_names_are_written_beside_checkpoints(image_folder, tmp_path):
    loader = create_loader(create_dataset("", str(image_folder)), 4, transform=create_transforms("", 16))
    save_class_names(loader, tmp_path)
    assert (tmp_path / "class_names.txt").read_text() == "cat\ndog\n"
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "train.csv").write_text("path,label\na.jpg,1\n")
    save_class_names(create_dataset("csv", str(tmp_path / "none")), tmp_path / "none")
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["train.csv"]


def test_config_keys_reach_the_data(image_folder):
    from mindcv.build import build_eval_loader, build_train_loader

    (image_folder / "train" / "cat" / "000.jpg").write_bytes(b"")
    options = {"data_dir": str(image_folder), "batch_size": 2, "image_resize": 16, "drop_remainder": False}
    cfg = Config(**options, val_split="0.3", bad_samples="skip", ckpt_save_dir=str(image_folder))
    train, held = build_train_loader(cfg)[0], build_eval_loader(cfg)[0]
    assert sum(len(row[0]) for row in rows(train) + rows(held)) == 12
    cfg = Config(**options, folds=4, fold=3, sampler="balanced", ckpt_save_dir=str(image_folder))
    assert sum(len(row[0]) for row in rows(build_train_loader(cfg)[0])) == 10


def test_a_split_that_lacks_a_class_keeps_the_numbers(image_folder, caplog):
    """Numbered by itself, `val` would call dogs 0."""
    shutil.rmtree(image_folder / "val" / "cat")
    dataset = create_dataset("", str(image_folder), "val", class_split="train")
    assert labels(dataset) == [1, 1]
    assert (dataset.num_classes(), get_class_names(dataset)) == (2, ["cat", "dog"])
    assert "has no images of 1 of the 2 classes of" in caplog.text
    assert "train: cat; the others keep their numbers" in caplog.text
    loader, num_classes = build_eval_loader(Config(data_dir=str(image_folder), image_resize=16, batch_size=2))
    assert ([row[1].tolist() for row in rows(loader)], num_classes) == ([[1, 1]], 2)
    # Without a training split there are only its own.
    (image_folder / "train").rename(image_folder / "other")
    assert labels(create_dataset("", str(image_folder), "val", class_split="train")) == [0, 0]


def test_a_class_that_training_lacks_is_refused(image_folder):
    (image_folder / "val" / "dog").rename(image_folder / "val" / "wolf")
    with pytest.raises(ValueError, match=r"has class folders that .*train' lacks: wolf; a network cannot learn"):
        create_dataset("", str(image_folder), "val", class_split="train")


def test_class_names_file_is_cut_at_line_ends_only_and_a_byte_order_mark_dropped(tmp_path):
    names = ["one\u2028name", "form\x0cfeed", "third"]
    (tmp_path / "class_names.txt").write_bytes("\ufeff".encode() + "\r\n".join(names).encode() + b"\n")
    assert read_class_names(tmp_path) == names


def test_class_folder_with_a_line_end_in_its_name_is_refused_when_names_are_written(tmp_path):
    for name in ("cat", "dog\nhouse"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "train" / name / "1.png")
    dataset = create_dataset("imagenet", root=str(tmp_path), split="train")
    with pytest.raises(ValueError, match=r"the class name 'dog\\nhouse' cannot stand in a list"):
        save_class_names(dataset, tmp_path)
    assert not (tmp_path / "class_names.txt").exists()
