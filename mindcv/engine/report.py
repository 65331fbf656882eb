"""What a run tells: progress bar, log lines, `log.jsonl`, TensorBoard and `result.log`, all from the same figures."""

import collections
import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..utils.commands import command_for, quoted
from ..utils.fs import atomic_write
from ..utils.log import EventLog
from ..utils.runtime import peak_memory_mb
from ..utils.writing import WriteRule
from .checkpoint import CheckpointSaver, TrainState, best_name
from .distributed import world_size
from .tensorboard import TensorBoardLog

_logger = logging.getLogger(__name__)

__all__ = ["RunReporter"]

RESULT_LOG = "result.log"
EVENT_LOG = "log.jsonl"
RUN_CONFIG = "config.yaml"
TENSORBOARD = "tensorboard"
_COLUMN = 20
# Cells of the progress bar that figures beside it leave at least.
_LEAST_BAR = 10
_BAR_FORMAT = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{postfix}"


class RunReporter:
    """Tells one run's story. Ranks other than 0 keep quiet and write nothing.

    Args:
        folder: The run's folder.
        epochs: Epochs of the run.
        images_per_step: Images of all ranks together in one step.
        log_interval: Steps between log lines when there is no progress bar, and between `train` events.
        metrics: Names of the validation metrics, in the order of `result.log`.
        is_master: Whether this is rank 0.
        event_folder: Folder of `log.jsonl`; None: the run's.
        log_bytes: How much of an earlier `log.jsonl` to keep when the run goes on; None starts it anew, and what was
            there moves to `log.jsonl.old`.
        tensorboard: Write the events for TensorBoard too, into the run's folder.
        rule: What happens when a file cannot be written, as on a full disk.

    Raises:
        ImportError: TensorBoard's events cannot be written, as tensorboardX is not installed.
    """

    def __init__(
        self,
        folder: Path,
        epochs: int,
        images_per_step: int,
        log_interval: int,
        metrics: list[str],
        is_master: bool = True,
        event_folder: Path | None = None,
        log_bytes: int | None = None,
        tensorboard: bool = False,
        rule: WriteRule | None = None,
    ) -> None:
        self.folder = folder
        self.epochs = epochs
        self.images_per_step = images_per_step
        self.log_interval = max(log_interval, 1)
        self.metrics = metrics
        self.is_master = is_master
        self.show_progress = is_master and _has_terminal()
        self.rule = rule or WriteRule()
        self._events = EventLog((event_folder or folder) / EVENT_LOG, log_bytes, self.rule) if is_master else None
        self._board: TensorBoardLog | None = None
        if self._events and tensorboard:
            with self._writing_board():
                self._board = TensorBoardLog(folder / TENSORBOARD, self._events.records())
        self._bar: tqdm | None = None
        self._epoch = 0
        # (time, steps of the run) of the last readings, for the speed of now instead of the average with compilation.
        self._readings: collections.deque[tuple[float, int]] = collections.deque(maxlen=self.log_interval + 1)
        self._compiled = False

    def event(self, name: str, **values: Any) -> None:
        """Writes one event to `log.jsonl`, and to TensorBoard."""
        if self._events:
            record = self._events.write(name, **values)
            if self._board:
                with self._writing_board():
                    self._board.write(record)

    @contextlib.contextmanager
    def _writing_board(self) -> Iterator[None]:
        """After a failure there are no more events for TensorBoard: what follows a torn one could not be read."""
        try:
            yield
        except (OSError, ValueError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError):
                raise
            self._board = None
            self.rule.failed(self.folder / TENSORBOARD, cause)

    def log_bytes(self) -> int:
        """How long `log.jsonl` is."""
        return self._events.size() if self._events else 0

    def begin_epoch(self, epoch: int, steps: int, state: TrainState) -> None:
        """A pass over the data begins: `epoch` counts from 1; `state.step` of its `steps` are done already."""
        self._steps = steps
        self._epoch = epoch
        self._epoch_begin = time.perf_counter()
        self._readings.clear()
        self._readings.append((self._epoch_begin, state.global_step))
        if self.show_progress:
            title = f"Epoch {epoch}/{self.epochs}"
            self._bar = tqdm(
                total=steps, initial=state.step, desc=title, leave=False, dynamic_ncols=True, bar_format=_BAR_FORMAT
            )

    def step(
        self, state: TrainState, losses: list[float], lr: float, data_wait_s: float, dropped_updates: int | None = None
    ) -> None:
        """The losses of the last `len(losses)` steps are known, and how many updates of the run were dropped."""
        now = time.perf_counter()
        self._readings.append((now, state.global_step))
        begin, first = self._readings[0]
        steps_per_s = (state.global_step - first) / max(now - begin, 1e-9)
        speed = steps_per_s * self.images_per_step
        wait_share = data_wait_s / max(now - self._epoch_begin, 1e-9)
        left = self.epochs * self._steps - state.global_step
        eta = _clock(left / steps_per_s) if self._compiled else "?"
        if not self._compiled:
            self._compiled = True
            self.event("first_step", seconds=now - self._epoch_begin)
            _logger.info("First step: %.1f s, with graph compilation", now - self._epoch_begin)
            self._readings.clear()
            self._readings.append((now, state.global_step))
        # In the order in which they are shown; the number says what gives way first where there is no room.
        figures = [
            (0, f"loss={losses[-1]:.4f}"),
            (3, f"lr={lr:.3g}"),
            (2, f"{speed:.1f} img/s"),
            (4, f"data wait {wait_share:.0%}"),
            (1, f"ETA {eta}"),
        ]
        if dropped_updates:
            figures.append((1, f"{dropped_updates} dropped"))
        if self._bar is not None:
            taken = len(f"{self._bar.desc}: 100% || {self._steps}/{self._steps} ") + _LEAST_BAR
            room = os.get_terminal_size(sys.stderr.fileno()).columns - taken
            self._bar.set_postfix_str(_fitting(figures, room), refresh=False)
            self._bar.update(len(losses))
        crossed = state.step // self.log_interval > (state.step - len(losses)) // self.log_interval
        if not crossed and state.step != self._steps:
            return
        where = {"epoch": self._epoch, "step": state.step, "global_step": state.global_step}
        wait = {"data_wait_s": data_wait_s, "data_wait_share": wait_share}
        dropped = {} if dropped_updates is None else {"dropped_updates": dropped_updates}
        self.event("train", **where, loss=losses[-1], lr=lr, images_per_s=speed, **wait, **dropped)
        if self.is_master and self._bar is None:
            shown = _fitting(figures, None)
            _logger.info("Epoch: [%d/%d], step: [%d/%d], %s", self._epoch, self.epochs, state.step, self._steps, shown)

    def end_epoch(self, row: dict[str, float], state: TrainState) -> None:
        """An epoch is complete, evaluated and saved."""
        self.close_bar()
        if not self.is_master:
            return
        best = {"best_metric": state.best_metric, "best_epoch": state.best_epoch}
        self.event("epoch", **row, global_step=state.global_step, **peak_memory_mb(), **best)
        parts = [f"loss={row['loss']:.4f}"]
        parts += [f"{name}={row[name]:.2%}" for name in self.metrics if name in row]
        parts += [f"lr={row['lr']:.3g}", f"{row['images_per_s']:.1f} img/s", f"data wait {row['data_wait_s']:.1f} s"]
        parts += [f"train {row['train_s']:.1f} s", f"eval {row.get('eval_s', 0.0):.1f} s"]
        if row.get("dropped_updates"):
            parts.append(f"{row['dropped_updates']} updates dropped so far")
        _logger.info("Epoch %d/%d: %s", row["epoch"], self.epochs, ", ".join(parts))
        self._write_result_log(state.history)

    @property
    def metric_title(self) -> str:
        """What the metric that decides is called in a sentence: the first one."""
        return self.metrics[0] if self.metrics and not self.metrics[0].startswith("Top_1") else "top-1 accuracy"

    def _write_result_log(self, history: list[dict[str, float]]) -> None:
        """Rewrites the table, so that a resumed run has no lost or doubled row."""
        header = ["Epoch", "TrainLoss", *self.metrics, "TrainTime", "EvalTime", "TotalTime"]
        lines = ["".join(f"{title:<{_COLUMN}}" for title in header).rstrip()]
        for row in history:
            metrics = [f"{row[name]:.6f}" if name in row else "-" for name in self.metrics]
            times = [f"{row.get(name, 0.0):.2f}" for name in ("train_s", "eval_s", "total_s")]
            cells = [str(row["epoch"]), f"{row['loss']:.6f}", *metrics, *times]
            lines.append("".join(f"{cell:<{_COLUMN}}" for cell in cells).rstrip())
        path = self.folder / RESULT_LOG
        with self.rule.writing(path), atomic_write(path, "w") as file:
            file.write("\n".join(lines) + "\n")

    def close_bar(self) -> None:
        """Takes the progress bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def end_run(self, saver: CheckpointSaver | None, state: TrainState) -> None:
        """The run is complete: says where everything is and how to evaluate it."""
        if not self.is_master or saver is None:
            return
        peak = peak_memory_mb()
        dropped = state.history[-1].get("dropped_updates") if state.history else None
        of_updates = {} if dropped is None else {"dropped_updates": dropped}
        self.event("run_end", best_metric=state.best_metric, best_epoch=state.best_epoch, **of_updates, **peak)
        if dropped:
            _logger.info("Dropped updates: %d, as their gradients were not finite", dropped)
        if state.best_metric is not None:
            _logger.info("Best %s: %.2f %% in epoch %d", self.metric_title, 100 * state.best_metric, state.best_epoch)
        is_best_there = state.best_metric is not None and saver.best_path.exists()
        best = saver.best_path if is_best_there else saver.last_path or saver.best_path
        _logger.info("Checkpoints: %s, last: %s", best, saver.last_path)
        _logger.info("Logs: %s, %s", self.folder / RESULT_LOG, self.folder / EVENT_LOG)
        if self._board:
            _logger.info("TensorBoard: tensorboard --logdir %s", self.folder / TENSORBOARD)
        of_whom = " of rank 0" if world_size() > 1 else ""
        figures = ", ".join(f"{name.removesuffix('_peak_mb')} {value:.0f} MB" for name, value in peak.items())
        _logger.info("Peak memory%s: %s", of_whom, figures)
        _logger.info("Resolved config: %s", self.folder / RUN_CONFIG)
        _tell_how_to_evaluate(self.folder / RUN_CONFIG, best)

    def close(self) -> None:
        """Nothing more will be told."""
        self.close_bar()
        if self._board:
            with self._writing_board():
                self._board.close()
        if self._events:
            self._events.close()


def tell_finished(
    folder: Path, model_name: str, checkpoint: Path, state: TrainState, epochs: int, recipe: str | None
) -> None:
    """A run that is resumed has nothing left to do: says so, and how to evaluate what there is.

    Args:
        folder: The run's folder.
        model_name: First part of its files' names.
        checkpoint: What it would go on from; its best one is used in its place where there is one.
        state: Where it stands.
        epochs: How many epochs are wanted.
        recipe: The recipe that was given, used where no run has left its config.
    """
    _logger.info(
        "nothing is left to do: the run has made %d epochs and epoch_size is %d; a larger one goes on, with the "
        "schedule as it was",
        *(state.epoch, epochs),
    )
    best = folder / best_name(model_name)
    if state.best_metric is not None and best.is_file() and checkpoint.parent.resolve() == folder.resolve():
        checkpoint = best
    configs = [folder / RUN_CONFIG, checkpoint.parent / RUN_CONFIG, Path(recipe or RUN_CONFIG)]
    _tell_how_to_evaluate(next((path for path in configs if path.is_file()), configs[-1]), checkpoint)


def _tell_how_to_evaluate(config: Path, checkpoint: Path) -> None:
    _logger.info("Evaluate with: %s -c %s --ckpt_path %s", command_for("validate"), quoted(config), quoted(checkpoint))


def _fitting(figures: list[tuple[int, str]], room: int | None) -> str:
    """Returns the figures with commas between them; as many as there is room for, those of low numbers first."""
    kept = sorted(figures)
    while room is not None and len(kept) > 1 and len(", ".join(text for _, text in kept)) > room:
        kept.pop()
    return ", ".join(text for number, text in figures if (number, text) in kept)


def _has_terminal() -> bool:
    """Whether stderr is a terminal that a bar can be drawn on; one that a container gives may be of size 0."""
    return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0


def _clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
