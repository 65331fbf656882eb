"""The key of a compiled graph: a digest of everything that decides what MindSpore makes of a cell.

MindSpore's own compile cache looks at the text of the source files alone and returns the graph of other constants. Here
the cell itself is walked: its structure, each constant in it and in the functions that its `construct` may reach, the
inputs, MindSpore's settings, the versions. What is of a type that is not known here has no digest, and so no cache.
"""

import contextlib
import dis
import enum
import functools
import hashlib
import importlib
import importlib.machinery
import inspect
import logging
import marshal
import os
import platform
import re
import struct
import sys
import sysconfig
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore.ops import Primitive

from .._version import __version__
from ..kernels.cells import missed
from ..kernels.folders import folder_digest
from ..kernels.onednn import STARTING
from ..kernels.operators import unknown
from .distributed import world_size

__all__ = ["NoKeyError", "graph_key", "prepare"]

_PACKAGE = Path(__file__).resolve().parents[1]
_MINDSPORE = Path(ms.__file__).resolve().parent
_CPUINFO = Path("/proc/cpuinfo")
_MINDSPORE_LOCK = threading.Lock()
_STANDARD = tuple(f"{os.path.realpath(sysconfig.get_path(name))}{os.sep}" for name in ("stdlib", "platstdlib"))
# Code whose text the versions stand for.
_VERSIONED = (f"{_MINDSPORE}{os.sep}", f"{Path(np.__file__).resolve().parent}{os.sep}")
_SITE = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")

# What MindSpore writes into a cell that says nothing of its graph: when it was made, what it was compiled to; and
# `kernel_cells`, whose choice shows in the classes of the cells.
_OF_THE_PROCESS = frozenset(
    (
        *("_create_time", "arguments_key", "_compile_cache", "_phase_cache", "_id", "_exist_objs", "_exist_names"),
        *("_compile_phase", "compile_phase", "current_phase", "_compiled", "_init_flag", "_is_check_and_refresh"),
        *("__compile_cell_hook__", "__parse_method__", "_cell_init_args", "_lazy_construct_sig", "is_top_cell"),
        *("_lazy_user_parameters", "_parameter_layout_dict", "_parallel_parameter_name_list", "_jit_graph_name"),
        *("_has_mutable_args_list", "sequence_modified", "_scope", "kernel_cells"),
    )
)
_RECOMPUTED = "recompute_"
# What MindSpore's jit keeps in its closures: when a function was made.
_TIME_MADE = "hash_obj"
# Settings of MindSpore that say where files go or how far a run is.
_NOT_OF_THE_GRAPH = frozenset(
    (
        *("compile_cache_path", "enable_compile_cache", "save_graphs", "save_graphs_path", "print_file_path"),
        *("env_config_path", "device_id", "cur_step_num", "need_ckpt", "save_checkpoint_steps", "last_triggered_step"),
        *("profiling_options", "enable_profiling", "max_device_memory", "mempool_block_size", "op_timeout"),
    )
)
_PARALLEL_SETTINGS = ("parallel_mode", "gradients_mean", "gradient_fp32_sync", "device_num", "parameter_broadcast")
_PARALLEL_MODES = ("stand_alone", "data_parallel")
# Variables that may change a graph, but for those that say where things are or who takes part.
_VARIABLES = re.compile(r"(MS|MINDSPORE|MINDCV|DNNL|ONEDNN|GLOG|OMP|KMP)_")
_OF_THE_PLACE = re.compile(
    r"MS_(ROLE|SCHED_\w+|NODE_ID|NODE_TIMEOUT|WORKER_NUM|WORKER_IP|TOPO_TIMEOUT|CLUSTER_\w+|COMPILER_CACHE_\w+"
    r"|DEV_FORCE_USE_COMPILE_CACHE)|MINDCV_HOME|MINDCV_COMPILE_CACHE|GLOG_\w+"
)
# What a shell calls the program that it starts; to code it is a text to join others by.
_STARTED_BY = "_"
_LIBRARY = re.compile(r"(?P<path>/.+\.so[.\d]*)(:\w+)?")
# Methods that the graph compiler, or what it calls, reaches without their names.
_UNNAMED = tuple(
    f"__{name}__"
    for name in (
        *("call", "getitem", "setitem", "len", "iter", "next", "contains", "getattr", "getattribute", "bool"),
        *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "neg", "matmul", "index"),
        *("int", "float", "array", "enter", "exit", "get", "set"),
    )
)
_MOST_NODES = 3_000_000
_MOST_PENDING = 1 << 16  # bytes
# Of marshal's formats the one that depends on values alone; later ones tell which objects are one and the same.
_PLAIN_FORMAT = 0
_PLAIN = frozenset((str, int, bool, bytes, tuple, type(None)))  # tuples are shapes and lists of names
_NUMBERS = frozenset((int, bool, type(None)))
_SCALARS = _NUMBERS | {str, bytes}
_CONSTANTS = frozenset((bool, int, bytes, type(None), type(Ellipsis), type(NotImplemented)))
_LARGEST_LIBRARY = 1 << 30


