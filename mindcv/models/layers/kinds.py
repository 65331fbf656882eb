"""MindSpore's layers without the work that its constructors repeat: most of what a small network takes to be made.

They check each argument, bind signatures and make primitives that no layer runs, and what they set depends on the sizes
of a layer in few places. So a constructor runs once for each kind of layer (a class and all arguments but the sizes),
and further layers get what it has set, with sizes, parameters and computing primitives of their own. The class stays
MindSpore's; `tests/models/test_layer_kinds.py` holds the layers against those that the constructors make.
"""

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from mindspore import Parameter, Tensor, context, nn
from mindspore._c_expression import ms_ctx_param
from mindspore.common.initializer import Initializer, initializer
from mindspore.ops import Primitive

from .examples import PrimitiveMaker, fill_cell, make_parameter

__all__ = ["fill_layer", "make_layer"]

Shape = tuple[int, ...]
Init: TypeAlias = str | Initializer | Tensor
# A `type[nn.Cell]`, which mypy does not take for hashable.
Layer: TypeAlias = Any
_CONSTANTS = {"ones": 1.0, "zeros": 0.0}


@dataclasses.dataclass(frozen=True)
class _Class:
    """What depends on a layer's sizes in one of MindSpore's classes.

    Args:
        sizes: Arguments that are sizes, and attributes of the same names.
        shape: Shape of a parameter, of its name, the sizes and the shape that it has where all sizes are 1.
        computing: Primitives that a layer's result comes from, with those of their arguments that are sizes. Each layer
            has its own, so that `recompute` and the like change one layer; others read shapes, or nothing runs them.
        names_arguments: Whether MindSpore writes all arguments into the layer, by which it finds graphs parsed before.
        needed: Arguments without a default.
    """

    sizes: tuple[str, ...]
    shape: Callable[[str, Mapping[str, Any], Shape], Shape]
    computing: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    names_arguments: bool = False
    needed: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _conv_shape(name: str, sizes: Mapping[str, Any], one: Shape) -> Shape:
    out = sizes["out_channels"]
    return (out, sizes["in_channels"] // sizes["group"], *one[2:]) if name == "weight" else (out,)


def _dense_shape(name: str, sizes: Mapping[str, Any], one: Shape) -> Shape:
    return (sizes["out_channels"], sizes["in_channels"]) if name == "weight" else (sizes["out_channels"],)


def _last_size(name: str, sizes: Mapping[str, Any], one: Shape) -> Shape:
    *_, size = sizes.values()
    return size if isinstance(size, tuple) else (size,)


_CLASSES: dict[type[nn.Cell], _Class] = {
    nn.Conv2d: _Class(
        ("in_channels", "out_channels", "group"),
        _conv_shape,
        {"conv2d": {"out_channel": "out_channels", "group": "group"}, "bias_add": {}},
        names_arguments=True,
        needed={"kernel_size": 1},
    ),
    nn.Dense: _Class(("in_channels", "out_channels"), _dense_shape, {"matmul": {}, "bias_add": {}}),
    nn.BatchNorm2d: _Class(("num_features",), _last_size, {"bn_train": {}, "bn_infer": {}}, names_arguments=True),
    nn.LayerNorm: _Class(("normalized_shape",), _last_size, {"layer_norm": {}}),
    nn.GroupNorm: _Class(("num_groups", "num_channels"), _last_size),
}


class _Parameter(NamedTuple):
    """A parameter of a layer whose sizes are 1."""

    name: str
    requires_grad: bool
    shape: Shape
    constant: float


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What layers of one class and the same arguments have in common, taken from one whose sizes are 1."""

    attributes: Mapping[str, Any]
    primitives: Mapping[str, Primitive]
    makers: Mapping[str, PrimitiveMaker]
    parameters: Mapping[str, _Parameter]
    names: str


def make_layer(
    layer: Layer,
    sizes: Mapping[str, Any],
    inits: Mapping[str, Init],
    sibling: nn.Cell | None = None,
    **arguments: Any,
) -> nn.Cell:
    """Makes a layer as `layer(**sizes, **arguments, **inits)` does.

    Args:
        layer: One of `nn.Conv2d`, `Dense`, `BatchNorm2d`, `LayerNorm` (sizes: `normalized_shape`), `GroupNorm`.
        sizes: Its arguments that are sizes.
        inits: Initialisers of its parameters, by MindSpore's arguments (`weight_init`).
        sibling: A layer made with the same sizes and arguments, whose primitives become this one's too: for layers that
            are parts of one, which `recompute` and the like change together.
        **arguments: Further arguments.

    Raises:
        ValueError: What the layer's own constructor does not take.
    """
    cell = nn.Cell.__new__(layer)
    fill_layer(cell, layer, sizes, inits, sibling, **arguments)
    return cell


def fill_layer(
    cell: nn.Cell,
    layer: Layer,
    sizes: Mapping[str, Any],
    inits: Mapping[str, Init],
    sibling: nn.Cell | None = None,
    **arguments: Any,
) -> None:
    """Runs a layer's constructor on a cell of its class or of one derived from it; arguments as `make_layer`'s.

    Raises:
        ValueError: What the constructor does not take.
    """
    state = _state()
    if not (_can_be(sizes, arguments) and _is_plain(state) and _is_known(layer)):
        layer.__init__(cell, **sizes, **arguments, **inits)
        return
    kind = _kind_of(layer, state, tuple(arguments.items()), tuple(inits))
    facts = _CLASSES[layer]
    fill_cell(cell)
    attributes = vars(cell)
    attributes.update(kind.attributes)
    attributes.update(sizes)
    attributes.update((name, init) for name, init in inits.items() if name in kind.attributes)
    if "_cell_init_args" in attributes:
        named = _names(layer, {**sizes, **arguments, **inits}) if facts.names_arguments else kind.names
        attributes["_cell_init_args"] = f"{type(cell).__name__}{named}"
    for name, primitive in kind.primitives.items():
        if sibling is not None:
            primitive = sibling._primitives[name]
        elif name in kind.makers:
            primitive = kind.makers[name]({argument: sizes[size] for argument, size in facts.computing[name].items()})
        attributes[name] = cell._primitives[name] = primitive
    for name, one in kind.parameters.items():
        init = inits.get(f"{name}_init", one.constant)
        cell._params[name] = _parameter(init, facts.shape(name, sizes, one.shape), one)


def _parameter(init: Init | float, shape: Shape, like: _Parameter) -> Parameter:
    """Draws a parameter, the same values from the same seed as MindSpore's `Parameter(initializer(init, shape))`."""
    if isinstance(init, str):
        init = _CONSTANTS.get(init, init)
    if isinstance(init, Initializer):
        array = np.empty(shape, np.float32)
        init(array)
    elif isinstance(init, float):
        array = np.full(shape, init, np.float32) if init else np.zeros(shape, np.float32)
    else:
        return Parameter(initializer(init, shape), name=like.name, requires_grad=like.requires_grad)
    parameter = make_parameter(array, like.name, like.requires_grad)
    parameter.is_default_input_init = True
    return parameter


def _names(layer: Layer, given: Mapping[str, Any]) -> str:
    """Arguments as MindSpore's `cell_attr_register` writes them into a layer."""
    return str({name: given[name] for name in _order(layer) if name in given}.values())


@functools.cache
def _order(layer: Layer) -> tuple[str, ...]:
    return tuple(inspect.signature(layer.__init__).parameters)


def _can_be(sizes: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether a layer can have these arguments; MindSpore's constructor says what is wrong with others."""
    for size in sizes.values():
        if not all(type(each) is int and each > 0 for each in (size if isinstance(size, tuple) else (size,))):
            return False
    groups = sizes.get("group") or sizes.get("num_groups") or 1
    if groups > 1 and any(size % groups for size in sizes.values()):
        return False
    return not any(isinstance(value, list) for value in arguments.values())


class _State(NamedTuple):
    """What of MindSpore's settings a layer's attributes depend on."""

    device_target: str
    parallel_mode: str


def _state() -> _State:
    # `get_context` checks for 9 us what it is asked for.
    device_target = context._context().get_param(ms_ctx_param.device_target)
    return _State(device_target, context.get_auto_parallel_context("parallel_mode"))


def _is_plain(state: _State) -> bool:
    """Whether parameters are to be drawn at once and cells are not recorded, as they are but for MindSpore's modes."""
    return (
        state.parallel_mode in ("stand_alone", "data_parallel")
        and state.device_target != "meta"
        and getattr(Parameter, "init_param", True)
        and getattr(nn.Cell, "_no_auto_lazy_inline", True)
        and os.getenv("RUN_MODE") != "predict"
    )


@functools.cache
def _kind_of(layer: Layer, state: _State, arguments: tuple[tuple[str, Any], ...], inits: tuple[str, ...]) -> _Kind:
    return _common(layer, _make_plainly(layer, 1, dict(arguments), inits))


def _make_plainly(layer: Layer, size: int, arguments: Mapping[str, Any], inits: Iterable[str]) -> nn.Cell:
    """Makes a layer whose sizes are all `size` by MindSpore's constructor."""
    sizes = {name: (size,) if name == "normalized_shape" else size for name in _CLASSES[layer].sizes}
    return layer(**sizes, **arguments, **dict.fromkeys(inits, "zeros"))


def _common(layer: Layer, one: nn.Cell) -> _Kind:
    parameters = {
        name: _Parameter(each.name, each.requires_grad, each.shape, float(each.asnumpy().flat[0]))
        for name, each in one._params.items()
        if each is not None
    }
    others = {*_cell_attributes(), *one._primitives, *_CLASSES[layer].sizes}
    computing = _CLASSES[layer].computing
    return _Kind(
        attributes={name: value for name, value in vars(one).items() if name not in others},
        primitives=dict(one._primitives),
        makers={
            name: PrimitiveMaker(primitive, name, computing[name])
            for name, primitive in one._primitives.items()
            if name in computing and _is_run(name, parameters)
        },
        parameters=parameters,
        names=getattr(one, "_cell_init_args", "").removeprefix(layer.__name__),
    )


def _is_run(primitive: str, parameters: Mapping[str, Any]) -> bool:
    return primitive != "bias_add" or "bias" in parameters


@functools.cache
def _cell_attributes() -> frozenset[str]:
    return frozenset(vars(nn.Cell()))


@functools.cache
def _is_known(layer: Layer) -> bool:
    """Whether, in this version of MindSpore, a layer's sizes show where `_CLASSES` says, and nowhere else."""
    facts = _CLASSES[layer]
    inits = [name for name in _order(layer) if name.endswith("_init")]  # all of them: nothing may be drawn here
    kinds = [_common(layer, _make_plainly(layer, size, facts.needed, inits)) for size in (1, 2)]
    differing = {
        name
        for name in kinds[0].attributes
        if not isinstance(kinds[0].attributes[name], Initializer)
        and kinds[0].attributes[name] != kinds[1].attributes[name]
    }
    primitives = {
        name
        for name, primitive in kinds[0].primitives.items()
        if primitive.init_attrs != kinds[1].primitives[name].init_attrs
    }
    return differing <= {"_cell_init_args"} and primitives <= {name for name, sized in facts.computing.items() if sized}
