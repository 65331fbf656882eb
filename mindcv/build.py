"""The parts of a run, each built by its factory from the config: data, model, loss, optimizer, feed, checkpoints."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from . import engine
from ._version import __version__
from .config import Config
from .config.render import format_value
from .config.schema import KEYS, OptimizerKeys, ScheduleKeys
from .data import (
    EvalPreprocess,
    Part,
    check_num_classes,
    create_dataset,
    create_loader,
    create_transforms,
    divide,
    epoch_batches,
    get_num_classes,
    get_samples,
)
from .loss import create_loss
from .models._from_config import build_network
from .models._loading import checkpoint_marks
from .optim import create_optimizer, optimizer_arguments
from .scheduler import create_scheduler, scheduler_arguments

__all__ = [
    "build_eval_loader",
    "build_evaluator",
    "build_feed",
    "build_learning_rates",
    "build_loss",
    "build_network",
    "build_saver",
    "build_step",
    "build_train_loader",
    "prepare_network",
    "warn_of_ignored_keys",
]

_logger = logging.getLogger(__name__)


def warn_of_ignored_keys(cfg: Config) -> None:
    """Says in one line each which keys, not at their defaults, the chosen schedule and optimizer do not use."""
    for section, choice, used in (
        (ScheduleKeys, f"scheduler {cfg.scheduler}", scheduler_arguments(cfg.scheduler)),
        (OptimizerKeys, f"opt {cfg.opt}", optimizer_arguments(cfg.opt)),
    ):
        ignored = [
            f"{name}: {format_value(getattr(cfg, name))}"
            for name in section.model_fields
            if KEYS[name].keyword not in used and getattr(cfg, name) != KEYS[name].default
        ]
        if ignored:
            _logger.warning("%s does not use %s", choice, ", ".join(ignored))


def build_train_loader(cfg: Config) -> tuple[Any, int]:
    """Returns the training loader (this rank's part) and the number of classes."""
    split, part = _splits(cfg)[0]
    dataset, num_classes = _build_dataset(
        cfg,
        split,
        part=part,
        shuffle=cfg.shuffle,
        num_samples=cfg.num_samples,
        num_aug_repeats=cfg.aug_repeats,
        sampler=cfg.sampler,
        bad_samples=cfg.bad_samples or "replace",
        bad_samples_file=Path(cfg.ckpt_save_dir) / "bad_samples.tsv",
    )
    _require_classes(dataset, num_classes, cfg)
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
        num_parallel_workers=cfg.num_parallel_workers,
        separate=separate,
        mix_on_device=cfg.normalize_on_device,
    )
    return loader, num_classes


def _require_classes(dataset: Any, num_classes: int, cfg: Config) -> None:
    """Refuses to train on one class, which any network gets right, and warns when all images are of one.

    Raises:
        ValueError: There is one class.
    """
    samples = get_samples(dataset)
    if samples is None or samples.labels.ndim != 1:
        return
    where = f"the training data in {cfg.data_dir} ({cfg.train_split})"
    if num_classes == 1:
        raise ValueError(
            f"{where} has 1 class, so that every answer is right; training needs 2 or more: a folder for each class"
        )
    if len(np.unique(samples.labels)) == 1:
        _logger.warning(
            "all images of %s are of one class out of %d: loss 0 and accuracy 1 will mean nothing", where, num_classes
        )


def build_eval_loader(cfg: Config) -> tuple[Any, int]:
    """Returns the validation loader (this rank's part of it, each sample once) and the number of classes."""
    split, part = _splits(cfg)[1]
    # A sample in another one's place would count twice.
    bad_samples = "skip" if cfg.bad_samples == "replace" else cfg.bad_samples or "error"
    dataset, num_classes = _build_dataset(
        cfg,
        split,
        part=part,
        shuffle=cfg.eval_shuffle,
        shard_batch=cfg.batch_size,
        bad_samples=bad_samples,
        # A split that lacks a class of the training split must not number the others anew.
        class_split=cfg.train_split,
    )
    transforms = create_transforms(cfg.dataset, is_training=False, **cfg.arguments("create_transforms"))
    loader = create_loader(dataset, cfg.batch_size, transform=transforms, num_parallel_workers=cfg.num_parallel_workers)
    loader.num_shards = dataset.num_shards
    return loader, num_classes


def build_evaluator(cfg: Config, network: nn.Cell, loader: Any, num_classes: int) -> engine.Evaluator:
    """Returns what evaluates a network on the loader of `build_eval_loader`."""
    loss = build_loss(cfg, reduction="none")
    return engine.Evaluator(network, loss, loader, num_classes, cfg.batch_size, is_shared=loader.num_shards > 1)


def _splits(cfg: Config) -> tuple[tuple[str, Part | None], tuple[str, Part | None]]:
    """Returns the splits for training and for evaluation, with the part of them that is meant."""
    return divide(cfg.train_split, cfg.val_split, cfg.folds, cfg.fold, cfg.seed)


def _build_dataset(cfg: Config, split: str, **options: Any) -> tuple[Any, int]:
    """Returns one split, in an order that all ranks share, and the number of classes."""
    dataset = create_dataset(
        cfg.dataset,
        root=cfg.data_dir,
        split=split,
        num_shards=engine.world_size(),
        shard_id=engine.rank(),
        num_parallel_workers=cfg.num_parallel_workers,
        download=cfg.dataset_download,
        seed=cfg.seed,
        **options,
    )
    num_classes = cfg.num_classes or get_num_classes(dataset)
    check_num_classes(dataset, num_classes)
    return dataset, num_classes


