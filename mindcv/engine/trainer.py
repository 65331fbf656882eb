"""The training loop."""

import dataclasses
import logging
import math
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..utils.errors import RunError, RunStopped
from ..utils.fs import atomic_write
from ..utils.text import line_of
from .checkpoint import CheckpointSaver, TrainState
from .checkpoint_list import new_run_id
from .distributed import average_batch_norm, average_gradients, mean_over_ranks, rank, wait_for_ranks, world_size
from .ema import averaged_weights
from .evaluator import Evaluator
from .finite import name_unused, require_finite
from .profile import StepProfiler
from .report import RunReporter
from .signals import StopSignal, keep_handlers
from .train_step import TrainStep

_logger = logging.getLogger(__name__)

__all__ = ["Schedule", "Trainer"]

# So many losses in a row may overflow before a step that drops overflows is called broken.
_MAX_OVERFLOWS_IN_A_ROW = 50

NON_FINITE_BATCH = "non_finite_batch.txt"
_MOST_NAMED = 8


@dataclasses.dataclass(frozen=True)
class Schedule:
    """What happens when.

    Attributes:
        epochs: Passes over the training data in all.
        val_interval: Evaluate after every so many epochs; the last one always.
        save_interval: Save after every so many epochs; the last one always.
        save_steps: Save after every so many steps of the run as well; None for epochs only.
        read_interval: Read the loss from the device after every so many steps. Reading waits for the device.
    """

    epochs: int
    val_interval: int = 1
    save_interval: int = 1
    save_steps: int | None = None
    read_interval: int = 1

    def is_due(self, interval: int, epoch: int) -> bool:
        """Whether something with that interval is due after `epoch` (from 1)."""
        return epoch % interval == 0 or epoch == self.epochs

    def is_save_step(self, global_step: int) -> bool:
        """Whether a checkpoint is due after that step of the run (from 1)."""
        return bool(self.save_steps and global_step % self.save_steps == 0)


