"""No file is dropped or taken by its name alone: folders, lists, tar shards, inference, and what is said about it."""

import io
import logging
import os
import socket
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindcv.cli import main
from mindcv.cli.infer import expand_inputs
from mindcv.data import create_dataset, create_loader, create_transforms, get_samples
from mindcv.data.images.image_formats import FORMATS, IMAGE_SUFFIXES, LeftOut, is_image_name
from mindcv.data.preprocess import EvalPreprocess
from mindcv.data.sources import samples as samples_module
from mindcv.data.sources.image_folder import find_splits
from mindcv.data.sources.samples import FileSamples
from mindcv.export.images import ImageReader

PHOTO = (Path(__file__).parents[1] / "data" / "photos" / "china.jpg").read_bytes()


def picture(value=0, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.full((8, 9, 3), value, np.uint8)).save(file, kind)
    return file.getvalue()


def names_of(dataset):
    samples = get_samples(dataset)
    return [samples.name(index) for index in range(len(samples))]


def labels_of(dataset):
    return get_samples(dataset).labels.tolist()


@pytest.fixture
def folder(tmp_path):
    """train/{cat,dog} with one image each."""
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "0.png").write_bytes(picture())
    return tmp_path


def test_every_suffix_of_a_kind_is_found_in_any_case_of_letters(folder):
    cat = folder / "train" / "cat"
    spellings = [f"a{suffix}" for suffix in IMAGE_SUFFIXES]
    spellings += ["b.JPG", "c.jPg", "d.WebP", "e.JFIF", "f.Jpe", "g.AVIF", "h.TiFf"]
    for name in spellings:
        (cat / name).write_bytes(picture())
    dataset = create_dataset("", str(folder))
    assert {os.path.basename(name) for name in names_of(dataset)} == {"0.png", *spellings}
    assert not get_samples(dataset).left_out
    assert len({suffix for kind in FORMATS for suffix in kind.suffixes}) == len(IMAGE_SUFFIXES)
    # What `infer` finds is the same.
    assert len(expand_inputs([str(cat)], iter(()))) == len(spellings) + 1


def test_five_of_seven_are_no_longer_lost(folder):
    """The case that was seen: these beside other images."""
    cat = folder / "train" / "cat"
    for index, suffix in enumerate((".jfif", ".jpe", ".jPg", ".WebP", ".ppm")):
        kind = {".WebP": "WEBP", ".ppm": "PPM"}.get(suffix, "JPEG")
        (cat / f"{index + 1}{suffix}").write_bytes(picture(200, kind))
    dataset = create_dataset("", str(folder), shuffle=False)
    loader = create_loader(dataset, 8, transform=create_transforms("", 8, normalize_on_device=True))
    ((images, labels),) = loader.create_tuple_iterator(num_epochs=1, output_numpy=True)
    assert labels.tolist() == [0] * 6 + [1]
    assert images[1:6].min() >= 198


@pytest.fixture
def odd_folder(folder):
    """A folder with all that is no sample."""
    cat = folder / "train" / "cat"
    (cat / "notes.xyz").write_text("x")
    (cat / "more.XYZ").write_text("x")
    (cat / "Thumbs").write_text("x")
    (cat / "._0.png").write_bytes(b"\0\x05\x16\x07")
    (cat / ".thumbnails").mkdir()
    (cat / ".thumbnails" / "1.png").write_bytes(picture())
    (cat / "inner" / "deeper").mkdir(parents=True)
    (cat / "inner" / "1.png").write_bytes(picture())
    (cat / "inner" / "deeper" / "2.jpg").write_bytes(PHOTO)
    (cat / "inner" / "text.txt").write_text("x")
    (cat / "folder.png").mkdir()
    os.mkfifo(cat / "pipe.png")
    (cat / "zero.png").symlink_to("/dev/zero")
    (folder / "train" / "stray.jpg").write_bytes(PHOTO)
    (folder / "train" / "__MACOSX").mkdir()
    (folder / "train" / "__MACOSX" / "._x.png").write_bytes(b"x")
    (folder / "train" / "class_names.txt").write_text("cat\ndog\n")
    return folder