def prepare_network(cfg: Config, network: nn.Cell, amp_level: str) -> nn.Cell:
    """Returns the network in mixed precision, with normalisation in front of it where the host leaves that to it."""
    network = engine.auto_mixed_precision(network, amp_level, cfg.amp_cast_list, amp_dtype=cfg.amp_dtype)
    if not cfg.normalize_on_device:
        return network
    preprocess = EvalPreprocess.from_config(cfg)
    return engine.NormalizedNetwork(network, preprocess.mean, preprocess.std)


def build_loss(cfg: Config, **options: Any) -> nn.Cell:
    """Returns the loss. `options` take the place of the config's; evaluation needs `reduction="none"`."""
    return create_loss(**{**cfg.arguments("create_loss"), **options})


def build_learning_rates(cfg: Config, steps_per_epoch: int) -> list[float]:
    """Returns one learning rate for each update; with gradient accumulation that is every n-th step's."""
    arguments = cfg.arguments("create_scheduler")
    if cfg.lr_base_batch_size:
        images = cfg.batch_size * engine.world_size() * cfg.gradient_accumulation_steps
        factor = images / cfg.lr_base_batch_size
        arguments |= {"lr": cfg.lr * factor, "min_lr": cfg.min_lr * factor}
        _logger.info(
            "lr %g -> %g, min_lr %g -> %g: an update has %d images, lr_base_batch_size is %d",
            *(cfg.lr, arguments["lr"], cfg.min_lr, arguments["min_lr"], images, cfg.lr_base_batch_size),
        )
    rates = create_scheduler(steps_per_epoch, num_epochs=cfg.epoch_size, **arguments)
    updates = rates[cfg.gradient_accumulation_steps - 1 :: cfg.gradient_accumulation_steps]
    if not updates:
        raise ValueError(
            f"gradient_accumulation_steps is {cfg.gradient_accumulation_steps}, the run has {len(rates)} steps"
        )
    return updates


def build_step(cfg: Config, network: nn.Cell, num_classes: int, learning_rates: list[float]) -> engine.TrainStep:
    """Returns the training step with its optimizer."""
    if cfg.freeze:
        engine.freeze(network, cfg.freeze)
    if cfg.sync_bn:
        engine.synchronize_batch_norm(network)
    if cfg.batch_size == 1 or not cfg.drop_remainder:  # so that a batch can have one image
        engine.keep_variance_of_one_value(network)
    optimizer = create_optimizer(network, **{**cfg.arguments("create_optimizer"), "lr": learning_rates})
    model = network
    network, loss = prepare_network(cfg, model, cfg.amp_level), build_loss(cfg)
    if cfg.recompute:
        engine.recompute_blocks(model)
    mixes = cfg.normalize_on_device and cfg.cutmix_prob > 0 and (cfg.mixup > 0 or cfg.cutmix > 0)
    return engine.TrainStep(
        engine.LossWithMixing(network, loss, num_classes) if mixes else engine.LossWithNetwork(network, loss),
        optimizer,
        engine.LossScale.of_type(
            cfg.loss_scale_type, cfg.loss_scale, cfg.drop_overflow_update, cfg.amp_level, cfg.amp_dtype
        ),
        ema=cfg.ema,
        ema_decay=cfg.ema_decay,
        clip_grad=cfg.clip_grad,
        clip_value=cfg.clip_value,
        gradient_accumulation_steps=cfg.gradient_accumulation_steps,
    )


def build_feed(
    cfg: Config, step: engine.TrainStep, loader: Any, device: str, steps_done: int
) -> engine.HostFeed | engine.SinkFeed:
    """Returns what hands batches to the step."""
    if engine.can_sink(cfg.dataset_sink_mode, device, cfg.mode):
        return engine.SinkFeed(step, loader, cfg.epoch_size, steps_done)
    seed = cfg.seed + engine.rank()
    return engine.HostFeed(step, lambda epoch, first_step: epoch_batches(loader, epoch, first_step, seed))


def build_saver(
    cfg: Config, network: nn.Cell, folder: Path, steps_per_epoch: int, on_saved: Callable[[], None] | None = None
) -> engine.CheckpointSaver | None:
    """Returns what saves checkpoints on this rank, and calls `on_saved` then, or None where it saves none."""
    if engine.rank() > 0:
        if cfg.ckpt_save_on == "master":
            return None
        folder = folder / f"rank_{engine.rank()}"
    versions = {"mindcv": __version__, "mindspore": ms.__version__}
    run_info = {"config": cfg.model_dump(), "versions": versions, "world_size": engine.world_size()}
    run_info["steps_per_epoch"] = steps_per_epoch
    stop_on_error = cfg.ckpt_on_error == "stop"
    return engine.CheckpointSaver(
        *(folder, cfg.model, cfg.ckpt_save_policy, cfg.keep_checkpoint_max, run_info, cfg.ckpt_async, stop_on_error),
        on_saved=on_saved,
        marks=checkpoint_marks(network),
    )
