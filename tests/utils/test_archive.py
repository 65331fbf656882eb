"""Unpacking archives, harmless and hostile."""

import bz2
import errno
import gzip
import io
import tarfile
import zipfile

import pytest

from mindcv.utils.archive import detect_file_type, extract_archive

pytestmark = pytest.mark.no_mindspore

LINK = object()


def write(path, members):
    """Writes an archive of (name, bytes), (name, None) for a folder, or (name, LINK) for a link to /etc."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members:
                file.writestr(name if content is not None else f"{name}/", content or b"")
        return path
    with tarfile.open(path, f"w:{path.suffix[1:] if path.suffix != '.tar' else ''}") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            elif content is LINK:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc"
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.zip"])
def test_archives_are_unpacked(tmp_path, name):
    archive = write(tmp_path / name, [("set", None), ("set/a.bin", b"one"), ("set/deep/b.bin", b"two")])
    assert extract_archive(archive, tmp_path / "out") == tmp_path / "out"
    assert (tmp_path / "out/set/a.bin").read_bytes() == b"one"
    assert (tmp_path / "out/set/deep/b.bin").read_bytes() == b"two"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["set"]


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_compressed_file_loses_its_suffix(tmp_path, suffix, compress):
    archive = tmp_path / f"labels.idx{suffix}"
    archive.write_bytes(compress(b"data"))
    assert extract_archive(archive, tmp_path / "out") == tmp_path / "out/labels.idx"
    assert (tmp_path / "out/labels.idx").read_bytes() == b"data"


def test_files_that_are_there_are_replaced_and_others_left(tmp_path):
    (tmp_path / "old.bin").write_bytes(b"old")
    (tmp_path / "other.bin").write_bytes(b"other")
    extract_archive(write(tmp_path / "a.zip", [("old.bin", b"new")]), tmp_path)
    assert (tmp_path / "old.bin").read_bytes() == b"new"
    assert (tmp_path / "other.bin").read_bytes() == b"other"


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
@pytest.mark.parametrize(
    "members",
    [
        [("good.bin", b"x"), ("../escaped.bin", b"x")],
        [("good.bin", b"x"), ("/tmp/mindcv_escaped.bin", b"x")],
        [("good.bin", b"x"), ("a/../../escaped.bin", b"x")],
        [("good.bin", b"x"), ("link", LINK), ("link/escaped.bin", b"x")],
    ],
    ids=["parent", "absolute", "inner parent", "link"],
)
def test_a_hostile_archive_is_refused_whole(tmp_path, members, name):
    if name.endswith("zip") and any(content is LINK for _, content in members):
        pytest.skip("the zip reader makes no links")
    archive = write(tmp_path / name, members)
    with pytest.raises(ValueError, match="refused to unpack the member"):
        extract_archive(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "escaped.bin").exists()


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar", "a.zip", "a.gz"])
@pytest.mark.parametrize("content", [b"", b"not an archive", None], ids=["empty", "text", "truncated"])
def test_a_damaged_archive_leaves_nothing(tmp_path, content, name):
    archive = tmp_path / name
    if content is None:
        if name == "a.gz":
            archive.write_bytes(gzip.compress(bytes(range(256)) * 40))
        else:
            write(archive, [("a.bin", bytes(range(256)) * 40)])
        content = archive.read_bytes()[:100]
    archive.write_bytes(content)
    if name == "a.gz" and not content:
        pytest.skip("gzip takes an empty file for an empty one")
    with pytest.raises(ValueError, match=f"{name}: cannot be unpacked"):
        extract_archive(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_not_the_archives_fault(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = write(tmp_path / "a.zip", [("a.bin", b"one")])
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space left on device"):
        extract_archive(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tar", (".tar", ".tar", None)),
        ("a.zip", (".zip", ".zip", None)),
        ("a.b.tar.gz", (".tar.gz", ".tar", ".gz")),
        ("a.tar.bz2", (".tar.bz2", ".tar", ".bz2")),
        ("a.tgz", (".tgz", ".tar", ".gz")),
        ("a.tbz", (".tbz", ".tar", ".bz2")),
        ("a.tbz2", (".tbz2", ".tar", ".bz2")),
        ("a.idx.gz", (".gz", None, ".gz")),
        ("a.bz2", (".bz2", None, ".bz2")),
    ],
)
def test_detect_file_type(name, expected):
    assert detect_file_type(name) == expected


@pytest.mark.parametrize("name", ["a", "a.txt", "a.rar"])
def test_other_files_are_refused(name):
    with pytest.raises(
        ValueError, match=f"{name}: cannot tell what kind of archive it is; its name must end in one of"
    ):
        detect_file_type(name)