class NoKeyError(Exception):
    """Something decides a graph that has no digest; the message says what and where."""


def graph_key(cell: nn.Cell, inputs: Iterable[Any]) -> tuple[str, list[Parameter]]:
    """Returns the key of the graph that a cell compiles to for such inputs, and the parameters that may be in it.

    Args:
        cell: The cell, as it is: in training or not.
        inputs: What it is called with. Of tensors the shape and type count, of all else the value.

    Returns:
        64 hexadecimal digits, and all parameters that were met, also those that the cell's `parameters_dict` lacks.

    Raises:
        NoKeyError: Something in the cell, or reached by its code, is of a type that is not known here.
    """
    walker = _Walker()
    try:
        with ThreadPoolExecutor(1) as reader:
            package = reader.submit(_package_digest)
            for value in inputs:
                if isinstance(value, Tensor) and not isinstance(value, Parameter):
                    walker.put("input", value.shape, value.dtype, getattr(value, "const_arg", None))
                else:
                    walker.walk(value)
            walker.walk(cell, type(cell).__name__)
            walker.finish()
            for name, part in _surroundings():
                walker.put(name, part)
            walker.put("mindcv", package.result())
    except RecursionError as error:
        raise NoKeyError(f"{type(cell).__name__} holds objects nested too deeply") from error
    except OSError as error:
        raise NoKeyError(f"{error.filename or 'a file'} cannot be read ({error.strerror})") from error
    return walker.digest(), walker.parameters


def _surroundings() -> Iterator[tuple[str, str]]:
    """What decides a graph besides the cell and its inputs: name and text of each."""
    yield "format", "3"
    yield "versions", f"{__version__} {ms.__version__} {np.__version__} {sys.version}"
    # Not platform.platform(), which starts a process.
    yield "system", f"{platform.system()} {platform.release()} {platform.machine()} {platform.libc_ver()}"
    yield "mindspore", _mindspore_digest()
    yield "processor", _processor()
    yield "ranks", str(world_size())
    yield "seeds", f"{ms.get_seed()} {sorted(_operator_seeds().items(), key=str)}"
    for name, value in sorted(os.environ.items()):
        if _VARIABLES.match(name) and not _OF_THE_PLACE.fullmatch(name):
            yield f"variable {name}", value
    context = ms.context._context()
    for name, parameter in sorted(ms.context.ms_ctx_param.__members__.items()):
        if name not in _NOT_OF_THE_GRAPH:
            yield f"setting {name}", repr(context.get_param(parameter))
    yield "jit_config", repr(sorted(context.get_jit_config().items()))
    settings = {name: ms.get_auto_parallel_context(name) for name in _PARALLEL_SETTINGS}
    if settings["parallel_mode"] not in _PARALLEL_MODES:
        raise NoKeyError(f"the parallel mode is {settings['parallel_mode']}")
    yield "parallel", repr(settings)


