"""Upstream's download helper, against a server on the loopback."""

import functools
import hashlib
import http.server
import threading
import zipfile

import pytest

from mindcv.utils import DownLoad
from mindcv.utils.fetch import DownloadError

pytestmark = pytest.mark.no_mindspore


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def server(tmp_path):
    """Serves `data.zip`, whose md5 is `server.md5`."""
    folder = tmp_path / "served"
    folder.mkdir()
    with zipfile.ZipFile(folder / "data.zip", "w") as file:
        file.writestr("set/a.bin", b"one")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    server.asked, server.url = [], f"http://127.0.0.1:{server.server_port}/data.zip"
    server.md5 = hashlib.md5((folder / "data.zip").read_bytes()).hexdigest()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_file_is_downloaded_once(server, tmp_path):
    for _ in range(2):
        DownLoad().download_url(server.url, str(tmp_path / "out"), md5=server.md5)
    assert DownLoad().check_md5(tmp_path / "out/data.zip", server.md5)
    assert DownLoad.calculate_md5(tmp_path / "out/data.zip", chunk_size=10) == server.md5
    assert server.asked == ["/data.zip"]


def test_a_file_with_another_md5_is_downloaded_again(server, tmp_path):
    (tmp_path / "renamed.zip").write_bytes(b"damaged")
    DownLoad().download_url(server.url, tmp_path, "renamed.zip", server.md5)
    assert DownLoad().check_md5(tmp_path / "renamed.zip", server.md5)


def test_what_comes_with_another_md5_is_removed(server, tmp_path):
    with pytest.raises(ValueError, match=f"its md5 is {server.md5}, not {'0' * 32}"):
        DownLoad().download_url(server.url, tmp_path, md5="0" * 32)
    assert not (tmp_path / "data.zip").exists()


@pytest.mark.parametrize("remove", [True, False])
def test_download_and_extract(server, tmp_path, remove):
    DownLoad().download_and_extract_archive(
        server.url, str(tmp_path / "in"), str(tmp_path / "out"), md5=server.md5, remove_finished=remove
    )
    assert (tmp_path / "out/set/a.bin").read_bytes() == b"one"
    assert (tmp_path / "in/data.zip").exists() is not remove


def test_default_folder_is_the_download_root(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDCV_HOME", str(tmp_path / "home"))
    DownLoad().download_and_extract_archive(server.url)
    assert (tmp_path / "home/set/a.bin").read_bytes() == b"one"


def test_a_file_that_is_not_there_is_an_error(server, tmp_path):
    with pytest.raises(DownloadError, match="the server has no such file"):
        DownLoad().download_url(server.url.replace("data", "nothing"), tmp_path)
