"""MindSpore's cells, parameters and primitives without the work of their constructors: made after an example.

A constructor runs once for each kind, and what it leaves in Python and calls in C++ is done again for further ones.
Where a version of MindSpore has constructors that do more than is known here, they run;
`tests/models/test_layer_kinds.py` holds what is made against what they make.
"""

import dataclasses
import functools
import inspect
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from mindspore import Parameter, Tensor, context, nn
from mindspore._c_expression import ParamInfo
from mindspore.ops import Primitive

__all__ = ["PrimitiveMaker", "fill_cell", "make_parameter"]

# A class, which mypy does not take for hashable.
Class: TypeAlias = Any
# What the constructors use, in any order. One that uses something else is of another version, and runs itself.
_CELL = """Cell Cell_ OrderedDict __init__ __setattr__ _cell_tag add_flags cells_compile_cache compile_cache getenv
    hasattr id init_pipeline int logger os super time total_instance_count warning"""
_PARAMETER = """ParamInfo Parameter Tensor Tensor_ TypeError ValueError Load __init__ __new__ _cast_type _get_base_class
    _get_combined_class _get_parameter_new_args _inited_param _is_in_auto_parallel_mode _pipeline_stage_list
    _set_user_data _sliced _unique bool dtype float float32 getattr getrefcount has_init init_flag init_mode int int64
    is_default_input_init is_in_parallel is_init isinstance layerwise_parallel list load mindspore.ops.operations mstype
    name ndarray np other_ops parallel_optimizer param_info parameter_shape requires_aggr requires_grad shape
    storage_format sys type"""
_PRIMITIVE = """Primitive_ __class__ __init__ __mindspore_signature__ _fill_signature _update_parameter attrs hasattr
    init_attrs name set_signatures"""
_CONSTANTS = (bool, int, float, str, type(None))
_CONTAINERS = (OrderedDict, dict, set, list)
# Arrays of fewer values are copied into a parameter faster than shared with it.
_SMALL = 1 << 13


def _uses_only(known: str, *functions: Any) -> bool:
    """Whether functions use nothing but these names, and are not wrapped in others."""
    names = {*known.split(), "__class__"}
    return all(
        inspect.isfunction(each) and names.issuperset(each.__code__.co_names + each.__code__.co_freevars)
        for each in functions
    )


# Cells


@dataclasses.dataclass(frozen=True)
class _CellExample:
    """What `nn.Cell.__init__` leaves in a cell of one class."""

    init: Callable[[nn.Cell, str], None]
    compile_caches: dict[int, set[str]]
    tag: str
    constants: Mapping[str, Any]
    containers: tuple[tuple[str, Callable[[], Any]], ...]


def fill_cell(cell: nn.Cell) -> None:
    """Runs `nn.Cell.__init__` on a cell."""
    cls: Class = type(cell)
    example = _cell_example(cls)
    if example is None:
        nn.Cell.__init__(cell)
        return
    example.init(cell, example.tag)
    nn.Cell.total_instance_count += 1
    attributes = vars(cell)
    attributes.update(example.constants)
    for name, container in example.containers:
        attributes[name] = container()
    attributes["_create_time"] = int(time.time() * 1e9)
    example.compile_caches[id(cell)] = attributes["_compile_cache"]


@functools.cache
def _cell_example(cls: Class) -> _CellExample | None:
    """Returns None where the constructor has to run."""
    module = sys.modules[nn.Cell.__module__]
    base, caches = getattr(module, "Cell_", None), getattr(module, "cells_compile_cache", None)
    if base is None or caches is None or not _uses_only(_CELL, nn.Cell.__init__):
        return None
    cell = cls.__new__(cls)
    nn.Cell.__init__(cell)
    attributes = dict(vars(cell))
    if not isinstance(attributes.pop("_create_time", None), int):
        return None
    if caches.get(id(cell)) is not attributes.get("_compile_cache", caches):
        return None
    constants = {name: value for name, value in attributes.items() if type(value) in _CONSTANTS}
    others = {name: value for name, value in attributes.items() if name not in constants}
    if any(type(value) not in _CONTAINERS or value for value in others.values()):
        return None
    containers = tuple((name, type(value)) for name, value in others.items())
    return _CellExample(base.__init__, caches, cell._cell_tag, constants, containers)


# Parameters


