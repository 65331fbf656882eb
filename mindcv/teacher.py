"""The teacher of a distillation: built from the keys `teacher` and `teacher_ckpt_path`, checked against the student."""

import logging
from collections.abc import Sequence

from mindspore import nn

from . import engine, models
from .config import Config, read_config
from .data import EvalPreprocess
from .models import get_pretrained_cfg, is_model
from .utils.fs import is_remote, local_path
from .utils.registry import suggest
from .weights import read_outputs
from .weights.hub import is_hub_model
from .weights.load_report import OtherClasses
from .weights.outputs import SINGLE

__all__ = ["build_teacher"]

_logger = logging.getLogger(__name__)


def build_teacher(cfg: Config, num_classes: int, class_names: Sequence[str] | None = None) -> nn.Cell:
    """Returns the teacher, which takes the student's images and gives logits (N, num_classes).

    Its weights are those of `teacher_ckpt_path`, else published ones. A `config.yaml` beside the checkpoint says
    whether its moving average is meant, and how its images were normalised. It gets the student's mixed precision, and
    images of the student's size with its own mean and deviation.

    Args:
        cfg: The student's config.
        num_classes: The student's classes.
        class_names: Their names by index; where the teacher's are known too, they must be the same.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        OSError: Published weights cannot be fetched.
        ValueError: There is no such model, or its classes are not the student's.
    """
    network, mean, std = _build(cfg, num_classes, class_names)
    classes = getattr(network, "num_classes", num_classes)
    if classes != num_classes:
        raise ValueError(_other_classes(cfg.teacher, classes, num_classes))
    _logger.info("teacher: %s (%s)", cfg.teacher, cfg.teacher_ckpt_path or "published weights")
    network = engine.auto_mixed_precision(network, cfg.amp_level, cfg.amp_cast_list, amp_dtype=cfg.amp_dtype)
    own = EvalPreprocess.from_config(cfg)
    if cfg.normalize_on_device:
        return engine.NormalizedNetwork(network, mean or own.mean, std or own.std)
    if mean is None or std is None or (tuple(mean), tuple(std)) == (own.mean, own.std):
        return network
    _logger.info("teacher: images are normalised anew, with mean %s and std %s", tuple(mean), tuple(std))
    return engine.RenormalizedNetwork(network, own.mean, own.std, mean, std)


def _build(
    cfg: Config, num_classes: int, class_names: Sequence[str] | None
) -> tuple[nn.Cell, Sequence[float] | None, Sequence[float] | None]:
    """Returns the network with its weights, and its mean and deviation (None: the student's)."""
    name, path = cfg.teacher, cfg.teacher_ckpt_path
    if is_hub_model(name):
        if path:
            raise ValueError(f"teacher: {name} has its own weights; leave out teacher_ckpt_path")
        network = models.create_model(name, pretrained=True, in_channels=cfg.in_channels)
        return network, *_figures_of(cfg, network.default_cfg)
    if not is_model(name):
        raise ValueError(f"teacher: there is no model {name!r}{suggest(name, models.list_models())}")
    wanted = {"model": name, "ckpt_path": path, "pretrained": not path, "drop_rate": None, "drop_path_rate": None}
    own = cfg.model_copy(update=wanted)
    if not path:
        try:
            models.require_published_head(own, num_classes)
        except ValueError as error:
            raise ValueError(f"teacher: {error}; or give one of the data's classes with teacher_ckpt_path") from error
        return models.build_network(own, num_classes), *_figures_of(cfg, get_pretrained_cfg(name))
    outputs = read_outputs(path)
    if outputs is not None:
        if outputs.num_classes != num_classes:
            raise ValueError(_other_classes(path, outputs.num_classes, num_classes))
        if outputs.head != SINGLE:
            raise ValueError(f"teacher: {path} gives several labels an image; distillation is for one")
        if None not in (class_names, outputs.class_names) and tuple(class_names or ()) != outputs.class_names:
            raise ValueError(f"teacher: {path} has other class names than the data, or another order of them")
    recipe = local_path(path).parent / "config.yaml"
    trained = None if is_remote(path) or not recipe.is_file() else read_config(["-c", str(recipe)])
    try:
        network = models.build_network(own, num_classes, ema=trained is not None and trained.ema)
    except OtherClasses as error:
        raise ValueError(_other_classes(path, error.given, num_classes)) from error
    if trained is None:
        return network, None, None
    preprocess = EvalPreprocess.from_config(trained)
    return network, preprocess.mean, preprocess.std


def _figures_of(cfg: Config, weights: models.PretrainedCfg) -> tuple[Sequence[float] | None, Sequence[float] | None]:
    """Mean and deviation of published weights; None where their number of channels is another than the run's."""
    is_same = len(weights.mean) == len(EvalPreprocess.from_config(cfg).mean)
    return (weights.mean, weights.std) if is_same else (None, None)


def _other_classes(source: str, given: int, wanted: int) -> str:
    return (
        f"teacher: {source} has {given} classes, the student {wanted}; a teacher has the student's classes in their "
        "order: fine-tune it on the data first"
    )
