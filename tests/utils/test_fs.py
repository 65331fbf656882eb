import os
import stat

import pytest

from mindcv.utils import fs

pytestmark = pytest.mark.no_mindspore


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("s3://bucket/a", True),
        ("obs://b/a", True),
        ("/a/b", False),
        ("a", False),
        ("file:///a", False),
        ("C:/a", False),
    ],
)
def test_is_remote(path, remote):
    assert fs.is_remote(path) is remote


def test_atomic_write_replaces_whole_file(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with fs.atomic_write(target) as file:
        file.write(b"new content")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new content"
    assert os.listdir(tmp_path) == ["a.bin"]
    assert stat.S_IMODE(target.stat().st_mode) & 0o600 == 0o600


def test_atomic_write_keeps_the_old_file_on_an_error(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="cut"), fs.atomic_write(target) as file:
        file.write(b"half")
        raise RuntimeError("cut")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_require_directory_makes_parents_and_refuses_files(tmp_path):
    assert fs.require_directory(tmp_path / "a" / "b", "ckpt_save_dir").is_dir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"ckpt_save_dir: cannot write to the folder .*file"):
        fs.require_directory(tmp_path / "file", "ckpt_save_dir")
    with pytest.raises(ValueError, match="cannot write"):
        fs.require_directory("/proc/none", "ckpt_save_dir")


def test_open_file_reads_local_and_remote(tmp_path):
    (tmp_path / "a.txt").write_text("here", encoding="utf-8")
    with fs.open_file(f"file://{tmp_path}/a.txt", "r") as file:
        assert file.read() == "here"
    with fs.open_file("memory://mindcv/a.bin", "wb") as file:
        file.write(b"there")
    with fs.open_file("memory://mindcv/a.bin") as file:
        assert file.read() == b"there"
    with pytest.raises(FileNotFoundError):
        fs.open_file(tmp_path / "none")
