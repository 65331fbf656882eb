"""Checkpoints: one file each, written whole or not at all, and a manifest that says which there are.

A file `<model>-<epoch>_<step>.ckpt` holds everything a run needs to go on: weights, `ema.*`, optimizer slots, loss
scale, accumulated gradients, and, as JSON in the entry `train_state`, position, best metric, history, random state,
config, versions and a checksum of each array. MindSpore's and upstream's loaders read the weights from it.
`checkpoints.json` beside the files lists them (`checkpoint_list`); it is written after a file is in place, so a kill at
any instant leaves the last complete checkpoint in force.
"""

import contextlib
import dataclasses
import glob
import json
import logging
import math
import os
import random
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from ..utils.fs import require_directory
from ..utils.writing import WriteRule
from ..weights import read_ckpt, write_ckpt
from ..weights.load_report import class_counts
from ..weights.locations import optimizer_path
from .checkpoint_list import STATE_ENTRY, CheckpointEntry, list_checkpoints, run_id_of, write_manifest
from .train_step import KEPT_STATISTICS

_logger = logging.getLogger(__name__)

__all__ = [
    "CheckpointSaver",
    "TrainState",
    "load_state",
    "read_checkpoint",
    "restore_random_state",
    "save_cell",
]

POLICIES = ("latest_k", "top_k", "none")
# Computed from the config, never read from a checkpoint.
_SCHEDULE_ENTRIES = ("learning_rate",)


@dataclasses.dataclass
class TrainState:
    """Where a run stands.

    Attributes:
        epoch: Epochs that are complete, evaluated too.
        step: Batches done in the epoch after those.
        global_step: Batches done in all.
        loss_sum: Sum of the losses of those steps, but for those that are not finite.
        lost_steps: How many those are, of updates that were dropped.
        train_s: Seconds spent on those steps.
        best_metric: Best validation metric so far, or None.
        best_epoch: The epoch (from 1) it was reached in, or None.
        history: One row an epoch, as in `result.log`.
        log_bytes: How much of `log.jsonl` tells of what is done.
        run_id: Id of the run, the same for all its processes; empty for one that an earlier version began.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    loss_sum: float = 0.0
    train_s: float = 0.0
    best_metric: float | None = None
    best_epoch: int | None = None
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    log_bytes: int = 0
    run_id: str = ""
    lost_steps: int = 0

    @property
    def mean_loss(self) -> float:
        """Mean loss of the steps of the epoch so far; NaN when there is none."""
        steps = self.step - self.lost_steps
        return self.loss_sum / steps if steps else math.nan

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Counts the epoch as complete; `row` are its figures."""
        self.history.append(row)
        self.epoch, self.step, self.loss_sum, self.train_s, self.lost_steps = self.epoch + 1, 0, 0.0, 0.0, 0

    @classmethod
    def of(cls, saved: dict[str, Any]) -> "TrainState":
        """Reads the state from what `read_checkpoint` returned."""
        values = {**saved, "run_id": run_id_of(saved)}
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls) if field.name in values})


def cell_arrays(cell: nn.Cell) -> dict[str, np.ndarray]:
    """Returns all parameters of a cell but its learning-rate table, by name."""
    parameters = cell.parameters_dict().items()
    return {name: parameter.asnumpy() for name, parameter in parameters if not name.startswith(_SCHEDULE_ENTRIES)}


def save_cell(cell: nn.Cell, path: str | os.PathLike[str]) -> None:
    """Writes the parameters of a cell to a `.ckpt` file, whole or not at all."""
    write_ckpt(path, cell_arrays(cell))


def best_name(model_name: str) -> str:
    """Returns the file name of a run's best checkpoint."""
    return f"{model_name}_best.ckpt"


