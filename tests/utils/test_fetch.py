"""Downloads, against a real HTTP server on the loopback that does everything wrong that servers do."""

import dataclasses
import errno
import hashlib
import http.server
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from time_limits import LIMIT_S

from mindcv.utils import part_file, set_default_download_root, web
from mindcv.utils.cache import get_default_download_root
from mindcv.utils.fetch import DownloadError, cache_path, fetch, public_address

pytestmark = pytest.mark.no_mindspore

CONTENT = np.random.RandomState(0).bytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = {"timeout_s": 0.3, "backoff_s": 0.01}


@dataclasses.dataclass
class Behaviour:
    """How the server answers, and what it was asked."""

    content: bytes = CONTENT
    etag: str = '"1"'
    honours_ranges: bool = True
    cut_after: list[int] = dataclasses.field(default_factory=list)
    stall_after: list[int] = dataclasses.field(default_factory=list)
    statuses: list[int] = dataclasses.field(default_factory=list)
    sends_length: bool = True
    redirect: str = ""
    requests: list[tuple[str, str | None]] = dataclasses.field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    server: "Server"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        behaviour = self.server.behaviour
        wanted = self.headers.get("Range")
        behaviour.requests.append((self.path, wanted))
        if behaviour.redirect:
            self.send_response(302)
            self.send_header("Location", behaviour.redirect)
            self.end_headers()
            return
        if behaviour.statuses and (status := behaviour.statuses.pop(0)) != 200:
            self.send_error(status)
            return
        content, start = behaviour.content, 0
        same = self.headers.get("If-Range", behaviour.etag) == behaviour.etag
        if wanted and behaviour.honours_ranges and same:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if behaviour.sends_length:
            self.send_header("Content-Length", str(len(content) - start))
        if behaviour.etag:
            self.send_header("ETag", behaviour.etag)
        self.end_headers()
        cut = behaviour.cut_after.pop(0) if behaviour.cut_after else None
        stall = behaviour.stall_after.pop(0) if behaviour.stall_after else None
        end = start + min(x for x in (cut, stall, len(content)) if x is not None)
        self.wfile.write(content[start:end])
        self.wfile.flush()
        if stall is not None:
            self.server.stalled.wait(5)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = Behaviour()
        self.stalled = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.stalled.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINDCV_HOME", str(tmp_path))
    for name in ("MINDCV_OFFLINE", "MINDCV_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def url_of(server: Server, name: str = f"resnet-{SHA256[:8]}.ckpt") -> str:
    return f"{server.address}/toolkits/{name}"


def leftovers(home: Path) -> set[str]:
    return {path.name for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_download_once(server: Server, home: Path) -> None:
    path = fetch(url_of(server), SHA256[:8], **QUICK)
    assert path == home / "models" / f"resnet-{SHA256[:8]}.ckpt"
    assert path.read_bytes() == CONTENT
    assert leftovers(home) == {path.name}
    assert fetch(url_of(server), SHA256[:8]) == path
    assert len(server.behaviour.requests) == 1


CASES = {
    "cut twice": (Behaviour(cut_after=[40_000, 10_000]), [None, "bytes=40000-", "bytes=50000-"]),
    "cut at once": (Behaviour(cut_after=[0, 0]), [None, None, None]),
    "cut, ranges ignored": (Behaviour(cut_after=[40_000], honours_ranges=False), [None, "bytes=40000-"]),
    "cut, no tag": (Behaviour(cut_after=[40_000], etag=""), [None, "bytes=40000-"]),
    "stall": (Behaviour(stall_after=[30_000]), [None, "bytes=30000-"]),
    "busy server": (Behaviour(statuses=[503, 429, 200]), [None, None, None]),
    "no length": (Behaviour(sends_length=False), [None]),
    "cut without a length": (Behaviour(sends_length=False, cut_after=[40_000]), [None, None]),
    "one byte a try": (Behaviour(cut_after=[1] * 8), [None, *(f"bytes={i}-" for i in range(1, 9))]),
}


@pytest.mark.parametrize("case", CASES)
def test_goes_on_after(server: Server, home: Path, case: str) -> None:
    behaviour, ranges = CASES[case]
    server.behaviour = dataclasses.replace(
        behaviour,
        requests=[],
        **{name: list(getattr(behaviour, name)) for name in ("cut_after", "stall_after", "statuses")},
    )
    if case == "cut without a length":
        # Nothing tells that it was cut but the sha256: the parts are thrown away.
        with pytest.raises(DownloadError, match="its sha256 begins with"):
            fetch(url_of(server), SHA256[:8], **QUICK)
    assert fetch(url_of(server), SHA256[:8], **QUICK).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.behaviour.requests] == ranges
    assert leftovers(home) == {f"resnet-{SHA256[:8]}.ckpt"}


def test_resumes_what_another_process_left(server: Server, home: Path) -> None:
    server.behaviour.cut_after = [60_000, 0]
    with pytest.raises(DownloadError, match=r": the connection was cut at byte 60000 of 100000; gave up at try 1"):
        fetch(url_of(server), SHA256[:8], retries=0, **QUICK)
    assert (home / "models" / f"resnet-{SHA256[:8]}.ckpt.part").stat().st_size == 60_000
    server.behaviour.cut_after = []
    assert fetch(url_of(server), SHA256[:8], **QUICK).read_bytes() == CONTENT
    assert server.behaviour.requests[-1][1] == "bytes=60000-"


def test_never_joins_two_versions(server: Server) -> None:
    """Without a sha256, the server's tag tells that the rest is of another version."""
    server.behaviour.cut_after = [60_000]
    with pytest.raises(DownloadError):
        fetch(url_of(server), retries=0, **QUICK)
    server.behaviour.content, server.behaviour.etag = b"x" * 70_000, '"2"'
    assert fetch(url_of(server), **QUICK).read_bytes() == b"x" * 70_000


def test_parts_that_do_not_fit_are_thrown_away(server: Server, home: Path, caplog) -> None:
    part = home / "models" / f"resnet-{SHA256[:8]}.ckpt.part"
    part.parent.mkdir()
    part.write_bytes(b"wrong" * 1000)
    assert fetch(url_of(server), SHA256[:8], **QUICK).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.behaviour.requests] == ["bytes=5000-", None]
    assert "its parts do not fit together" in caplog.text


