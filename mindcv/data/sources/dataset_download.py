"""Downloads of the small public datasets: checked against their sha256, unpacked without leaving their folder."""

import logging
import os

from ...utils.archive import extract_archive
from ...utils.fetch import fetch
from ...utils.fs import local_path, require_directory

__all__ = ["Cifar10Download", "Cifar100Download", "MnistDownload", "get_dataset_download_root"]

_logger = logging.getLogger(__name__)


def get_dataset_download_root() -> str:
    """The folder that datasets are downloaded to and looked for when no `root` is given."""
    from ...utils import get_default_download_root

    return os.path.join(get_default_download_root(), "datasets")


class DatasetDownload:
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
        folder = require_directory(self.root, "root")
        for file_name, sha256 in self.archives:
            archive = fetch(self.base_url + file_name, sha256, folder=folder)
            _logger.info("%s: unpacking %s to %s", self.name, archive, folder)
            extract_archive(archive, folder)


class MnistDownload(DatasetDownload):
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


class Cifar10Download(DatasetDownload):
    """CIFAR-10, binary version (https://www.cs.toronto.edu/~kriz/cifar.html)."""

    name = "cifar10"
    base_url = "https://www.cs.toronto.edu/~kriz/"
    archives = (("cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),)
    base_dir = "cifar-10-batches-bin"
    resources = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", "batches.meta.txt")


class Cifar100Download(DatasetDownload):
    """CIFAR-100, binary version (https://www.cs.toronto.edu/~kriz/cifar.html)."""

    name = "cifar100"
    base_url = "https://www.cs.toronto.edu/~kriz/"
    archives = (("cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),)
    base_dir = "cifar-100-binary"
    resources = ("train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt")
