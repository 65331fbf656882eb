"""Checkpoints: one file each, written whole or not at all, and a manifest that says which there are.

A file `<model>-<epoch>_<step>.ckpt` holds everything a run needs to go on: weights, `ema.*`, optimizer slots, loss
scale, accumulated gradients, and, as JSON in the entry `train_state`, position, best metric, history, config and
versions. MindSpore's and upstream's loaders read the weights from it. `checkpoints.json` beside the files is the
manifest; it is written after a file is in place, so a kill at any instant leaves the last complete checkpoint in force.
"""

import dataclasses
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn

from ..utils.fs import atomic_write, require_directory
from ..weights import read_ckpt, write_ckpt
from .train_step import TrainStep

_logger = logging.getLogger(__name__)

__all__ = [
    "CheckpointManager",
    "CheckpointSaver",
    "TrainState",
    "load_state",
    "read_checkpoint",
    "resume_state",
    "save_cell",
]

MANIFEST = "checkpoints.json"
STATE_ENTRY = "train_state"
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
        loss_sum: Sum of the losses of those steps.
        best_metric: Best validation metric so far, or None.
        best_epoch: The epoch (from 1) it was reached in, or None.
        history: One row an epoch, as in `result.log`.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    loss_sum: float = 0.0
    best_metric: float | None = None
    best_epoch: int | None = None
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Counts the epoch as complete; `row` are its figures."""
        self.history.append(row)
        self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, 0.0


def cell_arrays(cell: nn.Cell) -> dict[str, np.ndarray]:
    """Returns all parameters of a cell but its learning-rate table, by name."""
    parameters = cell.parameters_dict().items()
    return {name: parameter.asnumpy() for name, parameter in parameters if not name.startswith(_SCHEDULE_ENTRIES)}


def save_cell(cell: nn.Cell, path: str | os.PathLike[str]) -> None:
    """Writes the parameters of a cell to a `.ckpt` file, whole or not at all."""
    write_ckpt(path, cell_arrays(cell))


class CheckpointSaver:
    """Writes a run's checkpoints, keeps as many as the policy says, and the best one.

    Args:
        folder: Where they go.
        model_name: First part of the file names.
        policy: latest_k keeps the newest, top_k the best by metric, none all.
        keep_max: How many.
        run_info: Config and versions, saved with each.

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
    ) -> None:
        self.folder = require_directory(folder, "ckpt_save_dir")
        self.model_name = model_name
        self.policy = policy or "none"
        if self.policy not in POLICIES:
            raise ValueError(f"ckpt_save_policy is {policy!r}; allowed: {', '.join(POLICIES)}")
        self.keep_max = keep_max
        self.run_info = run_info
        self.entries: list[dict[str, Any]] = []

    @property
    def best_path(self) -> Path:
        """The checkpoint with the best validation metric: weights and `ema.*` only."""
        return self.folder / f"{self.model_name}_best.ckpt"

    @property
    def last_path(self) -> Path | None:
        """The newest checkpoint, or None."""
        return self.folder / self.entries[-1]["file"] if self.entries else None

    def save(self, step_cell: nn.Cell, state: TrainState, metric: float | None = None) -> Path:
        """Saves everything of a run, then drops what the policy does not keep. Returns the file's path.

        Raises:
            OSError: Writing failed, a full disk for one; what was there before is untouched.
        """
        epoch, step = (state.epoch, state.history[-1]["steps"]) if state.step == 0 else (state.epoch + 1, state.step)
        path = self.folder / f"{self.model_name}-{epoch}_{step}.ckpt"
        blob = json.dumps({**dataclasses.asdict(state), **self.run_info}, default=float).encode()
        write_ckpt(path, {**cell_arrays(step_cell), STATE_ENTRY: np.frombuffer(blob, np.uint8)})
        entry = {
            "file": path.name,
            "epoch": state.epoch,
            "step": state.step,
            "global_step": state.global_step,
            "metric": metric,
            "bytes": path.stat().st_size,
            "sha256": _sha256(path),
        }
        entries = [*(entry for entry in self.entries if entry["file"] != path.name), entry]
        kept = self._kept(entries)
        with atomic_write(self.folder / MANIFEST, "w") as file:
            json.dump({"format": 1, "last": path.name, "checkpoints": kept}, file, indent=1)
        self.entries = kept
        for dropped in (entry["file"] for entry in entries if entry not in kept):
            (self.folder / dropped).unlink(missing_ok=True)
        return path

    def save_best(self, network: nn.Cell, step_cell: nn.Cell) -> Path:
        """Saves the weights, and `ema.*` where there are, as the best checkpoint. Returns its path."""
        names = set(network.parameters_dict())
        arrays = cell_arrays(step_cell)
        write_ckpt(self.best_path, {n: a for n, a in arrays.items() if n in names or n.startswith("ema.")})
        return self.best_path

    def _kept(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The newest is always kept, as a run goes on from it."""
        if self.policy == "none" or len(entries) <= self.keep_max:
            return entries
        if self.policy == "latest_k":
            return entries[-self.keep_max :]
        worst = [-np.inf if entry["metric"] is None else entry["metric"] for entry in entries]
        best = sorted(range(len(entries) - 1), key=lambda i: worst[i], reverse=True)[: self.keep_max - 1]
        return [entry for i, entry in enumerate(entries) if i in best or i == len(entries) - 1]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads a run's checkpoint.

    Returns:
        All arrays by name, and the run's state (the fields of `TrainState`, config and versions), which is empty for
        files that are not from a run of this library.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a whole checkpoint.
    """
    arrays = read_ckpt(path)
    blob = arrays.pop(STATE_ENTRY, None)
    return arrays, json.loads(blob.tobytes()) if blob is not None else {}


def load_state(cell: nn.Cell, arrays: dict[str, np.ndarray], source: str) -> None:
    """Sets all parameters of a cell but its learning-rate table.

    Raises:
        ValueError: A parameter is missing or has another shape.
    """
    parameters = {n: p for n, p in cell.parameters_dict().items() if not n.startswith(_SCHEDULE_ENTRIES)}
    missing = [name for name in parameters if name not in arrays]
    if missing:
        raise ValueError(
            f"{source}: cannot go on from it, {len(missing)} entries are missing ({', '.join(missing[:5])} ...); "
            "was it saved with another optimizer, ema, loss scale or gradient_accumulation_steps?"
        )
    for name, parameter in parameters.items():
        array = arrays[name]
        if tuple(array.shape) != tuple(parameter.shape):
            raise ValueError(
                f"{source}: {name} has shape {tuple(array.shape)}, this run needs {tuple(parameter.shape)}"
            )
    for name, parameter in parameters.items():
        parameter.set_data(Tensor(arrays[name], parameter.dtype))


def resume_state(step: TrainStep, ckpt_path: str, optimizer_path: Path, steps_per_epoch: int) -> TrainState:
    """Sets a step to go on from a checkpoint and returns where it stands.

    A checkpoint of upstream's holds the weights only, which the network has already; its optimizer is then read from
    `optimizer_path` and the position from the number of updates made.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not whole or of another run.
    """
    arrays, saved = read_checkpoint(ckpt_path)
    if saved:
        load_state(step, arrays, ckpt_path)
        return TrainState(**{field.name: saved[field.name] for field in dataclasses.fields(TrainState)})
    load_state(step.optimizer, read_ckpt(optimizer_path), str(optimizer_path))
    done = int(step.optimizer.global_step.asnumpy()[0]) * step.accumulation_steps
    _logger.info("%s has no position; the optimizer made %d updates, so the run goes on there", ckpt_path, done)
    return TrainState(epoch=done // steps_per_epoch, step=done % steps_per_epoch, global_step=done)


class CheckpointManager:
    """Saves cells and keeps as many files as a policy says: upstream's interface; the trainer's is `CheckpointSaver`.

    Args:
        ckpt_save_policy: None keeps all, top_k those with the highest metric, latest_k the newest.
    """

    def __init__(self, ckpt_save_policy: str | None = None) -> None:
        if ckpt_save_policy not in (None, "top_k", "latest_k"):
            raise ValueError(f"ckpt_save_policy is {ckpt_save_policy!r}; allowed: None, 'top_k', 'latest_k'")
        self.ckpt_save_policy = ckpt_save_policy
        self._files: list[Any] = []

    @property
    def ckpoint_filelist(self) -> list[Any]:
        """The files that are kept: paths, or for top_k pairs of path and metric, best first."""
        return self._files

    @property
    def ckpoint_num(self) -> int:
        """How many files are kept."""
        return len(self._files)

    def save_ckpoint(self, network: nn.Cell, num_ckpt: int = 10, metric: Any = None, save_path: str = "") -> list[Any]:
        """Saves a cell's parameters and drops the files that the policy does not keep. Returns what is kept.

        Args:
            network: The cell.
            num_ckpt: How many files to keep.
            metric: Higher is better; needed for top_k.
            save_path: Path of the file.

        Raises:
            ValueError: top_k without a metric.
        """
        if self.ckpt_save_policy != "top_k":
            save_cell(network, save_path)
            self._files.append(save_path)
            if self.ckpt_save_policy == "latest_k":
                while len(self._files) > max(num_ckpt, 1):
                    Path(self._files.pop(0)).unlink(missing_ok=True)
            return self._files
        if metric is None:
            raise ValueError("ckpt_save_policy top_k needs a metric; turn validation on (val_while_train)")
        value = float(metric.asnumpy() if isinstance(metric, (Tensor, Parameter)) else metric)
        if len(self._files) < num_ckpt or value > self._files[-1][1]:
            save_cell(network, save_path)
            self._files.append((save_path, value))
            self._files.sort(key=lambda item: item[1], reverse=True)
            for path, _ in self._files[num_ckpt:]:
                Path(path).unlink(missing_ok=True)
            del self._files[num_ckpt:]
        return self._files
