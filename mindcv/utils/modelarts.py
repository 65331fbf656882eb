"""Jobs on ModelArts: data and weights are copied in from the object store, outputs are copied out to it.

The keys are those that the platform's jobs are started with (`data_url`, `train_url`, `ckpt_url`); addresses of any
store will do, and local folders, as which newer jobs get them, are used in place.
"""

import contextlib
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .cache import get_default_download_root
from .errors import RunError, RunStopped
from .fs import is_remote, local_path, locked, require_directory
from .part_file import clear_parts
from .remote import find_file
from .transfer import Mirror, copy_in, download

__all__ = ["copy_inputs", "outputs_copied"]

_logger = logging.getLogger(__name__)

# Names the checkpoints of a run, so it goes out after them. (`engine.checkpoint.MANIFEST`)
_MANIFEST = "checkpoints.json"
_WEIGHTS = (".ckpt", ".safetensors", ".npz", ".pth", ".pt", ".bin")
_OWN_OF_RANK = re.compile(r"rank_?(\d+)(\.log)?")


def copy_inputs(cfg: Any) -> Any:
    """Returns the config of a job with `data_dir` and `ckpt_path` set to local copies of `data_url` and `ckpt_url`.

    `data_url` goes to `data_dir`, where that is set, else below `get_default_download_root()`. A `ckpt_url` that is a
    folder holds one file of weights, or the one that `ckpt_path` names. Of the processes of a host one copies, the
    others wait for it.

    Raises:
        FileNotFoundError: There is nothing at an address.
        RemoteError: It cannot be copied.
        ValueError: It is not clear which weights of a folder are meant.
    """
    given = [key for key in ("data_url", "ckpt_url", "train_url") if getattr(cfg, key)]
    if not cfg.enable_modelarts:
        if given:
            _logger.info("%s: without effect; set enable_modelarts: True to copy in and out", ", ".join(given))
        return cfg
    if not given:
        _logger.warning("enable_modelarts is on, but none of data_url, ckpt_url and train_url is set")
    changes = {}
    if cfg.data_url:
        is_set = cfg.data_dir != type(cfg).model_fields["data_dir"].default
        changes["data_dir"] = str(_local_copy(cfg.data_url, local_path(cfg.data_dir) if is_set else None))
    if cfg.ckpt_url:
        changes["ckpt_path"] = str(_weights_in(_local_copy(cfg.ckpt_url), cfg.ckpt_path))
    return cfg.model_copy(update=changes)


def _local_copy(url: str, target: Path | None = None) -> Path:
    """Returns the local copy of a remote file or folder, made by one process of this host."""
    if not is_remote(url):
        return local_path(url)
    name = url.rstrip("/").rpartition("/")[2]
    if target is None:
        key = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
        target = Path(get_default_download_root()) / "copies" / key / name
    asked = time.time()
    folder = require_directory(target.parent, "the folder for copies")
    done = folder / f".{target.name}.copied"
    with locked(folder / f".{target.name}.lock", f"copying {url}"):
        # What another process has copied while this one waited need not be compared again.
        is_fresh = done.exists() and done.stat().st_mtime >= asked and json.loads(done.read_text())["url"] == url
        if not is_fresh:
            entry = find_file(url.rstrip("/"))
            if entry is None:
                count = copy_in(url, target)
                _logger.info("%s: %d files copied to %s", url, count, target)
            else:
                target = target / name if target.is_dir() else target
                download(url, target, entry)
            done.write_text(json.dumps({"url": url}))
    return target


def _weights_in(folder: Path, ckpt_path: str) -> Path:
    """The file of weights: `folder` itself, or one in it."""
    if not folder.is_dir():
        return folder
    if ckpt_path:
        return folder / Path(ckpt_path).name
    found = sorted(path for path in folder.rglob("*") if path.suffix in _WEIGHTS)
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:5]) or "none"
        raise ValueError(f"ckpt_url must lead to one file of weights, found {names}; name one with ckpt_path")
    return found[0]


@contextlib.contextmanager
def outputs_copied(cfg: Any, rank: int, wait_for_ranks: Callable[[], None]) -> Iterator[Callable[[], None] | None]:
    """Copies `ckpt_save_dir` out to `train_url`: when what is yielded is called, and at the end, also after an error.

    Each rank copies what it writes. With `resume: auto`, a `ckpt_save_dir` without checkpoints is filled from
    `train_url` first, so that a job that was killed goes on on another machine.

    Args:
        cfg: The config.
        rank: This process's number.
        wait_for_ranks: Returns when all ranks have called it. A launcher that sees one rank end would kill those that
            are still copying.

    Yields:
        To be called when there is something new; it returns at once. None where nothing is copied.

    Raises:
        RemoteError: The outputs cannot be copied. After another error this is only logged.
    """
    if not (cfg.enable_modelarts and cfg.train_url):
        yield None
        return
    folder = require_directory(cfg.ckpt_save_dir, "ckpt_save_dir")
    if cfg.resume == "auto":
        unfinished = folder / ".copying"
        with locked(folder / ".copying.lock", f"copying {cfg.train_url}"):
            # Without the list there may be checkpoints all the same, which are newer than those in the store.
            is_empty = not (folder / _MANIFEST).exists() and not any(folder.glob("*-*_*.ckpt"))
            if is_empty or unfinished.exists():
                unfinished.touch()
                with contextlib.suppress(FileNotFoundError):  # the first start
                    copy_in(cfg.train_url, folder)
                unfinished.unlink()
            clear_parts(folder)
    mirror = Mirror(folder, cfg.train_url, lambda name: _rank_of(name) == rank, last=(_MANIFEST,))
    if cfg.resume == "auto":
        mirror.find_copies()  # of checkpoints that may be dropped before anything is copied
    try:
        yield mirror.changed
    except BaseException as stop:
        try:
            mirror.finish()
        except (RunError, OSError) as error:
            _logger.error("the outputs in %s could not be copied out: %s", folder, error)
        if isinstance(stop, RunStopped):  # which all ranks raise together
            wait_for_ranks()
        raise
    # Now, since the log is one of the outputs.
    _logger.info("copying the outputs to %s", cfg.train_url)
    mirror.finish()
    wait_for_ranks()


def _rank_of(name: str) -> int:
    """The rank that writes a file of `ckpt_save_dir`."""
    match = _OWN_OF_RANK.fullmatch(name.split("/")[0])
    return int(match[1]) if match else 0
