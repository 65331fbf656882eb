"""Going on with a run: finding its last good checkpoint, checking that it is the same run, restoring it."""

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from ..optim.state import load_optimizer_state
from ..utils.errors import RunError
from ..utils.fs import local_path
from .checkpoint import TrainState, load_state, read_checkpoint, restore_random_state
from .checkpoint_list import DAMAGED, damaged_files, list_checkpoints
from .distributed import rank, world_size
from .train_step import TrainStep

_logger = logging.getLogger(__name__)

__all__ = [
    "Resumed",
    "check_same_rates",
    "check_same_run",
    "find_checkpoint",
    "find_run",
    "resume_run",
    "resume_weights",
]

_STEPS = "steps in an epoch"
# Keys that count for each rank, and what they say of all ranks together: that must stay, with any number of ranks.
_PER_RANK = {"batch_size": "global batch", "num_samples": "samples of all ranks"}
# Keys whose defaults follow from epoch_size.
_FOLLOWING = {"warmup_epochs", "decay_epochs"}


@dataclasses.dataclass(frozen=True)
class Resumed:
    """A checkpoint to go on from.

    Attributes:
        path: The file.
        arrays: All that it holds, by name.
        saved: Position, random state, config, versions and the fingerprint of the training data.
    """

    path: Path
    arrays: dict[str, np.ndarray]
    saved: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """Config of the run that saved it."""
        return self.saved["config"]

    @property
    def data(self) -> dict[str, Any] | None:
        """Fingerprint of the training data, as JSON; None in files of earlier versions."""
        return self.saved.get("data")

    @property
    def global_step(self) -> int:
        """Batches done in all."""
        return self.saved["global_step"]


def find_run(where: str | os.PathLike[str], defaults: Mapping[str, Any] | None = None) -> Resumed | None:
    """Returns the checkpoint to go on from, see `find_checkpoint`; None when the run is new.

    Args:
        where: A run's folder or a checkpoint.
        defaults: A config of defaults, which fills in the keys that the version that saved the file did not have.
    """
    found = find_checkpoint(local_path(where), rank() == 0)
    if found is None:
        _logger.info("resume: there is no checkpoint in %s yet, the run starts from the beginning", where)
        return None
    path, arrays, saved = found
    return Resumed(path, arrays, {**saved, "config": {**(defaults or {}), **saved["config"]}})


def find_checkpoint(where: Path, is_master: bool) -> tuple[Path, dict[str, np.ndarray], dict[str, Any]] | None:
    """Returns the newest whole checkpoint of a folder, or the one file that is named; None for a folder without any.

    Args:
        where: A run's folder or a checkpoint.
        is_master: Whether this rank puts damaged files aside.

    Raises:
        FileNotFoundError: There is no such file or folder.
        OSError, RunError: A file cannot be read now; it stays as it is.
        ValueError: The named file is damaged or not from a run, or all files of the folder are damaged.
    """
    if where.is_file():
        arrays, saved = read_checkpoint(where)
        if not saved:
            raise ValueError(f"{where} has no position to go on from; start from its weights with --ckpt_path {where}")
        return where, arrays, saved
    if not where.is_dir():
        raise FileNotFoundError(f"resume: {where} does not exist; give a checkpoint or the folder of a run")
    entries = list_checkpoints(where)
    for entry in reversed(entries):
        path = where / entry.file
        try:
            arrays, saved = read_checkpoint(path)
        except FileNotFoundError:
            _logger.warning("%s is gone; the checkpoint before it is used", path)
        except ValueError as error:
            if isinstance(error.__cause__, OSError):
                # The file system, not the file: what is on it may be whole, and newer than the one before.
                raise RunError(
                    f"resume: {error}; the file was left as it is: try again, or name another checkpoint with --resume"
                ) from error
            _logger.warning("%s; the checkpoint before it is used", error)
            if is_master:
                _put_aside(path)
        else:
            if saved:
                return path, arrays, saved
    aside = damaged_files(where)
    if entries or aside:
        raise ValueError(
            f"resume: none of the {max(len(entries), len(aside))} checkpoints in {where} can be read"
            f"{' (' + ', '.join(aside) + ')' if aside else ''}; start again without resume, or in another folder"
        )
    return None


def _put_aside(path: Path) -> None:
    """Renames a damaged checkpoint."""
    try:
        os.replace(path, path.with_name(f"{path.name}{DAMAGED}"))
    except FileNotFoundError:
        return
    except OSError as error:
        _logger.warning("the damaged file %s could not be put aside (%s)", path, error.strerror)
    else:
        _logger.warning("the damaged file is now %s%s", path.name, DAMAGED)


