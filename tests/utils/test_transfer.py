"""Copies to and from a real S3 server whose connections are cut: exact, resumed, and nothing twice."""

import hashlib
import os
import re
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from time_limits import wait_until

from mindcv.utils import fs, remote, transfer
from mindcv.utils.remote import Entry, RemoteError, find_file
from mindcv.utils.transfer import Mirror, copy_in, download, upload, upload_folder

pytestmark = pytest.mark.no_mindspore

BIG = np.random.RandomState(0).bytes(1_500_000)
OTHER = np.random.RandomState(1).bytes(1_500_000)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_download_through_cut_connections_is_exact(bucket, tmp_path):
    bucket.put("big", BIG)
    bucket.proxy.cuts = [100_000, 20_000, 0, 60_000, 130_000]
    target = tmp_path / "deep" / "big"
    download(f"{bucket.url}/big", target)
    assert bucket.proxy.cuts == []
    assert sha256(target.read_bytes()) == sha256(BIG)
    assert os.listdir(target.parent) == ["big"]
    assert target.stat().st_mtime == find_file(f"{bucket.url}/big").modified_s


def test_a_download_that_was_given_up_goes_on(bucket, tmp_path, monkeypatch):
    bucket.put("big", BIG)
    url, target = f"{bucket.url}/big", tmp_path / "big"
    monkeypatch.setenv("MINDCV_RETRIES", "1")
    bucket.proxy.down_after = 900_000
    with pytest.raises(RemoteError, match=f"{url}: failed 2 times"):
        download(url, target)
    assert not target.exists()
    have = (tmp_path / ".big.part").stat().st_size
    assert have >= 4 << 17
    bucket.proxy.is_down, bucket.proxy.down_after = False, None
    bucket.proxy.forget()
    download(url, target)
    assert target.read_bytes() == BIG
    assert bucket.proxy.passed[1] < len(BIG) - have + 20_000

    # What was begun of another version does not count.
    target.unlink()
    bucket.proxy.forget()
    bucket.proxy.down_after = 900_000
    with pytest.raises(RemoteError):
        download(url, target)
    bucket.put("big", OTHER)
    bucket.proxy.is_down, bucket.proxy.down_after = False, None
    download(url, target)
    assert target.read_bytes() == OTHER


