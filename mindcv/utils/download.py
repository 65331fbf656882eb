"""Upstream's download helper, on the library's own downloads and archives."""

import hashlib
import os
from pathlib import Path

from .archive import extract_archive
from .cache import get_default_download_root, set_default_download_root
from .fetch import fetch
from .fs import local_path, require_directory

__all__ = ["DownLoad", "get_default_download_root", "set_default_download_root"]

# Downloads that are not complete; on the same disk as their target, so that they can be moved there.
_STAGING = ".download"


class DownLoad:
    """Downloads files to a folder of your choice and unpacks archives (upstream's interface).

    `mindcv.utils.fetch.fetch`, which it uses, says how downloads are resumed, retried and mirrored.
    """

    @staticmethod
    def calculate_md5(file_path: str | os.PathLike[str], chunk_size: int = 1024 * 1024) -> str:
        """Returns the md5 of a file as 32 hexadecimal digits; it is read in chunks of `chunk_size` bytes."""
        digest = hashlib.md5()
        with open(file_path, "rb") as file:
            while chunk := file.read(chunk_size):
                digest.update(chunk)
        return digest.hexdigest()

    def check_md5(self, file_path: str | os.PathLike[str], md5: str | None = None) -> bool:
        """Whether a file has this md5."""
        return md5 == self.calculate_md5(file_path)

    def extract_archive(self, from_path: str | os.PathLike[str], to_path: str | os.PathLike[str] | None = None) -> str:
        """Unpacks an archive, see `mindcv.utils.archive.extract_archive`.

        Args:
            from_path: The archive.
            to_path: The folder to unpack to. None: the archive's own.

        Returns:
            The folder, or the path of the file when it was one compressed file.
        """
        return os.fspath(extract_archive(from_path, to_path or Path(from_path).parent))

    @staticmethod
    def extract_tar(
        from_path: str | os.PathLike[str],
        to_path: str | os.PathLike[str] | None = None,
        compression: str | None = None,
    ) -> None:
        """Unpacks a tar archive into a folder, None: the current one; its name says how it is compressed."""
        extract_archive(from_path, to_path or os.curdir)

    @staticmethod
    def extract_zip(
        from_path: str | os.PathLike[str],
        to_path: str | os.PathLike[str] | None = None,
        compression: str | None = None,
    ) -> None:
        """Unpacks a zip archive into a folder, None: the current one."""
        extract_archive(from_path, to_path or os.curdir)

    def download_file(self, url: str, file_path: str | os.PathLike[str], chunk_size: int = 1024) -> None:
        """Downloads `url` to `file_path`, which is there whole or not at all; `chunk_size` has no effect.

        Raises:
            DownloadError: No network, no such file, a full disk.
        """
        path = local_path(file_path)
        folder = require_directory(path.parent, "path")
        os.replace(fetch(url, folder=folder / _STAGING), path)

    def download_url(
        self,
        url: str,
        path: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        md5: str | None = None,
    ) -> None:
        """Downloads a file into a folder, unless it is there with the right md5.

        Args:
            url: Its address.
            path: The folder. None: the download root.
            filename: Its name there. None: the last part of the address.
            md5: What its md5 must be.

        Raises:
            DownloadError: No network, no such file, a full disk.
            ValueError: The file that came has another md5; it is removed.
        """
        target = self._target(url, path, filename)
        if target.is_file() and (md5 is None or self.check_md5(target, md5)):
            return
        self.download_file(url, target)
        if md5 is not None and not self.check_md5(target, md5):
            got = self.calculate_md5(target)
            target.unlink()
            raise ValueError(f"{url}: its md5 is {got}, not {md5}; the file was changed or damaged on its way")

    def download_and_extract_archive(
        self,
        url: str,
        download_path: str | os.PathLike[str] | None = None,
        extract_path: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        md5: str | None = None,
        remove_finished: bool = False,
    ) -> None:
        """Downloads an archive and unpacks it.

        Args:
            url: Its address.
            download_path: The folder to download to. None: the download root.
            extract_path: The folder to unpack to. None: the one it was downloaded to.
            filename: The archive's name. None: the last part of the address.
            md5: What its md5 must be.
            remove_finished: Remove the archive when it is unpacked.
        """
        self.download_url(url, download_path, filename, md5)
        archive = self._target(url, download_path, filename)
        self.extract_archive(archive, extract_path)
        if remove_finished:
            archive.unlink()

    @staticmethod
    def _target(url: str, path: str | os.PathLike[str] | None, filename: str | None) -> Path:
        return local_path(path if path is not None else get_default_download_root()) / (
            filename or os.path.basename(url)
        )