@dataclasses.dataclass(frozen=True)
class _ParameterExample:
    """What the constructor leaves in a parameter."""

    type: Any
    attributes: Mapping[str, Any]
    set_info: Callable[[Tensor, ParamInfo], None]


def make_parameter(array: np.ndarray, name: str, requires_grad: bool = True) -> Parameter:
    """Makes `Parameter(array, name, requires_grad)`, which may go on using the array's memory.

    Its `load`, which has neither arguments nor a state, is that of all parameters made here.
    """
    example = _parameter_example(_parallel_mode())
    data = array if array.size < _SMALL else Tensor.from_numpy(array)
    if example is None:
        return Parameter(data, name=name, requires_grad=requires_grad)
    return _fill_parameter(example, data, array.shape, name, requires_grad)


def _fill_parameter(
    example: _ParameterExample, data: np.ndarray | Tensor, shape: tuple[int, ...], name: str, requires_grad: bool
) -> Parameter:
    parameter = Tensor.__new__(example.type)
    Tensor.__init__(parameter, data)
    info = ParamInfo()
    info.obj = parameter
    info.name = name
    info.requires_grad = requires_grad
    info.layerwise_parallel = False
    info.parallel_optimizer = True
    info.parameter_shape = shape
    info.storage_format = ""
    attributes = vars(parameter)
    attributes.update(example.attributes)
    attributes["_param_info"] = info
    attributes["_pipeline_stage_list"] = []
    example.set_info(parameter, info)
    parameter._requires_grad = requires_grad
    return parameter


@functools.cache
def _parameter_example(parallel_mode: str) -> _ParameterExample | None:
    """Returns None where the constructor has to run.

    Args:
        parallel_mode: What `is_in_parallel` depends on.
    """
    set_info = getattr(Tensor, "set_param_info", None)
    if set_info is None or not _uses_only(_PARAMETER, Parameter.__new__, Parameter.__init__):
        return None
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    plain = Parameter(array, name="example", requires_grad=False)
    attributes = dict(vars(plain))
    if type(attributes.pop("_param_info", None)) is not ParamInfo:
        return None
    if attributes.pop("_pipeline_stage_list", None) != []:
        return None
    if any(type(value) not in _CONSTANTS for name, value in attributes.items() if name != "load"):
        return None
    example = _ParameterExample(type(plain), attributes, set_info)
    made = _fill_parameter(example, array, array.shape, "example", False)
    facts, plain_facts = _facts_of(made), _facts_of(plain)
    return example if facts == plain_facts and np.array_equal(made.asnumpy(), array) else None


def _facts_of(parameter: Parameter) -> dict[str, Any]:
    """Returns what can be compared of a parameter."""
    info = parameter.param_info
    facts = {name: getattr(info, name) for name in dir(info) if not name.startswith("_") and name != "obj"}
    facts = {name: value for name, value in facts.items() if not callable(value)}
    return facts | {"_requires_grad": parameter._requires_grad, "dtype": parameter.dtype, "names": {*vars(parameter)}}


def _parallel_mode() -> str:
    return context.get_auto_parallel_context("parallel_mode")


# Primitives


@dataclasses.dataclass(frozen=True)
class _Size:
    """Stands for a value that is a primitive's argument."""

    argument: str


class _UnknownError(Exception):
    """A primitive's arguments show elsewhere than as themselves."""


