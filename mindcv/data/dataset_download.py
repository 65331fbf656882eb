"""Downloads of the small public datasets: checked against their sha256, unpacked without leaving their folder."""

import gzip
import logging
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from ..utils.fs import atomic_write, local_path, require_directory

__all__ = ["Cifar10Download", "Cifar100Download", "MnistDownload", "get_dataset_download_root"]

_logger = logging.getLogger(__name__)


def get_dataset_download_root() -> str:
    """The folder that datasets are downloaded to and looked for when no `root` is given."""
    from ..utils import get_default_download_root

    return os.path.join(get_default_download_root(), "datasets")


def extract_tar(archive: str | os.PathLike[str], folder: str | os.PathLike[str]) -> None:
    """Unpacks the regular files of a tar archive into `folder`.

    Nothing is written when a member is refused. Each file appears whole: the archive is unpacked beside its place and
    moved there.

    Raises:
        ValueError: The archive is damaged, or a member would land outside `folder`, or is a link or a device.
    """
    target = require_directory(folder, "root").resolve()
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=target) as temporary:
        staging = Path(temporary).resolve()
        try:
            with tarfile.open(archive) as tar:
                files = [member for member in tar.getmembers() if not member.isdir()]
                for member in files:
                    if not member.isreg() or not (staging / member.name).resolve().is_relative_to(staging):
                        raise ValueError(
                            f"{archive}: refused to unpack the member {member.name!r}: it is a link or a device, or "
                            f"would be written outside {target}; do not trust this archive"
                        )
                for member in files:
                    place = staging / member.name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(member) as source, place.open("wb") as copy:  # type: ignore[union-attr]
                        shutil.copyfileobj(source, copy)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ValueError(f"{archive}: cannot be unpacked ({error}); delete it and download again") from error
        for member in files:
            place = target / member.name
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / member.name, place)


def extract_gzip(archive: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Unpacks one gzip file to `path`.

    Raises:
        ValueError: The archive is damaged.
    """
    try:
        with gzip.open(archive) as source, atomic_write(path) as copy:
            shutil.copyfileobj(source, copy)
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{archive}: cannot be unpacked ({error}); delete it and download again") from error


class _Download:
    """One dataset: where it comes from, the files it must consist of.

    Args:
        root: Folder to download to. None: a folder named after the dataset in `get_dataset_download_root()`.
    """

    name = ""
    base_url = ""
    # (file name, sha256) of the archives
    archives: tuple[tuple[str, str], ...] = ()
    # folder inside `root` that the files come to lie in
    base_dir = ""
    resources: tuple[str, ...] = ()

    def __init__(self, root: str | None = None) -> None:
        self.root = root if root is not None else os.path.join(get_dataset_download_root(), self.name)
        self.path = os.path.join(self.root, self.base_dir) if self.base_dir else self.root

    def is_complete(self) -> bool:
        """Whether all files are there."""
        return all((local_path(self.path) / name).is_file() for name in self.resources)

    def download(self) -> None:
        """Downloads and unpacks the dataset if it is not there yet. The archives stay, for other ranks that unpack too.

        Raises:
            ValueError: A checksum differs, or an archive is damaged.
        """
        if self.is_complete():
            return
        from ..weights.sources import fetch

        folder = require_directory(self.root, "root")
        for file_name, sha256 in self.archives:
            archive = fetch(self.base_url + file_name, sha256, folder=folder)
            _logger.info("%s: unpacking %s to %s", self.name, archive, folder)
            if file_name.endswith(".tar.gz"):
                extract_tar(archive, folder)
            else:
                extract_gzip(archive, folder / file_name.removesuffix(".gz"))


class MnistDownload(_Download):
    """MNIST (http://yann.lecun.com/exdb/mnist), from the mirror that torchvision uses."""

    name = "mnist"
    base_url = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    archives = (
        ("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    )
    resources = tuple(name.removesuffix(".gz") for name, _ in archives)


class Cifar10Download(_Download):
    """CIFAR-10, binary version (https://www.cs.toronto.edu/~kriz/cifar.html)."""

    name = "cifar10"
    base_url = "https://www.cs.toronto.edu/~kriz/"
    archives = (("cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),)
    base_dir = "cifar-10-batches-bin"
    resources = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", "batches.meta.txt")


class Cifar100Download(_Download):
    """CIFAR-100, binary version (https://www.cs.toronto.edu/~kriz/cifar.html)."""

    name = "cifar100"
    base_url = "https://www.cs.toronto.edu/~kriz/"
    archives = (("cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),)
    base_dir = "cifar-100-binary"
    resources = ("train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt")
