import gzip
import io
import tarfile

import pytest

from mindcv.data import Cifar10Download, Cifar100Download, MnistDownload, get_dataset_download_root
from mindcv.data.dataset_download import extract_gzip, extract_tar

pytestmark = pytest.mark.no_mindspore


def write_tar(path, members):
    """Writes a tar of (name, bytes), (name, None) for a folder, or (name, link target as str)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def test_tar_is_unpacked(tmp_path):
    archive = write_tar(tmp_path / "a.tar.gz", [("set", None), ("set/a.bin", b"one"), ("set/deep/b.bin", b"two")])
    extract_tar(archive, tmp_path / "out")
    assert (tmp_path / "out/set/a.bin").read_bytes() == b"one"
    assert (tmp_path / "out/set/deep/b.bin").read_bytes() == b"two"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["set"]


@pytest.mark.parametrize(
    "members",
    [
        [("good.bin", b"x"), ("../escaped.bin", b"x")],
        [("good.bin", b"x"), ("/tmp/mindcv_escaped.bin", b"x")],
        [("good.bin", b"x"), ("a/../../escaped.bin", b"x")],
        [("good.bin", b"x"), ("link", "/etc"), ("link/escaped.bin", b"x")],
    ],
    ids=["parent", "absolute", "inner parent", "link"],
)
def test_hostile_tar_is_refused_whole(tmp_path, members):
    archive = write_tar(tmp_path / "a.tar.gz", members)
    with pytest.raises(ValueError, match="refused to unpack the member"):
        extract_tar(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "escaped.bin").exists()


@pytest.mark.parametrize("content", [b"", b"not an archive", None], ids=["empty", "text", "truncated"])
def test_damaged_archives(tmp_path, content):
    archive = write_tar(tmp_path / "a.tar.gz", [("a.bin", bytes(range(256)) * 40)])
    damaged = archive.read_bytes()[:100] if content is None else content
    archive.write_bytes(damaged)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        extract_tar(archive, tmp_path / "out")
    if damaged:
        with pytest.raises(ValueError, match="cannot be unpacked"):
            extract_gzip(archive, tmp_path / "file")
        assert not (tmp_path / "file").exists()


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

    monkeypatch.setattr("mindcv.weights.sources.fetch", fetch)
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
