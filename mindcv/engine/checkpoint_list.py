"""Which checkpoints a run's folder has, over all processes of the run.

The files in the folder are what counts. `checkpoints.json` beside them is a list that saves reading them: their order
and metrics. It may be damaged, gone, or somebody else's text, so only plain names of files that are there are taken
from it. Each checkpoint and the list carry the run's id, so that what an earlier run left in the folder is not taken
for this one's.
"""

import dataclasses
import json
import logging
import math
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..utils.fs import atomic_write
from ..weights.formats import read_entry
from .distributed import gather_over_ranks

_logger = logging.getLogger(__name__)

__all__ = ["CheckpointEntry", "damaged_files", "list_checkpoints", "new_run_id", "write_manifest"]

MANIFEST = "checkpoints.json"
STATE_ENTRY = "train_state"
DAMAGED = ".damaged"
_MOST_BYTES = 16 << 20
_MOST_STATE_BYTES = 1 << 30
_NAME = re.compile(r"[^/\\\0]+-(\d{1,9})_(\d{1,9})\.ckpt")
_ID_BITS = 48


@dataclasses.dataclass(frozen=True)
class CheckpointEntry:
    """One checkpoint.

    Attributes:
        file: Its plain name.
        epoch: Epochs that were complete.
        step: Batches done in the epoch after those.
        global_step: Batches done in all.
        metric: Its validation metric, or None.
    """

    file: str
    epoch: int
    step: int
    global_step: int
    metric: float | None = None


def new_run_id() -> str:
    """Returns an id for a new run, the same on all ranks, which all call this. It takes no seeded random numbers."""
    return f"{int(gather_over_ranks([secrets.randbits(_ID_BITS)])[0, 0]):012x}"


def run_id_of(saved: Mapping[str, Any]) -> str:
    """Returns the id of the run in a checkpoint's state, empty where there is none; it was called `run` at first."""
    return saved.get("run_id", saved.get("run", ""))


def list_checkpoints(folder: Path, run_id: str | None = None) -> list[CheckpointEntry]:
    """Returns the checkpoints of a run in its folder, in the order in which they were written.

    Args:
        folder: The run's folder.
        run_id: The run's id; None: that of the run which wrote into the folder last. Checkpoints that cannot be read
            are among those, since they may be of it.

    Raises:
        OSError: The folder or a file in it cannot be read now.
        ValueError: It holds checkpoints, but all of them without a position.
    """
    files = {path.name: path for path in sorted(folder.iterdir()) if _NAME.fullmatch(path.name) and _is_own(path)}
    manifest = _read_manifest(folder / MANIFEST)
    listed_run, listed = manifest if manifest else (None, [])
    wanted = listed_run if run_id is None else run_id
    known = [entry for entry in listed if entry.file in files] if listed_run == wanted else []
    if run_id is None:
        for entry in listed:
            if entry.file not in files:
                _logger.warning("%s is in the list of checkpoints but gone", folder / entry.file)
    names = {entry.file for entry in known}
    unknown = [path for name, path in files.items() if name not in names]
    if wanted == "" and manifest:
        if known or run_id is not None:
            return known  # of a version whose checkpoints had no id: what else is there may be of another run
        wanted = None
    found = [seen for seen in map(_look_into, unknown) if seen is not None]
    if wanted is None:
        runs = [seen for seen in found if seen.has_position]
        if not runs:
            if found and not any(seen.is_damaged for seen in found):
                raise ValueError(
                    f"{folder} holds {len(found)} checkpoints without a position, such as {found[0].entry.file}; go on "
                    "from one with --ckpt_path FILE --resume_opt True, or give another folder"
                )
            wanted = ""
        else:
            wanted = max(runs, key=lambda seen: seen.saved_at).run_id
        found = [seen for seen in found if seen.is_damaged or (seen.has_position and seen.run_id == wanted)]
    else:
        found = [seen for seen in found if seen.has_position and seen.run_id == wanted]
    return known + [seen.entry for seen in sorted(found, key=lambda seen: seen.saved_at)]


def damaged_files(folder: Path) -> list[str]:
    """Names of the checkpoints that were put aside as damaged."""
    names = (path.name for path in folder.glob(f"*{DAMAGED}"))
    return sorted(name for name in names if _NAME.fullmatch(name.removesuffix(DAMAGED)))


def write_manifest(folder: Path, run_id: str, entries: list[CheckpointEntry]) -> None:
    """Writes the list, whole or not at all."""
    content = {"format": 1, "run": run_id, "last": entries[-1].file if entries else None}
    with atomic_write(folder / MANIFEST, "w") as file:
        json.dump({**content, "checkpoints": [dataclasses.asdict(entry) for entry in entries]}, file, indent=1)


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _read_manifest(path: Path) -> tuple[str, list[CheckpointEntry]] | None:
    """The run's id and the entries that make sense; None where there is no list that can be read."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")  # a pipe would wait for a writer
        with path.open("rb") as file:
            content = json.loads(file.read(_MOST_BYTES))
        listed = list(content["checkpoints"])
        entries = [entry for entry in map(_entry_of, listed) if entry is not None]
        run_id = content.get("run", "")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _logger.warning("%s cannot be read (%s); the folder's own files tell what there is", path, error)
        return None
    if len(entries) < len(listed):
        _logger.warning("%s: %d entries make no sense and count for nothing", path, len(listed) - len(entries))
    unique = {entry.file: entry for entry in entries}
    return (run_id if isinstance(run_id, str) else ""), list(unique.values())


def _entry_of(values: Any) -> CheckpointEntry | None:
    """An entry of the list, or None where it is none."""
    if not isinstance(values, dict):
        return None
    name = values.get("file")
    numbers = [
        value for key in ("epoch", "step", "global_step") if type(value := values.get(key)) is int and value >= 0
    ]
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(numbers) < 3:
        return None
    return CheckpointEntry(name, numbers[0], numbers[1], numbers[2], _number(values.get("metric")))


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return float(value) if is_number and math.isfinite(value) else None
    except OverflowError:
        return None


@dataclasses.dataclass(frozen=True)
class _Seen:
    """What a file says of itself."""

    entry: CheckpointEntry
    run_id: str
    saved_at: float
    has_position: bool = True
    is_damaged: bool = False


def _look_into(path: Path) -> _Seen | None:
    """Reads a checkpoint's state; None when it has gone meanwhile."""
    epoch, step = map(int, _NAME.fullmatch(path.name).groups())  # type: ignore[union-attr]
    entry = CheckpointEntry(path.name, epoch, step, 0)
    try:
        changed_at = path.stat().st_mtime
        blob = read_entry(path, STATE_ENTRY, _MOST_STATE_BYTES)
        if blob is None:
            return _Seen(entry, "", changed_at, has_position=False)
        saved = json.loads(blob.tobytes()[:-4])
        numbers = {key: int(saved[key]) for key in ("epoch", "step", "global_step")}
        metric = _number(saved.get("metric"))
        run_id = run_id_of(saved)
        return _Seen(
            CheckpointEntry(path.name, **numbers, metric=metric), run_id, float(saved.get("saved_at", changed_at))
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        return _Seen(entry, "", changed_at, has_position=False, is_damaged=True)
