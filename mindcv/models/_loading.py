"""Weights into networks: names, adaptation to another head or image, and a strict comparison before anything is set."""

import difflib
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mindcv.weights import LoadReport, read_weights
from mindcv.weights.adapt import adapt_first_conv, drop_classifier
from mindcv.weights.marks import mark_arrays, without_marks
from mindcv.weights.sources import fetch

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
    return load_checkpoint_arrays(model, arrays, checkpoint_path, auto_mapping=auto_mapping, strict=strict)


def load_checkpoint_arrays(
    model: nn.Cell,
    arrays: Mapping[str, np.ndarray],
    source: str | os.PathLike[str],
    *,
    auto_mapping: bool = False,
    strict: bool = True,
) -> LoadReport:
    """Does what `load_model_checkpoint` does with the arrays of a file, `source`."""
    arrays = to_our_names(model, arrays, source)
    if auto_mapping:
        arrays = auto_map(model, arrays)
    return load_arrays(model, arrays, source, strict=strict)


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

    In this order: names are brought to ours; the first convolution is adapted to `in_channels`; the head is left fresh
    when the file's has another number of classes; everything else has to fit.

    Args:
        model: The model.
        default_cfg: `PretrainedCfg`, or a dictionary with `url`, `num_classes`, `first_conv` and `classifier`.
        num_classes: Classes of the model.
        in_channels: Channels of the model's image.
        filter_fn: Brings the file's names to ours, in place of the family's `checkpoint_filter_fn`.
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
    arrays = filter_fn(dict(arrays)) if filter_fn else to_our_names(model, arrays, cfg.url)
    return load_pretrained_arrays(model, arrays, cfg, cfg.url, num_classes, in_channels, strict=strict)


def load_pretrained_arrays(
    model: nn.Cell,
    arrays: Mapping[str, np.ndarray],
    cfg: PretrainedCfg,
    source: str | os.PathLike[str],
    num_classes: int,
    in_channels: int,
    *,
    strict: bool = True,
) -> LoadReport:
    """Adapts arrays with our names to another image and another head, as `load_pretrained` says, and loads them."""
    if f"{cfg.first_conv}.weight" in arrays:
        arrays = adapt_first_conv(arrays, cfg.first_conv, in_channels)
    arrays, head = drop_classifier(arrays, cfg.classifier, num_classes)
    return load_arrays(model, arrays, source, may_miss=head, strict=strict)


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


def to_our_names(
    model: nn.Cell, arrays: Mapping[str, np.ndarray], source: str | os.PathLike[str]
) -> Mapping[str, np.ndarray]:
    """Brings a file's names to the model's by the family's `checkpoint_filter_fn`, and leaves out marks.

    Raises:
        ValueError: The family refuses the file, or the file's names tell of another network.
    """
    filter_fn = family_function(model, "checkpoint_filter_fn")
    args_fn = family_function(model, "checkpoint_model_args")
    for name, value in args_fn(arrays).items() if args_fn else ():
        if getattr(model, name) != value:
            raise ValueError(
                f"{source}: weights of a network with {name}={value!r}, not {getattr(model, name)!r}; "
                f"create the model with {name}={value!r}"
            )
    arrays = without_marks(arrays)
    try:
        return filter_fn(arrays, model) if filter_fn else arrays
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def checkpoint_marks(model: nn.Cell) -> dict[str, np.ndarray]:
    """Returns the marks that a file with the model's weights has besides, by the family's `checkpoint_marks`."""
    marks_fn = family_function(model, "checkpoint_marks")
    return mark_arrays(marks_fn(model)) if marks_fn else {}


def family_function(model: nn.Cell, name: str) -> Callable[..., Any] | None:
    """Returns a function of the module of the model's class, or of its nearest parent that has one."""
    modules = (sys.modules.get(network_class.__module__) for network_class in type(model).__mro__)
    return next((getattr(module, name) for module in modules if hasattr(module, name)), None)


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