def test_complete_part_is_taken(server: Server, home: Path) -> None:
    part = home / "models" / f"resnet-{SHA256[:8]}.ckpt.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    assert fetch(url_of(server), SHA256[:8], **QUICK).read_bytes() == CONTENT
    assert server.behaviour.requests[-1][1] == "bytes=100000-"


def test_part_that_is_longer_than_the_file_is_thrown_away(server: Server, home: Path) -> None:
    part = home / "models" / f"resnet-{SHA256[:8]}.ckpt.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT * 2)
    assert fetch(url_of(server), SHA256[:8], retries=0, **QUICK).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.behaviour.requests] == ["bytes=200000-", None]
    assert leftovers(home) == {f"resnet-{SHA256[:8]}.ckpt"}


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (Behaviour(statuses=[404]), r"the server has no such file \(HTTP 404\)"),
        (Behaviour(statuses=[403]), r"denies access \(HTTP 403\)"),
        (Behaviour(statuses=[410]), r"Gone \(HTTP 410\)"),
        (Behaviour(statuses=[500] * 9), r"the server answers 500 .*; gave up at try 3"),
        (Behaviour(content=b"<html>"), rf"its sha256 begins with [0-9a-f]{{8}}, not {SHA256[:8]}"),
        (Behaviour(stall_after=[0] * 9), r"nothing came for 0.3 s; gave up at try 3"),
    ],
)
def test_errors_say_what_to_do(server: Server, home: Path, behaviour: Behaviour, message: str) -> None:
    server.behaviour = dataclasses.replace(behaviour, requests=[])
    url = url_of(server)
    with pytest.raises(DownloadError, match=message) as error:
        fetch(url + "?token=secret", SHA256[:8], retries=2, **QUICK)
    text = str(error.value)
    assert text.startswith(f"cannot download {url}: ")
    assert re.search(rf"You can place the file by hand as {home}/models/\S+\.ckpt$", text)
    assert "secret" not in text
    assert "\n" not in text
    assert not any(name.endswith((".ckpt", ".part")) for name in leftovers(home)) or "nothing came" in text


