"""Weight files from addresses: downloaded once per host into a cache, resumed, checked, and never there by half.

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
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import SplitResult, unquote, urlsplit

from tqdm import tqdm

from .._version import __version__
from ..utils.cache import ROOT_VARIABLE, get_default_download_root
from ..utils.fs import is_remote, local_path, locked, require_directory
from ..utils.remote import RemoteError
from ..utils.switches import is_on
from ..utils.transfer import download

_logger = logging.getLogger(__name__)

OFFLINE_VARIABLE = "MINDCV_OFFLINE"
MIRROR_VARIABLE = "MINDCV_MIRROR"
_WEB_SCHEMES = ("http", "https")
_BLOCK_BYTES = 1 << 20
_HTTP_NOT_SATISFIABLE = 416
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(OSError):
    """A file could not be had; the message names the address, the place in the cache and what to do."""


class _InterruptedDownload(ConnectionError):  # noqa: N818
    """An answer that is not what was asked for, or not all of it; another try may mend it."""


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
    """

    url: str
    target: Path
    sha256_prefix: str
    timeout_s: float
    retries: int
    backoff_s: float

    @property
    def part(self) -> Path:
        """The unfinished file."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def validator(self) -> Path:
        """Holds the server's tag for the version that `part` is a part of."""
        return self.target.with_name(self.target.name + ".part.tag")

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
    job = _Job(
        url=_mirrored(url),
        target=target or cache_path(url, sha256_prefix, folder),
        sha256_prefix=(sha256_prefix or "").lower(),
        timeout_s=timeout_s,
        retries=retries,
        backoff_s=backoff_s,
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


def _mirrored(url: str) -> str:
    """The address to ask for, by `MINDCV_MIRROR`."""
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
    return not prefix or _sha256(path).startswith(prefix)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _explained(job: _Job) -> Iterator[None]:
    """Turns a failure into an error that says what can be done."""
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise job.error(f"the disk is full; free some space or set {ROOT_VARIABLE} to another folder") from error
        raise job.error(f"{type(error).__name__}: {error}") from error


def _download(job: _Job) -> None:
    """Downloads to the unfinished file, checks it and moves it into place."""
    _logger.info("downloading %s to %s", public_address(job.url), job.target)
    if urlsplit(job.url).scheme in _WEB_SCHEMES:
        resumed = _download_with_retries(job)
        if resumed and not _has_digest(job.part, job.sha256_prefix):
            _logger.warning("%s: its parts do not fit together; starting again", job.part)
            _forget_part(job)
            _download_with_retries(job)
    else:
        # Whole and compared with the store's checksum, where it has one.
        try:
            download(job.url, job.part)
        except FileNotFoundError:
            raise job.error("there is no such file") from None
        except RemoteError as error:
            raise job.error(str(error)) from error
    if not _has_digest(job.part, job.sha256_prefix):
        got = _sha256(job.part)[: max(len(job.sha256_prefix), 8)]
        _forget_part(job)
        raise job.error(
            f"its sha256 begins with {got}, not {job.sha256_prefix}; the file was changed or damaged on its way"
        )
    os.replace(job.part, job.target)
    _forget_part(job)


def _forget_part(job: _Job) -> None:
    job.part.unlink(missing_ok=True)
    job.validator.unlink(missing_ok=True)


def _download_with_retries(job: _Job) -> bool:
    """Tries until the file is complete, or `retries` tries in a row have not got further than those before.

    Returns:
        Whether the file was put together from several downloads.
    """
    resumed, failures, furthest = False, 0, _size(job.part)
    while True:
        resumed |= _size(job.part) > 0
        try:
            _download_on(job)
            return resumed
        except DownloadError:
            raise
        except urllib.error.HTTPError as error:
            if error.code not in _RETRIED_STATUS:
                raise job.error(_explain_status(error)) from None
            fault = f"the server answers {error.code} {error.reason}"
        except (TimeoutError, http.client.HTTPException, ConnectionError, urllib.error.URLError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise job.error(f"the server's certificate is not trusted ({reason.verify_message})") from None
            fault = _explain_network(reason, job)
        reached = _size(job.part)
        failures = failures + 1 if reached <= furthest else 1
        furthest = max(furthest, reached)
        if failures > job.retries:
            raise job.error(f"{fault}; gave up at try {failures}")
        pause = job.backoff_s * 2 ** (failures - 1)
        _logger.warning("%s: %s at byte %d; trying again in %.1f s", job.target.name, fault, reached, pause)
        time.sleep(pause)


def _explain_status(error: urllib.error.HTTPError) -> str:
    words = {401: "the server wants a login", 403: "the server denies access", 404: "the server has no such file"}
    return f"{words.get(error.code, error.reason)} (HTTP {error.code})"


def _explain_network(reason: Any, job: _Job) -> str:
    if isinstance(reason, _InterruptedDownload):
        return str(reason)
    if isinstance(reason, TimeoutError):
        return f"nothing came for {job.timeout_s:g} s"
    return f"the network fails ({reason})"


def _download_on(job: _Job) -> None:
    """Asks for what is missing of the unfinished file and appends it.

    Raises:
        _InterruptedDownload: The connection was cut before the end.
    """
    have = _size(job.part)
    tag = job.validator.read_text() if job.validator.exists() else ""
    if have and not tag and not job.sha256_prefix:
        have = 0  # nothing would tell that the rest belongs to another version
    headers = {"User-Agent": f"mindcv/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    request = urllib.request.Request(job.url, headers=headers)
    try:
        response = open_url(request, timeout_s=job.timeout_s)
    except urllib.error.HTTPError as error:
        if not have or error.code != _HTTP_NOT_SATISFIABLE:
            raise
        if _total_size(error.headers.get("Content-Range")) == have:
            return
        _forget_part(job)
        raise _InterruptedDownload("the server has another version of the file") from None
    with response:
        start = (
            _range_start(response.headers.get("Content-Range"))
            if response.status == http.HTTPStatus.PARTIAL_CONTENT
            else 0
        )
        if start not in (0, have):
            raise _InterruptedDownload(f"the server sent bytes from {start}, not from {have}")
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        _check_disk(job, total, start)
        new_tag = response.headers.get("ETag", "")
        job.validator.write_text("" if new_tag.startswith("W/") else new_tag)
        with job.part.open("r+b" if start else "wb") as part:
            part.seek(start)
            part.truncate()
            reached = _append(response, part, start, total, job.target.name)
            _flush(part)
    if total is not None and reached < total:
        raise _InterruptedDownload(f"the connection was cut at byte {reached} of {total}")


def _append(response: Any, part: IO[bytes], start: int, total: int | None, name: str) -> int:
    """Copies a response to the file; returns the size it reached."""
    reached = start
    with tqdm(total=total, initial=start, unit="B", unit_scale=True, unit_divisor=1024, desc=name, disable=None) as bar:
        while block := response.read1(_BLOCK_BYTES):
            part.write(block)
            reached += len(block)
            bar.update(len(block))
    return reached


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _flush(part: IO[bytes]) -> None:
    part.flush()
    os.fsync(part.fileno())


def _range_start(content_range: str | None) -> int:
    """First byte of a `Content-Range: bytes 5-9/10`."""
    match = re.match(r"bytes (\d+)-", content_range or "")
    return int(match[1]) if match else 0


def _total_size(content_range: str | None) -> int | None:
    """Size of the whole file in a `Content-Range: bytes */10`."""
    match = re.search(r"/(\d+)$", content_range or "")
    return int(match[1]) if match else None


def _check_disk(job: _Job, total: int | None, have: int) -> None:
    """Refuses what cannot fit before the disk is full."""
    free = shutil.disk_usage(job.target.parent).free
    if total is not None and total - have > free:
        need = f"{(total - have) / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB free"
        raise job.error(f"the disk is too full ({need}); free some space or set {ROOT_VARIABLE} to another folder")


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from TLS to plain text."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and not newurl.startswith("https:"):
            raise urllib.error.HTTPError(req.full_url, code, "redirect from https to plain http", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Hands a redirect to the caller, as an error with its headers."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        return None


def open_url(request: urllib.request.Request, follow: bool = True, timeout_s: float = 30.0) -> Any:
    """Opens an address with the certificates checked.

    Args:
        request: What to ask for.
        follow: Whether to follow redirects; otherwise one is an `HTTPError` with its headers.
        timeout_s: Seconds without a byte after which a connection counts as stalled.
    """
    return _opener(follow).open(request, timeout=timeout_s)


@functools.cache
def _opener(follow: bool = True) -> urllib.request.OpenerDirector:
    redirects = _NoDowngrade() if follow else _NoRedirect()
    return urllib.request.build_opener(redirects, urllib.request.HTTPSHandler(context=ssl.create_default_context()))
