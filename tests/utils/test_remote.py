"""Retries, and reading from a real S3 server whose connections are cut."""

import errno
import re

import pytest

from mindcv.utils import fs, remote, retry
from mindcv.utils.remote import Entry, RemoteError, files_below, find_file, open_remote, remove_file, retried

pytestmark = pytest.mark.no_mindspore

URL = "s3://bucket/file"


class Failing:
    """Raises some errors, one a call, then gives a result."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


class NoCredentialsError(Exception):
    """As botocore's, which is no OSError."""


@pytest.mark.parametrize("error", [ConnectionResetError("cut"), TimeoutError("slow"), RuntimeError("odd"), OSError(5)])
def test_what_may_pass_is_tried_again_in_one_line_each(error, monkeypatch, caplog):
    pauses = []
    monkeypatch.setattr(retry.time, "sleep", pauses.append)
    action = Failing(*[error] * 3)
    assert retried(URL, action) == "done"
    assert action.calls == 4
    assert len(caplog.records) == 3
    assert f"{URL}: " in caplog.text
    assert "(3 of 6)" in caplog.text
    for pause, whole in zip(pauses, (0.5, 1, 2), strict=True):
        assert whole / 2 <= pause <= whole


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (FileNotFoundError("gone"), FileNotFoundError, f"{URL}: there is no such file"),
        (PermissionError("Forbidden"), PermissionError, rf"{URL}: no access \(Forbidden\); look at AWS_ACCESS_KEY_ID"),
        (NoCredentialsError("no keys"), PermissionError, rf"{URL}: no access \(no keys\)"),
        (OSError(errno.ENOSPC, "No space left on device"), OSError, "No space left"),
        (ValueError("bad name"), ValueError, "bad name"),
    ],
)
def test_what_lasts_is_not_tried_again(error, kind, text):
    action = Failing(error)
    with pytest.raises(kind, match=text):
        retried(URL, action)
    assert action.calls == 1


def test_the_end_names_address_tries_and_reason(monkeypatch):
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("MINDCV_RETRIES", "2")
    action = Failing(*[ConnectionError("cut\noff")] * 9)
    with pytest.raises(RemoteError, match=f"^{URL}: failed 3 times, the last time with: cut off; is the store reach"):
        retried(URL, action)
    assert action.calls == 3
    monkeypatch.setenv("MINDCV_RETRIES", "often")
    with pytest.raises(ValueError, match="MINDCV_RETRIES is 'often'; give a whole number"):
        retried(URL, action)


def test_reading_from_s3_through_cut_connections(bucket, caplog):
    data = bytes(range(256)) * 4096
    bucket.put("a/b.bin", data)
    bucket.put("a/c.txt", "grün\n".encode())
    bucket.proxy.cuts = [0, 300, 100_000]
    with fs.open_file(f"{bucket.url}/a/b.bin") as file:
        assert file.read() == data
        file.seek(-10, 2)
        assert file.read() == data[-10:]
    assert "trying again" in caplog.text
    assert bucket.proxy.cuts == []
    with fs.open_file(f"{bucket.url}/a/c.txt", "r") as file:
        assert file.read() == "grün\n"
    with fs.open_file(f"{bucket.url}/new.txt", "wb") as file:
        file.write(b"written")
    assert bucket.get("new.txt") == b"written"
    found = files_below(f"{bucket.url}/a/")
    assert {name: entry.size for name, entry in found.items()} == {"b.bin": len(data), "c.txt": 6}
    assert find_file(f"{bucket.url}/a/b.bin") == found["b.bin"]
    assert re.fullmatch("[0-9a-f]{32}", found["b.bin"].tag)
    assert find_file(f"{bucket.url}/a") is None
    assert files_below(f"{bucket.url}/none") == {}
    remove_file(f"{bucket.url}/new.txt")
    assert bucket.names() == ["a/b.bin", "a/c.txt"]


def test_errors_of_s3_name_the_address(bucket, monkeypatch):
    for url in (f"{bucket.url}/none", "s3://no-such-bucket/x"):
        with pytest.raises(FileNotFoundError, match=f"{url}: there is no such file, folder or bucket"):
            open_remote(url)
    assert len(bucket.proxy.requests) < 6
    bucket.put("folder/x", b"x")
    with pytest.raises(FileNotFoundError, match=f"{bucket.url}/folder is a folder"):
        open_remote(f"{bucket.url}/folder")
    monkeypatch.setenv("MINDCV_RETRIES", "2")
    bucket.proxy.is_down = True
    with pytest.raises(RemoteError, match=f"{bucket.url}/folder/x: failed 3 times, the last time with: .+ reachable"):
        open_remote(f"{bucket.url}/folder/x")


def test_obs_is_s3_at_an_endpoint(bucket, monkeypatch):
    bucket.put("x", b"content")
    url = f"obs://{bucket.name}/x"
    with pytest.raises(ValueError, match=r"set MINDCV_OBS_ENDPOINT, as in MINDCV_OBS_ENDPOINT=https://obs\..*, got ''"):
        open_remote(url)
    monkeypatch.setenv("MINDCV_OBS_ENDPOINT", bucket.proxy.url)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with open_remote(url) as file:
        assert file.read() == b"content"
    assert find_file(url) == Entry(7, "9a0364b9e99bb480dd25e1f0284c8555", find_file(url).modified_s)
    options = remote._s3_options("obs")
    assert options["config_kwargs"]["s3"] == {"addressing_style": "path"}
    monkeypatch.setenv("MINDCV_OBS_ENDPOINT", "https://obs.cn-north-4.myhuaweicloud.com")
    assert remote._s3_options("obs")["config_kwargs"]["s3"] == {"addressing_style": "virtual"}


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match="Protocol not known: nowhere"):
        open_remote("nowhere://a/b")
