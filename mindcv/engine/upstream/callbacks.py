"""Upstream's callbacks for `mindspore.train.Model`: logs, evaluation and checkpoints while users' scripts train."""

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype
from mindspore.train import Callback, Model, RunContext

from ...utils.fs import require_directory
from ...utils.registry import unknown_name_message
from ...weights.locations import optimizer_path
from ..checkpoint import TrainState, save_cell
from ..distributed import average_batch_norm, rank, sum_over_ranks, world_size
from ..ema import averaged_weights
from ..finite import name_unused, require_finite
from ..report import EVENT_LOG, RunReporter
from ..train_step import TrainStep
from .checkpoint_manager import CheckpointManager

_logger = logging.getLogger(__name__)

__all__ = ["StateMonitor", "ValCallback"]


class StateMonitor(Callback):
    """Logs losses, evaluates after epochs and saves checkpoints: what `Trainer` does, for scripts with `Model.train`.

    It writes, on rank 0, into `ckpt_save_dir`: `result.log` (one row an epoch), `<model>-<epoch>_<step>.ckpt` as
    `ckpt_save_policy` says, `<model>_best.ckpt` and `optim_<model>.ckpt`; each is there whole or not at all.

    Args:
        model: What trains, from `create_trainer`, or any `Model`.
        model_name: First part of the checkpoints' names.
        model_ema: Evaluate the moving average that `TrainStep(ema=True)` keeps, not the weights.
        last_epoch: Epochs that an earlier run has made; this one counts on from there.
        dataset_sink_mode: As given to `Model.train`, which tells by itself. With it only an epoch's last loss is seen.
        dataset_val: What to evaluate; None: nothing.
        metric_name: Metrics of `model` to report; the first decides which epoch is best.
        val_interval: Evaluate every so many epochs.
        val_start_epoch: The first epoch to evaluate after.
        save_best_ckpt: Keep the checkpoint of the best epoch.
        ckpt_save_dir: The run's folder; it is made when it is not there.
        ckpt_save_interval: Save after every so many epochs; the last one always.
        ckpt_save_policy: None keeps all checkpoints, top_k those with the highest metric, latest_k the newest.
        ckpt_keep_max: How many to keep.
        summary_dir: Folder of the event log, `log.jsonl`.
        log_interval: Steps between log lines.
        rank_id: This process's rank; None: found out.
        device_num: How many processes train together; None: found out.

    Raises:
        ValueError: A folder cannot be written to, the policy is unknown, or top_k has nothing to evaluate.
    """

    def __init__(
        self,
        model: Model,
        model_name: str = "",
        model_ema: bool = False,
        last_epoch: int = 0,
        dataset_sink_mode: bool = True,
        dataset_val: Any = None,
        metric_name: Sequence[str] = ("accuracy",),
        val_interval: int = 1,
        val_start_epoch: int = 1,
        save_best_ckpt: bool = True,
        ckpt_save_dir: str | os.PathLike[str] = "./",
        ckpt_save_interval: int = 1,
        ckpt_save_policy: str | None = None,
        ckpt_keep_max: int = 10,
        summary_dir: str | os.PathLike[str] = "./",
        log_interval: int = 100,
        rank_id: int | None = None,
        device_num: int | None = None,
    ) -> None:
        super().__init__()
        if ckpt_save_policy == "top_k" and dataset_val is None:
            raise ValueError("ckpt_save_policy top_k needs a metric, but dataset_val is None; turn on val_while_train")
        self.model = model
        self.model_name = model_name
        self.model_ema = model_ema
        self.last_epoch = last_epoch
        self.dataset_sink_mode = dataset_sink_mode
        self.dataset_val = dataset_val
        self.metric_name = list(metric_name)
        self.val_interval = val_interval
        self.val_start_epoch = val_start_epoch
        self.save_best_ckpt = save_best_ckpt
        self.ckpt_save_dir = require_directory(ckpt_save_dir, "ckpt_save_dir")
        self.ckpt_save_interval = ckpt_save_interval
        self.ckpt_keep_max = ckpt_keep_max
        self.ckpt_manager = CheckpointManager(ckpt_save_policy)
        self.summary_dir = require_directory(summary_dir, "summary_dir")
        self.log_interval = max(log_interval, 1)
        self.is_master = (rank() if rank_id is None else rank_id) == 0
        self.device_num = device_num or world_size()
        self.state, self._log_bytes = self._earlier_run()
        self._reporter: RunReporter
        self._at_exit = contextlib.ExitStack()

    def __exit__(self, *exc_info: Any) -> None:
        self._at_exit.close()

    @property
    def best_res(self) -> float:
        """The best value of the first metric until now; 0 before the first evaluation."""
        return self.state.best_metric or 0.0

    @property
    def best_epoch(self) -> int:
        """The epoch of `best_res`; -1 before the first evaluation."""
        return -1 if self.state.best_epoch is None else self.state.best_epoch

    def on_train_begin(self, run_context: RunContext) -> None:
        params = run_context.original_args()
        images_per_step = params.train_dataset.get_batch_size() * self.device_num
        self._reporter = RunReporter(
            self.ckpt_save_dir,
            self.last_epoch + params.epoch_num,
            images_per_step,
            self.log_interval,
            self.metric_name if self.dataset_val is not None else [],
            self.is_master,
            event_folder=self.summary_dir,
            log_bytes=self._log_bytes,
        )
        self._at_exit.callback(self._reporter.close)
        self.state.global_step = self.last_epoch * params.batch_num

    def on_train_epoch_begin(self, run_context: RunContext) -> None:
        params = run_context.original_args()
        self.state.step = 0
        self._pending: list[Any] = []
        self._losses: list[float] = []
        self._data_wait_s = 0.0
        self._epoch_begin = self._last_step_end = time.perf_counter()
        self._reporter.begin_epoch(self.state.epoch + 1, params.batch_num, self.state)

    def on_train_step_begin(self, run_context: RunContext) -> None:
        self._data_wait_s += time.perf_counter() - self._last_step_end

    def on_train_step_end(self, run_context: RunContext) -> None:
        params = run_context.original_args()
        self.state.step = (params.cur_step_num - 1) % params.batch_num + 1
        self.state.global_step = self.last_epoch * params.batch_num + params.cur_step_num
        self._pending.append(params.net_outputs)
        if self.state.step % self.log_interval == 0 or self.state.step in (1, params.batch_num):
            losses = [_loss_of(outputs) for outputs in self._pending]
            self._pending.clear()
            self._losses += losses
            rate = _last_rate(_optimizer(params))
            self._reporter.step(self.state, losses, rate, self._data_wait_s, dropped_updates=_dropped_updates(params))
        self._last_step_end = time.perf_counter()

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        params = run_context.original_args()
        average_batch_norm(_train_cell(params))
        require_finite(_train_cell(params), f"at the end of epoch {self.state.epoch + 1}")
        self.state.epoch, self.state.step = self.state.epoch + 1, 0
        epoch = self.state.epoch
        train_s = time.perf_counter() - self._epoch_begin
        row = {
            "epoch": epoch,
            "steps": params.batch_num,
            "loss": math.fsum(self._losses) / len(self._losses),
            "lr": _last_rate(_optimizer(params)),
            "train_s": train_s,
            "data_wait_s": self._data_wait_s,
            "images_per_s": params.batch_num * self._reporter.images_per_step / train_s,
        }
        dropped = _dropped_updates(params)
        if dropped is not None:
            row["dropped_updates"] = dropped
        metric = None
        since_start = epoch - self.val_start_epoch
        if self.dataset_val is not None and since_start >= 0 and since_start % self.val_interval == 0:
            begin = time.perf_counter()
            row.update(self.apply_eval(run_context))
            row["eval_s"] = time.perf_counter() - begin
            metric = row[self.metric_name[0]]
            self._note_best(metric, params)
        row["total_s"] = row["train_s"] + row.get("eval_s", 0.0)
        self.state.history.append(row)
        is_last = params.cur_epoch_num == params.epoch_num
        if self.is_master and (epoch % self.ckpt_save_interval == 0 or is_last):
            self._save(metric, params)
        self._reporter.end_epoch(row, self.state)

    def on_train_end(self, run_context: RunContext) -> None:
        if self.state.best_metric is not None:
            best = f"{self.metric_name[0]} {self.state.best_metric:.4%} after epoch {self.state.best_epoch}"
            _logger.info("Finished training; the best validation was %s", best)
        else:
            _logger.info("Finished training")
        step = _train_cell(run_context.original_args())
        if isinstance(step, TrainStep):
            name_unused(step, self.state.global_step)

    def apply_eval(self, run_context: RunContext) -> dict[str, float]:
        """Evaluates, and returns the metrics over all ranks' samples by name.

        Raises:
            ValueError: The model has no such metric, or there is nothing to evaluate.
        """
        step = _train_cell(run_context.original_args())
        if self.model_ema and not isinstance(step, TrainStep):
            raise ValueError("model_ema needs a model that trains with TrainStep(ema=True), as create_trainer makes it")
        count = _SampleCount()
        with averaged_weights(step) if self.model_ema else contextlib.nullcontext():
            results = self.model.eval(self.dataset_val, callbacks=[count], dataset_sink_mode=False)
        unknown = [name for name in self.metric_name if name not in results]
        if unknown:
            raise ValueError(unknown_name_message("metric_name", unknown[0], results))
        # A rank's accuracy times its samples is its number of hits, so that the result is exact for uneven ranks too.
        sums = sum_over_ranks([count.samples, *(float(results[name]) * count.samples for name in self.metric_name)])
        if sums[0] == 0:
            raise ValueError("there are no images to evaluate; look at dataset_val")
        return dict(zip(self.metric_name, (sums[1:] / sums[0]).tolist(), strict=True))

    def _note_best(self, metric: float, params: Any) -> None:
        if self.state.best_metric is not None and metric <= self.state.best_metric:
            return
        self.state.best_metric, self.state.best_epoch = metric, self.state.epoch
        if self.is_master and self.save_best_ckpt:
            save_cell(_train_cell(params), self.ckpt_save_dir / f"{self.model_name}_best.ckpt")

    def _save(self, metric: float | None, params: Any) -> None:
        save_cell(_optimizer(params), optimizer_path(self.ckpt_save_dir, self.model_name))
        path = self.ckpt_save_dir / f"{self.model_name}-{self.state.epoch}_{params.batch_num}.ckpt"
        # An epoch that was not evaluated is among the top k only while there are fewer.
        metric = -math.inf if metric is None else metric
        self.ckpt_manager.save_ckpoint(_train_cell(params), self.ckpt_keep_max, metric, os.fspath(path))
        self._reporter.event("checkpoint", path=os.fspath(path), epoch=self.state.epoch, step=0)

    def _earlier_run(self) -> tuple[TrainState, int | None]:
        """State after `last_epoch`, and how many bytes of the event log are of the run until then; None: a new log."""
        state, kept, end = TrainState(epoch=self.last_epoch), None, 0
        path = self.summary_dir / EVENT_LOG
        if self.last_epoch == 0 or not path.is_file():
            return state, None
        for line in path.read_bytes().splitlines(keepends=True):
            end += len(line)
            # Only the last line can be torn, and it is not of an epoch that is complete.
            event: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {"event": None}
            if event["event"] == "epoch" and event["epoch"] <= self.last_epoch:
                state.history.append(event)
                state.best_metric, state.best_epoch = event["best_metric"], event["best_epoch"]
                kept = end
        return state, kept


