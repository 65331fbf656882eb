"""Opening, listing and writing what users name by a path or an address: the only place that does.

A path with a scheme (`s3://`, `obs://`, `memory://` ...) goes through fsspec; everything else is a local path.
"""

import contextlib
import errno
import hashlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_logger = logging.getLogger(__name__)

# No room, or none for this user.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# `.NAME.<random>.tmp` of `atomic_write`.
_TEMPORARY = re.compile(r"\.(.+?)(\.[a-z0-9_]{8})?\.tmp")
_BLOCK_BYTES = 1 << 20
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is an address with a scheme other than `file://`."""
    text = os.fspath(path)
    return bool(_SCHEME.match(text)) and not text.startswith("file://")


def local_path(path: str | os.PathLike[str]) -> Path:
    """Returns a local path with `file://` taken off and `~` expanded."""
    return Path(os.fspath(path).removeprefix("file://")).expanduser()


def open_file(path: str | os.PathLike[str], mode: str = "rb") -> IO[Any]:
    """Opens a local or remote file.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: The scheme needs a package; the message has the install command.
        RemoteError: A remote store fails again and again.
    """
    if not is_remote(path):
        return local_path(path).open(mode, encoding=None if "b" in mode else "utf-8")
    from .remote import open_remote

    return open_remote(os.fspath(path), mode)


def read_local(path: str | os.PathLike[str]) -> bytes:
    """Returns what is in a regular file; a pipe would wait for a writer, and a device has no end.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file but a pipe, a socket or a device", os.fspath(path))
        data = os.read(handle, status.st_size + 1)
        if len(data) == status.st_size:
            return data
        # A file that grows, or one of more bytes than the system reads at once.
        parts = [data]
        while part := os.read(handle, 1 << 24):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(handle)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Returns what is in a local or remote file.

    Raises:
        OSError: It is not there, cannot be read, or is no regular file.
        RemoteError: A remote store fails again and again.
    """
    if not is_remote(path):
        return read_local(local_path(path))
    with open_file(path) as file:
        return file.read()


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Returns the sha256 of a local file's contents in hexadecimal digits."""
    digest = hashlib.sha256()
    with local_path(path).open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def require_directory(path: str | os.PathLike[str], purpose: str) -> Path:
    """Makes a folder, with parents, and proves that it can be written to.

    Raises:
        ValueError: It is a file, or cannot be made or written to; `purpose` (a config key or a noun) is in the message.
    """
    folder = local_path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"{purpose}: cannot write to the folder {folder} ({error.strerror}); choose another folder"
        ) from error
    return folder


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb", permissions: int | None = None) -> Iterator[IO[Any]]:
    """Writes a local file so that it is there whole or not at all: a temporary file beside it, flush, fsync, rename.

    On an error the temporary file is removed and what was there before stays; an OSError names the file. What a process
    leaves that is killed meanwhile, `clear_remains` removes. `permissions` are the file's; None: as the umask says.
    """
    target = local_path(path)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    except OSError as error:
        error.filename = os.fspath(target)
        raise
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask() if permissions is None else permissions)
        os.replace(temporary, target)
    except BaseException as error:
        # What cannot be written has no name, or that of the temporary file.
        if isinstance(error, OSError) and (error.filename == temporary or error.errno in _FULL):
            error.filename, error.filename2 = os.fspath(target), None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(target.parent)


def clear_remains(folder: Path, name: re.Pattern[str]) -> int:
    """Removes what `atomic_write` left of files in a folder when its process was killed, and returns how many.

    Only for files that no other process writes meanwhile.

    Args:
        folder: The folder.
        name: The names of the files that it is for.
    """
    count = 0
    for path in folder.glob(".*.tmp"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and name.fullmatch(match[1]) and path.is_file():
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                count += 1
    return count


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], waiting_for: str = "") -> Iterator[None]:
    """Lets one process of this host at a time, and one thread of it, do something.

    The system frees the lock of a process that dies.

    Args:
        path: The file that is the lock; it stays.
        waiting_for: What another one is doing, logged when it has to be waited for. Empty: nothing is logged.
    """
    import fcntl

    with local_path(path).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting_for:
                _logger.info("another process is %s; waiting for it", waiting_for)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def _sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