class Trainer:
    """Trains, evaluates and saves until the epochs are done.

    Args:
        step: The training step.
        feed: Runs the step on the next batch.
        steps_per_epoch: Batches in an epoch.
        learning_rates: One for each update of the run.
        schedule: What happens when.
        reporter: Tells the user and the logs.
        saver: Writes checkpoints; None on ranks that write none.
        evaluator: Evaluates; None for none.
        metric: Name of the metric that decides which checkpoint is best. Empty: the evaluator's.
        batch_names: Called with an epoch and a step of it, both from 0; returns what the samples of that batch are
            called, for when its loss is not finite. None: nothing is said of them.
        profiler: Records some steps; None for none.
    """

    def __init__(
        self,
        step: TrainStep,
        feed: Any,
        steps_per_epoch: int,
        learning_rates: Sequence[float],
        schedule: Schedule,
        reporter: RunReporter,
        saver: CheckpointSaver | None = None,
        evaluator: Evaluator | None = None,
        metric: str = "",
        batch_names: Callable[[int, int], list[str]] | None = None,
        profiler: StepProfiler | None = None,
    ) -> None:
        self.step = step
        self.feed = feed
        self.steps_per_epoch = steps_per_epoch
        self.learning_rates = learning_rates
        self.schedule = schedule
        self.reporter = reporter
        self.saver = saver
        self.evaluator = evaluator
        self.metric = metric or (evaluator.metric if evaluator else "")
        self.batch_names = batch_names
        self.profiler = profiler
        self._has_run_a_step = False
        self._overflows_in_a_row = 0
        self._finite_at = -1

    def fit(self, state: TrainState | None = None) -> TrainState:
        """Trains from `state` (from the start when None) to the last epoch and returns where it ended.

        Raises:
            RunError: The loss, a weight, a statistic or an average is not finite, or most updates were dropped.
            RunStopped: Ctrl-C or SIGTERM; a checkpoint has been saved.
        """
        state = state or TrainState()
        if not state.global_step:
            state.run_id = new_run_id()
        if self.saver:
            self.saver.begin(state)
        with StopSignal().watching() as stop:
            while state.epoch < self.schedule.epochs:
                row = self._train_epoch(state, stop)
                is_saved = self.schedule.is_due(self.schedule.save_interval, state.epoch + 1)
                is_saved = is_saved or self.schedule.is_save_step(state.global_step)
                if self.evaluator and self.schedule.is_due(self.schedule.val_interval, state.epoch + 1):
                    if is_saved:
                        # An evaluation may fail, by an image that cannot be read; the epoch is not lost then. What is
                        # saved after it, with its figures, takes the place of this file.
                        self._save(state, None)
                    self._evaluate(self.evaluator, state, row, stop)
                row["total_s"] = row["train_s"] + row.get("eval_s", 0.0)
                state.finish_epoch(row)
                self.reporter.end_epoch(row, state)
                if is_saved:
                    self._save(state, row.get(self.metric))
                if state.epoch < self.schedule.epochs:
                    self._stop_if_asked(stop.agree(), state, is_saved)
        self._finish(state)
        name_unused(self.step, state.global_step)
        return state

    def _train_epoch(self, state: TrainState, stop: StopSignal) -> dict[str, float]:
        """Runs the batches that are left of the epoch and returns its figures."""
        self.step.set_train(True)
        self.reporter.begin_epoch(state.epoch + 1, self.steps_per_epoch, state)
        if state.step < self.steps_per_epoch:
            self.feed.begin_epoch(state.epoch, state.step)
        wait_before, seconds_before = self.feed.wait_s, state.train_s
        steps_before, dropped_before = state.step, self.step.dropped_updates
        begin = time.perf_counter()
        pending = []
        while state.step < self.steps_per_epoch:
            if self.profiler:
                self.profiler.begin_step(state.global_step + 1)
            pending.append(self.feed.run_step())
            state.step += 1
            state.global_step += 1
            if self.profiler:
                self.profiler.end_step(state.global_step, pending[-1])
            keep_handlers()
            is_last = state.step == self.steps_per_epoch
            is_saved = self.schedule.is_save_step(state.global_step)
            # Ranks must stop at the same step, so with several a signal waits until all of them look for one.
            is_asked = stop.number is not None and world_size() == 1
            # The first one is read at once, so that its time, with the compilation, is known.
            is_due = not self._has_run_a_step or state.step % self.schedule.read_interval == 0
            self._has_run_a_step = True
            if is_last or is_saved or is_asked or is_due:
                losses = mean_over_ranks(self._read_losses(pending, state))
                keep_handlers()
                pending.clear()
                for loss in losses:
                    if math.isfinite(loss):
                        state.loss_sum += loss
                    else:
                        state.lost_steps += 1
                state.train_s = seconds_before + time.perf_counter() - begin
                self.reporter.step(
                    *(state, losses, self._learning_rate(state), self.feed.wait_s - wait_before),
                    dropped_updates=self._dropped_updates(),
                )
                if is_saved and not is_last:
                    self._save(state, None)
                self._stop_if_asked(stop.agree(), state, is_saved and not is_last)
        row = {
            "epoch": state.epoch + 1,
            "steps": self.steps_per_epoch,
            "loss": state.mean_loss,
            "lr": self._learning_rate(state),
            "train_s": state.train_s,
            "data_wait_s": self.feed.wait_s - wait_before,
            "images_per_s": self.steps_per_epoch * self.reporter.images_per_step / state.train_s,
        }
        dropped = self._dropped_updates()
        if dropped is None:
            return row
        updates = (self.steps_per_epoch - steps_before) // self.step.accumulation_steps
        if 2 * (dropped - dropped_before) > updates:
            _logger.warning(
                "%d of %d updates were dropped: their gradients were not finite", dropped - dropped_before, updates
            )
        return {**row, "dropped_updates": dropped}

    def _dropped_updates(self) -> int | None:
        """How many updates of the run were dropped; None where none is looked at."""
        return self.step.dropped_updates if self.step.checks_overflow else None

    def _require_finite(self, state: TrainState, what_is_next: str) -> None:
        """Looked at once for each step, whatever comes after it."""
        if self._finite_at != state.global_step:
            require_finite(self.step, f"{_position(state)}, before {what_is_next}")
            self._finite_at = state.global_step

    def _learning_rate(self, state: TrainState, back: int = 0) -> float:
        """The learning rate of the last step, or of so many steps before."""
        update = (state.global_step - back - 1) // self.step.accumulation_steps
        return self.learning_rates[min(max(update, 0), len(self.learning_rates) - 1)]

    def _read_losses(self, pending: list[Any], state: TrainState) -> list[float]:
        """Waits for this rank's losses. One that is not finite ends the run, but for a few if overflows are dropped."""
        losses = [float(loss.asnumpy()) for loss in pending]
        for back, loss in zip(range(len(losses) - 1, -1, -1), losses, strict=True):
            if math.isfinite(loss):
                self._overflows_in_a_row = 0
                continue
            self._overflows_in_a_row += 1
            if self.step.checks_overflow and self._overflows_in_a_row < _MAX_OVERFLOWS_IN_A_ROW:
                continue
            scale = float(self.step.loss_scale.asnumpy()) if self.step.is_scaled else 1.0
            step, rate = state.step - back, self._learning_rate(state, back)
            raise RunError(
                f"the loss is {loss} at epoch {state.epoch + 1}, step {step} (learning rate {rate:.3g}, "
                f"loss scale {scale:g}){self._batch(state.epoch, step)}; lower lr or set clip_grad"
            )
        return losses

    def _batch(self, epoch: int, step: int) -> str:
        """Says which samples a batch (from 1) has, and writes all of them into a file."""
        if self.batch_names is None:
            return ""
        names = self.batch_names(epoch, step - 1)
        path = self.reporter.folder / (NON_FINITE_BATCH if rank() == 0 else f"rank_{rank()}_{NON_FINITE_BATCH}")
        try:
            with atomic_write(path) as file:
                file.writelines(line_of(name) for name in names)
            listed = f"listed in {path}"
        except OSError as error:  # of the two faults the loss is what ends the run
            listed = f"whose list could not be written to {path} ({error.strerror})"
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        return f" with the batch {', '.join(names[:_MOST_NAMED])}{more}, {listed}"

    def _evaluate(self, evaluator: Evaluator, state: TrainState, row: dict[str, float], stop: StopSignal) -> None:
        """Adds the validation figures to the epoch's row and notes whether it is the best."""
        begin = time.perf_counter()
        average_batch_norm(self.step)
        self._require_finite(state, "the evaluation")
        with averaged_weights(self.step):
            # All ranks take part in the sums at the end, so with several an evaluation is not cut short.
            result = evaluator.run(self.reporter.show_progress, lambda: stop.number is not None and world_size() == 1)
        if result is None:
            self._stop_if_asked(stop.number, state)
            return
        row.update({name: result[name] for name in evaluator.accuracies})
        row.update(val_loss=result["loss"], val_samples=result["num_samples"], eval_s=time.perf_counter() - begin)
        value = row[self.metric]
        if state.best_metric is None or value > state.best_metric:
            state.best_metric, state.best_epoch = value, state.epoch + 1
            if self.saver:
                self.saver.save_best(evaluator.network, self.step)

    def _save(self, state: TrainState, metric: float | None) -> None:
        average_batch_norm(self.step)
        if state.global_step % self.step.accumulation_steps:
            average_gradients(self.step.accumulated)
        self._require_finite(state, "the checkpoint")
        if self.saver is None:
            return
        event = {"file": self.saver.path_of(state).name, "epoch": state.epoch, "step": state.step}
        if self.step.waiting_batches:
            event["accumulated_batches"] = self.step.waiting_batches
        self.reporter.event("checkpoint", **event)
        # What the log says beyond this is told again by a run that goes on from here.
        state.log_bytes = self.reporter.log_bytes()
        self.saver.save(self.step, state, metric)

    def _finish(self, state: TrainState) -> None:
        """Waits for the checkpoint that is being written and closes the profile."""
        if self.saver:
            self.saver.finish()
        if self.profiler:
            self.profiler.close(state.global_step)

    def _stop_if_asked(self, signum: int | None, state: TrainState, is_saved: bool = False) -> None:
        """Ends the run after a signal, saved at this very step."""
        if signum is None:
            return
        if not is_saved:
            self._save(state, None)
        self._finish(state)
        # A launcher that sees one rank end kills the others, also one that is still saving.
        wait_for_ranks()
        self.reporter.close_bar()
        kept = f"; saved {self.saver.last_path}" if self.saver else ""
        raise RunStopped(f"stopped by {signal.Signals(signum).name} {_position(state)}{kept}", 128 + signum)


def _position(state: TrainState) -> str:
    return f"at epoch {state.epoch + 1}, step {state.step}" if state.step else f"at the end of epoch {state.epoch}"
