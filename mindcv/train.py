"""Trains a model: config -> data -> model -> loss -> schedule -> optimizer -> trainer."""

import logging
from typing import Any

import mindspore as ms
from mindspore import nn

from . import engine
from ._version import __version__
from .config import Config, effective_workers, save_args, summary
from .data import check_num_classes, create_dataset, create_loader, create_transforms, get_num_classes, pipeline_errors
from .optim import create_optimizer
from .scheduler import create_scheduler
from .utils.fs import require_directory
from .utils.log import set_logger
from .validate import build_eval_loader, build_loss, build_network

__all__ = ["main", "train"]

_logger = logging.getLogger(__name__)


def build_train_loader(cfg: Config) -> tuple[Any, int]:
    """Returns the training loader (this rank's part) and the number of classes."""
    workers = effective_workers(cfg)
    dataset = create_dataset(
        cfg.dataset,
        root=cfg.data_dir,
        split=cfg.train_split,
        shuffle=cfg.shuffle,
        num_samples=cfg.num_samples,
        num_shards=engine.world_size(),
        shard_id=engine.rank(),
        num_parallel_workers=workers,
        download=cfg.dataset_download,
        seed=cfg.seed,
        num_aug_repeats=cfg.aug_repeats,
    )
    num_classes = cfg.num_classes or get_num_classes(dataset)
    check_num_classes(dataset, num_classes)
    separate = cfg.aug_splits > 0
    transforms = create_transforms(
        cfg.dataset, is_training=True, separate=separate, **cfg.arguments("create_transforms")
    )
    loader = create_loader(
        dataset,
        cfg.batch_size,
        drop_remainder=cfg.drop_remainder,
        is_training=True,
        mixup=cfg.mixup,
        cutmix=cfg.cutmix,
        cutmix_prob=cfg.cutmix_prob,
        num_classes=num_classes,
        transform=transforms,
        num_parallel_workers=workers,
        separate=separate,
    )
    return loader, num_classes


def build_learning_rates(cfg: Config, steps_per_epoch: int) -> list[float]:
    """Returns one learning rate for each update; with gradient accumulation that is every n-th step's."""
    rates = create_scheduler(steps_per_epoch, num_epochs=cfg.epoch_size, **cfg.arguments("create_scheduler"))
    updates = rates[cfg.gradient_accumulation_steps - 1 :: cfg.gradient_accumulation_steps]
    if not updates:
        raise ValueError(
            f"gradient_accumulation_steps is {cfg.gradient_accumulation_steps}, the run has {len(rates)} steps"
        )
    return updates


def build_step(cfg: Config, network: nn.Cell, learning_rates: list[float]) -> engine.TrainStep:
    """Returns the training step with its optimizer."""
    optimizer = create_optimizer(network, **{**cfg.arguments("create_optimizer"), "lr": learning_rates})
    network = engine.auto_mixed_precision(network, cfg.amp_level, cfg.amp_cast_list)
    is_dynamic = cfg.loss_scale_type == "dynamic"
    return engine.TrainStep(
        engine.LossWithNetwork(network, build_loss(cfg)),
        optimizer,
        engine.LossScale(cfg.loss_scale, dynamic=is_dynamic, drop_overflow=cfg.drop_overflow_update or is_dynamic),
        ema=cfg.ema,
        ema_decay=cfg.ema_decay,
        clip_grad=cfg.clip_grad,
        clip_value=cfg.clip_value,
        gradient_accumulation_steps=cfg.gradient_accumulation_steps,
    )


def train(cfg: Config) -> engine.TrainState:
    """Trains as the config says and returns where the run ended."""
    device = engine.setup_run(cfg.device_target, cfg.mode, cfg.jit_level, cfg.distribute, cfg.seed)
    rank, world_size = engine.rank(), engine.world_size()
    folder = require_directory(cfg.ckpt_save_dir, "ckpt_save_dir")
    set_logger("mindcv", output_dir=str(folder), rank=rank)
    _logger.info("mindcv %s, MindSpore %s, %s x %d\n%s", __version__, ms.__version__, device, world_size, summary(cfg))

    loader, num_classes = build_train_loader(cfg)
    steps_per_epoch = loader.get_dataset_size()
    network = build_network(cfg, num_classes)
    engine.broadcast_parameters(network.get_parameters())
    learning_rates = build_learning_rates(cfg, steps_per_epoch)
    step = build_step(cfg, network, learning_rates)
    state = engine.TrainState()
    if cfg.resume_opt:
        state = engine.resume_state(step, cfg.ckpt_path, folder / f"optim_{cfg.model}.ckpt", steps_per_epoch)

    evaluator, metrics = None, []
    if cfg.val_while_train:
        eval_loader, _ = build_eval_loader(cfg, cfg.batch_size)
        evaluator = engine.Evaluator(step.network.network, step.network.loss, eval_loader, num_classes, cfg.batch_size)
        metrics = list(evaluator.accuracies)
    reporter = engine.RunReporter(
        folder, cfg.epoch_size, cfg.batch_size * world_size, cfg.log_interval, metrics, rank == 0
    )
    saver = None
    if rank == 0:
        save_args(cfg, folder / "config.yaml")
        run_info = {"config": cfg.model_dump(), "versions": {"mindcv": __version__, "mindspore": ms.__version__}}
        saver = engine.CheckpointSaver(folder, cfg.model, cfg.ckpt_save_policy, cfg.keep_checkpoint_max, run_info)
    # Reading a loss waits for an accelerator, so it is read seldom there.
    read_interval = 1 if device == "CPU" else cfg.log_interval
    schedule = engine.Schedule(cfg.epoch_size, cfg.val_interval, cfg.ckpt_save_interval, read_interval)
    feed = engine.create_feed(step, loader, cfg.epoch_size, state.global_step, cfg.dataset_sink_mode, device, cfg.mode)
    trainer = engine.Trainer(step, feed, steps_per_epoch, learning_rates, schedule, reporter, saver, evaluator)

    reporter.event("run_begin", steps_per_epoch=steps_per_epoch, num_classes=num_classes, world_size=world_size)
    with pipeline_errors():
        state = trainer.fit(state)
    if saver:
        reporter.end_run(saver, state)
    reporter.close()
    return state


def main(cfg: Config) -> None:
    """Trains."""
    train(cfg)
