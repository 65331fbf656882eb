"""Trains a model: config -> data -> model -> schedule -> optimizer and loss -> resume -> trainer."""

import logging
from collections.abc import Callable
from pathlib import Path

import mindspore as ms

from . import engine
from ._version import __version__
from .build import (
    build_class_weights,
    build_compile_cache,
    build_eval_loader,
    build_evaluator,
    build_feed,
    build_learning_rates,
    build_network,
    build_saver,
    build_step,
    build_train_loader,
    check_head,
    check_loss,
    check_resumed_rates,
    find_outputs,
    get_outputs,
    warn_of_ignored_keys,
)
from .config import Config, save_args, summary
from .data import (
    DataFingerprint,
    batch_names,
    fingerprint,
    get_samples,
    pipeline_errors,
    save_class_names,
)
from .export.source import with_preprocess
from .report import points_of_schedule, report_of_run
from .teacher import build_teacher
from .utils.fs import local_path, require_directory
from .utils.imports import import_modules
from .utils.log import set_logger
from .utils.modelarts import copy_inputs, outputs_copied
from .utils.runtime import environment
from .utils.writing import WriteRule
from .weights.locations import optimizer_path

__all__ = ["main", "train"]

_logger = logging.getLogger(__name__)


def train(cfg: Config) -> engine.TrainState:
    """Trains as the config says and returns where the run ended.

    Raises:
        ValueError, FileNotFoundError: Something the config names is not right; the message says what.
        RunError: Training cannot go on: the loss is not finite, or a checkpoint cannot be written.
        RunStopped: Ctrl-C or SIGTERM; a checkpoint has been saved.
    """
    cfg = cfg.checked()
    import_modules(cfg.imports)
    device = engine.setup_run(cfg.device_target, cfg.mode, cfg.jit_level, cfg.distribute, cfg.seed)
    cfg = copy_inputs(cfg)
    folder = require_directory(cfg.ckpt_save_dir, "ckpt_save_dir")
    with engine.run_folder(folder) as lock, outputs_copied(cfg, engine.rank(), engine.wait_for_ranks) as on_saved:
        return _train(cfg, device, folder, lock.require, on_saved)


