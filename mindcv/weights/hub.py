"""Models on the Hugging Face hub, and folders of the same form: `config.json` and `model.safetensors` as timm has them.

`HF_ENDPOINT`: the hub (default `https://huggingface.co`). `HF_HOME`, `HF_HUB_CACHE`: where its files are kept, in the
layout of `huggingface_hub`, so that what one of the two has downloaded is there for the other.
`HF_HUB_OFFLINE=1` (or `MINDCV_OFFLINE=1`): the network is not touched.
`HF_TOKEN`, or what `hf auth login` left in `HF_HOME`: a login for private and gated models, sent to the hub only.
"""

import dataclasses
import hashlib
import http
import json
import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from .._version import __version__
from ..utils.fetch import PASSING_STATUS, DownloadError, fetch, is_offline, mirrored
from ..utils.fs import local_path, require_directory
from ..utils.retry import with_retries
from ..utils.switches import is_on
from ..utils.web import open_url, with_token

__all__ = [
    "HUB",
    "OWN_ENTRY",
    "HubModel",
    "hub_address",
    "hub_endpoint",
    "hub_file",
    "is_hub_model",
    "read_hub_model",
    "repository_of",
]

_logger = logging.getLogger(__name__)

HUB = "https://huggingface.co"
OWN_ENTRY = "mindcv"
_PREFIXES = ("hf-hub:", "hf_hub:", "local-dir:")
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_REVISION = re.compile(r"[\w][\w./-]{0,127}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_LABELS = 1 << 16
_LARGEST_CONFIG = 16 << 20
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_RETRIES = 4
_PAUSE_S = 1.0
_TOKEN = re.compile(r"[\x21-\x7e]+")
# timm takes the first that is there.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class _NoSuchFileError(DownloadError):
    """The hub has no such file, revision or repository."""


class _NoHubError(DownloadError):
    """A server that gives files, but says nothing of them."""


@dataclasses.dataclass(frozen=True)
class HubModel:
    """What a folder of the hub's form says of its model.

    Attributes:
        title: As the user wrote it.
        architecture: timm's name of the network.
        num_classes: Classes of the weights; None when it is not said.
        pretrained_cfg: timm's description of the weights: mean and std (0 to 1), crop_pct, input_size ...
        model_args: Further arguments of the network.
        label_names: Names of the classes, empty when there are none.
        own: What `mindcv push` adds for this library, which timm passes over; empty in files of others.
        folder: The local folder; None: on the hub.
        repository: `OWNER/NAME` on the hub.
        revision: Branch, tag or commit.
    """

    title: str
    architecture: str
    num_classes: int | None
    pretrained_cfg: Mapping[str, Any]
    model_args: Mapping[str, Any]
    label_names: tuple[str, ...]
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    folder: Path | None = None
    repository: str = ""
    revision: str = "main"

    def weights(self) -> Path:
        """Returns the file of the weights, downloaded when it is not there.

        Raises:
            FileNotFoundError: There is neither `model.safetensors` nor `pytorch_model.bin`.
            DownloadError: It cannot be downloaded.
        """
        first, other = _WEIGHTS
        if self.folder is not None:
            for name in _WEIGHTS:
                if (self.folder / name).is_file():
                    return self.folder / name
            raise FileNotFoundError(f"{self.title}: there is no {first} in the folder, and no {other}")
        try:
            return hub_file(self.repository, first, self.revision)
        except (_NoSuchFileError, FileNotFoundError) as error:
            try:
                return hub_file(self.repository, other, self.revision)
            except (_NoSuchFileError, FileNotFoundError):
                raise error from None


def is_hub_model(name: str) -> bool:
    """Whether a model's name is one of the hub's or of a folder: `hf-hub:OWNER/NAME[@REVISION]`, `local-dir:FOLDER`."""
    return name.startswith(_PREFIXES)


def read_hub_model(name: str) -> HubModel:
    """Reads what a model on the hub or in a folder is; its weights are not read yet.

    Args:
        name: `hf-hub:OWNER/NAME`, `hf-hub:OWNER/NAME@REVISION` or `local-dir:FOLDER`.

    Raises:
        FileNotFoundError: There is no such folder or no `config.json` in it.
        DownloadError: It cannot be downloaded.
        ValueError: The name or the file is not of that form.
    """
    scheme, _, location = name.partition(":")
    if scheme == "local-dir":
        folder = local_path(location)
        path = folder / "config.json"
        if not path.is_file():
            what = "there is no config.json in the folder" if folder.is_dir() else "there is no such folder"
            raise FileNotFoundError(f"{name}: {what}")
        return HubModel(title=name, folder=folder, **_read_config(path, name))
    repository, _, revision = location.partition("@")
    revision = revision or "main"
    if not _REPOSITORY.fullmatch(repository) or not _REVISION.fullmatch(revision) or ".." in location:
        raise ValueError(f"{name!r} names no model of the hub; write hf-hub:OWNER/NAME or hf-hub:OWNER/NAME@REVISION")
    config = _read_config(hub_file(repository, "config.json", revision), name)
    return HubModel(title=name, repository=repository, revision=revision, **config)


def hub_endpoint() -> str:
    """Returns the address of the hub, by `HF_ENDPOINT`.

    Raises:
        ValueError: It is no address.
    """
    endpoint = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        raise ValueError(f"HF_ENDPOINT is {endpoint!r}; write the address of a hub, as {HUB}")
    return endpoint


def repository_of(text: str) -> str:
    """Returns OWNER/NAME of the hub as it is given.

    Raises:
        ValueError: It is not of that form.
    """
    if not _REPOSITORY.fullmatch(text) or ".." in text:
        raise ValueError(f"{text!r} names no model of the hub; write OWNER/NAME")
    return text


def _read_config(path: Path, name: str) -> dict[str, Any]:
    if path.stat().st_size > _LARGEST_CONFIG:
        raise ValueError(f"{name}: config.json has {path.stat().st_size} bytes, more than any such file needs")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: config.json is no JSON ({error})") from None
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise ValueError(f"{name}: config.json names no architecture, as timm's do; it is of another library")
    # Older files of timm have all entries side by side.
    cfg = config.get("pretrained_cfg", config)
    # Of an entry that is in both places timm takes the outer.
    both = {**cfg, **config} if isinstance(cfg, dict) else config
    classes = both.get("num_classes")
    labels = both.get("label_names", both.get("labels")) or ()
    arguments, own = config.get("model_args", {}), config.get(OWN_ENTRY, {})
    is_count = classes is None or (type(classes) is int and 0 <= classes < 1 << 24)
    if isinstance(labels, dict) and type(classes) is int:  # by number, where timm leaves some out
        labels = [labels.get(str(index), str(index)) for index in range(min(max(classes, 0), _MOST_LABELS))]
    are_labels = isinstance(labels, list | tuple) and all(isinstance(label, str) for label in labels)
    are_objects = all(isinstance(entry, dict) for entry in (cfg, arguments, own))
    if not (are_objects and is_count and are_labels):
        raise ValueError(f"{name}: config.json has entries of another form than timm's")
    return {
        "architecture": config["architecture"],
        "num_classes": classes,
        "pretrained_cfg": cfg,
        "model_args": arguments,
        "label_names": tuple(labels),
        "own": own,
    }


def hub_address(url: str) -> tuple[str, str, str] | None:
    """Returns (repository, revision, file) of an address of the hub, None for another address.

    Addresses are those of the file, of its page, and of the page's link to download it.
    """
    match = re.fullmatch(re.escape(HUB) + r"/([\w.-]+/[\w.-]+)/(?:resolve|blob)/([^/?]+)/([^?]+)(?:\?.*)?", url)
    return (match[1], unquote(match[2]), unquote(match[3])) if match else None


def hub_file(repository: str, name: str, revision: str = "main") -> Path:
    """Returns the local path of a file on the hub, downloading it when it is not there.

    What the hub says of the file (its sha256, or git's digest of a small one) is held against what was received.

    Args:
        repository: `OWNER/NAME`.
        name: The file's path in the repository.
        revision: Branch, tag or commit.

    Raises:
        FileNotFoundError: It is not in the cache and the network is not to be touched.
        DownloadError: No network, no such file, wrong contents.
    """
    folder = _cache() / f"models--{repository.replace('/', '--')}"
    if not _is_inside(folder / "snapshots", folder / "snapshots" / "x" / name):
        raise ValueError(f"{name!r} is no path inside a repository")
    cached = _cached(folder, name, revision)
    url = f"{hub_endpoint()}/{repository}/resolve/{quote(revision, safe='')}/{quote(name)}"
    if is_offline() or is_on("HF_HUB_OFFLINE"):
        if cached is None:
            raise FileNotFoundError(
                f"{url} is not in the cache and the network is not to be touched (HF_HUB_OFFLINE or MINDCV_OFFLINE is "
                f"set); place the file by hand as {folder / 'snapshots' / revision / name}"
            )
        return cached
    if cached is not None and _COMMIT.fullmatch(revision):
        return cached
    token = _token()
    try:
        url, commit, etag = _find(url, token, retries=_RETRIES if cached is None else 0)
    except DownloadError as error:
        if isinstance(error, _NoHubError) and mirrored(url) != url:
            return fetch(url)  # a plain copy of the hub's files, without their digests
        if cached is None:
            raise
        _logger.warning("%s; %s of the cache is used", error, cached)
        return cached
    path = folder / "snapshots" / commit / name
    if not path.is_file():
        require_directory(path.parent, "HF_HUB_CACHE" if os.environ.get("HF_HUB_CACHE") else "HF_HOME")
        fetch(url, etag if _SHA256.fullmatch(etag) else None, target=path, token=token)
        if _COMMIT.fullmatch(etag) and _git_digest(path) != etag:
            path.unlink()
            raise DownloadError(f"{url}: what was received is not what the hub has; try again")
    if revision != commit:
        reference = folder / "refs" / revision
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit)
    return path


