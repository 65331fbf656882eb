"""mindcv prepare and what reads its result; a kill at any time; mindcv data check and show."""

import copy
import gc
import io
import json
import os
import pickle
import re
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest
from PIL import Image

from mindcv.cli import main
from mindcv.data import create_dataset, create_loader, create_transforms, get_class_names
from mindcv.data import packing as packing_module
from mindcv.data.dataset_check import examine
from mindcv.data.dataset_factory import find_samples
from mindcv.data.packing import Packing, pack, repacked

PHOTO = (Path(__file__).parent.parent / "data" / "photos" / "china.jpg").read_bytes()


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(packing_module, "_LEAST_SHARD", 5)


def both_splits(root):
    return {name: find_samples("", str(root), name) for name in ("train", "val")}


def contents(root, split="train"):
    dataset = create_dataset("imagenet", str(root), split, shuffle=False)
    return sorted(
        (row[1].item(), row[0].tobytes()) for row in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)
    )


def test_kept_files_come_back_as_they_were(image_folder, tmp_path, capsys):
    target = tmp_path / "packed"
    assert main(["prepare", str(image_folder), str(target), "--splits", "train,val", "--keep", "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "train: 13 images in 3 shards" in out
    assert f"train with: --data_dir {target}" in out
    assert sorted(path.name for path in target.iterdir()) == sorted(
        [
            *(f"train-0000{n}.mindrecord{end}" for n in range(3) for end in ("", ".db")),
            "val-00000.mindrecord",
            "val-00000.mindrecord.db",
            "train.index.npz",
            "val.index.npz",
            "class_names.txt",
            "rejected.tsv",
            "mindcv_packed.json",
        ]
    )
    for split in ("train", "val"):
        assert contents(target, split) == contents(image_folder, split)
    assert get_class_names(create_dataset("", str(target), "val")) == ["cat", "dog"]
    # MindSpore reads it by itself too.
    rows = ds.MindDataset(str(target / "val-00000.mindrecord"), shuffle=False).create_dict_iterator(output_numpy=True)
    assert sorted((row["label"].item(), row["image"].tobytes()) for row in rows) == contents(image_folder, "val")


@pytest.mark.parametrize("size", [16, (12, 20)], ids=str)
def test_a_loader_takes_the_packed_set_in_place_of_the_folder(size, image_folder, tmp_path):
    pack(both_splits(image_folder), tmp_path / "packed", Packing(None), 1)
    images = []
    for root in (image_folder, tmp_path / "packed"):
        loader = create_loader(create_dataset("", str(root), "val"), 5, transform=create_transforms("", size))
        image, _ = next(loader.create_tuple_iterator(num_epochs=1, output_numpy=True))
        assert image.shape == (5, 3, *np.broadcast_to(size, 2))
        images.append(image[np.lexsort(image.reshape(5, -1).T)])
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize(
    ("size", "expected", "is_kept"), [(100, (150, 100), False), (427, (640, 427), True), (None, (640, 427), True)]
)
def test_repacked_images_have_the_wanted_side(size, expected, is_kept):
    data = repacked(PHOTO, Packing(size))
    image = Image.open(io.BytesIO(data))
    assert (image.size, image.mode, image.format) == (expected, "RGB", "JPEG")
    assert (data is PHOTO) == is_kept
    reference = Image.open(io.BytesIO(PHOTO)).resize(expected, Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(image, int) - np.asarray(reference, int)).mean() < 6


def test_repacked_images_have_restart_markers():
    data = repacked(PHOTO, Packing(256))  # 384 x 256 pixels: 24 x 16 MCUs
    assert data[data.index(b"\xff\xdd") :][:6] == b"\xff\xdd\x00\x04\x00\x04"
    assert len(re.findall(b"\xff[\xd0-\xd7]", data)) == 24 * 16 / 4 - 1
    without = io.BytesIO()
    Image.open(io.BytesIO(data)).save(without, "JPEG", quality="keep")
    assert len(data) < 1.015 * len(without.getvalue())


def test_repacked_images_are_upright_and_in_rgb():
    image = Image.open(io.BytesIO(PHOTO)).resize((60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image.rotate(90, expand=True).save(file, "JPEG", exif=exif, quality=95)
    assert repacked(file.getvalue(), Packing(None)) == file.getvalue()
    for packing in (Packing(20), Packing(400)):
        result = Image.open(io.BytesIO(repacked(file.getvalue(), packing)))
        assert result.size == ((30, 20) if packing.size == 20 else (60, 40))
        difference = np.asarray(result, int) - np.asarray(image.resize(result.size), int)
        assert np.abs(difference).mean() < 8


def test_bad_images_are_left_out_and_reported(image_folder, tmp_path, capsys):
    bad = image_folder / "train" / "cat" / "003.jpg"
    bad.write_bytes(bad.read_bytes()[:-50])
    gone = image_folder / "val" / "dog" / "000.jpg"
    gone.unlink()
    gone.symlink_to("nowhere")
    target = tmp_path / "packed"
    assert main(["prepare", str(image_folder), str(target), "--splits", "train,val", "--workers", "1"]) == 0
    assert f"left out: 2 images that cannot be used, listed in {target / 'rejected.tsv'}" in capsys.readouterr().out
    lines = (target / "rejected.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(bad), str(gone)]
    assert len(contents(target)) == 12
    manifest = json.loads((target / "mindcv_packed.json").read_text())
    assert (manifest["splits"]["train"]["rejected"], manifest["splits"]["val"]["samples"]) == (1, 4)


class StopError(Exception):
    pass


def test_it_goes_on_where_it_was_stopped(image_folder, tmp_path, monkeypatch):
    target = tmp_path / "packed"
    done = []

    def stop(count):
        done.append(count)
        if len(done) == 3:
            raise StopError

    with pytest.raises(StopError):
        pack(both_splits(image_folder), target, Packing(None), 1, stop)
    with pytest.raises(FileNotFoundError):
        create_dataset("", str(target))
    with pytest.raises(ValueError, match="holds the beginning of another dataset, or of this one with other settings"):
        pack(both_splits(image_folder), target, Packing(20), 1)
    written = []
    original = packing_module._write_shard
    monkeypatch.setattr(
        packing_module, "_write_shard", lambda shard, *rest: written.append(shard) or original(shard, *rest)
    )
    pack(both_splits(image_folder), target, Packing(None), 1)
    assert len(written) == 2
    assert contents(target) == contents(image_folder)
    assert not (target / ".partial").exists()
    with pytest.raises(ValueError, match="holds a packed dataset already"):
        pack(both_splits(image_folder), target, Packing(20), 1)
    pack(both_splits(image_folder), target, Packing(20), 1, overwrite=True)
    assert Image.open(io.BytesIO(contents(target)[0][1])).size == (25, 20)


def test_processes_and_a_kill(image_folder, tmp_path):
    """Two worker processes, killed with their parent after the first shard; the next call completes the set."""
    target = tmp_path / "packed"
    script = tmp_path / "prepare.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from mindcv.data import packing
            from mindcv.data.dataset_factory import find_samples
            packing._LEAST_SHARD = 5
            if __name__ == "__main__":
                splits = {"train": find_samples("", sys.argv[1], "train")}
                packing.pack(splits, sys.argv[2], packing.Packing(24), 2, lambda n: n and print(n, flush=True))
            """
        )
    )
    command = [sys.executable, str(script), str(image_folder), str(target)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    line = first.stdout.readline()
    if line:
        os.killpg(first.pid, signal.SIGKILL)
    errors = first.communicate()[1].decode()
    assert int(line or 0) > 0, errors[-2000:]
    assert not (target / "mindcv_packed.json").exists()
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr[-2000:]
    assert len(contents(target)) == 13


def packed(image_folder, tmp_path):
    target = tmp_path / "packed"
    pack(both_splits(image_folder), target, Packing(None), 1)
    return target


def _no_shard(target):
    (target / "train-00001.mindrecord").unlink()


def _short_shard(target):
    path = target / "train-00001.mindrecord"
    path.write_bytes(path.read_bytes()[:-1])


def _bad_index(target):
    (target / "train.index.npz").write_bytes(b"x")


def _no_index(target):
    (target / "train.index.npz").unlink()


def _bad_manifest(target):
    (target / "mindcv_packed.json").write_text("{")


def _later_manifest(target):
    (target / "mindcv_packed.json").write_text('{"format": 99}')


@pytest.mark.parametrize(
    ("damage", "error", "text"),
    [
        (_no_shard, FileNotFoundError, "lacks train-00001.mindrecord"),
        (_short_shard, ValueError, r"train-00001.mindrecord has \d+ bytes in place of"),
        (_bad_index, ValueError, "train.index.npz is damaged"),
        (_no_index, FileNotFoundError, "lacks train.index.npz"),
        (_bad_manifest, ValueError, "mindcv_packed.json is damaged"),
        (_later_manifest, ValueError, "is of format 99, this version reads 1"),
    ],
)
def test_a_damaged_packed_set_is_refused(image_folder, tmp_path, damage, error, text):
    target = packed(image_folder, tmp_path)
    damage(target)
    with pytest.raises(error, match=text):
        create_dataset("", str(target))


def test_an_unknown_split_of_a_packed_set(image_folder, tmp_path):
    target = packed(image_folder, tmp_path)
    with pytest.raises(ValueError, match=r"has no split 'valid'.*did you mean 'val'"):
        create_dataset("", str(target), "valid")


def test_splits_must_have_the_same_classes(image_folder, tmp_path):
    (image_folder / "val" / "dog").rename(image_folder / "val" / "wolf")
    with pytest.raises(ValueError, match=r"the split 'val' has classes that 'train' has not \(wolf\)"):
        pack(both_splits(image_folder), tmp_path / "packed", Packing(), 1)


@pytest.mark.parametrize("is_list", [False, True])
def test_a_split_may_lack_a_class(image_folder, tmp_path, caplog, is_list):
    """What is left keeps its number: dog is 1, though val has no cat."""
    shutil.rmtree(image_folder / "val" / "cat")
    kind = "imagenet"
    if is_list:
        kind = "csv"
        for split in ("train", "val"):
            files = sorted((image_folder / split).rglob("*.jpg"))
            rows = [f"{file.relative_to(image_folder)},{file.parent.name}\n" for file in files]
            (image_folder / f"{split}.csv").write_text("path,label\n" + "".join(rows))
    target = tmp_path / "packed"
    words = ["--dataset", kind, "--splits", "train,val", "--keep", "--workers", "1"]
    assert main(["prepare", str(image_folder), str(target), *words]) == 0
    assert "the split 'val': no images of 1 of 2 classes (cat), which keep their numbers" in caplog.text
    assert get_class_names(create_dataset("", str(target), "val")) == ["cat", "dog"]
    assert {label for label, _ in contents(target, "val")} == {1}
    assert {label for label, _ in contents(target)} == {0, 1}


def test_check_finds_bad_images_and_duplicates(image_folder, tmp_path, capsys):
    source = tmp_path / "set"
    source.mkdir()
    for split in ("train", "val"):
        (image_folder / split).rename(source / split)
    assert main(["data", "check", str(source), "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert "train: 13 images, 2 classes, 0 bad" in out
    assert "images a class: least 6 (dog), mean 6.5, most 7 (cat)" in out
    assert "shorter side in pixels: <64: 13" in out
    assert "nothing is wrong" in out
    (source / "train" / "cat" / "001.jpg").write_bytes(b"")
    (source / "val" / "dog" / "000.jpg").write_bytes((source / "train" / "dog" / "004.jpg").read_bytes())
    listing = tmp_path / "wrong.tsv"
    assert main(["data", "check", str(source), "--decode", "--list", str(listing)]) == 1
    out = capsys.readouterr().out
    assert f"bad: {source}/train/cat/001.jpg | the file is empty (its size is 0)" in out
    assert f"duplicate: {source}/train/dog/004.jpg | {source}/val/dog/000.jpg" in out
    assert "2 things are wrong" in out
    assert len(listing.read_text().splitlines()) == 2


def test_check_finds_classes_without_images(image_folder, capsys):
    (image_folder / "train" / "bird").mkdir()
    shutil.rmtree(image_folder / "val" / "cat")
    (image_folder / "val" / "wolf").mkdir()
    words = ["data", "check", str(image_folder), "--splits"]
    assert main([*words, "train,val"]) == 1
    lines = capsys.readouterr().out.splitlines()
    found = [line for line in lines if line.startswith(("no image: ", "not in train: "))]
    assert sorted(found) == [
        "no image: train | bird",
        "no image: val | bird",
        "no image: val | cat",
        "no image: val | wolf",
        "not in train: val | wolf",
    ]
    assert lines[-1] == "5 things are wrong"
    assert main([*words, "train"]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == ["no image: train | bird", "1 thing is wrong"]


def test_check_compares_the_checksums_of_a_packed_set(image_folder, tmp_path, capsys):
    target = packed(image_folder, tmp_path)
    assert main(["data", "check", str(target)]) == 0
    path = target / "train-00001.mindrecord"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert main(["data", "check", str(target)]) == 1
    assert "train-00001.mindrecord | its checksum differs from the manifest's" in capsys.readouterr().out


def test_what_only_a_decoder_finds_is_found_by_decoding(tmp_path):
    """A PNG whose checksums are right and whose pixels are no compressed data."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0), b"IDAT" + b"not compressed", b"IEND")
    parts = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    samples = find_samples("", str(tmp_path), "")
    assert not examine(samples, 1, decode=False).bad
    assert list(examine(samples, 1).bad) == [0]
    with pytest.raises(ValueError, match="cannot be decoded"):
        repacked(samples.read(0), Packing())


def test_iterators_share_the_open_shards(image_folder, tmp_path):
    """MindSpore copies a dataset for each iterator; a copy that goes must not close the files of those that stay."""
    target = packed(image_folder, tmp_path)
    dataset = create_dataset("", str(target), shuffle=False)
    expected = [data for _, data in contents(target)]
    staying = dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)
    first = next(staying)[0].tobytes()
    for _ in range(3):
        images = [row[0].tobytes() for row in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)]
        assert sorted(images) == sorted(expected)
        gc.collect()
        others = [(tmp_path / "other").open("a+b") for _ in range(20)]  # these would take the numbers of closed files
    assert sorted([first, *(row[0].tobytes() for row in staying)]) == sorted(expected)
    del others


def test_samples_go_to_other_processes_and_copies_are_the_samples_themselves(image_folder, tmp_path):
    samples = find_samples("", str(packed(image_folder, tmp_path)), "train")
    data = samples.read(3)
    assert copy.deepcopy(samples) is samples
    other = pickle.loads(pickle.dumps(samples))
    assert other.read(3) == data
    del other
    gc.collect()
    assert samples.read(3) == data


def test_names_that_are_not_utf8_are_packed(image_folder, tmp_path):
    odd = os.fsdecode(b"b\xff\xe9")
    for split in ("train", "val"):
        (image_folder / split / "cat").rename(image_folder / split / odd)
    image = image_folder / "train" / "dog" / "000.jpg"
    image.rename(image.with_name(os.fsdecode(b"\xff\n.jpg")))
    target = tmp_path / "packed"
    assert main(["prepare", str(image_folder), str(target), "--keep", "--workers", "1"]) == 0
    assert contents(target) == contents(image_folder)
    assert get_class_names(create_dataset("imagenet", str(target), "train"))[0] == odd
    assert [name for name in find_samples("", str(target), "train").names if "dog" in name and "udcff" in name]
