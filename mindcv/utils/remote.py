"""Object stores and other remote files, through fsspec: one way to reach them, to try again, and to name what fails.

`MINDCV_RETRIES`: how often an operation is tried again (default 6, over about half a minute).
`MINDCV_OBS_ENDPOINT`: address of the OBS region that `obs://` means, such as `https://obs.cn-north-4.myhuaweicloud.com`.
Keys are those of AWS's tools (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, profiles, roles), for
`obs://` too, since OBS speaks S3; `AWS_ENDPOINT_URL` names another S3 server. On ModelArts, where the module moxing is,
that is used for `obs://` and `s3://`, with its own keys.
"""

import dataclasses
import errno
import functools
import importlib.util
import io
import os
import re
from collections.abc import Callable
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from .errors import RunError
from .retry import with_retries

__all__ = [
    "Entry",
    "RemoteError",
    "files_below",
    "find_file",
    "open_remote",
    "read_range",
    "remove_file",
    "retried",
    "store_of",
]

RETRIES_VARIABLE = "MINDCV_RETRIES"
OBS_VARIABLE = "MINDCV_OBS_ENDPOINT"
_S3_SCHEMES = ("s3", "obs")
_RETRIES = 6
_FIRST_PAUSE_S = 0.5
_READ_AHEAD = 4 << 20

# What another try does not help: errors of the request, of the program, and of this machine.
_LASTING = (
    FileNotFoundError,
    PermissionError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ImportError,
    NotImplementedError,
    MemoryError,
)
_LASTING_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE)
# botocore's errors are no OSErrors.
_NO_KEYS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")

T = TypeVar("T")


class RemoteError(RunError):
    """A remote operation failed for good; the message names the address, the tries and the reason.

    Not an OSError, so that what passes over a file that cannot be read does not pass over a store that is down.
    """


@dataclasses.dataclass(frozen=True)
class Entry:
    """A remote file.

    Attributes:
        size: In bytes.
        tag: What the store calls its contents; in S3 mostly the md5. Empty when there is none.
        modified_s: Time of the last change in seconds since 1970; None when unknown.
    """

    size: int
    tag: str = ""
    modified_s: float | None = None


def retried(url: str, action: Callable[[], T]) -> T:
    """Does something with a remote file or folder, again when it fails for a reason that may pass, with growing pauses.

    Raises:
        FileNotFoundError, PermissionError: There is no such file or folder, or no access to it; named at once.
        RemoteError: It failed too often.
    """
    retries = _number_of_retries()

    def last_error(reason: str, failures: int) -> RemoteError:
        return RemoteError(
            f"{url}: failed {failures} times, the last time with: {reason}; is the store reachable? "
            f"{RETRIES_VARIABLE} says how often to try again"
        )

    return with_retries(action, url, functools.partial(_passing_reason, url), last_error, retries, _FIRST_PAUSE_S)


def _passing_reason(url: str, error: Exception) -> str:
    """Returns why an operation failed, when another try may help.

    Raises:
        FileNotFoundError, PermissionError: There is no such file or folder, or no access to it.
        Exception: The error itself, when it would come again.
    """
    reason = _reason(error)
    if isinstance(error, FileNotFoundError):
        raise FileNotFoundError(f"{url}: there is no such file, folder or bucket") from error
    if isinstance(error, PermissionError) or type(error).__name__ in _NO_KEYS:
        raise PermissionError(
            f"{url}: no access ({reason}); look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
    if isinstance(error, _LASTING) or getattr(error, "errno", None) in _LASTING_NUMBERS:
        raise error
    return reason


def _number_of_retries() -> int:
    text = os.environ.get(RETRIES_VARIABLE, str(_RETRIES))
    if not text.isdigit():
        raise ValueError(f"{RETRIES_VARIABLE} is {text!r}; give a whole number, 0 or more")
    return int(text)


def _reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    return " ".join((str(error) or type(error).__name__).split())


def store_of(url: str) -> tuple[Any, str]:
    """Returns what fsspec calls a file system, and the path in it. What has no scheme is a local path.

    Raises:
        ImportError: The scheme needs a package; the message has the install command.
        ValueError: The scheme is unknown, or `obs://` has no endpoint.
    """
    scheme = url.partition("://")[0] if "://" in url else "file"
    if scheme in _S3_SCHEMES and importlib.util.find_spec("moxing"):
        return _Moxing(), url
    # Per process: what a fork copies of a store does not work.
    store = _store(scheme, os.getpid())
    return store, store._strip_protocol(url.replace("obs://", "s3://", 1))


@functools.cache
def _store(scheme: str, process: int) -> Any:
    import fsspec

    try:
        if scheme not in _S3_SCHEMES:
            return fsspec.filesystem(scheme, **({"auto_mkdir": True} if scheme == "file" else {}))
        store = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True, **_s3_options(scheme))
    except ImportError as error:
        raise ImportError(f"{scheme}://: {error}. Install it with: pip install 'mindcv[remote]'") from error
    store.retries = 1  # `retried` does that, and says so
    return store


