"""A run's folder belongs to one job at a time, which first clears what its killed predecessors left half written."""

import contextlib
import logging
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from ..utils.fs import clear_remains
from ..utils.lock import FolderLock
from ..weights.locations import OPTIMIZER_PREFIX
from .distributed import gather_over_ranks

_logger = logging.getLogger(__name__)

__all__ = ["run_folder"]

# What a run writes whole or not at all, and so through temporary files.
_WRITTEN = re.compile(
    rf".+-\d+_\d+\.ckpt|.+_best\.ckpt|{OPTIMIZER_PREFIX}.+\.ckpt|checkpoints\.json|result\.log|config\.yaml|class_names\.txt"
    r"|report\.html|(rank_\d+_)?non_finite_batch\.txt"
)


@contextlib.contextmanager
def run_folder(folder: Path) -> Iterator[FolderLock]:
    """Holds a run's folder while the context lasts. With several ranks it is a collective; they count as one.

    Raises:
        ValueError: Another job holds it; raised on all ranks, and the message says who, where and since when.
    """
    owner = f"{int(gather_over_ranks([secrets.randbits(48)])[0, 0]):012x}"
    lock = FolderLock(folder, owner, "ckpt_save_dir")
    refused: ValueError | None = None
    try:
        lock.acquire()
    except ValueError as error:
        refused = error
    is_refused = gather_over_ranks([refused is not None]).any()
    if is_refused:
        lock.release()
        raise refused or ValueError(
            f"ckpt_save_dir: {folder} is in use by another job, as another rank of this one says"
        )
    try:
        if lock.is_holder:
            count = sum(clear_remains(path, _WRITTEN) for path in (folder, *folder.glob("rank_*")))
            if count:
                _logger.info("%s: removed %d files that a killed process of the run left half written", folder, count)
        yield lock
    finally:
        lock.release()