def _operator_seeds() -> dict[Any, Any]:
    """What MindSpore has drawn for operators so far; `mindspore.common.seed` is a function as well."""
    return getattr(importlib.import_module("mindspore.common.seed"), "_KERNEL_SEED", {})


def _mindspore_digest() -> str:
    """Sizes and times of MindSpore's files, so that an installation that was edited or replaced is another one."""
    with _MINDSPORE_LOCK:  # a thread may be at it already
        return _once_mindspore_digest()


@functools.lru_cache(maxsize=1)
def _once_mindspore_digest() -> str:
    return f"{getattr(ms, '__commit_id__', '')} {_MINDSPORE} {folder_digest(_MINDSPORE, ('.py', '.so'), reads=False)}"


def prepare() -> None:
    """Lets a thread begin with what all keys of this process have in common."""
    threading.Thread(target=_begin, daemon=True).start()


def _begin() -> None:
    with contextlib.suppress(OSError):  # `graph_key` says what cannot be read
        _mindspore_digest()


def _package_digest() -> str:
    """The contents of mindcv's own files, read anew each time: an editable checkout may change while a run lasts."""
    return folder_digest(_PACKAGE, (".py", ".so", ".c", ".cc", ".cpp", ".h", ".hpp"), reads=True)


def _processor() -> str:
    """What the processor can do; operators may be chosen by it."""
    found = [platform.machine()]
    if _CPUINFO.exists():
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
        found += sorted(set(re.findall(r"^(?:model name|flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)))
    return "\n".join(found)


def _is_under(path: str, folders: tuple[str, ...]) -> bool:
    return os.path.realpath(path).startswith(folders)


@functools.cache
def _is_versioned_file(path: str) -> bool:
    """Whether a file's text is one that a version in the key stands for: MindSpore's, numpy's or Python's."""
    if path.startswith("<frozen "):
        return True
    if _is_under(path, _VERSIONED):
        return True
    return _is_under(path, _STANDARD) and not any(part in path for part in _SITE)


@functools.cache
def _is_own_file(path: str) -> bool:
    """Whether a file is mindcv's, whose contents are in the key."""
    return _is_under(path, (f"{_PACKAGE}{os.sep}",))


def _is_versioned_module(name: str | None) -> bool:
    """The same of a module: one without a file is built into Python."""
    module = sys.modules.get(name or "")
    if module is None:
        return False
    path = getattr(module, "__file__", None)
    if path is None:
        return name in sys.builtin_module_names or str(name).startswith("mindspore._c_expression")
    return _is_versioned_file(path)


class _Walker:
    """Walks what an object refers to and digests it, each thing once and in an order that all processes share."""

    def __init__(self) -> None:
        self.parameters: list[Parameter] = []
        self._hash = hashlib.sha256()
        self._pending = bytearray()  # many short texts, digested together
        # What the kernels count while cells are compiled, and wait for, is none of their constants.
        self._seen: dict[int, int] = {id(missed): 0, id(unknown): 1, id(STARTING): 2}
        self._alive: list[Any] = []  # so that no number of an object in `_seen` is given to another one
        self._where: list[str] = []
        # Names that reached code uses, and the classes and modules that it may find them in.
        self._names: set[str] = {"construct", "bprop", *_UNNAMED}
        self._owners: list[Any] = []
        self._looked_up: set[tuple[int, str]] = set()
        self._libraries: dict[str, str] = {}

    def digest(self) -> str:
        """The digest of all that was walked."""
        self._hash.update(self._pending)
        self._pending.clear()
        return self._hash.hexdigest()

    def put(self, *parts: Any) -> None:
        """Digests values; what each is and how long it is comes first, so that no two lists of values look alike."""
        if not _PLAIN.issuperset(map(type, parts)):
            parts = tuple(part if type(part) in _PLAIN else str(part) for part in parts)
        self._pending += marshal.dumps(parts, _PLAIN_FORMAT)
        if len(self._pending) > _MOST_PENDING:
            self._hash.update(self._pending)
            self._pending.clear()

    def finish(self) -> None:
        """Walks what the code that was reached may look up by name, until that reaches nothing more."""
        is_more = True
        while is_more:
            is_more = False
            for index, owner in enumerate(list(self._owners)):
                members = vars(owner)
                for name in sorted(self._names.intersection(members)):
                    if (index, name) not in self._looked_up:
                        self._looked_up.add((index, name))
                        is_more = True
                        self.put("member", index, name)
                        self.walk(members[name], f"{owner.__name__}.{name}")

    def walk(self, value: Any, name: str = "") -> None:
        """Digests a value with all that it refers to.

        Raises:
            NoKeyError: It is of an unknown type.
        """
        cls = type(value)
        if cls is str:
            self.put("str", value)
            if value.startswith("/"):
                self._library(value)
        elif cls in _CONSTANTS:
            self.put(cls.__name__, value)
        elif cls is float:
            self.put("float", struct.pack("<d", value))
        elif cls is complex:
            self.put("complex", struct.pack("<dd", value.real, value.imag))
        elif cls is tuple and _NUMBERS.issuperset(map(type, value)):
            self.put("numbers", value)
        elif not self._is_seen(value):
            self._where.append(name)
            self._walk_object(value, cls)
            self._where.pop()

    def _is_seen(self, value: Any) -> bool:
        """Digests that something is the same object as one before, or notes it."""
        number = self._seen.get(id(value))
        if number is not None:
            self._pending += marshal.dumps(("same", number), _PLAIN_FORMAT)  # as `put` does
            return True
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        if len(self._seen) > _MOST_NODES:
            self._refuse("more objects than can be looked at")
        return False

    def _walk_object(self, value: Any, cls: type) -> None:
        if cls is list and _NUMBERS.issuperset(map(type, value)):
            self.put("list of numbers", tuple(value))
        elif cls in (tuple, list):
            self.put(cls.__name__, len(value))
            for index, item in enumerate(value):
                self.walk(item, str(index))
        elif isinstance(value, (frozenset, set)) and cls in (frozenset, set):
            self._set(value)
        elif isinstance(value, (dict, types.MappingProxyType)):
            if cls is not dict:
                self._class_of(value)
            self.put("dict", len(value))
            for key, item in value.items():
                self.walk(key, "key")
                self.walk(item, str(key))
            if cls is not dict and getattr(value, "__dict__", None):
                self._attributes(value.__dict__)
        elif isinstance(value, Parameter):
            self._parameter(value)
        elif isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, nn.Cell):
            self._cell(value)
        elif isinstance(value, Primitive):
            self._primitive(value)
        elif isinstance(value, type):
            self._class(value)
        elif not self._walk_code(value) and not self._walk_constant(value):
            self._instance(value)

    def _walk_code(self, value: Any) -> bool:
        """Digests what is called or run; False: it is nothing of that kind."""
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self.put("method")
            self.walk(value.__func__, "__func__")
            self.walk(value.__self__, "__self__")
        elif isinstance(value, functools.partial):
            self.put("partial")
            for element in (value.func, value.args, value.keywords):
                self.walk(element, "partial")
        elif isinstance(value, (staticmethod, classmethod)):
            self.put(type(value).__name__)
            self.walk(value.__func__)
        elif isinstance(value, property):
            self.put("property")
            for part in (value.fget, value.fset):
                self.walk(part)
        elif isinstance(value, functools.cached_property):
            self.put("cached_property")
            self.walk(value.func)
        elif isinstance(value, _FIELD_OF_TUPLE):
            self.put("field", value.__reduce__()[1][0])
        elif isinstance(value, _BUILTIN_CODE):
            self.put("builtin", getattr(value, "__module__", ""), value.__qualname__)
            owner = getattr(value, "__self__", None)
            if owner is not None and not isinstance(owner, (types.ModuleType, type)):
                self.walk(owner, "__self__")
        elif isinstance(value, types.CodeType):
            self._code(value)
        elif isinstance(value, types.ModuleType):
            self._module(value)
        elif isinstance(value, types.CellType):
            self.put("cell")
            self.walk(value.cell_contents if _has_contents(value) else "nothing yet")
        else:
            return False
        return True

    def _walk_constant(self, value: Any) -> bool:
        """Digests a value that is no object of attributes; False: it is nothing of that kind."""
        cls = type(value)
        if isinstance(value, enum.Enum):
            self._class_of(value)
            self.put("enum", value.name)
            self.walk(value.value, "value")
        elif isinstance(value, (int, float, str, bytes)) and not isinstance(value, np.generic):
            self._class_of(value)
            plain: Callable[[Any], Any] = next(base for base in (int, float, str, bytes) if isinstance(value, base))
            self.walk(plain(value), "value")
            self._attributes(getattr(value, "__dict__", {}))
        elif type(cls).__name__ == "pybind11_type" and hasattr(cls, "__members__"):
            self.put("enum", cls.__module__, cls.__qualname__, int(value))
        elif cls.__module__.startswith("mindspore._c_expression.typing"):
            self.put("type", cls.__qualname__, value)
        elif isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                self._refuse("a numpy array of objects")
            self.put("array", value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes())
        elif isinstance(value, np.generic):
            self.put("scalar", value.dtype.str, value.tobytes())
        elif isinstance(value, np.dtype):
            self.put("dtype", value.str)
        elif isinstance(value, np.ufunc):
            self.put("ufunc", value.__name__)
        elif cls in (slice, range):
            self.put(cls.__name__, value)
            for part in (value.start, value.stop, value.step):
                self.walk(part)
        elif isinstance(value, re.Pattern):
            self.put("pattern", value.pattern, value.flags)
        elif isinstance(value, logging.Logger):
            self.put("logger", value.name)
        elif isinstance(value, Path):
            self.put("path", value)
            self._library(str(value))
        elif isinstance(value, (types.GenericAlias, types.UnionType)) or cls.__module__ == "typing":
            self.put("annotation", value)
        else:
            return False
        return True

    def _library(self, text: str) -> None:
        """Digests the contents of a library that a text names, as custom operators do (`/path/lib.so:function`)."""
        match = _LIBRARY.fullmatch(text)
        if match is None:
            return
        path = match["path"]
        if path not in self._libraries:  # many operators name one
            if not os.path.isfile(path):
                return
            if os.path.getsize(path) > _LARGEST_LIBRARY:
                self._refuse(f"the library {path}, which is too large")
            with open(path, "rb") as file:
                content = hashlib.file_digest(file, "sha256") if _HAS_FILE_DIGEST else hashlib.sha256(file.read())
            self._libraries[path] = content.hexdigest()
        self.put("library", self._libraries[path])

    def _set(self, value: Any) -> None:
        """Digests the items in an order of their own, as a set's follows from addresses."""
        self.put(type(value).__name__, len(value))
        simple = (str, int, float, bool, bytes, type(None), tuple)
        if not all(isinstance(item, simple) for item in value):
            self._refuse("a set of other things than texts and numbers")
        for item in sorted(value, key=lambda item: (type(item).__name__, repr(item))):
            self.walk(item)

    def _parameter(self, value: Parameter) -> None:
        """Digests what a graph knows of a parameter; its values are an input."""
        self.parameters.append(value)
        self._class_of(value)
        self.put("parameter", value.name, value.shape, value.dtype, value.requires_grad)
        for name in ("layerwise_parallel", "parallel_optimizer", "comm_fusion", "cache_enable"):
            self.put(name, getattr(value, name, None))

    def _tensor(self, value: Tensor) -> None:
        """Digests a constant, with its contents."""
        self._class_of(value)
        if getattr(value, "has_init", False) and value.has_init:
            self._refuse("a tensor without values yet")
        content = value.float() if value.dtype == ms.bfloat16 else value
        self.put("tensor", value.shape, value.dtype, content.asnumpy().tobytes())

    def _cell(self, cell: nn.Cell) -> None:
        self._class_of(cell)
        # The rest of the scope is where MindSpore met the cell first.
        self.put("cell", str(sorted(cell.get_flags().items())), str(cell._scope or "").startswith(_RECOMPUTED))
        outside = getattr(type(cell), "_outside_graph", ())  # what mindcv's networks keep for Python code alone
        self._attributes(
            {
                name: item
                for name, item in cell.__dict__.items()
                if not _is_of_the_process(name, item) and name not in outside
            }
        )

    def _primitive(self, primitive: Primitive) -> None:
        self._class_of(primitive)
        self.put("primitive", primitive.name)
        self._attributes(dict(primitive.attrs))
        self._attributes(primitive.__dict__)

    def _attributes(self, attributes: Mapping[str, Any]) -> None:
        """Digests names and values, those first that need no walk."""
        scalars: list[str] = []
        others: list[str] = []
        for name in sorted(attributes):
            (scalars if type(attributes[name]) in _SCALARS else others).append(name)
        values = [attributes[name] for name in scalars]
        self.put("attributes", tuple(scalars), tuple(others), *values)
        for value in values:
            if type(value) is str and value.startswith("/"):
                self._library(value)
        for name in others:
            self.walk(attributes[name], name)

    def _class_of(self, value: Any) -> None:
        cls = type(value)
        self.put("of")
        if not self._is_seen(cls):
            self._class(cls)

    def _class(self, cls: type) -> None:
        """Digests a class: by its name where a version stands for its text, else with its bases and members."""
        self.put("class", cls.__module__, cls.__qualname__)
        for base in cls.__mro__:
            if base is object or base.__module__ == "pybind11_builtins":
                continue
            if _is_versioned_module(base.__module__) and "<locals>" not in base.__qualname__:
                self._replaced_members(base)
                continue
            self.put("base", base.__module__, base.__qualname__)
            if any(owner is base for owner in self._owners):
                continue
            self._owners.append(base)
            for name, member in sorted(vars(base).items()):
                if isinstance(member, (bool, int, float, complex, str, bytes, type(None))) and name != "__doc__":
                    self.put(name)
                    self.walk(member, name)
                elif isinstance(member, types.FunctionType) and "<locals>" in base.__qualname__:
                    # A class that a function of MindSpore's makes: what it does is in the closures.
                    self.put(name)
                    self.walk(member, name)

    def _replaced_members(self, base: type) -> None:
        """Digests functions that somebody has put into a class of MindSpore's."""
        for name, member in sorted(vars(base).items()):
            if isinstance(member, types.FunctionType) and not _is_versioned_file(member.__code__.co_filename):
                if member.__code__.co_filename.startswith("<") and name.startswith("__"):
                    continue  # what dataclass and namedtuple make
                self.put("replaced", base.__qualname__, name)
                self.walk(member, name)

    def _function(self, function: types.FunctionType) -> None:
        """Digests a function; of one whose text a version stands for, what it was made with."""
        code = function.__code__
        self.put("function", function.__qualname__)
        is_versioned = _is_versioned_file(code.co_filename)
        self.walk(function.__defaults__)
        self.walk(function.__kwdefaults__)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if not (is_versioned and name == _TIME_MADE):
                self.walk(cell, name)
        self._attributes(function.__dict__)
        if is_versioned:
            self.put("versioned", function.__globals__.get("__name__", ""), code.co_firstlineno)
            return
        self._code(code)
        if not _is_own_file(code.co_filename):
            self._source(function)
        for name in sorted(_globals_in(code).intersection(function.__globals__)):
            self.put("global", name)
            self.walk(function.__globals__[name], name)

    def _source(self, function: types.FunctionType) -> None:
        """Digests the text that MindSpore will parse, which may have changed since the function was made."""
        if function.__code__.co_filename.startswith("<") or function.__name__ == "<lambda>":
            return  # the graph compiler parses none of these; its code is digested
        try:
            self.put("source", inspect.getsource(function))
        except (OSError, TypeError):
            self._refuse(f"the function {function.__qualname__}, whose source is not there")

    def _code(self, code: types.CodeType) -> None:
        self.put("code", code.co_name, code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_flags)
        self._names.update(code.co_names)
        self.put(len(code.co_consts))
        for item in code.co_consts:
            if isinstance(item, str):
                self._names.add(item)
                if item in os.environ and item != _STARTED_BY:
                    self.put("variable", item, os.environ[item])
            self.walk(item, code.co_name)

    def _module(self, module: types.ModuleType) -> None:
        self.put("module", module.__name__)
        path = getattr(module, "__file__", None)
        if _is_versioned_module(module.__name__) or (path or "").endswith(
            tuple(importlib.machinery.EXTENSION_SUFFIXES)
        ):
            self.put(getattr(module, "__version__", ""))
            return
        if not any(owner is module for owner in self._owners):
            self._owners.append(module)

    def _instance(self, value: Any) -> None:
        """Digests an object by its class and attributes, if these are all of it."""
        cls = type(value)
        if not _is_made_of_attributes(value):
            self._refuse(f"a {cls.__module__}.{cls.__qualname__}")
        self._class_of(value)
        if isinstance(value, tuple):
            for index, item in enumerate(value):
                self.walk(item, str(index))
        attributes = dict(getattr(value, "__dict__", {}))
        for base in cls.__mro__:
            slots = vars(base).get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, slot) and slot not in ("__dict__", "__weakref__"):
                    attributes[slot] = getattr(value, slot)
        self._attributes(attributes)

    def _refuse(self, what: str) -> None:
        where = ".".join(name for name in self._where if name)
        raise NoKeyError(f"{where} is {what}")


_BUILTIN_CODE = (
    *(types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType, types.MethodWrapperType),
)
_FIELD_OF_TUPLE = type(vars(inspect.Attribute)["name"])  # what a named tuple has for each of its fields
_LOAD_GLOBAL, _LOAD_NAME = dis.opmap["LOAD_GLOBAL"], dis.opmap["LOAD_NAME"]
_FLAGS_OF_LOAD_GLOBAL = 1 if sys.version_info >= (3, 11) else 0  # bits beside the name's index
_HAS_FILE_DIGEST = hasattr(hashlib, "file_digest")  # Python 3.11


def _globals_in(code: types.CodeType) -> set[str]:
    """All global names that a function's code, and that of functions in it, loads; `dis` takes ten times as long."""
    names: set[str] = set()
    high = 0
    for operation, low in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument = high | low
        high = argument << 8 if operation == dis.EXTENDED_ARG else 0
        if operation == _LOAD_GLOBAL:
            names.add(code.co_names[argument >> _FLAGS_OF_LOAD_GLOBAL])
        elif operation == _LOAD_NAME:
            names.add(code.co_names[argument])
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            names |= _globals_in(item)
    return names


def _is_of_the_process(name: str, item: Any) -> bool:
    """Whether an attribute of a cell says nothing of its graph. Empty hooks are made when MindSpore looks for them."""
    return name in _OF_THE_PROCESS or (name.startswith("_lazy_") and not item)


def _has_contents(cell: types.CellType) -> bool:
    with contextlib.suppress(ValueError):
        return cell.cell_contents is not cell
    return False


_HEAP_TYPE = 1 << 9


def _is_made_of_attributes(value: Any) -> bool:
    """Whether the classes of an object are all written in Python, so that nothing of it is out of reach."""
    for base in type(value).__mro__:
        if base in (object, tuple) or base.__module__ == "pybind11_builtins":
            continue
        if base.__module__.startswith("mindspore._c_expression"):
            continue  # MindSpore's graph functions, whose arguments its Python classes keep
        path = str(getattr(sys.modules.get(base.__module__), "__file__", None))
        if not base.__flags__ & _HEAP_TYPE or not path.endswith(".py") or base.__module__.split(".")[0] == "numpy":
            return False
    return hasattr(value, "__dict__") or any("__slots__" in vars(base) for base in type(value).__mro__)
