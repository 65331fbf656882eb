"""Models on the Hugging Face hub, and folders of the same form: `config.json` and `model.safetensors` as timm has them.

`HF_ENDPOINT`: the hub (default `https://huggingface.co`). `HF_HOME`, `HF_HUB_CACHE`: where its files are kept, in the
layout of `huggingface_hub`, so that what one of the two has downloaded is there for the other.
`HF_HUB_OFFLINE=1` (or `MINDCV_OFFLINE=1`): the network is not touched.
"""

import dataclasses
import hashlib
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
from ..utils.fetch import DownloadError, fetch, is_offline
from ..utils.fs import local_path
from ..utils.switches import is_on
from ..utils.web import open_url

__all__ = ["HUB", "OWN_ENTRY", "HubModel", "hub_address", "hub_file", "is_hub_model", "read_hub_model", "repository_of"]

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
            FileNotFoundError: There is no `model.safetensors`.
            DownloadError: It cannot be downloaded.
        """
        if self.folder is None:
            return hub_file(self.repository, "model.safetensors", self.revision)
        path = self.folder / "model.safetensors"
        if not path.is_file():
            raise FileNotFoundError(f"{self.title}: there is no {path.name} in the folder")
        return path


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
    """Returns (repository, revision, file) of an address of the hub, None for another address."""
    match = re.fullmatch(re.escape(HUB) + r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", url)
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
    hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    url = f"{hub}/{repository}/resolve/{quote(revision, safe='')}/{quote(name)}"
    if is_offline() or is_on("HF_HUB_OFFLINE"):
        if cached is None:
            raise FileNotFoundError(
                f"{url} is not in the cache and the network is not to be touched (HF_HUB_OFFLINE or MINDCV_OFFLINE is "
                f"set); place the file by hand as {folder / 'snapshots' / revision / name}"
            )
        return cached
    if cached is not None and _COMMIT.fullmatch(revision):
        return cached
    try:
        commit, etag = _head(url)
    except DownloadError as error:
        if cached is None:
            raise
        _logger.warning("%s; %s of the cache is used", error, cached)
        return cached
    path = folder / "snapshots" / commit / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        fetch(url, etag if _SHA256.fullmatch(etag) else None, target=path)
        if _COMMIT.fullmatch(etag) and _git_digest(path) != etag:
            path.unlink()
            raise DownloadError(f"{url}: what was received is not what the hub has; try again")
    if revision != commit:
        reference = folder / "refs" / revision
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit)
    return path


def _cache() -> Path:
    if folder := os.environ.get("HF_HUB_CACHE"):
        return Path(folder).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(home).expanduser() / "hub"


def _cached(folder: Path, name: str, revision: str) -> Path | None:
    reference = folder / "refs" / revision
    commit = revision
    if reference.is_file() and _is_inside(folder / "refs", reference):
        commit = reference.read_text(errors="replace").strip()
    path = folder / "snapshots" / commit / name
    return path if _COMMIT.fullmatch(commit) and path.is_file() else None


def _is_inside(folder: Path, path: Path) -> bool:
    return os.path.normpath(path).startswith(os.path.normpath(folder) + os.sep)


def _head(url: str) -> tuple[str, str]:
    """Returns the commit and the digest of a file: the hub says both in the headers of its first answer."""
    for _ in range(_MOST_REDIRECTS):
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": f"mindcv/{__version__}"})
        try:
            with open_url(request, follow=False) as response:
                headers = response.headers
        except urllib.error.HTTPError as error:
            if error.code not in _REDIRECTS:
                words = {401: "there is no such repository, or it wants a login", 404: "there is no such file"}
                raise DownloadError(f"{url}: {words.get(error.code, error.reason)} (HTTP {error.code})") from None
            headers = error.headers
        except OSError as error:
            raise DownloadError(f"{url}: the network fails ({getattr(error, 'reason', error)})") from error
        commit = headers.get("X-Repo-Commit", "")
        if _COMMIT.fullmatch(commit):
            etag = headers.get("X-Linked-Etag") or headers.get("ETag") or ""
            return commit, etag.removeprefix("W/").strip('"').lower()
        location = urljoin(url, headers.get("Location", ""))
        if location == url or urlsplit(location).netloc != urlsplit(url).netloc:
            break
        url = location  # a repository that was renamed
    raise DownloadError(f"{url}: the server does not answer as a hub does (no commit in its headers)")


def _git_digest(path: Path) -> str:
    """Git's name of a file's contents."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
