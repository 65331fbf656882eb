"""Unpacking archives without leaving the folder they are unpacked to."""

import bz2
import contextlib
import gzip
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .fs import atomic_write, require_directory

__all__ = ["detect_file_type", "extract_archive"]

ALIASES = {".tgz": (".tar", ".gz"), ".tbz": (".tar", ".bz2"), ".tbz2": (".tar", ".bz2")}
ARCHIVES = (".tar", ".zip")
OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open}
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError)


def detect_file_type(filename: str) -> tuple[str, str | None, str | None]:
    """Tells from its suffixes what kind of archive a file is.

    Returns:
        The suffix as a whole, the archive's type (`.tar`, `.zip` or None) and the compression (`.gz`, `.bz2` or None).

    Raises:
        ValueError: It has no suffix of an archive.
    """
    suffixes = Path(filename).suffixes
    last = suffixes[-1] if suffixes else ""
    if last in ALIASES:
        return last, *ALIASES[last]
    if last in ARCHIVES:
        return last, last, None
    if last in OPENERS:
        if suffixes[-2:-1] == [".tar"]:
            return f".tar{last}", ".tar", last
        return last, None, last
    allowed = ", ".join([*ARCHIVES, *OPENERS, *ALIASES])
    raise ValueError(f"{filename}: cannot tell what kind of archive it is; its name must end in one of {allowed}")


def extract_archive(archive: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Unpacks an archive into `folder`, or one compressed file beside its name without the suffix.

    Nothing is written when a member is refused. Each file appears whole: it is unpacked elsewhere and moved into place.

    Args:
        archive: `.tar`, `.tar.gz`, `.tar.bz2`, `.zip`, `.gz` or `.bz2`.
        folder: Where to; it is made when it is not there.

    Returns:
        The folder, or the path of the one file.

    Raises:
        ValueError: The archive is damaged, or a member would land outside `folder`, or is a link or a device.
        OSError: Reading or writing failed, a full disk for one.
    """
    suffix, archive_type, compression = detect_file_type(os.fspath(archive))
    target = require_directory(folder, "folder").resolve()
    try:
        if archive_type is None and compression is not None:
            path = target / Path(archive).name.removesuffix(suffix)
            with OPENERS[compression](archive) as source, atomic_write(path) as copy:
                shutil.copyfileobj(source, copy)
            return path
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=target) as staging:
            names = []
            with _opened(archive, archive_type) as members:
                for name, source in members:
                    path = Path(staging, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with source, path.open("wb") as copy:
                        shutil.copyfileobj(source, copy)
                    names.append(name)
            for name in names:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(staging, name), target / name)
    except _DAMAGE as error:
        if getattr(error, "errno", None) is not None:  # the system's, a full disk for one, and no fault of the archive
            raise
        raise ValueError(f"{archive}: cannot be unpacked ({error}); delete it and download again") from error
    return target


@contextlib.contextmanager
def _opened(archive: str | os.PathLike[str], archive_type: str) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Opens an archive; gives name and contents of each of its files, after all members have been found harmless."""
    if archive_type == ".zip":
        with zipfile.ZipFile(archive) as file:
            infos = [info for info in file.infolist() if not info.is_dir()]
            for info in infos:
                _refuse_escape(archive, info.filename, is_file=True)
            yield ((info.filename, file.open(info)) for info in infos)
        return
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if not member.isdir()]
        for member in members:
            _refuse_escape(archive, member.name, is_file=member.isreg())
        yield ((member.name, tar.extractfile(member)) for member in members)  # type: ignore[misc]


def _refuse_escape(archive: str | os.PathLike[str], name: str, is_file: bool) -> None:
    inside = Path("/folder")
    if not is_file or not Path(os.path.normpath(inside / name)).is_relative_to(inside):
        raise ValueError(
            f"{archive}: refused to unpack the member {name!r}: it is a link or a device, or would be written outside "
            "the folder; do not trust this archive"
        )