class PrimitiveMaker:
    """Makes primitives of one class that differ in sizes only, each with attributes of its own.

    Args:
        like: A primitive as its constructor made it.
        name: What it is called in a cell.
        sizes: Arguments that are sizes.
    """

    def __init__(self, like: Primitive, name: str, sizes: Iterable[str] = ()) -> None:
        self._class: Class = type(like)
        self._arguments = dict(like.init_attrs)
        self._instance_name = name
        self._is_known = _uses_only(_PRIMITIVE, Primitive.__init__)
        if self._is_known:
            try:
                self._learn(sizes)
            except _UnknownError:
                self._is_known = False

    def __call__(self, sizes: Mapping[str, int]) -> Primitive:
        """Makes a primitive.

        Args:
            sizes: The arguments that are sizes.
        """
        primitive = self._class.__new__(self._class)
        if not self._is_known:
            primitive.__init__(**{**self._arguments, **sizes})
            return primitive.set_prim_instance_name(self._instance_name)
        self._init(primitive, self._name)
        attributes = vars(primitive)
        attributes.update(self._attributes)
        attributes["attrs"] = attrs = dict(self._attrs)
        attributes["init_attrs"] = init_attrs = dict(self._init_attrs)
        for name, values in self._lists:
            attributes[name] = attrs[name] = list(values)
        for names, values_of in (
            (self._sized_attributes, attributes),
            (self._sized_attrs, attrs),
            (self._sized_init_attrs, init_attrs),
        ):
            for name, argument in names:
                values_of[name] = sizes[argument]
        for call, arguments in self._calls:
            call(primitive, *arguments)
        for call, name, argument in self._sized_calls:
            call(primitive, name, sizes[argument])
        return primitive

    def _learn(self, sizes: Iterable[str]) -> None:
        """Makes two primitives of other sizes, which show where the sizes are.

        Raises:
            _UnknownError: They show where no copy can follow.
        """
        names = tuple(sizes)
        given = [{name: 101 + 8 * index + 2 * turn for index, name in enumerate(names)} for turn in (0, 1)]
        self._size_of = {(given[0][name], given[1][name]): name for name in names}
        base: Class = next(base for base in self._class.__mro__ if base.__name__ == "Primitive_")
        (first, calls), (second, other_calls) = (self._record(base, each) for each in given)
        self._init, self._name = base.__init__, first.name
        own, other = dict(vars(first)), dict(vars(second))
        self._attrs, self._sized_attrs = self._split(own.pop("attrs"), other.pop("attrs"))
        self._init_attrs, self._sized_init_attrs = self._split(own.pop("init_attrs"), other.pop("init_attrs"))
        self._attributes, self._sized_attributes = self._split(own, other)
        self._lists = [(name, value) for name, value in own.items() if isinstance(value, list)]
        self._calls, self._sized_calls = [], []
        if calls.keys() != other_calls.keys() or any(self._attrs.get(name) is not value for name, value in self._lists):
            raise _UnknownError
        for (method, name), arguments in calls.items():
            others = other_calls[method, name]
            if len(arguments) != len(others):
                raise _UnknownError
            merged = [self._merge(*pair) for pair in zip(arguments, others, strict=True)]
            sized = [index for index, value in enumerate(merged) if isinstance(value, _Size)]
            if not sized:
                self._calls.append((getattr(base, method), arguments))
            elif sized == [1] and len(merged) == 2:
                self._sized_calls.append((getattr(base, method), arguments[0], merged[1].argument))
            else:
                raise _UnknownError
        made = self(given[1])
        if vars(made) != vars(second) or made.get_attr_dict() != second.get_attr_dict():
            raise _UnknownError

    def _record(self, base: Class, sizes: Mapping[str, int]) -> tuple[Primitive, dict[tuple[str, str], tuple]]:
        """Makes a primitive by its constructor.

        Returns:
            The primitive, and the arguments of what its constructor called in C++, by method and, for attributes, name;
            of what is set more than once, the last.
        """
        primitive = self._class.__new__(self._class)
        methods = [name for name in vars(base) if not name.startswith(("_", "get_"))]
        calls: dict[tuple[str, str], tuple] = {}

        def call(method: str, *arguments: Any) -> Any:
            calls[method, arguments[0] if method == "add_attr" else ""] = arguments
            return getattr(base, method)(primitive, *arguments)

        vars(primitive).update({method: functools.partial(call, method) for method in methods})
        primitive.__init__(**{**self._arguments, **sizes})
        primitive.set_prim_instance_name(self._instance_name)
        for method in methods:
            del vars(primitive)[method]
        return primitive, calls

    def _split(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Returns the entries, of which sizes are to be replaced, and the names of these with their arguments."""
        if one.keys() != other.keys():
            raise _UnknownError
        merged = {name: self._merge(value, other[name]) for name, value in one.items()}
        return dict(one), [(name, value.argument) for name, value in merged.items() if isinstance(value, _Size)]

    def _merge(self, one: Any, other: Any) -> Any:
        """Returns a value that two primitives share, or the argument that it is."""
        if type(one) is type(other) and one == other:
            return one
        if type(one) is type(other) is int and (one, other) in self._size_of:
            return _Size(self._size_of[one, other])
        raise _UnknownError
