import gzip
import io
import tarfile

import pytest

from mindcv.data import Cifar10Download, Cifar100Download, MnistDownload, get_dataset_download_root

pytestmark = pytest.mark.no_mindspore


def write_tar(path, members):
    """Writes a tar of (name, bytes)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("download", [Cifar10Download, Cifar100Download, MnistDownload])
def test_download_fetches_unpacks_and_then_is_content(tmp_path, monkeypatch, download):
    fetched = []

    def fetch(url, sha256, *, folder):
        fetched.append((url, sha256))
        archive = folder / url.rsplit("/", 1)[1]
        if archive.name.endswith(".tar.gz"):
            return write_tar(archive, [(f"{download.base_dir}/{name}", b"data") for name in download.resources])
        archive.write_bytes(gzip.compress(b"data"))
        return archive

    monkeypatch.setattr("mindcv.data.sources.dataset_download.fetch", fetch)
    one = download(str(tmp_path / "root"))
    assert not one.is_complete()
    one.download()
    assert [url.rsplit("/", 1)[1] for url, _ in fetched] == [name for name, _ in download.archives]
    assert all(len(sha256) == 64 for _, sha256 in fetched)
    assert one.is_complete()
    one.download()
    assert len(fetched) == len(download.archives)


def test_default_root_is_below_the_download_root():
    root = get_dataset_download_root()
    assert root.endswith("datasets")
    assert Cifar10Download().path.startswith(root)