LEFT_OUT = (
    "3 files of unknown kind (.xyz, no ending), 2 images in folders inside classes, 1 image beside the class folders, "
    "2 pipes, sockets or devices, 3 hidden files or folders"
)


def test_what_is_left_out_is_counted_once_in_the_log(odd_folder, caplog):
    with caplog.at_level(logging.WARNING, "mindcv"):
        datasets = [create_dataset("", str(odd_folder), shuffle=False) for _ in range(2)]
    assert names_of(datasets[0]) == [f"{odd_folder}/train/{name}/0.png" for name in ("cat", "dog")]
    assert caplog.text.count(f"{odd_folder}, train: left out: {LEFT_OUT}") == 1
    # Nothing hangs: these are all the images there are.
    assert len(list(datasets[1].create_tuple_iterator(num_epochs=1))) == 2


def test_check_lists_what_is_left_out(odd_folder, tmp_path, capsys):
    listing = tmp_path / "list.tsv"
    assert main(["data", "check", str(odd_folder), "--list", str(listing)]) == 0
    out = capsys.readouterr().out
    assert f"  left out: {LEFT_OUT}" in out
    assert f"left out: {odd_folder}/train/cat/pipe.png | pipe, socket or device" in out
    assert "nothing is wrong" in out
    lines = [line.split("\t") for line in listing.read_text().splitlines()]
    assert len(lines) == 11
    assert ["left out", f"{odd_folder}/train/cat/inner/1.png", "image in folders inside classes"] in lines