def test_tags_that_are_no_checksums_and_copies_that_differ(bucket, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    bucket.put("x", BIG)
    url = f"{bucket.url}/x"
    entry = Entry(len(BIG), "0" * 32, None)
    download(url, tmp_path / "x", entry)
    assert (tmp_path / "x").read_bytes() == BIG
    assert "so the tags of this bucket are no checksums" in caplog.text
    monkeypatch.setattr(transfer, "_without_md5", set())
    versions = iter([BIG, OTHER])

    class Changing(transfer._StoreFile):
        def _blocks(self, start, size):
            yield next(versions)

    monkeypatch.setattr(transfer, "_StoreFile", Changing)
    with pytest.raises(RemoteError, match=f"{url}: two copies have the checksums"):
        download(url, tmp_path / "y", entry)
    assert not (tmp_path / "y").exists()


def test_an_upload_through_cut_connections_is_exact(bucket, tmp_path):
    (tmp_path / "big").write_bytes(BIG)
    (tmp_path / "small").write_bytes(BIG[:1000])
    (tmp_path / "empty").write_bytes(b"")
    bucket.proxy.cuts = [300, 100_000, 0, 200_000, 0]
    for name in ("big", "small", "empty"):
        upload(tmp_path / name, f"{bucket.url}/out/{name}")
        assert sha256(bucket.get(f"out/{name}")) == sha256((tmp_path / name).read_bytes())
    assert bucket.proxy.cuts == []
    assert find_file(f"{bucket.url}/out/big").tag.endswith("-6")
    download(f"{bucket.url}/out/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == BIG


def test_an_upload_that_was_given_up_goes_on(bucket, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    (tmp_path / "big").write_bytes(BIG)
    url = f"{bucket.url}/big"
    monkeypatch.setattr(transfer, "_BLOCKS_AT_ONCE", 1)
    monkeypatch.setenv("MINDCV_RETRIES", "1")
    bucket.proxy.down_after = 900_000
    with pytest.raises(RemoteError, match=f"{url}: failed 2 times"):
        upload(tmp_path / "big", url)
    assert bucket.names() == []
    bucket.proxy.is_down, bucket.proxy.down_after = False, None
    bucket.proxy.forget()
    upload(tmp_path / "big", url)
    assert bucket.get("big") == BIG
    there = re.search(r"going on with an upload, of which ([1-5]) of 6 parts are there", caplog.text)
    assert bucket.proxy.passed[0] < len(BIG) - int(there[1]) * (1 << 18) + 40_000
    assert bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", []) == []


def test_a_bucket_that_is_not_there(bucket, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    for action in (lambda: upload(tmp_path / "x", "s3://none/x"), lambda: upload_folder(tmp_path, "s3://none/y")):
        with pytest.raises(FileNotFoundError, match=r"s3://none/.*there is no such file, folder or bucket"):
            action()
    with pytest.raises(FileNotFoundError, match=f"{bucket.url}/none: there is no such folder"):
        copy_in(f"{bucket.url}/none", tmp_path / "in")


def test_folders_come_in_exactly_and_once(bucket, tmp_path, caplog):
    files = {f"{name}/{i}.bin": BIG[: 1000 * i] for name in ("a", "b/c") for i in range(5)} | {"big": BIG}
    for name, data in files.items():
        bucket.put(f"set/{name}", data)
    bucket.put("set/a/", b"")  # as consoles make folders
    bucket.put("settings", b"another one")
    bucket.proxy.cuts = [0, 500, 100_000, 2000, 0, 1500]
    target = tmp_path / "in"
    assert copy_in(f"{bucket.url}/set/", target) == 11
    assert contents(target) == files
    assert copy_in(f"{bucket.url}/set", target) == 0
    (target / "b/c/1.bin").write_bytes(b"changed")
    os.utime(target / "a/2.bin", (1, 1))
    (target / "big").unlink()
    assert copy_in(f"{bucket.url}/set", target) == 3
    assert contents(target) == files
    bucket.put("bad/../../x", b"x")
    with pytest.raises(ValueError, match="refused the file"):
        copy_in(f"{bucket.url}/bad", tmp_path / "bad")


def test_a_mirror_follows_a_folder(bucket, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.ckpt").write_bytes(BIG)
    (folder / "checkpoints.json").write_text("{}")
    (folder / ".tmp").write_text("half")
    mirror = Mirror(folder, f"{bucket.url}/job", last=("checkpoints.json",))
    mirror.changed()
    wait_until(lambda: len(bucket.names()) >= 2, "the first copies")
    (folder / "old.ckpt").unlink()
    (folder / "new.ckpt").write_bytes(OTHER)
    (folder / "rank_0").mkdir()
    (folder / "rank_0" / "log").write_text("x")
    (folder / "checkpoints.json").write_text('{"last": "new"}')
    bucket.put("job/of-someone-else", b"stays")
    bucket.proxy.cuts = [1000, 300_000, 0]
    bucket.proxy.forget()
    mirror.finish()
    expected = ["checkpoints.json", "new.ckpt", "of-someone-else", "rank_0/log"]
    assert bucket.names() == [f"job/{name}" for name in expected]
    for name, data in contents(folder).items():
        if name != ".tmp":
            assert bucket.get(f"job/{name}") == data
    written = [line.split()[1].split("?")[0] for line in bucket.proxy.requests if line.startswith(("PUT", "DELETE"))]
    names = [name.rpartition("/")[2] for name in written]
    assert names[-2:] == ["checkpoints.json", "old.ckpt"]

    # Another process finds what is there and sends nothing again.
    bucket.proxy.forget()
    upload_folder(folder, f"{bucket.url}/job")
    assert not [line for line in bucket.proxy.requests if line.startswith(("PUT", "POST"))]


def test_a_store_that_is_down_for_a_while_does_not_end_a_mirror(bucket, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    monkeypatch.setenv("MINDCV_RETRIES", "1")
    mirror = Mirror(folder, f"{bucket.url}/job")
    bucket.proxy.is_down = True
    mirror.changed()
    wait_until(lambda: "could not be copied out" in caplog.text, "the warning")
    bucket.proxy.is_down = False
    mirror.finish()
    assert bucket.get("job/a") == b"a"
    bucket.proxy.is_down = True
    (folder / "a").write_bytes(b"b")
    with pytest.raises(RemoteError, match=rf"{bucket.url}/job/a: failed 2 times"):
        mirror.finish()


def test_one_process_or_thread_at_a_time(tmp_path, caplog):
    caplog.set_level("INFO")
    order = []

    def work(name, seconds):
        with fs.locked(tmp_path / "lock", "copying"):
            order.append(f"{name} begins")
            time.sleep(seconds)
            order.append(f"{name} ends")

    first = threading.Thread(target=work, args=("first", 0.2))
    first.start()
    while not order:
        time.sleep(0.01)
    work("second", 0)
    first.join()
    assert order == ["first begins", "first ends", "second begins", "second ends"]
    assert "another process is copying; waiting for it" in caplog.text


MOXING = """
import os, shutil, types
calls = []
def _path(url):
    return url.replace("obs://", os.environ["OBS_FOLDER"] + "/")
def list_directory(url, recursive=False):
    top = _path(url)
    names = [os.path.join(where, name) for where, _, files in os.walk(top) for name in files]
    return [os.path.relpath(name, top) for name in names]
def stat(url):
    facts = os.stat(_path(url))
    return types.SimpleNamespace(length=facts.st_size, mtime_nsec=facts.st_mtime_ns, is_directory=False)
def get_size(url, recursive=False):
    return sum(stat(url + "/" + name).length for name in list_directory(url))
def copy(source, target):
    calls.append(("copy", source, target))
    os.makedirs(os.path.dirname(_path(target)), exist_ok=True)
    shutil.copyfile(_path(source), _path(target))
def copy_parallel(source, target):
    calls.append(("copy_parallel", source, target))
    shutil.copytree(_path(source), _path(target), dirs_exist_ok=True)
def File(url, mode):
    os.makedirs(os.path.dirname(_path(url)), exist_ok=True)
    return open(_path(url), mode)
file = types.SimpleNamespace(
    exists=lambda url: os.path.exists(_path(url)), is_directory=lambda url: os.path.isdir(_path(url)),
    list_directory=list_directory, stat=stat, get_size=get_size, copy=copy, copy_parallel=copy_parallel, File=File,
    remove=lambda url: os.remove(_path(url)),
)
"""


def test_moxing_is_used_where_it_is(tmp_path, monkeypatch):
    """With a module of moxing's interface (its documentation: file.copy_parallel, get_size, stat ...) on folders."""
    monkeypatch.setattr(transfer, "_PART_BYTES", 1 << 18)
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "moxing.py").write_text(textwrap.dedent(MOXING))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setenv("OBS_FOLDER", str(tmp_path / "obs"))
    source = tmp_path / "obs" / "bucket" / "set"
    (source / "a").mkdir(parents=True)
    (source / "a" / "x").write_bytes(BIG)
    (source / "y").write_bytes(b"y")
    try:
        assert copy_in("obs://bucket/set", tmp_path / "in") == 2
        assert contents(tmp_path / "in") == {"a/x": BIG, "y": b"y"}
        assert copy_in("obs://bucket/set", tmp_path / "in") == 0
        calls = sys.modules["moxing"].calls
        assert calls == [("copy_parallel", "obs://bucket/set", str(tmp_path / "in"))]
        with pytest.raises(FileNotFoundError, match="obs://bucket/none: there is no such folder"):
            copy_in("obs://bucket/none", tmp_path / "none")
        mirror = Mirror(tmp_path / "in", "obs://bucket/out")
        mirror.copy_out()
        assert contents(tmp_path / "obs" / "bucket" / "out") == {"a/x": BIG, "y": b"y"}
        (tmp_path / "in" / "y").unlink()
        mirror.copy_out()
        assert contents(tmp_path / "obs" / "bucket" / "out") == {"a/x": BIG}
        assert calls[1] == ("copy", str(tmp_path / "in" / "a" / "x"), "obs://bucket/out/a/x")
        download("obs://bucket/set/a/x", tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == BIG
        assert remote.find_file("obs://bucket/set") is None
    finally:
        sys.modules.pop("moxing", None)
