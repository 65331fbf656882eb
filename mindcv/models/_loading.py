"""Weights into networks: names, adaptation to another head or image, and a strict comparison before anything is set."""

import difflib
import inspect
import logging
import os
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mindcv.weights import LoadReport, read_weights
from mindcv.weights.adapt import adapt_classifier, adapt_first_conv
from mindcv.weights.locations import fetch
from mindcv.weights.marks import grid_mark, grids_of, mark, mark_arrays, without_marks
from mindcv.weights.resize import Grid, has_same_grid

from ._network import ImageClassifier, as_text
from ._pretrained import PretrainedCfg, as_pretrained_cfg

_logger = logging.getLogger(__name__)


def load_model_checkpoint(
    model: nn.Cell, checkpoint_path: str = "", ema: bool = False, auto_mapping: bool = False, *, strict: bool = True
) -> LoadReport:
    """Loads a weight file into a model; everything has to fit.

    Args:
        model: The model.
        checkpoint_path: File of any format that `mindcv.weights.read_weights` knows.
        ema: Whether to take the file's averaged weights.
        auto_mapping: Whether to map names that the model does not have to the closest ones of the same shape.
        strict: Whether everything has to fit; otherwise what fits is loaded, and the rest is logged and in the report.

    Returns:
        What was loaded, and what did not fit.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no weight file, or does not fit the model; nothing was loaded.
    """
    arrays = read_weights(checkpoint_path, ema=ema)
    cfg = as_pretrained_cfg(getattr(model, "default_cfg", None) or {})
    return set_weights(model, arrays, checkpoint_path, cfg, adapt=False, auto_mapping=auto_mapping, strict=strict)


def load_pretrained(
    model: nn.Cell,
    default_cfg: Mapping[str, Any],
    num_classes: int = 1000,
    in_channels: int = 3,
    filter_fn: Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]] | None = None,
    *,
    strict: bool = True,
) -> LoadReport:
    """Loads published weights, fetched when they are not there yet, and adapts them to the model.

    In this order: arrays are renamed to the model's names; the first convolution is adapted to `in_channels`; the head
    is left fresh when the file's has another number of classes; everything else has to fit.

    Args:
        model: The model.
        default_cfg: `PretrainedCfg`, or a dictionary with `url`, `num_classes`, `first_conv` and `classifier`.
        num_classes: Classes of the model.
        in_channels: Channels of the model's image.
        filter_fn: Renames the file's arrays to the model's names, in place of what the model's class knows.
        strict: Whether everything else has to fit; otherwise what fits is loaded, and the rest is logged.

    Returns:
        What was loaded, and what was not.

    Raises:
        OSError: The weights cannot be fetched.
        ValueError: There is no address, or the weights do not fit; nothing was loaded.
    """
    cfg = as_pretrained_cfg(default_cfg)
    if not cfg.url:
        raise ValueError(f"no weights are published for {_describe(model)}; create it with pretrained=False")
    arrays: Mapping[str, np.ndarray] = read_weights(fetch(cfg.url, cfg.sha256 or None))
    grids = grids_of(arrays)
    arrays = filter_fn(dict(arrays)) if filter_fn else to_model_names(model, arrays, cfg.url)
    arrays, may_miss = _adapt(model, fit_sizes(model, arrays, cfg.url, grids), cfg, num_classes, in_channels)
    return load_arrays(model, arrays, cfg.url, may_miss, strict=strict)


def set_weights(
    model: nn.Cell,
    arrays: Mapping[str, np.ndarray],
    source: str | os.PathLike[str],
    cfg: PretrainedCfg,
    *,
    adapt: bool,
    auto_mapping: bool = False,
    strict: bool = True,
    has_other_names: bool = False,
) -> LoadReport:
    """Loads the arrays of a file into a model, in this order: names, sizes of tables, first convolution and head.

    Args:
        model: The model.
        arrays: The file's arrays, by any names that the model's class knows.
        source: The file, for messages.
        cfg: What is known of the weights.
        adapt: Whether first convolution and head are fitted; otherwise they have to fit.
        auto_mapping: Whether to map names that the model does not have to the closest ones of the same shape.
        strict: Whether everything has to fit; otherwise what fits is loaded, and the rest is logged.
        has_other_names: With `adapt`: whether the file's classes have other names than the model's.

    Raises:
        ValueError: The weights do not fit; nothing was loaded.
    """
    grids = grids_of(arrays)
    arrays = to_model_names(model, arrays, source)
    if auto_mapping:
        arrays = auto_map(model, arrays)
    arrays = fit_sizes(model, arrays, source, grids)
    may_miss: Collection[str] = ()
    if adapt:
        stem = next((p for p in model.get_parameters() if p.name in _weight_names(model, cfg, "first_conv")), None)
        in_channels = stem.shape[1] if stem is not None else 3
        num_classes = getattr(model, "num_classes", cfg.num_classes)  # a network of the user's need not say it
        arrays, may_miss = _adapt(model, arrays, cfg, num_classes, in_channels, has_other_names)
    return load_arrays(model, arrays, source, may_miss, strict=strict)