class ValCallback(Callback):
    """Logs how far an evaluation is.

    Args:
        log_interval: Batches between log lines.
    """

    def __init__(self, log_interval: int = 100) -> None:
        super().__init__()
        self.log_interval = max(log_interval, 1)
        self._begin = time.perf_counter()

    def on_eval_step_end(self, run_context: RunContext) -> None:
        params = run_context.original_args()
        if params.cur_step_num % self.log_interval == 0 or params.cur_step_num == params.batch_num:
            now = time.perf_counter()
            _logger.info("Batch: [%d/%d], time: %.3f s", params.cur_step_num, params.batch_num, now - self._begin)
            self._begin = now


class _SampleCount(Callback):
    """Counts the samples of an evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.samples = 0

    def on_eval_step_end(self, run_context: RunContext) -> None:
        self.samples += len(run_context.original_args().eval_dataset_element[0])


def _train_cell(params: Any) -> nn.Cell:
    """The training step; data sinking wraps it in a cell of MindSpore's."""
    cell = params.train_network
    return cell if hasattr(cell, "optimizer") else cell.network


def _dropped_updates(params: Any) -> int | None:
    """How many updates were dropped; None where none is looked at."""
    step = _train_cell(params)
    return step.dropped_updates if isinstance(step, TrainStep) and step.checks_overflow else None


def _optimizer(params: Any) -> nn.Optimizer:
    return params.optimizer if params.optimizer is not None else _train_cell(params).optimizer


def _loss_of(outputs: Any) -> float:
    """The loss from what a training step gives: the loss, or a tuple that begins with it."""
    loss = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
    return float(np.mean(loss.asnumpy()))


def _last_rate(optimizer: nn.Optimizer) -> float:
    """The learning rate of the last update; of the first group when groups have their own."""
    rate = optimizer.learning_rate[0] if optimizer.is_group_lr else optimizer.learning_rate
    if isinstance(rate, nn.Cell):
        last_update = max(int(optimizer.global_step.asnumpy()[0]) - 1, 0)
        if hasattr(optimizer, "last_rate"):  # ours stay at the last one
            last_update = min(last_update, int(optimizer.last_rate.asnumpy()[0]))
        rate = rate(Tensor([last_update], mstype.int32))
    return float(rate.asnumpy().reshape(-1)[0])
