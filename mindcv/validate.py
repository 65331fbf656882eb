"""Evaluates a model on the validation split: config -> data -> model -> loss -> evaluator."""

import logging
import sys
from typing import Any

from mindspore import nn

from .config import Config, effective_workers
from .data import check_num_classes, create_dataset, create_loader, create_transforms, get_num_classes, pipeline_errors
from .engine import Evaluator, auto_mixed_precision, is_launched, rank, setup_run, world_size
from .loss import create_loss
from .models import create_model
from .utils.log import set_logger

__all__ = ["build_eval_loader", "build_loss", "build_network", "main", "validate"]

_logger = logging.getLogger(__name__)


def build_eval_loader(cfg: Config, batch_size: int) -> tuple[Any, int]:
    """Returns the validation loader (this rank's part of it, each sample once) and the number of classes."""
    dataset = create_dataset(
        cfg.dataset,
        root=cfg.data_dir,
        split=cfg.val_split,
        shuffle=cfg.eval_shuffle,
        num_shards=world_size(),
        shard_id=rank(),
        num_parallel_workers=effective_workers(cfg),
        download=cfg.dataset_download,
        seed=cfg.seed,
        pad_shards=False,
    )
    num_classes = cfg.num_classes or get_num_classes(dataset)
    check_num_classes(dataset, num_classes)
    transforms = create_transforms(
        cfg.dataset,
        image_resize=cfg.image_resize,
        is_training=False,
        crop_pct=cfg.crop_pct,
        interpolation=cfg.interpolation,
        mean=cfg.mean,
        std=cfg.std,
    )
    loader = create_loader(
        dataset, batch_size, num_classes=num_classes, transform=transforms, num_parallel_workers=effective_workers(cfg)
    )
    return loader, num_classes


def build_network(cfg: Config, num_classes: int, ema: bool = False) -> nn.Cell:
    """Returns the model with its weights: those of `ckpt_path` (with `ema` their average), pretrained or fresh ones."""
    return create_model(
        cfg.model,
        num_classes=num_classes,
        pretrained=cfg.pretrained and not cfg.ckpt_path,
        in_channels=cfg.in_channels,
        checkpoint_path=cfg.ckpt_path,
        ema=ema,
        drop_rate=cfg.drop_rate,
        drop_path_rate=cfg.drop_path_rate,
    )


def build_loss(cfg: Config) -> nn.Cell:
    """Returns the loss."""
    return create_loss(**cfg.arguments("create_loss"))


def validate(cfg: Config) -> dict[str, float]:
    """Evaluates as the config says and returns accuracies, loss, number of samples and speed."""
    device = setup_run(cfg.device_target, cfg.mode, cfg.jit_level, is_launched(), cfg.seed)
    set_logger("mindcv", rank=rank())
    if not (cfg.ckpt_path or cfg.pretrained):
        _logger.warning("neither ckpt_path nor pretrained is set, so it is fresh, random weights that are evaluated")
    loader, num_classes = build_eval_loader(cfg, cfg.batch_size)
    network = auto_mixed_precision(build_network(cfg, num_classes, cfg.ema), cfg.val_amp_level, cfg.amp_cast_list)
    evaluator = Evaluator(network, build_loss(cfg), loader, num_classes, cfg.batch_size)
    _logger.info("Evaluating %s on %s (%s, %s)", cfg.model, cfg.dataset, cfg.val_split, device)
    with pipeline_errors():
        result = evaluator.run(show_progress=sys.stderr.isatty())
    _logger.info("Evaluated %d images, %.1f img/s", result.pop("num_samples"), result.pop("images_per_s"))
    return result


def main(cfg: Config) -> None:
    """Evaluates; rank 0 prints the result as a dict, whose form users' scripts read."""
    result = validate(cfg)
    if rank() == 0:
        sys.stdout.write(f"{result}\n")
