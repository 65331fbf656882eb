"""Files from addresses: downloaded once per host into a cache, resumed, checked, and never there by half.

Weights, datasets and MindCV's `DownLoad` come through `fetch`. What the network gives is kept by `part_file.PartFile`,
from web servers (`web.WebFile`) and stores (`transfer.download`) alike; `retry.with_retries` tries again.

`MINDCV_HOME`: folder of the cache (default `~/.mindspore`); files are in `models/` of it.
`MINDCV_OFFLINE=1`: the network is not touched; what is not in the cache is an error.
`MINDCV_MIRROR=https://mirror/path`: every address is asked for as `https://mirror/path/<host>/<path>`. In the form
`FROM=TO,FROM=TO`, addresses that begin with FROM begin with TO instead (`https://huggingface.co=https://hf-mirror.com`).
"""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import http.client
import logging
import os
import re
import ssl
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from .cache import ROOT_VARIABLE, get_default_download_root
from .fs import file_sha256, is_remote, local_path, locked, require_directory
from .part_file import DiskFullError, InterruptedDownload, PartFile
from .remote import RemoteError
from .retry import with_retries
from .switches import is_on
from .transfer import download
from .web import WebFile

__all__ = ["PASSING_STATUS", "DownloadError", "cache_path", "fetch", "is_offline", "mirrored", "public_address"]

_logger = logging.getLogger(__name__)

OFFLINE_VARIABLE = "MINDCV_OFFLINE"
MIRROR_VARIABLE = "MINDCV_MIRROR"
_WEB_SCHEMES = ("http", "https")
PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(OSError):
    """A file could not be had; the message names the address, the path in the cache and what to do."""


@dataclasses.dataclass(frozen=True)
class _Job:
    """One download.

    Attributes:
        url: The address asked for, of the mirror if there is one.
        target: Where the file goes.
        sha256_prefix: First digits of its sha256; empty when unknown.
        timeout_s: Seconds without a byte after which a connection counts as stalled.
        retries: Tries in a row without a new byte before giving up.
        backoff_s: Pause before the first retry; doubled for each further one.
        token: A login for the host.
    """

    url: str
    target: Path
    sha256_prefix: str
    timeout_s: float
    retries: int
    backoff_s: float
    token: str = dataclasses.field(default="", repr=False)

    @property
    def part(self) -> PartFile:
        """The unfinished file."""
        return PartFile(self.target.with_name(f"{self.target.name}.part"))

    def error(self, fault: str) -> DownloadError:
        """An error that says how to place the file by hand."""
        return DownloadError(
            f"cannot download {public_address(self.url)}: {fault}. You can place the file by hand as {self.target}"
        )


def fetch(
    url: str,
    sha256_prefix: str | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    target: Path | None = None,
    timeout_s: float = 30.0,
    retries: int = 4,
    backoff_s: float = 1.0,
    token: str = "",
) -> Path:
    """Returns the local path of a file, downloading it into the cache when it is not there.

    Processes that want the same file at once wait for the first, which downloads it.

    Args:
        url: `https://`, or any scheme of fsspec (`s3://`); a local path is returned as it is.
        sha256_prefix: First hexadecimal digits of the file's sha256. A file in the cache is checked too.
        folder: The cache's folder. None: `models` in the download root.
        target: Where the file goes; None: where the cache keeps files of that address.
        timeout_s: Seconds without a byte after which a connection counts as stalled.
        retries: How often to try again in a row without getting further.
        backoff_s: Pause before the first retry in seconds; doubled for each further one.
        token: A login for the address's own host; no mirror and no host that it redirects to gets it.

    Raises:
        FileNotFoundError: There is no such local file, or it is not in the cache and `MINDCV_OFFLINE` is set.
        DownloadError: No network, no such file, wrong contents, a full disk.
        ValueError: The cache cannot be written to.
    """
    if not is_remote(url):
        path = local_path(url)
        if not path.is_file():
            raise FileNotFoundError(f"{url}: there is no such file")
        return path
    asked = mirrored(url)
    job = _Job(
        url=asked,
        target=target or cache_path(url, sha256_prefix, folder),
        sha256_prefix=(sha256_prefix or "").lower(),
        timeout_s=timeout_s,
        retries=retries,
        backoff_s=backoff_s,
        token=token if asked == url else "",
    )
    if _is_in_cache(job):
        return job.target
    if is_offline():
        raise FileNotFoundError(
            f"{public_address(url)} is not in the cache and {OFFLINE_VARIABLE} is set; "
            f"place the file by hand as {job.target}"
        )
    require_directory(job.target.parent, ROOT_VARIABLE)
    with locked(job.target.with_name(job.target.name + ".lock"), f"downloading {job.target.name}"):
        if not _is_in_cache(job):
            with _explained(job):
                _download(job)
    return job.target


def is_offline() -> bool:
    """Whether the network is not to be touched."""
    return is_on(OFFLINE_VARIABLE)