class CheckpointSaver:
    """Writes a run's checkpoints, keeps as many as the policy says, and the best one.

    Args:
        folder: Where they go.
        model_name: First part of the file names.
        policy: latest_k keeps the newest, top_k the best by metric, none all.
        keep_max: How many.
        run_info: Config and versions, saved with each.
        is_async: Write in the background while training goes on; the values are those at the time of the call.
        rule: What happens when a file cannot be written, as on a full disk.
        on_saved: Called when a file has been written, in the background with `is_async`. None: nothing is.
        marks: Entries that each file has besides, which tell what network the weights are of.
        before_write: Called before each file is written; raises when none may be.

    Raises:
        ValueError: The folder cannot be written to, or the policy is unknown.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        model_name: str,
        policy: str | None,
        keep_max: int,
        run_info: dict[str, Any],
        is_async: bool = False,
        rule: WriteRule | None = None,
        on_saved: Callable[[], None] | None = None,
        marks: Mapping[str, np.ndarray] | None = None,
        before_write: Callable[[], None] | None = None,
    ) -> None:
        self.folder = require_directory(folder, "ckpt_save_dir")
        self.model_name = model_name
        self.policy = policy or "none"
        if self.policy not in POLICIES:
            raise ValueError(f"ckpt_save_policy is {policy!r}; allowed: {', '.join(POLICIES)}")
        self.keep_max = keep_max
        self.run_info = run_info
        self.is_async = is_async
        self.rule = rule or WriteRule()
        self.on_saved = on_saved
        self.marks = dict(marks or {})
        self.before_write = before_write
        self.entries: list[CheckpointEntry] = []
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    @property
    def best_path(self) -> Path:
        """The checkpoint with the best validation metric: weights and `ema.*` only."""
        return self.folder / best_name(self.model_name)

    @property
    def last_path(self) -> Path | None:
        """The newest checkpoint, or None."""
        return self.folder / self.entries[-1].file if self.entries else None

    def begin(self, state: TrainState) -> None:
        """Takes up what earlier processes of the run have written, so that the policy counts over all of them.

        Raises:
            OSError: The folder or a file in it cannot be read now.
        """
        if state.global_step:
            self.entries = list_checkpoints(self.folder, state.run_id)
        elif any(self.folder.glob(f"{glob.escape(self.model_name)}-*_*.ckpt")):
            _logger.warning(
                "%s has checkpoints of an earlier run; this one begins anew and leaves them alone, but for those whose "
                "names it needs itself (--resume auto goes on with the earlier run)",
                self.folder,
            )

    def path_of(self, state: TrainState) -> Path:
        """Where the checkpoint of that state goes, by upstream's naming."""
        epoch, step = (state.epoch, state.history[-1]["steps"]) if state.step == 0 else (state.epoch + 1, state.step)
        return self.folder / f"{self.model_name}-{epoch}_{step}.ckpt"

    def save(self, step_cell: nn.Cell, state: TrainState, metric: float | None = None) -> Path:
        """Saves everything of a run, then drops what the policy does not keep. Returns the file's path.

        Raises:
            RunError: It, or the one before it in the background, could not be written; earlier files are untouched.
        """
        path = self.path_of(state)
        arrays = {**self._values(step_cell), **self.marks}
        saved = {**dataclasses.asdict(state), **self.run_info, "random": _random_state()}
        saved |= {"metric": metric, "saved_at": time.time()}
        entry = CheckpointEntry(path.name, state.epoch, state.step, state.global_step, metric)
        self._start(lambda: self._write(path, arrays, saved, entry), path)
        return path

    def save_best(self, network: nn.Cell, step_cell: nn.Cell) -> Path:
        """Saves the weights, and `ema.*` where there are, as the best checkpoint. Returns its path.

        Raises:
            RunError: It, or the one before it in the background, could not be written.
        """
        names = set(network.parameters_dict())
        arrays = {n: a for n, a in self._values(step_cell).items() if n in names or n.startswith("ema.")}
        self._start(lambda: write_ckpt(self.best_path, {**arrays, **self.marks}), self.best_path)
        return self.best_path

    def finish(self) -> None:
        """Waits for what is still being written.

        Raises:
            RunError: It could not be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if isinstance(failure, OSError):
            self.rule.failed(failure.filename or self._path, failure)
        elif failure is not None:
            raise failure

    def _values(self, cell: nn.Cell) -> dict[str, np.ndarray]:
        """A cell's arrays; copies when they are written later, since `asnumpy` may share the memory of the weights."""
        arrays = cell_arrays(cell)
        return {name: array.copy() for name, array in arrays.items()} if self.is_async else arrays

    def _start(self, write: Callable[[], None], path: Path) -> None:
        """Writes now, or in the background after what is being written there."""
        self.finish()
        self._path = path

        def work() -> None:
            try:
                if self.before_write is not None:
                    self.before_write()
                write()
            except Exception as error:  # raised by `finish`, in the thread that trains
                # A folder that cannot be written to is told from it; what matters is why.
                self._failure = error.__cause__ if isinstance(error.__cause__, OSError) else error
            else:
                if self.on_saved is not None:
                    self.on_saved()

        if self.is_async:
            # Not a daemon, so that the interpreter waits for it at the end.
            self._thread = threading.Thread(target=work, name="checkpoint")
            self._thread.start()
        else:
            work()
            self.finish()

    def _write(self, path: Path, arrays: dict[str, np.ndarray], saved: dict[str, Any], entry: CheckpointEntry) -> None:
        saved["checksums"] = {name: zlib.crc32(np.ascontiguousarray(array).data) for name, array in arrays.items()}
        blob = json.dumps(saved, default=float).encode()
        blob += zlib.crc32(blob).to_bytes(4, "little")
        write_ckpt(path, {**arrays, STATE_ENTRY: np.frombuffer(blob, np.uint8)})
        _link(path, optimizer_path(self.folder, self.model_name))
        entries = [*(other for other in self.entries if other.file != path.name), entry]
        kept = self._kept(entries)
        self.entries = entries  # if the list cannot be written, the next one makes up for it
        write_manifest(self.folder, saved["run_id"], kept)
        self.entries = kept
        for dropped in (other.file for other in entries if other not in kept):
            (self.folder / dropped).unlink(missing_ok=True)

    def _kept(self, entries: list[CheckpointEntry]) -> list[CheckpointEntry]:
        """The newest is always kept, as a run goes on from it."""
        if self.policy == "none" or len(entries) <= self.keep_max:
            return entries
        if self.policy == "latest_k":
            return entries[-self.keep_max :]
        worst = [-np.inf if entry.metric is None else entry.metric for entry in entries]
        best = sorted(range(len(entries) - 1), key=lambda i: worst[i], reverse=True)[: self.keep_max - 1]
        return [entry for i, entry in enumerate(entries) if i in best or i == len(entries) - 1]