def _home() -> Path:
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(home).expanduser()


def _cache() -> Path:
    folder = os.environ.get("HF_HUB_CACHE")
    return Path(folder).expanduser() if folder else _home() / "hub"


def _token() -> str:
    """The user's login, found as `huggingface_hub` finds it; empty without one."""
    if is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        return ""
    source, token = "HF_TOKEN", os.environ.get("HF_TOKEN", "").strip()
    if not token:
        path = Path(os.environ.get("HF_TOKEN_PATH") or _home() / "token").expanduser()
        source, token = str(path), path.read_text(errors="replace").strip() if path.is_file() else ""
    if token and not _TOKEN.fullmatch(token):
        raise ValueError(f"{source} holds no token of the hub; log in again with: hf auth login")
    return token


def _cached(folder: Path, name: str, revision: str) -> Path | None:
    reference = folder / "refs" / revision
    commit = revision
    if reference.is_file() and _is_inside(folder / "refs", reference):
        commit = reference.read_text(errors="replace").strip()
    # A folder of the revision's own name is one that was placed by hand.
    path = folder / "snapshots" / commit / name
    return path if _is_inside(folder / "snapshots", path) and path.is_file() else None


def _is_inside(folder: Path, path: Path) -> bool:
    return os.path.normpath(path).startswith(os.path.normpath(folder) + os.sep)