def test_packing_says_what_it_left_out(odd_folder, tmp_path, capsys):
    assert main(["prepare", str(odd_folder), str(tmp_path / "packed"), "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "train: 2 images in 1 shards" in out
    assert f"left out: {LEFT_OUT}" in out
    assert len(names_of(create_dataset("", str(tmp_path / "packed")))) == 2


def test_a_kept_list_of_a_large_folder_says_it_too(odd_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDCV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(samples_module, "CACHED_FROM", 1)
    monkeypatch.setattr(samples_module, "_SETTLED_S", -1.0)
    first, again = (get_samples(create_dataset("", str(odd_folder))).left_out for _ in range(2))
    assert len(list((tmp_path / "home" / "index").iterdir())) == 1
    assert sorted(first.files) == sorted(again.files)
    assert str(again) == LEFT_OUT


def test_a_class_whose_files_are_all_left_out_says_which(folder):
    for name in ("cat", "dog"):
        (folder / "train" / name / "0.png").rename(folder / "train" / name / "0.pngx")
    with pytest.raises(ValueError, match=r"has an image: cat, dog; .* Left out: 2 files of unknown kind \(.pngx\)"):
        create_dataset("", str(folder))


def test_endings_of_ones_own_are_taken_as_they_are(folder):
    (folder / "train" / "cat" / "0.dat").write_bytes(picture())
    dataset = create_dataset("", str(folder), extensions=[".dat", ".png"])
    assert len(names_of(dataset)) == 3


def test_a_class_with_a_folder_inside_is_no_split(folder):
    root = folder / "train"
    (root / "cat" / "inner").mkdir()
    (root / "cat" / "inner" / "1.png").write_bytes(picture())
    (root / ".cache" / "x").mkdir(parents=True)
    assert find_splits(str(root)) == ["train"]
    assert find_splits(str(folder)) == ["train"]
    (root / "stray.png").write_bytes(picture())
    assert find_splits(str(folder)) == ["train"]


@pytest.mark.parametrize("kind", ["fifo", "device", "socket", "folder"])
def test_what_is_no_regular_file_is_not_read(tmp_path, kind, monkeypatch):
    """In a list every path is a sample, so it is a bad one."""
    path = tmp_path / "x.png"
    reason = "it is no regular file but a pipe, a socket or a device"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("x.png")
        reason = "No such device or address"
    else:
        path.mkdir()
        reason = "Is a directory"
    (tmp_path / "0.png").write_bytes(picture())
    (tmp_path / "train.csv").write_text("path,label\n0.png,0\nx.png,1\n")
    dataset = create_dataset("csv", str(tmp_path), shuffle=False, bad_samples="skip")
    assert len(list(dataset.create_tuple_iterator(num_epochs=1))) == 1
    samples = get_samples(create_dataset("csv", str(tmp_path)))
    assert isinstance(samples, FileSamples)
    with pytest.raises(OSError, match=r".") as caught:
        samples.read(1)
    assert caught.value.strerror == reason


@pytest.mark.parametrize("size", [0, 1, 4096, 1 << 20])
def test_regular_files_are_read_whole(tmp_path, size):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    (tmp_path / "x.png").write_bytes(data)
    (tmp_path / "train.csv").write_text("path,label\nx.png,0\n")
    assert get_samples(create_dataset("csv", str(tmp_path))).read(0) == data


def test_inference_searches_folders_by_the_same_rule(odd_folder, capsys):
    found = expand_inputs([str(odd_folder / "train")], iter(()))
    names = sorted(str(Path(path).relative_to(odd_folder / "train")) for path in found)
    assert names == ["cat/0.png", "cat/inner/1.png", "cat/inner/deeper/2.jpg", "dog/0.png", "stray.jpg"]
    assert "left out: 5 files of unknown kind (" in capsys.readouterr().err
    (odd_folder / "train" / "cat" / "2.PNG").write_bytes(picture())
    found = expand_inputs([str(odd_folder / "train" / "cat" / "*")], iter(()))
    assert [Path(path).name for path in found] == ["0.png", "2.PNG"]
    assert "left out: 3 files of unknown kind (.xyz, no ending), 2 pipes, sockets or devices" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"no images there .*, only 1 hidden file or folder"):
        expand_inputs([str(odd_folder / "train" / "__MACOSX")], iter(()))


def test_inference_of_what_is_no_regular_file_is_refused(tmp_path):
    """Also when it is named itself: a pipe would wait for ever, a device has no end."""
    os.mkfifo(tmp_path / "x.png")
    reader = ImageReader(EvalPreprocess(8))
    for path in (tmp_path / "x.png", "/dev/zero"):
        with pytest.raises(OSError, match="it is no regular file but a pipe, a socket or a device"):
            reader(path)


def test_hidden_lines_of_a_list_are_left_out(folder):
    lines = ["train/cat/0.png,cat", "train/dog/._0.png,dog", "./train/dog/0.png,dog", ".cache/0.png,dog"]
    lines.append(f"{folder}/.cache/0.png,cat")
    (folder / "train.csv").write_text("\n".join(["path,label", *lines]))
    dataset = create_dataset("csv", str(folder), shuffle=False)
    assert labels_of(dataset) == [0, 1, 0]
    assert str(get_samples(dataset).left_out) == "2 hidden files or folders"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (b"path,label\nx.jpg,1.0\n", ["line 2: the label '1.0' is no class; allowed are whole numbers from 0"]),
        (b"path,label\na.jpg,0\nx.jpg,-1\n", ["line 3: the label '-1' is no class"]),
        (b"path,label\na.jpg,0\nx.jpg,4294967298\n", ["line 3: the label '4294967298' is no class"]),
        (b"path,label\na.jpg,0\nx.jpg,1e3\n", ["line 3: the label '1e3' is no class"]),
        (b"path,label\na.jpg,cat\nx.jpg,-1\n", ["line 3: the label '-1' is no class"]),
        (b"path,label\na.jpg,cat\nx.jpg,\n", ["line 3: the label '' is no class"]),
        (b"path,label\na.jpg,0\nx.jpg,nan\n", ["line 3: the label 'nan' is no class"]),
        (b"path,labels\na.jpg,0;2\nx.jpg,1;-1\n", ["line 3: the label '-1' is no class"]),
        (b"path,label\na.jpg,0\n\nk\xe4se.jpg,1\n", ["train.csv, line 4: the byte 0xe4 there is not UTF-8"]),
    ],
)
def test_labels_that_are_none_and_other_text(tmp_path, text, parts):
    (tmp_path / "train.csv").write_bytes(text)
    with pytest.raises(ValueError, match=r".") as caught:
        create_dataset("csv", str(tmp_path))
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_of_lists_are_numbers_or_names(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("path,label\na.jpg,007\nb.jpg,3\n")
    assert labels_of(create_dataset("csv", str(tmp_path), shuffle=False)) == [7, 3]
    (tmp_path / "class_names.txt").write_text("ant\n1.0\ncat\n-1\n")
    path.write_text("path,label\na.jpg,cat\nb.jpg,1.0\nc.jpg,-1\nd.jpg,0\n")
    dataset = create_dataset("csv", str(tmp_path), shuffle=False)
    assert (labels_of(dataset), dataset.num_classes()) == ([2, 1, 3, 0], 4)
    (tmp_path / "class_names.txt").write_text("ant\n0\n1.0\ncat\n-1\n")
    # Where a number is the name of a class, labels are names.
    assert labels_of(create_dataset("csv", str(tmp_path), shuffle=False)) == [3, 2, 4, 1]
    path.write_text("path,label\na.jpg,cat\nb.jpg,2\n")
    with pytest.raises(ValueError, match=r"line 3: the label '2' is not in class_names.txt"):
        create_dataset("csv", str(tmp_path))
    (tmp_path / "class_names.txt").unlink()
    path.write_text("path,label\na.jpg,10\nb.jpg,2\nc.jpg,plus\n")
    assert labels_of(create_dataset("csv", str(tmp_path), shuffle=False)) == [0, 1, 2]
    (tmp_path / "class_names.txt").write_text("ant\ncat\nant\n")
    with pytest.raises(ValueError, match="has the class 'ant' twice, on lines 1 and 3"):
        create_dataset("csv", str(tmp_path))


def tar_of(members, end=True):
    """The bytes of an archive; with `end` False, without its end mark."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        offset = tar.offset
    return file.getvalue() if end else file.getvalue()[:offset]


def shard(folder, members):
    (folder / "train.tar").write_bytes(tar_of(members))
    return create_dataset("tar", str(folder), shuffle=False)


def short_names(dataset):
    return [name.rpartition(":")[2] for name in names_of(dataset)]


PAIRS = {
    "dots": ([("pic.0.png", b"x"), ("pic.0.cls", b"1"), ("pic.1.png", b"x"), ("pic.1.cls", b"0")], [1, 0]),
    "webdataset": ([("a.input.jpg", b"x"), ("a.cls", b"3"), ("b.v2.jpg", b"x"), ("b.json", b'{"label": 2}')], [3, 2]),
    "both": (
        [("p.0.png", b"x"), ("p.0.cls", b"1"), ("p.png", b"x"), ("p.cls", b"2"), ("q.x.png", b""), ("q.cls", b"3")],
        [1, 2, 3],
    ),
    "folders": ([("a.b/0.png", b"x"), ("a.b/0.cls", b"1"), ("a.c/0.png", b"x"), ("a.c/0.cls", b"2")], [1, 2]),
    "case": ([("0.PNG", b"x"), ("0.CLS", b"1"), ("1.jPg", b"x"), ("1.Json", b'{"label": 0}')], [1, 0]),
    "first counts": ([("0.png", b"x"), ("0.json", b'{"label": 5}'), ("0.cls", b"1\n")], [1]),
    "from a point": ([("./0.png", b"x"), ("./0.cls", b"1")], [1]),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_pairs_of_an_archive(tmp_path, kind):
    members, labels = PAIRS[kind]
    dataset = shard(tmp_path, members)
    assert labels_of(dataset) == labels
    assert not get_samples(dataset).left_out


def test_what_an_archive_has_besides_is_counted(tmp_path):
    members = [("a.jpg", b"x"), ("a.cls", b"1"), ("a.seg.png", b"x"), ("a.txt", b"x"), ("._a.jpg", b"x")]
    members += [("__MACOSX/b.jpg", b"x"), (".t/b.jpg", b"x"), ("lost.cls", b"1")]
    dataset = shard(tmp_path, members)
    assert (short_names(dataset), labels_of(dataset)) == (["a.jpg"], [1])
    assert str(get_samples(dataset).left_out) == (
        "1 file of unknown kind (.txt), 1 image that is a part of another sample, 1 label without an image, "
        "3 hidden files or folders"
    )


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([("a.jpg", b"x"), ("a.cls", b"0"), ("a.png", b"x")], r"'a.jpg' and 'a.png' clash: both belong to .* 'a.cls'"),
        ([("a.x.jpg", b"x"), ("a.cls", b"0"), ("a.y.jpg", b"x")], "'a.x.jpg' and 'a.y.jpg' clash: both belong to"),
        ([("a.jpg", b"x"), ("a.cls", b"0"), ("a.CLS", b"1")], "'a.cls' and 'a.CLS' clash: both are the label of one"),
        ([("a.jpg", b"x"), ("a.cls", b"0"), ("a.jpg", b"y")], "has the member 'a.jpg' twice"),
        ([("pic.0.png", b"x"), ("other.cls", b"0")], r"'pic.0.png' has no label; expected pic.0.cls or pic.0.json"),
        ([("a.jpg", b"x"), ("a.cls", b"4294967298")], "train.tar: a.cls: the label '4294967298' is no class"),
        ([("a.jpg", b"x"), ("a.cls", b"true")], "train.tar: a.cls: the label 'true' is no class"),
        ([("a.jpg", b"x"), ("a.cls", b"1.0")], "train.tar: a.cls: the label '1.0' is no class"),
        ([("a.jpg", b"x"), ("a.cls", b"-1")], "train.tar: a.cls: the label '-1' is no class"),
        ([("a.jpg", b"x"), ("a.cls", b"1_0")], "train.tar: a.cls: the label '1_0' is no class"),
        ([("a.jpg", b"x"), ("a.cls", b"\xff")], "train.tar: a.cls: there is no label"),
        ([("a.jpg", b"x"), ("a.cls", b"")], "train.tar: a.cls: the label '' is no class"),
        ([("a.jpg", b"x"), ("a.json", b'{"label": true}')], "train.tar: a.json: the label True is no class"),
        ([("a.jpg", b"x"), ("a.json", b'{"label": 1.0}')], "train.tar: a.json: the label 1.0 is no class"),
        ([("a.jpg", b"x"), ("a.json", b'{"label": -1}')], "train.tar: a.json: the label -1 is no class"),
        ([("a.jpg", b"x"), ("a.json", b'{"label": 4294967298}')], "the label 4294967298 is no class"),
        ([("a.jpg", b"x"), ("a.json", b"[" * 100_000)], "train.tar: a.json: there is no label"),
        ([("a.jpg", b"x"), ("a.json", b"{}")], "train.tar: a.json: there is no label"),
    ],
)
def test_clashes_and_labels_that_are_none(tmp_path, members, text):
    with pytest.raises(ValueError, match=text) as caught:
        shard(tmp_path, members)
    assert "\n" not in str(caught.value)


def test_labels_of_an_archive_may_be_names(tmp_path):
    members = [("a.jpg", b"x"), ("a.cls", b"dog\n"), ("b.jpg", b"x"), ("b.json", b'{"label": "cat"}')]
    members += [("c.jpg", b"x"), ("c.cls", b"1")]
    with pytest.raises(
        ValueError, match=r"a.cls: the label 'dog' is no class; .* or a name that stands in class_names"
    ):
        shard(tmp_path, members)
    # The names that a run gives (the key class_names, or a model's) do too.
    dataset = create_dataset("tar", str(tmp_path), shuffle=False, class_names=["bee", "dog", "cat"])
    assert labels_of(dataset) == [1, 2, 1]
    (tmp_path / "class_names.txt").write_text("ant\ncat\ndog\n")
    dataset = shard(tmp_path, members)
    assert (labels_of(dataset), dataset.num_classes()) == ([2, 1, 1], 3)
    with pytest.raises(ValueError, match=r"d.cls: the label '3' is not in class_names.txt; allowed are whole numbers"):
        shard(tmp_path, [("d.jpg", b"x"), ("d.cls", b"3")])
    with pytest.raises(ValueError, match=r"d.cls: the label 'doog' is not in class_names.txt; did you mean 'dog'\?"):
        shard(tmp_path, [("d.jpg", b"x"), ("d.cls", b"doog")])


def many(count):
    return [member for n in range(count) for member in ((f"{n}.png", picture(n)), (f"{n}.cls", b"%d" % (n % 2)))]


def test_an_archive_ends_with_its_mark(tmp_path, capsys):
    """Cut between two members, or with a damaged header, it seems to end there: 10 of 24 samples were evaluated."""
    path = tmp_path / "train.tar"
    whole = tar_of(many(24))
    path.write_bytes(whole)
    assert len(names_of(create_dataset("tar", str(tmp_path)))) == 24
    header = len(tar_of(many(10), end=False))
    damaged = bytearray(whole)
    damaged[header + 100] ^= 0xFF
    cases = {
        "cut at a header": (whole[:header], "it has no end mark at byte"),
        "cut in a header": (whole[: header + 100], "it has no end mark at byte"),
        "cut in a member": (whole[: header + 520], "unexpected end of data"),
        "damaged": (bytes(damaged), "the header there is damaged"),
        "no mark": (tar_of(many(24), end=False), "it is cut off there"),
        "half a mark": (tar_of(many(24), end=False) + bytes(512), "it is cut off there"),
        "two archives": (whole + whole, "goes on behind its end mark"),
    }
    for name, (data, reason) in cases.items():
        path.write_bytes(data)
        with pytest.raises(ValueError, match=reason) as caught:
            create_dataset("tar", str(tmp_path))
        assert str(path) in str(caught.value), name
        assert main(["data", "check", str(tmp_path), "--dataset", "tar", "--splits", "train"]) != 0
        assert reason in capsys.readouterr().err
    path.write_bytes(tar_of(many(24), end=False) + bytes(1024))
    assert len(names_of(create_dataset("tar", str(tmp_path)))) == 24


def test_shards_that_are_none(tmp_path):
    (tmp_path / "train-0.tar").write_bytes(tar_of(many(2)))
    (tmp_path / "._train-0.tar").write_bytes(b"\0\x05\x16\x07")
    (tmp_path / "train-1.tar").mkdir()
    os.mkfifo(tmp_path / "train-2.tar")
    assert len(names_of(create_dataset("tar", str(tmp_path)))) == 2


def test_what_is_left_out_is_kept_in_a_file_and_names_its_endings():
    left_out = LeftOut()
    for index, suffix in enumerate([".a", ".b", ".c", ".d", ".e", ".f", ".a"]):
        left_out.add("unknown", f"{index}{suffix}\udcff"[:3])
    assert str(left_out) == "7 files of unknown kind (.a, .b, .c, .d, .e ...)"
    left_out.add("special", "name that is not UTF-8 \udcff")
    again = LeftOut.of_bytes(left_out.to_bytes())
    assert again.files == left_out.files
    assert not is_image_name("jpg")


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_list_beside_an_empty_class_names_txt(text, tmp_path):
    """It would allow the numbers from 0 to -1."""
    (tmp_path / "0.png").write_bytes(picture())
    (tmp_path / "train.csv").write_text("path,label\n0.png,0\n")
    (tmp_path / "class_names.txt").write_text(text)
    with pytest.raises(ValueError, match=r"class_names\.txt is empty; it has one class name a line, or remove it"):
        create_dataset("csv", str(tmp_path), "train")
