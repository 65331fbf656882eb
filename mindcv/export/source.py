"""Networks to export or to run, from a recipe with its checkpoint or from a registered name."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from mindspore import nn

from ..config import Config, format_value, read_config
from ..data import (
    EvalPreprocess,
    create_dataset,
    get_class_names,
    imagenet_class_names,
    known_outputs,
    with_image_size,
    with_preprocess_of,
)
from ..data.preprocess import as_size
from ..models import (
    PretrainedCfg,
    as_evaluated,
    build_network,
    built_for,
    file_tells,
    get_pretrained_cfg,
    published_weights,
    require_published_head,
)
from ..utils.fs import is_remote, local_path
from ..utils.imports import import_modules
from ..utils.registry import suggest
from ..weights import ModelOutputs, read_outputs, read_weights
from ..weights.outputs import SINGLE

__all__ = ["Source", "recipe_of", "source_from_checkpoint", "source_from_config", "source_from_name", "with_preprocess"]

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Source:
    """A network with its weights, and what is known about its input and its classes."""

    network: nn.Cell
    name: str
    preprocess: EvalPreprocess
    class_names: Sequence[str] | None
    dataset: str
    head: str = SINGLE


def with_preprocess(cfg: Config) -> Config:
    """Returns a config with the preprocessing that belongs to its weights or its network, where it sets none itself.

    Published weights bring size, crop, interpolation, mean and std; a network that is built for one size brings that.

    Raises:
        ValueError: `val_image_resize` is another size than the one that the network is built for.
    """
    weights = published_weights(cfg)
    built = built_for(cfg.model)
    cfg = with_image_size(cfg, built) if weights is None else with_preprocess_of(cfg, weights)
    if built and cfg.val_image_resize and as_size(cfg.val_image_resize) != as_size(cfg.image_resize):
        raise ValueError(
            f"val_image_resize: got {format_value(cfg.val_image_resize)}, but {cfg.model} is built for images of one "
            f"size, {format_value(cfg.image_resize)}; leave it out, or set image_resize for training too"
        )
    return cfg


def source_from_config(cfg: Config) -> Source:
    """Builds the network that a recipe describes, with the weights of `ckpt_path` or published ones (`pretrained`).

    The classes and their names are the checkpoint's. For one of an earlier version, which does not say, their number is
    the recipe's or its classifier's, and the names are the dataset's, where it is there.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: There are no weights, or they do not fit.
    """
    import_modules(cfg.imports)
    cfg = as_evaluated(cfg)
    if not cfg.ckpt_path and not cfg.pretrained:
        raise ValueError(f"{cfg.model}: no weights; give ckpt_path, or pretrained for the published ones")
    cfg = with_preprocess(cfg)
    outputs = known_outputs(cfg, cfg.ckpt_path, read_outputs(cfg.ckpt_path) if cfg.ckpt_path else None)
    num_classes = cfg.num_classes if outputs is None else outputs.num_classes
    if num_classes is None:
        num_classes = _classes_of(cfg) if cfg.ckpt_path else get_pretrained_cfg(cfg.model).data_classes
    require_published_head(cfg, num_classes)
    network = build_network(cfg, num_classes, ema=cfg.ema and bool(cfg.ckpt_path))
    if outputs is None or outputs.class_names is None:
        weights = None if cfg.ckpt_path else published_weights(cfg)
        names = _class_names(cfg, num_classes) if weights is None else _published_names(weights, num_classes)
        outputs = ModelOutputs.of(num_classes, names, outputs.head if outputs else SINGLE)
    preprocess = EvalPreprocess.from_config(cfg)
    return Source(network.set_train(False), cfg.model, preprocess, outputs.class_names, cfg.dataset, outputs.head)


def source_from_checkpoint(path: str | os.PathLike[str], recipe: str = "") -> Source:
    """Builds the network of a checkpoint.

    Args:
        path: The checkpoint.
        recipe: The recipe that it was trained with. Empty: `config.yaml` beside it, which a training leaves there.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: There is no recipe, or the checkpoint does not fit it.
    """
    return source_from_config(read_config(["-c", recipe_of(path, recipe), "--ckpt_path", os.fspath(path)]))


def recipe_of(checkpoint: str | os.PathLike[str], recipe: str = "") -> str:
    """Returns the recipe of a checkpoint: the one that is given, else `config.yaml` beside it.

    Raises:
        ValueError: There is none.
    """
    recipe = recipe or _recipe_beside(checkpoint)
    if not recipe:
        hint = suggest(os.fspath(checkpoint), ()) if Path(checkpoint).exists() else "; there is no such file either"
        raise ValueError(f"{checkpoint}: a checkpoint needs the recipe that it was trained with{hint}; give -c RECIPE")
    return recipe


def source_from_name(name: str, pretrained: str = "", recipe: str = "") -> Source:
    """Builds a registered model (`name` or `name.tag`) with its published weights, or with those of a file.

    Args:
        name: The model.
        pretrained: Path or address of the file.
        recipe: A recipe that says how images are prepared. Empty: `config.yaml` beside the file, which a training
            leaves there. What it does not set, or all without one, is that of the published weights.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The weights cannot be fetched.
        ValueError: There is no such model, no weights are published for it, or the file does not fit it.
    """
    recipe = recipe or (_recipe_beside(pretrained) if pretrained else "")
    words = [f"--model={name}", f"--pretrained={pretrained or True}", "--ckpt_path="]
    cfg = read_config([*(["-c", recipe] if recipe else []), *words])
    from_file = bool(pretrained) and not recipe
    return source_from_config(with_preprocess_of(cfg, get_pretrained_cfg(cfg.model)) if from_file else cfg)


def _published_names(weights: PretrainedCfg, num_classes: int) -> list[str] | None:
    """Names of the classes of published weights: those with 1000 were all trained on ImageNet-1K."""
    names = imagenet_class_names()
    return names if num_classes == weights.data_classes == len(names) else None


def _recipe_beside(file: str | os.PathLike[str]) -> str:
    """Returns the recipe that a training has left beside its checkpoints, or ''."""
    beside = local_path(file).parent / "config.yaml"
    if is_remote(file) or not beside.is_file():
        return ""
    _logger.info("recipe: %s", beside)
    return str(beside)


def _classes_of(cfg: Config) -> int:
    told = file_tells(cfg.model, read_weights(cfg.ckpt_path))
    if "num_classes" in told:
        return told["num_classes"]
    raise ValueError(
        f"{cfg.ckpt_path}: has no classifier that the number of classes could be read from; give num_classes"
    )


def _class_names(cfg: Config, num_classes: int) -> list[str] | None:
    try:
        # A share as val_split is held out of the training split.
        split = cfg.val_split if isinstance(cfg.val_split, str) else cfg.train_split
        names = get_class_names(create_dataset(cfg.dataset, root=cfg.data_dir, split=split, shuffle=False))
    except (ValueError, FileNotFoundError) as error:
        _logger.info("classes are called by their indices, since the dataset that names them is not there: %s", error)
        return None
    if names is not None and len(names) != num_classes:
        _logger.info("classes are called by their indices: %d classes, but %d names", num_classes, len(names))
        return None
    return names
