"""Evaluates a model on the validation split: config -> data -> model -> loss -> evaluator."""

import logging
import sys

from . import engine
from .build import (
    build_compile_cache,
    build_eval_loader,
    build_evaluator,
    build_network,
    build_recorder,
    check_head,
    find_outputs,
    prepare_network,
)
from .config import Config, split_text
from .data import get_class_names, pipeline_errors
from .export.source import with_preprocess
from .models import as_evaluated, require_published_head
from .report import finish_evaluation
from .report.evaluation import PredictionRecorder
from .utils.commands import quoted
from .utils.fs import is_remote, local_path
from .utils.imports import import_modules
from .utils.log import set_logger
from .utils.modelarts import copy_inputs

__all__ = ["main", "run_evaluator", "validate", "write_records"]

_logger = logging.getLogger(__name__)


def validate(cfg: Config) -> dict[str, float]:
    """Evaluates as the config says and returns accuracies (0 to 1) and loss.

    Raises:
        ValueError, FileNotFoundError: Something the config names is not right; the message says what.
    """
    cfg = cfg.checked()
    import_modules(cfg.imports)
    # Recipes for many devices say `distribute`, but one can evaluate alone, so only a launcher decides.
    _require_weights(cfg)
    device = engine.setup_run(cfg.device_target, cfg.mode, cfg.jit_level, engine.is_launched(), cfg.seed)
    set_logger("mindcv", rank=engine.rank())
    cfg = as_evaluated(copy_inputs(cfg))
    cfg = with_preprocess(cfg)
    outputs = find_outputs(cfg)
    loader, num_classes = build_eval_loader(cfg, outputs)
    if outputs is not None and cfg.ckpt_path:
        check_head(outputs, loader, cfg.ckpt_path)
    require_published_head(cfg, num_classes)
    network = build_network(cfg, num_classes, cfg.ema)
    not_finite = engine.name_not_finite(network)
    if not_finite is not None:
        raise ValueError(
            f"{cfg.ckpt_path or cfg.model}: {not_finite}; its accuracy says nothing, evaluate other weights"
        )
    recorder = build_recorder(cfg, loader, num_classes, network=network)
    prepared = prepare_network(cfg, network, cfg.val_amp_level)
    evaluator = build_evaluator(cfg, prepared, loader, num_classes, build_compile_cache(cfg, device))
    data = split_text(cfg.dataset, num_classes, str(cfg.val_split), cfg.data_dir)
    _logger.info("Evaluating %s on %s (%s)", cfg.model, data, device)
    result = run_evaluator(evaluator, recorder)
    if evaluator.average_precisions:
        _logger.info("%s", engine.by_class(evaluator.average_precisions, get_class_names(loader)))
    _logger.info("Evaluated %d images, %.1f img/s", result.pop("num_samples"), result.pop("images_per_s"))
    write_records(evaluator, recorder, result)
    return result


def run_evaluator(evaluator: engine.Evaluator, recorder: PredictionRecorder | None) -> dict[str, float]:
    """Returns the evaluator's figures; the recorder, where there is one, keeps what is said of each image."""
    with pipeline_errors():
        return evaluator.run(sys.stderr.isatty(), on_batch=recorder.add if recorder else None)


def write_records(evaluator: engine.Evaluator, recorder: PredictionRecorder | None, result: dict[str, float]) -> None:
    """Writes the files of an evaluation that has a recorder, and its page. With several ranks it is a collective."""
    if recorder is not None:
        gather = engine.gather_rows if evaluator.is_shared else None
        found = recorder.write(gather, engine.rank() == 0, result.get("loss"), evaluator.average_precisions)
        finish_evaluation(found, recorder.folder)


def _require_weights(cfg: Config) -> None:
    """Refuses to evaluate fresh, random weights by mistake.

    Raises:
        ValueError: Neither ckpt_path nor pretrained is set, nor random_weights; a run's best checkpoint is named.
    """
    if cfg.ckpt_path or cfg.pretrained or cfg.random_weights or cfg.ckpt_url:
        return
    folders = [local_path(cfg.ckpt_save_dir)]
    if cfg.config and not is_remote(cfg.config):
        folders.insert(0, local_path(cfg.config).parent)
    found = [path for folder in folders for path in sorted(folder.glob("*_best.ckpt"))]
    there = f"; a training's best checkpoint is there: --ckpt_path {quoted(found[0])}" if found else ""
    raise ValueError(
        f"no weights to evaluate: set ckpt_path, or pretrained for published ones{there}; "
        "--random-weights evaluates fresh, random weights"
    )


def main(cfg: Config) -> None:
    """Evaluates; rank 0 prints the result as a dict, whose form users' scripts read."""
    result = validate(cfg)
    if engine.rank() == 0:
        sys.stdout.write(f"{result}\n")