def cache_path(url: str, sha256_prefix: str | None = None, folder: str | os.PathLike[str] | None = None) -> Path:
    """Returns where the file of an address is kept.

    A file whose name holds its digest is kept by its name, as MindCV keeps it; others in folders named as in the
    address, since half the hub calls its file `model.safetensors`.
    """
    root = Path(get_default_download_root(), "models") if folder is None else local_path(folder)
    parts = urlsplit(url)
    names = [_safe(unquote(name)) for name in parts.path.split("/") if name.strip(".")] or ["index"]
    if parts.query:
        names[-1] = f"{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}-{names[-1]}"
    if sha256_prefix and sha256_prefix.lower() in names[-1].lower():
        return root / names[-1]
    return root.joinpath(_safe(parts.netloc.rpartition("@")[2]), *names)


def public_address(url: str) -> str:
    """An address without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    return SplitResult(parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "").geturl()


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+=-]", "_", name)[:200]


def mirrored(url: str) -> str:
    """Returns the address to ask for, by `MINDCV_MIRROR`."""
    parts = urlsplit(url)
    for entry in filter(None, os.environ.get(MIRROR_VARIABLE, "").split(",")):
        source, _, mirror = entry.strip().rpartition("=")
        if not mirror.startswith(("https://", "http://")):
            raise ValueError(f"{MIRROR_VARIABLE} has {entry!r}; write https://mirror/path or FROM=https://mirror/path")
        if source and url.startswith(source):
            return mirror.rstrip("/") + "/" + url[len(source) :].lstrip("/")
        if not source and parts.scheme in _WEB_SCHEMES:
            return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    return url


def _is_in_cache(job: _Job) -> bool:
    """Whether the file is there, with the right contents."""
    if not job.target.is_file():
        return False
    if _has_digest(job.target, job.sha256_prefix):
        return True
    _logger.warning("%s does not have the sha256 %s...; it is not used", job.target, job.sha256_prefix)
    return False


def _has_digest(path: Path, prefix: str) -> bool:
    return not prefix or file_sha256(path).startswith(prefix)


@contextlib.contextmanager
def _explained(job: _Job) -> Iterator[None]:
    """Turns a failure into an error that says what can be done."""
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            fault = error.strerror if isinstance(error, DiskFullError) else "the disk is full"
            raise job.error(f"{fault}; free some space or set {ROOT_VARIABLE} to another folder") from error
        raise job.error(f"{type(error).__name__}: {error}") from error


def _download(job: _Job) -> None:
    """Downloads to the unfinished file, checks it and moves it into place."""
    _logger.info("downloading %s to %s", public_address(job.url), job.target)
    part = job.part
    if urlsplit(job.url).scheme in _WEB_SCHEMES:
        resumed = _receive_with_retries(job, part)
        if resumed and not _has_digest(part.path, job.sha256_prefix):
            _logger.warning("%s: its parts do not fit together; starting again", part.path)
            part.remove()
            _receive_with_retries(job, part)
    else:
        # Whole and compared with the store's checksum, where it has one.
        try:
            download(job.url, part.path)
        except FileNotFoundError:
            raise job.error("there is no such file") from None
        except RemoteError as error:
            raise job.error(str(error)) from error
    if not _has_digest(part.path, job.sha256_prefix):
        got = file_sha256(part.path)[: max(len(job.sha256_prefix), 8)]
        part.remove()
        raise job.error(
            f"its sha256 begins with {got}, not {job.sha256_prefix}; the file was changed or damaged on its way"
        )
    part.move_to(job.target)


def _receive_with_retries(job: _Job, part: PartFile) -> bool:
    """Tries until the file is complete, or `retries` tries in a row have not got further than those before.

    Returns:
        Whether the file was put together from several downloads.
    """
    source = WebFile(job.url, job.timeout_s, job.token)
    resumed = False

    def receive() -> None:
        nonlocal resumed
        resumed |= part.size > 0
        part.receive(source, is_checked=bool(job.sha256_prefix), progress=job.target.name)

    with_retries(
        receive,
        job.target.name,
        functools.partial(_passing_reason, job),
        lambda reason, failures: job.error(f"{reason}; gave up at try {failures}"),
        job.retries,
        job.backoff_s,
        lambda: part.size,
    )
    return resumed


def _passing_reason(job: _Job, error: Exception) -> str:
    """Returns why a try failed, when another one may help.

    Raises:
        DownloadError: It would fail again, by the server's or the network's answer.
        Exception: The error itself, when it is none of the network.
    """
    if isinstance(error, urllib.error.HTTPError):
        if error.code in PASSING_STATUS:
            return f"the server answers {error.code} {error.reason}"
        words = {401: "the server wants a login", 403: "the server denies access", 404: "the server has no such file"}
        raise job.error(f"{words.get(error.code, error.reason)} (HTTP {error.code})") from None
    if not isinstance(error, (TimeoutError, http.client.HTTPException, ConnectionError, urllib.error.URLError)):
        raise error
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise job.error(f"the server's certificate is not trusted ({reason.verify_message})") from None
    if isinstance(reason, InterruptedDownload):
        return str(reason)
    if isinstance(reason, TimeoutError):
        return f"nothing came for {job.timeout_s:g} s"
    return f"the network fails ({reason})"