def _find(url: str, token: str, retries: int) -> tuple[str, str, str]:
    """Returns a file's address, commit and digest, trying again while the hub is busy."""

    def reason(error: Exception) -> str:
        if isinstance(error, urllib.error.HTTPError) and error.code in PASSING_STATUS:
            return f"the server answers {error.code} {error.reason}"
        raise error

    def last_error(text: str, failures: int) -> DownloadError:
        return DownloadError(f"{url}: {text}; gave up at try {failures}")

    return with_retries(lambda: _head(url, token), url, reason, last_error, retries, _PAUSE_S)


def _head(url: str, token: str) -> tuple[str, str, str]:
    """Returns the address, the commit and the digest of a file: the hub says both in the headers of its first answer.

    Raises:
        urllib.error.HTTPError: The hub is busy.
        DownloadError: It does not have the file, or is none.
    """
    asked = mirrored(url)
    is_hub = asked == url
    for _ in range(_MOST_REDIRECTS):
        request = urllib.request.Request(asked, method="HEAD", headers={"User-Agent": f"mindcv/{__version__}"})
        try:
            with open_url(with_token(request, token if is_hub else ""), follow=False) as response:
                headers = response.headers
        except urllib.error.HTTPError as error:
            if error.code in PASSING_STATUS:
                raise
            if error.code not in _REDIRECTS:
                raise _refusal(url, error, bool(token)) from None
            headers = error.headers
        except OSError as error:
            raise DownloadError(f"{asked}: the network fails ({getattr(error, 'reason', error)})") from error
        commit = headers.get("X-Repo-Commit", "")
        if _COMMIT.fullmatch(commit):
            etag = headers.get("X-Linked-Etag") or headers.get("ETag") or ""
            return asked if is_hub else url, commit, etag.removeprefix("W/").strip('"').lower()
        location = urljoin(asked, headers.get("Location", ""))
        if location == asked or urlsplit(location)[:2] != urlsplit(asked)[:2]:  # scheme and host
            break
        asked = location  # a repository that was renamed
    raise _NoHubError(f"{asked}: the server does not answer as a hub does (no commit in its headers)")


def _refusal(url: str, error: urllib.error.HTTPError, has_token: bool) -> DownloadError:
    """An error that says what the hub does not give, and why."""
    login = "its token may not read it" if has_token else "set HF_TOKEN, or log in with: hf auth login"
    words = {
        401: f"there is no such repository, or it wants a login; {login}",
        403: f"access is denied; a gated model wants its terms accepted on its page, and a login; {login}",
        404: "there is no such file, revision or repository",
    }
    kind = _NoSuchFileError if error.code == http.HTTPStatus.NOT_FOUND else DownloadError
    return kind(f"{url}: {words.get(error.code, error.reason)} (HTTP {error.code})")


def _git_digest(path: Path) -> str:
    """Git's name of a file's contents."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
