"""Digests of folders."""

import os

import pytest

from mindcv.kernels import folders, library

needs_library = pytest.mark.skipif(library("multi_tensor") is None, reason="the kernels were not built")
ENDINGS = (".py", ".so")


@pytest.fixture
def folder(tmp_path):
    for name, content in {
        "b.py": b"one",
        "a/c.py": b"",
        "a/d/e.so": bytes(range(256)) * 9000,
        "a-b/f.py": b"\n",
        "ä.py": b"x",
        "notes.txt": b"n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link.py").symlink_to(tmp_path / "b.py")
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    return tmp_path


@needs_library
@pytest.mark.parametrize("reads", [False, True])
def test_the_library_gives_what_python_gives(folder, reads):
    digest = folders._in_python(folder, ENDINGS, reads)
    assert folders._by_library(library("multi_tensor"), folder, ENDINGS, reads) == digest
    assert folders.folder_digest(folder, ENDINGS, reads) == digest


@pytest.mark.parametrize("by_library", [pytest.param(True, marks=needs_library), False])
def test_what_changes_the_digest(folder, by_library, monkeypatch):
    if not by_library:
        monkeypatch.setattr(folders, "library", lambda name: None)

    def digests():
        return [folders.folder_digest(folder, ENDINGS, reads) for reads in (False, True)]

    before = digests()
    (folder / "notes.txt").write_bytes(b"others do not count")
    assert digests() == before
    status = (folder / "b.py").stat()
    (folder / "b.py").write_bytes(b"two")
    os.utime(folder / "b.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    of_times, of_contents = digests()
    assert of_times == before[0]
    assert of_contents != before[1]
    os.utime(folder / "b.py", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert digests()[0] != of_times
    before = digests()
    (folder / "a" / "c.py").rename(folder / "a" / "g.py")
    assert all(one != other for one, other in zip(digests(), before, strict=True))


@pytest.mark.parametrize("by_library", [pytest.param(True, marks=needs_library), False])
@pytest.mark.parametrize("reads", [False, True])
def test_what_cannot_be_read_is_an_error(folder, by_library, reads, monkeypatch):
    if not by_library:
        monkeypatch.setattr(folders, "library", lambda name: None)
    (folder / "gone.py").symlink_to(folder / "nowhere")
    with pytest.raises(OSError, match=r"gone\.py"):
        folders.folder_digest(folder, ENDINGS, reads)