def _s3_options(scheme: str) -> dict[str, Any]:
    from botocore.config import Config
    from fsspec.config import conf

    options: dict[str, Any] = {}
    config: dict[str, Any] = {**conf.get("s3", {}).get("config_kwargs", {}), "retries": {"total_max_attempts": 1}}
    if scheme == "obs":
        endpoint = os.environ.get(OBS_VARIABLE, "")
        host = urlsplit(endpoint).hostname
        if not host:
            raise ValueError(
                f"obs:// needs the address of its region: set {OBS_VARIABLE}, as in "
                f"{OBS_VARIABLE}=https://obs.cn-north-4.myhuaweicloud.com, got {endpoint!r}"
            )
        options["endpoint_url"] = endpoint
        # OBS wants the bucket in the host's name, which an IP address cannot have, and no checksums of AWS's own.
        is_name = not re.fullmatch(r"[\d.]+|.*:.*|localhost", host)
        config["s3"] = {"addressing_style": "virtual" if is_name else "path"}
        for key in ("request_checksum_calculation", "response_checksum_validation"):
            if key in Config.OPTION_DEFAULTS:
                config[key] = "when_required"
    return {**options, "config_kwargs": config}


class _Moxing:
    """ModelArts' module for OBS, with the methods of an fsspec file system that are used here. Paths are addresses."""

    def __init__(self) -> None:
        import moxing

        self.file = moxing.file

    def info(self, url: str) -> dict[str, Any]:
        if not self.file.exists(url):
            raise FileNotFoundError(url)
        if self.file.is_directory(url):
            return {"name": url, "size": 0, "type": "directory"}
        stat = self.file.stat(url)
        return {"name": url, "size": stat.length, "type": "file", "mtime": stat.mtime_nsec / 1e9}

    def find(self, url: str, detail: bool = True) -> dict[str, dict[str, Any]]:
        names = self.file.list_directory(url, recursive=True) if self.file.exists(url) else []
        paths = [f"{url}/{name}" for name in names]
        return {path: self.info(path) for path in paths}

    def cat_file(self, url: str, start: int, end: int) -> bytes:
        with self.file.File(url, "rb") as file:
            file.seek(start)
            return file.read(end - start)

    def pipe_file(self, url: str, data: bytes) -> None:
        with self.file.File(url, "wb") as file:
            file.write(data)

    def put_file(self, path: str, url: str) -> None:
        self.file.copy(path, url)

    def rm_file(self, url: str) -> None:
        self.file.remove(url)

    def open(self, url: str, mode: str) -> IO[Any]:
        return self.file.File(url, mode)

    def copy_folder(self, source: str, target: str) -> None:
        """Copies all that is below `source`."""
        self.file.copy_parallel(source, target)


def find_file(url: str) -> Entry | None:
    """Returns what is known of a file; None for a folder.

    Raises:
        FileNotFoundError: There is neither.
    """
    store, path = store_of(url)
    info = retried(url, lambda: store.info(path))
    return _entry(info) if info["type"] == "file" else None


def files_below(url: str) -> dict[str, Entry]:
    """Returns the files in a folder and its folders, by their paths from there; none when there is no such folder."""
    store, path = store_of(url.rstrip("/"))
    found = retried(url, lambda: store.find(path, detail=True))
    start = f"{path}/"
    return {
        full.removeprefix(start): _entry(info)
        for full, info in found.items()
        # S3 has empty objects that stand for folders.
        if info["type"] == "file" and full.startswith(start) and not full.endswith("/")
    }


def _entry(info: dict[str, Any]) -> Entry:
    modified = next((info[key] for key in ("LastModified", "mtime", "created") if info.get(key)), None)
    seconds = modified.timestamp() if hasattr(modified, "timestamp") else modified
    return Entry(int(info["size"]), str(info.get("ETag") or "").strip('"'), seconds)


def read_range(url: str, start: int, end: int) -> bytes:
    """Returns the bytes from `start` to before `end` of a file that has so many."""
    store, path = store_of(url)

    def read() -> bytes:
        data = store.cat_file(path, start=start, end=end)
        if len(data) != end - start:
            raise ConnectionError(f"{len(data)} bytes came in place of {end - start}")
        return data

    return retried(url, read) if end > start else b""


def remove_file(url: str) -> None:
    """Removes a file."""
    store, path = store_of(url)
    retried(url, lambda: store.rm_file(path))


class _Reader(io.RawIOBase):
    """A remote file, read by ranges, so that each may be tried again."""

    def __init__(self, url: str, size: int) -> None:
        self._url, self._size, self._position = url, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        data = read_range(self._url, self._position, end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        # Python's own asks for 8 KiB at a time.
        return b"".join(iter(lambda: self.read(_READ_AHEAD), b""))


def open_remote(url: str, mode: str = "rb") -> IO[Any]:
    """Opens a remote file.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: The scheme needs a package; the message has the install command.
        RemoteError: It failed too often.
    """
    if mode not in ("r", "rb"):
        store, path = store_of(url)
        return retried(url, lambda: store.open(path, mode))
    entry = find_file(url)
    if entry is None:
        raise FileNotFoundError(f"{url} is a folder, not a file")
    file = io.BufferedReader(_Reader(url, entry.size), _READ_AHEAD)
    return file if "b" in mode else io.TextIOWrapper(file, encoding="utf-8")