def _train(
    cfg: Config, device: str, folder: Path, before_write: Callable[[], None], on_saved: Callable[[], None] | None
) -> engine.TrainState:
    """Trains on a device that is set up; `before_write` and `on_saved` are called around each checkpoint's writing."""
    rank, world_size = engine.rank(), engine.world_size()
    rule = WriteRule(cfg.ckpt_on_error == "stop")
    set_logger("mindcv", output_dir=str(folder), rank=rank, rule=rule)
    cfg = with_preprocess(cfg)
    _logger.info("mindcv %s, MindSpore %s, %s x %d\n%s", __version__, ms.__version__, device, world_size, summary(cfg))

    warn_of_ignored_keys(cfg)
    resumed = None
    if cfg.resume != "none":
        resumed = engine.find_run(folder if cfg.resume == "auto" else cfg.resume, Config().model_dump())
        if resumed and resumed.saved["epoch"] >= cfg.epoch_size:
            return _tell_finished(cfg, folder, resumed.path, engine.TrainState.of(resumed.saved))
    known = find_outputs(cfg, resumed)
    loader, num_classes = build_train_loader(cfg, known)
    outputs = get_outputs(loader, num_classes)
    before = DataFingerprint.from_json(resumed.data) if resumed and resumed.data else None
    data = fingerprint(get_samples(loader), before.sizes_of_every if before else None)
    check_loss(cfg, loader)
    if known is not None and (resumed or cfg.ckpt_path):
        check_head(known, loader, str(resumed.path) if resumed else cfg.ckpt_path)
    steps_per_epoch = loader.get_dataset_size()
    engine.require_same_on_ranks(steps_per_epoch, "the number of steps in an epoch", "look at data_dir on all hosts")
    network = build_network(cfg, num_classes, class_names=outputs.class_names)
    if cfg.parameter_broadcast:
        engine.broadcast_parameters(network.get_parameters())
    else:
        engine.require_same_parameters(network.get_parameters())
    learning_rates = build_learning_rates(cfg, steps_per_epoch)
    class_weights = build_class_weights(cfg, loader, num_classes)
    teacher = build_teacher(cfg, num_classes, outputs.class_names) if cfg.teacher else None
    step = build_step(cfg, network, num_classes, learning_rates, class_weights, teacher)

    state = None
    if resumed:
        arguments = (resumed, cfg.model_dump(), cfg.free_keys(), steps_per_epoch, cfg.resume_force)
        state = engine.resume_run(step, *arguments, data_changes=data.changes_since(before) if before else "")
        check_resumed_rates(cfg, resumed, learning_rates)
        resumed = None  # its arrays are not needed any more
    elif cfg.resume == "none" and cfg.resume_opt:
        state = engine.resume_weights(step, cfg.ckpt_path, optimizer_path(folder, cfg.model), steps_per_epoch)
    done = state.global_step if state else 0
    engine.require_same_on_ranks(done, "the step to go on from", "do all hosts see the same ckpt_save_dir?")

    if state and state.epoch >= cfg.epoch_size:
        return _tell_finished(cfg, folder, local_path(cfg.ckpt_path), state)

    compile_cache = build_compile_cache(cfg, device, engine.can_sink(cfg.dataset_sink_mode, device, cfg.mode))
    evaluator = None
    if cfg.val_while_train:
        eval_loader, _ = build_eval_loader(cfg, outputs)
        evaluator = build_evaluator(cfg, step.network.network, eval_loader, num_classes, compile_cache)
    reporter = engine.RunReporter(
        folder,
        cfg.epoch_size,
        images_per_step=cfg.batch_size * world_size,
        log_interval=cfg.log_interval,
        metrics=evaluator.accuracies if evaluator else [],
        is_master=rank == 0,
        log_bytes=state.log_bytes if state else None,
        tensorboard=cfg.tensorboard,
        rule=rule,
    )
    if rank == 0:
        with rule.writing(folder / "config.yaml"):
            save_args(cfg, folder / "config.yaml")
        with rule.writing(folder / "class_names.txt"):
            save_class_names(loader, folder)
    schedule = engine.Schedule(
        cfg.epoch_size,
        cfg.val_interval,
        cfg.ckpt_save_interval,
        cfg.ckpt_save_steps,
        # Reading a loss waits for an accelerator, so it is read seldom there.
        read_interval=1 if device == "CPU" else cfg.log_interval,
    )
    feed = build_feed(cfg, step, loader, device, state.global_step if state else 0, compile_cache)
    saver = build_saver(
        *(cfg, network, folder, steps_per_epoch, rule, before_write, on_saved), outputs=outputs, data=data
    )
    profiler = engine.StepProfiler(folder / "profile", *cfg.profile) if cfg.profile and rank == 0 else None
    trainer = engine.Trainer(
        *(step, feed, steps_per_epoch, learning_rates, schedule, reporter, saver, evaluator),
        batch_names=lambda epoch, step: batch_names(loader, epoch, step, cfg.batch_size),
        profiler=profiler,
    )

    reporter.event(
        "run_begin",
        steps_per_epoch=steps_per_epoch,
        num_classes=num_classes,
        world_size=world_size,
        device=device,
        environment=environment(),
        schedule=points_of_schedule(learning_rates, cfg.gradient_accumulation_steps / steps_per_epoch),
    )
    with pipeline_errors():
        state = trainer.fit(state)
    engine.wait_for_ranks()
    reporter.end_run(saver, state)
    reporter.close()
    if rank == 0 and cfg.report:
        report_of_run(folder)
    engine.wait_for_ranks()
    return state


def _tell_finished(cfg: Config, folder: Path, checkpoint: Path, state: engine.TrainState) -> engine.TrainState:
    """Says that a run which is resumed has nothing left to do."""
    if engine.rank() == 0:
        engine.tell_finished(folder, cfg.model, checkpoint, state, cfg.epoch_size, cfg.config)
    engine.wait_for_ranks()
    return state


def main(cfg: Config) -> None:
    """Trains."""
    train(cfg)