def _link(path: Path, name: Path) -> None:
    """Gives a file a second name, in one move; where links are not possible there is no second name."""
    temporary = name.with_name(f".{name.name}.tmp")
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
        os.link(path, temporary)
        os.replace(temporary, name)


def _random_state() -> dict[str, Any]:
    """The state of Python's and numpy's generators, as JSON can hold it."""
    version, numbers, gauss = random.getstate()
    own = np.random.get_state(legacy=False)
    key, position = own["state"]["key"].tolist(), own["state"]["pos"]
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [own["bit_generator"], key, position, own["has_gauss"], own["gauss"]],
    }


def restore_random_state(saved: dict[str, Any]) -> None:
    """Sets Python's and numpy's generators to the saved state."""
    version, numbers, gauss = saved["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = saved["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), position, has_gauss, cached))


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads a run's checkpoint and compares its checksums.

    Returns:
        All arrays by name, and the run's state (the fields of `TrainState`, random state, config and versions), which
        is empty for files that are not from a run of this library.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a whole checkpoint, or a checksum is wrong.
    """
    arrays = read_ckpt(path)
    blob = arrays.pop(STATE_ENTRY, None)
    if blob is None:
        return arrays, {}
    text, checksum = blob.tobytes()[:-4], blob.tobytes()[-4:]
    if zlib.crc32(text).to_bytes(4, "little") != checksum:
        raise ValueError(f"{path} is damaged: the checksum of {STATE_ENTRY} is wrong")
    try:
        saved = json.loads(text)
        checksums = dict(saved.pop("checksums"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {STATE_ENTRY} makes no sense ({error})") from None
    if set(checksums) != set(arrays):
        raise ValueError(f"{path} is damaged: it has {len(arrays)} entries where {len(checksums)} were written")
    for name, array in arrays.items():
        if zlib.crc32(np.ascontiguousarray(array).data) != checksums[name]:
            raise ValueError(f"{path} is damaged: the checksum of {name} is wrong")
    return arrays, saved


def load_state(cell: nn.Cell, arrays: dict[str, np.ndarray], source: str) -> None:
    """Sets all parameters of a cell but its learning-rate table.

    Raises:
        ValueError: A parameter is missing or has another shape.
    """
    parameters = {n: p for n, p in cell.parameters_dict().items() if not n.startswith(_SCHEDULE_ENTRIES)}
    # Earlier versions kept none; the batches that wait for an update then count as not to be taken back.
    kept = [name for name in parameters if name.startswith(f"{KEPT_STATISTICS}.") and name not in arrays]
    own = {name: arrays.get(name.removeprefix(f"{KEPT_STATISTICS}.")) for name in kept}
    arrays = {**arrays, **{name: array for name, array in own.items() if array is not None}}
    missing = [name for name in parameters if name not in arrays]
    if missing:
        raise ValueError(
            f"{source}: cannot go on from it, {len(missing)} entries are missing ({', '.join(missing[:5])} ...); "
            "was it saved with another optimizer, ema, loss scale or gradient_accumulation_steps?"
        )
    shapes = [(name, tuple(parameter.shape), tuple(arrays[name].shape)) for name, parameter in parameters.items()]
    mismatched = [entry for entry in shapes if entry[1] != entry[2]]
    if mismatched:
        name, wanted, given = mismatched[0]
        classes = class_counts(mismatched)
        if classes:
            raise ValueError(
                f"{source}: the file has {classes[1]} classes, the data {classes[0]}: {name} has shape {given}, this "
                f"run needs {wanted}; give the run's own classes, or start anew from its weights with --pretrained "
                f"{source}"
            )
        raise ValueError(f"{source}: {name} has shape {given}, this run needs {wanted}")
    for name, parameter in parameters.items():
        parameter.set_data(Tensor(arrays[name], parameter.dtype))