def _weight_names(model: nn.Cell, cfg: PretrainedCfg, which: str) -> list[str]:
    """Names of the weights of the cells that read the image, or that give logits."""
    if not isinstance(model, ImageClassifier):
        return [f"{cfg[which]}.weight"] if cfg[which] else []
    cells = model.reads_image if which == "first_conv" else model.gives_logits
    return list(model.mindcv_names.to_theirs({f"{cell}.weight": None for cell in cells}))


def _adapt(
    model: nn.Cell,
    arrays: Mapping[str, np.ndarray],
    cfg: PretrainedCfg,
    num_classes: int,
    in_channels: int,
    has_other_names: bool = False,
) -> tuple[Mapping[str, np.ndarray], set[str]]:
    """Fits first convolutions and heads; returns the arrays and the names of heads that start fresh."""
    for name in _weight_names(model, cfg, "first_conv"):
        if name in arrays:
            arrays = adapt_first_conv(arrays, name.removesuffix(".weight"), in_channels)
    fresh: set[str] = set()
    there = {parameter.name for parameter in model.get_parameters()}
    for name in _weight_names(model, cfg, "classifier"):
        if name not in arrays and name not in there:
            continue  # an auxiliary head that neither has
        cell = name.removesuffix(".weight")
        arrays, names = adapt_classifier(
            arrays, cell, num_classes, cfg.label_offset, cfg.unused_classes, has_other_names
        )
        fresh |= names
    return arrays, fresh


def fit_sizes(
    model: nn.Cell, arrays: Mapping[str, np.ndarray], source: str | os.PathLike[str], grids: Mapping[str, Grid]
) -> Mapping[str, np.ndarray]:
    """Fits entries that depend on the image's size (`resized` of the model's class) to the model's, and logs them.

    Args:
        model: The model.
        arrays: The file's arrays by the names of the model's parameters.
        source: The file, for messages.
        grids: What the file tells of rows and columns of its positions, by path.

    Raises:
        ValueError: An entry cannot be fitted.
    """
    if not isinstance(model, ImageClassifier) or not model.resized:
        return arrays
    fitted = dict(arrays)
    for path, parameter in model.parameters_and_names():
        array = arrays.get(parameter.name)
        rule = next((rule for pattern, rule in model.resized.items() if fnmatchcase(path, pattern)), None)
        if rule is None or array is None:
            continue
        grid, old_grid = model.grids.get(path), grids.get(path)
        if tuple(array.shape) == tuple(parameter.shape) and (grid is None or has_same_grid(grid, old_grid)):
            continue
        try:
            fitted[parameter.name] = rule(array, tuple(parameter.shape), grid, old_grid)
        except ValueError as error:
            raise ValueError(f"{source}: {parameter.name} cannot be fitted to the image size: {error}") from error
        where = f" for a grid of {grid[0]}x{grid[1]}" if grid else ""
        _logger.info("%s: resized from %s to %s%s", parameter.name, tuple(array.shape), tuple(parameter.shape), where)
    return fitted


def load_arrays(
    model: nn.Cell,
    arrays: Mapping[str, np.ndarray],
    source: str | os.PathLike[str],
    may_miss: Collection[str] = (),
    *,
    strict: bool = True,
) -> LoadReport:
    """Sets a model's parameters from arrays of the same names and shapes, converted to the parameters' types.

    An array whose type is the parameter's is not copied but becomes the parameter; use it no more.

    Args:
        model: The model.
        arrays: Arrays by parameter name.
        source: Where they come from, for messages.
        may_miss: Parameters that may keep their value.
        strict: Whether everything else has to fit; otherwise what fits is loaded, and the rest is logged.

    Returns:
        What was loaded, and what was not.

    Raises:
        ValueError: A name or a shape does not fit; nothing was loaded.
    """
    parameters = {parameter.name: parameter for parameter in model.get_parameters()}
    may_miss = {*may_miss, *optional_parameters(model)}
    report = LoadReport.compare(
        {name: tuple(parameter.shape) for name, parameter in parameters.items()},
        {name: tuple(array.shape) for name, array in arrays.items()},
    )
    try:
        report.raise_if_incomplete(_describe(model), source, may_miss)
    except ValueError as error:
        if strict:
            raise
        _logger.warning("%s", error)
    for name in report.loaded:
        parameters[name].set_data(_as_tensor(arrays[name], parameters[name].dtype))
    _logger.info("loaded %d parameters from %s", len(report.loaded), source)
    return report


def optional_parameters(model: nn.Cell) -> set[str]:
    """Returns names of parameters that a file may lack: tables that follow from arguments, what only training uses."""
    if not isinstance(model, ImageClassifier):
        return set()
    patterns = (*model.constants, *model.auxiliary)
    return {parameter.name for parameter in model.get_parameters() if _matches(parameter.name, patterns)}