def check_same_run(
    saved: dict[str, Any],
    current: dict[str, Any],
    free_keys: Set[str],
    saved_world_size: int,
    world_size: int,
    force: bool = False,
) -> None:
    """Compares the config of a checkpoint with today's.

    Args:
        saved: Config of the checkpoint.
        current: Config of this run.
        free_keys: Keys that may differ; those that do are named in one line. `batch_size` and `num_samples`, which are
            those of one rank, may differ as the number of ranks does.
        saved_world_size: Ranks of the checkpoint's run.
        world_size: Ranks of this run.
        force: Let all keys differ.

    Raises:
        ValueError: A key that must not change did; each is named with its old and new value.
    """
    changes = {
        key: f"{key} {saved.get(key)} -> {value}"
        for key, value in current.items()
        if _plain(saved.get(key)) != _plain(value)
    }
    refused = [words for key, words in changes.items() if key not in free_keys and key not in _PER_RANK]
    for key, total in _PER_RANK.items():
        old, new = saved[key], current[key]
        old_total, new_total = old and old * saved_world_size, new and new * world_size
        if old_total != new_total:
            refused.append(
                f"{total} {old_total} -> {new_total} ({key} {old} on {saved_world_size} ranks -> {new} on {world_size})"
            )
    if refused and not force:
        way = "take them back"
        if "epoch_size" in changes and _FOLLOWING.intersection(changes):
            # Nobody may have set them, so that there is nothing to take back.
            kept = " ".join(f"--{key} {saved[key]}" for key in sorted(_FOLLOWING.intersection(changes)))
            way = f"where they are not set, some follow from {changes['epoch_size']}: keep them with {kept}"
        raise ValueError(
            f"resume: the run was started with other settings: {', '.join(refused)}; "
            f"{way}, or go on all the same with --resume_force True"
        )
    if saved_world_size != world_size:
        changes["ranks"] = f"ranks {saved_world_size} -> {world_size}"
        if not refused:
            changes["ranks"] += f" (the global batch is {current['batch_size'] * world_size} as before)"
    if changes:
        _logger.info("resume with other settings: %s", ", ".join(changes.values()))


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def check_same_rates(
    old: Sequence[float], new: Sequence[float], updates: int, reason: str, force: bool = False
) -> None:
    """Compares the learning rate of the next update in the schedule of a checkpoint's run and in today's.

    Args:
        old: The rates of the checkpoint's run.
        new: Today's.
        updates: How many were made.
        reason: Why they may differ, for the message.
        force: Let the rate jump, and say so.

    Raises:
        ValueError: The rate would jump.
    """
    # Of a run that was complete, its last update.
    index = min(updates, len(old) - 1)
    if not 0 < index < len(new):
        return
    before, after = old[index], new[index]
    if abs(after - before) <= 1e-6 * max(before, after):
        return
    text = f"the learning rate jumps from {before:.3g} to {after:.3g}, since the schedule follows from {reason}"
    if not force:
        raise ValueError(
            f"resume: {text}; take it back, start a new run from the weights (--ckpt_path), or go on all the same with "
            "--resume_force True"
        )
    _logger.warning("resume: %s", text)


def resume_run(
    step: TrainStep,
    where: Resumed | str | os.PathLike[str],
    config: dict[str, Any],
    free_keys: Set[str],
    steps_per_epoch: int,
    force: bool = False,
    *,
    data_changes: str = "",
) -> TrainState | None:
    """Restores weights, optimizer, EMA, loss scale and random state; returns where the run stands, None when it is new.

    Args:
        step: The training step, which is restored.
        where: What `find_run` returned, or a run's folder or a checkpoint, in which it looks.
        config: Config of this run.
        free_keys: See `check_same_run`.
        steps_per_epoch: Batches in an epoch, which must be those of the checkpoint's run: a position is a step of an
            epoch, and the schedule follows from their number.
        force: Go on whatever has changed.
        data_changes: What is different in the training data since then, in words; '' when nothing is.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: There is no whole checkpoint, or it belongs to another run, or the data has changed.
    """
    found = where if isinstance(where, Resumed) else find_run(where)
    if found is None:
        return None
    path, arrays, saved = found.path, found.arrays, found.saved
    if data_changes and not force:
        raise ValueError(
            f"resume: the training data is not what the run was started with: {data_changes}; the order would be "
            "another one. Take it back, or go on all the same with --resume_force True"
        )
    if data_changes:
        _logger.warning("resume with other training data: %s; the order of the samples is another one", data_changes)
    old = {**saved["config"], _STEPS: saved["steps_per_epoch"]}
    check_same_run(old, {**config, _STEPS: steps_per_epoch}, free_keys, saved["world_size"], world_size(), force)
    load_state(step, arrays, str(path))
    if rank() == 0:
        # The file has rank 0's; with it the others would draw what rank 0 draws, and they have seeds of their own.
        restore_random_state(saved["random"])
    state = TrainState.of(saved)
    waiting = getattr(step, "waiting_batches", 0)
    _logger.info(
        "resume: %s, epoch %d, step %d (%d steps in all%s)",
        *(path, state.epoch + 1, state.step, state.global_step),
        f"; {waiting} batches wait for an update" if waiting else "",
    )
    return state


def resume_weights(step: TrainStep, ckpt_path: str, optimizer_path: Path, steps_per_epoch: int) -> TrainState:
    """Upstream's `ckpt_path` with `resume_opt`: goes on from a file of this library or of upstream.

    Upstream's holds the weights only, which the network has already; its optimizer is read from `optimizer_path` and
    the position follows from the number of updates made.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not whole or of another run.
    """
    arrays, saved = read_checkpoint(ckpt_path)
    if saved:
        load_state(step, arrays, ckpt_path)
        return TrainState.of(saved)
    load_optimizer_state(step.optimizer, optimizer_path)
    done = int(step.optimizer.global_step.asnumpy()[0]) * step.accumulation_steps
    _logger.info("%s has no position; the optimizer made %d updates, so the run goes on there", ckpt_path, done)
    return TrainState(epoch=done // steps_per_epoch, step=done % steps_per_epoch, global_step=done)