def test_no_network(server: Server) -> None:
    url = f"http://127.0.0.1:{server.server_port}/x.ckpt"
    server.server_close()
    with pytest.raises(DownloadError, match=r"the network fails \(.*refused.*\); gave up at try 2"):
        fetch(url, retries=1, **QUICK)


def test_full_disk(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = part_file.shutil.disk_usage(home)
    monkeypatch.setattr(part_file.shutil, "disk_usage", lambda _: usage._replace(free=50_000))
    with pytest.raises(DownloadError, match=r"the disk is too full \(0 MB are needed and 0 MB free\).*MINDCV_HOME"):
        fetch(url_of(server), **QUICK)
    monkeypatch.undo()
    monkeypatch.setenv("MINDCV_HOME", str(home))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(part_file.PartFile, "receive", full)
    with pytest.raises(DownloadError, match="the disk is full; free some space or set MINDCV_HOME"):
        fetch(url_of(server), **QUICK)


def test_full_disk_and_a_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    with fsspec.open("memory://bucket/large.ckpt", "wb") as file:
        file.write(CONTENT)
    usage = part_file.shutil.disk_usage(home)
    monkeypatch.setattr(part_file.shutil, "disk_usage", lambda _: usage._replace(free=50_000))
    with pytest.raises(DownloadError, match=r"the disk is too full \(0 MB are needed and 0 MB free\).*MINDCV_HOME"):
        fetch("memory://bucket/large.ckpt")
    monkeypatch.undo()
    monkeypatch.setenv("MINDCV_HOME", str(home))
    assert fetch("memory://bucket/large.ckpt").read_bytes() == CONTENT


def test_folder_that_cannot_be_made(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("MINDCV_HOME", str(home / "file"))
    with pytest.raises(ValueError, match="MINDCV_HOME: cannot write to the folder"):
        fetch(url_of(server), **QUICK)


def test_wrong_file_in_the_cache_is_replaced(server: Server, home: Path, caplog) -> None:
    target = home / "models" / f"resnet-{SHA256[:8]}.ckpt"
    target.parent.mkdir()
    target.write_bytes(b"wrong")
    assert fetch(url_of(server), SHA256[:8], **QUICK).read_bytes() == CONTENT
    assert "does not have the sha256" in caplog.text


def test_offline(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch(url_of(server), **QUICK)
    monkeypatch.setenv("MINDCV_OFFLINE", "1")
    assert fetch(url_of(server)) == path
    with pytest.raises(
        FileNotFoundError, match=r"not in the cache and MINDCV_OFFLINE is set; place the file by hand as /"
    ):
        fetch(url_of(server, "other.ckpt"))
    assert len(server.behaviour.requests) == 1


@pytest.mark.parametrize(
    ("mirror", "path"),
    [
        ("{address}/m", "/m/download.mindspore.cn/toolkits/a.ckpt"),
        (
            "https://huggingface.co=https://hf-mirror.com,https://download.mindspore.cn={address}/m/",
            "/m/toolkits/a.ckpt",
        ),
    ],
)
def test_mirror(server: Server, monkeypatch: pytest.MonkeyPatch, mirror: str, path: str) -> None:
    monkeypatch.setenv("MINDCV_MIRROR", mirror.format(address=server.address))
    url = "https://download.mindspore.cn/toolkits/a.ckpt"
    assert fetch(url, **QUICK) == cache_path(url)
    assert [asked for asked, _ in server.behaviour.requests] == [path]


def test_wrong_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINDCV_MIRROR", "mirror.example.com")
    with pytest.raises(ValueError, match=r"MINDCV_MIRROR has 'mirror\.example\.com'; write https://"):
        fetch("https://download.mindspore.cn/toolkits/a.ckpt")


def test_redirects_are_followed_but_never_to_plain_text(server: Server) -> None:
    with Server() as other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.behaviour.redirect = f"{other.address}/elsewhere"
        assert fetch(url_of(server), SHA256[:8], **QUICK).read_bytes() == CONTENT
        other.shutdown()
        thread.join()
    handler, request = web._NoDowngrade(), web.urllib.request.Request("https://a.example/x")
    with pytest.raises(OSError, match="redirect from https to plain http"):
        handler.redirect_request(request, None, 302, "", {}, "http://a.example/x")


def test_certificates_are_checked(server: Server) -> None:
    """A TLS client that meets something else stops; the context demands a certificate and the right host."""
    (handler,) = (h for h in web._opener().handlers if isinstance(h, web.urllib.request.HTTPSHandler))
    assert handler._context.verify_mode == web.ssl.CERT_REQUIRED
    assert handler._context.check_hostname
    with pytest.raises(DownloadError, match="the network fails"):
        fetch(url_of(server).replace("http:", "https:"), retries=0, **QUICK)


def test_stores_of_fsspec(home: Path) -> None:
    import fsspec

    with fsspec.open("memory://bucket/weights/a.ckpt", "wb") as file:
        file.write(CONTENT)
    path = fetch("memory://bucket/weights/a.ckpt", SHA256)
    assert path == home / "models" / "bucket" / "weights" / "a.ckpt"
    assert path.read_bytes() == CONTENT
    with pytest.raises(DownloadError, match=r"cannot download memory://bucket/b\.ckpt: there is no such file"):
        fetch("memory://bucket/b.ckpt")


def test_local_paths(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"x")
    assert fetch(str(tmp_path / "a.ckpt")) == tmp_path / "a.ckpt"
    assert fetch(f"file://{tmp_path}/a.ckpt") == tmp_path / "a.ckpt"
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        fetch(str(tmp_path / "b.ckpt"))


@pytest.mark.parametrize(
    ("url", "sha", "path"),
    [
        ("https://h.co/mindcv/resnet/resnet50-e0733ab8.ckpt", "e0733ab8", "resnet50-e0733ab8.ckpt"),
        ("https://h.co/timm/r50/resolve/main/model.safetensors", None, "h.co/timm/r50/resolve/main/model.safetensors"),
        ("https://u:p@h.co:8080/a/../../b%2Fc d.pth", None, "h.co_8080/a/b_c_d.pth"),
        ("https://h.co/", None, "h.co/index"),
        ("https://h.co/a.pth?v=1", None, "h.co/3bfc9a8d-a.pth"),
    ],
)
def test_places_in_the_cache(home: Path, url: str, sha: str | None, path: str) -> None:
    cached = cache_path(url, sha).relative_to(home / "models")
    assert re.sub(r"[0-9a-f]{8}-a", "3bfc9a8d-a", str(cached)) == path


def test_addresses_are_printed_without_secrets() -> None:
    assert public_address("https://user:secret@h.co:1/a/b.ckpt?token=secret#x") == "https://h.co:1/a/b.ckpt"


def test_download_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_default_download_root() == str(tmp_path)
    monkeypatch.setattr("mindcv.utils.cache._chosen", {})
    set_default_download_root(tmp_path / "chosen")
    assert cache_path("https://h.co/a.ckpt") == tmp_path / "chosen" / "models" / "h.co" / "a.ckpt"
    monkeypatch.setattr("mindcv.utils.cache._chosen", {})
    monkeypatch.delenv("MINDCV_HOME")
    assert get_default_download_root() == os.path.expanduser("~/.mindspore")


def test_eight_processes_download_once(server: Server, home: Path) -> None:
    code = "import sys; from mindcv.utils.fetch import fetch; print(fetch(sys.argv[1], sys.argv[2]))"
    command = [sys.executable, "-c", code, url_of(server), SHA256[:8]]
    server.behaviour.cut_after = [50_000]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    outputs = {process.communicate(timeout=LIMIT_S)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 8
    assert outputs == {str(home / "models" / f"resnet-{SHA256[:8]}.ckpt")}
    assert [wanted for _, wanted in server.behaviour.requests] == [None, "bytes=50000-"]


def test_waiting_for_another_process_is_said(server: Server, caplog) -> None:
    caplog.set_level(logging.INFO)
    server.behaviour.stall_after = [10_000]
    threads = [threading.Thread(target=fetch, args=(url_of(server), SHA256[:8]), kwargs=QUICK) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "another process is downloading" in caplog.text
    assert [wanted for _, wanted in server.behaviour.requests] == [None, "bytes=10000-"]