def with_tables(model: nn.Cell, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Adds the tables that follow from a model's arguments to arrays of its names; MindCV's files have them."""
    if not isinstance(model, ImageClassifier) or not model.constants:
        return arrays
    parameters = list(model.get_parameters())
    tables = {p.name: p.asnumpy() for p in parameters if _matches(p.name, model.constants)}
    known = {**arrays, **tables}
    return {**{p.name: known[p.name] for p in parameters if p.name in known}, **known}


def to_model_names(
    model: nn.Cell, arrays: Mapping[str, np.ndarray], source: str | os.PathLike[str]
) -> Mapping[str, np.ndarray]:
    """Renames a file's arrays to a model's parameters; marks and tables that follow from arguments are left out.

    Raises:
        ValueError: The family refuses the file, or the file tells of another network.
    """
    if not isinstance(model, ImageClassifier):
        return without_marks(arrays)
    told = model.told_arguments(arrays)
    may_be = any(_has(model, {**told, **other}) for other in model.file_may_tell(arrays))
    for name, value in told.items():
        if not may_be and getattr(model, name) != value:
            raise ValueError(
                f"{source}: weights of a network with {name}={value!r}, not {getattr(model, name)!r}; "
                f"create the model with {name}={value!r}"
            )
    is_torch = model.is_torch_file(arrays)
    arrays = without_marks(arrays)
    if is_torch:
        try:
            arrays = model.from_torch(arrays)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
    else:
        arrays = model.from_mindcv(arrays)
    named = model.mindcv_names.to_theirs(arrays)
    there = {parameter.name for parameter in model.get_parameters()}
    return {
        name: array
        for name, array in named.items()
        if not _matches(name, model.constants) and (name in there or not _matches(name, model.auxiliary))
    }


def _has(model: nn.Cell, arguments: Mapping[str, Any]) -> bool:
    return all(getattr(model, name) == value for name, value in arguments.items())


def to_timm_names(model: nn.Cell, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns arrays of a model's parameters under timm's names.

    Raises:
        ValueError: They are not known for the network, or timm has no such network.
    """
    if not isinstance(model, ImageClassifier):
        raise ValueError(f"timm's names for {type(model).__name__} are not known; convert with --to mindcv")
    kept = {name: array for name, array in arrays.items() if not _matches(name, model.constants)}
    return model.to_torch(model.mindcv_names.to_ours(kept))


def checkpoint_marks(model: nn.Cell) -> dict[str, np.ndarray]:
    """Returns the entries that a file with the model's weights has besides: what no name or shape tells."""
    if not isinstance(model, ImageClassifier):
        return {}
    signature = inspect.signature(type(model).__init__).parameters
    defaults = {name: signature[name].default for name in model.file_arguments} | model.variant_arguments
    marks = [
        mark(name, as_text(getattr(model, name)))
        for name in model.file_arguments
        if getattr(model, name) != defaults[name]
    ]
    marks += [grid_mark(path, *grid) for path, grid in model.grids.items() if grid[0] != grid[1]]
    return mark_arrays(marks)


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def auto_map(model: nn.Cell, param_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Renames entries so that every parameter of a model has one: each missing name takes the closest unused one.

    Only entries with the parameter's shape are considered. The mapping is logged; look at it before you trust it.

    Args:
        model: The model.
        param_dict: Arrays or parameters by name; it is not changed.

    Raises:
        ValueError: A parameter has no match.
    """
    parameters = {parameter.name: tuple(parameter.shape) for parameter in model.get_parameters()}
    mapped = {name: value for name, value in param_dict.items() if name in parameters}
    unused = {name: value for name, value in param_dict.items() if name not in parameters}
    for name, shape in parameters.items():
        if name in mapped:
            continue
        choices = [other for other, value in unused.items() if tuple(value.shape) == shape]
        close = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
        if not close:
            raise ValueError(f"auto_mapping: no unused entry of shape {shape} has a name close to {name!r}; rename it")
        mapped[name] = unused.pop(close[0])
        _logger.warning("auto_mapping: %s is loaded from %s", name, close[0])
    return {**mapped, **unused}


def _as_tensor(array: np.ndarray, dtype: mstype.Type) -> Tensor:
    """A tensor of the type, over the array's own memory where that can be, so that loading needs one copy only."""
    is_as_wanted = dtype == mstype.float32 and array.dtype == np.float32
    if is_as_wanted and array.flags.c_contiguous and array.flags.writeable:
        return Tensor.from_numpy(array)
    return Tensor(array, dtype=dtype)


def _describe(model: nn.Cell) -> str:
    """The model's name, or its class when it was not built by name."""
    cfg = getattr(model, "default_cfg", None)
    return (cfg and cfg.get("architecture")) or type(model).__name__
