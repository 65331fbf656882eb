"""Graphs that were compiled are taken from a folder at the next start (`compile_cache`).

MindSpore can write the graph that a cell was compiled to and read it in place of compiling. Its key, the text of the
source files, returns wrong graphs, so that here `graph_key` says which file is whose, `GraphStore` keeps the files, and
MindSpore's part is done in a folder of this process alone, which holds one graph at a time.
"""

import atexit
import contextlib
import dataclasses
import gc
import logging
import mmap
import os
import shutil
import sys
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from ..kernels.cells import KernelCells, forget_graph, missed
from ..kernels.memory import bytes_behind, populate, resident_bytes
from ..kernels.plans import make_plans, plans_made
from ..utils.graph_store import GraphStore, KeptGraph, UnusableGraphError, default_cache_folder
from .graph_key import NoKeyError, graph_key, prepare

try:
    from mindspore.graph.api import _cell_graph_executor
except ImportError:  # before MindSpore 2.9
    from mindspore.common.api import _cell_graph_executor

_logger = logging.getLogger(__name__)

__all__ = ["CompileCache", "open_compile_cache"]

_ENABLE = "MS_COMPILER_CACHE_ENABLE"
_PATH = "MS_COMPILER_CACHE_PATH"
# Else MindSpore looks at the source files, and after the first graph that it does not find at no other one.
_FORCE = "MS_DEV_FORCE_USE_COMPILE_CACHE"
_FILES: list[str] = []
_SUFFIX = ".mindir"
_NAME = "compile_cache_"
# In the folder for temporary files; the id of the process follows.
_FOLDER = "mindcv-compile-"

# What MindSpore says on its error stream of a cache that it cannot know to be right.
_EXPECTED = (
    "MS_DEV_FORCE_USE_COMPILE_CACHE has been set",
    "Open the compilation cache file",
    "Failed to load the compilation cache file",
    "Use the compilation cache and execute the backend actions only",
)


def open_compile_cache(
    wanted: str, device: str, mode: int, jit_level: str | None = None, sinks: bool = False
) -> "CompileCache | None":
    """Returns the cache that `compile_cache` asks for, None without one; a line says why, where one was expected.

    Args:
        wanted: auto, off or a folder.
        device: Device target.
        mode: 0 graph mode, 1 PyNative.
        jit_level: O0, O1, O2 or None for MindSpore's default.
        sinks: Whether batches come from the device's own queue, whose name is part of the graph.
    """
    if wanted == "off":
        return None
    is_auto = wanted == "auto"
    if mode != ms.GRAPH_MODE or sinks:
        if not is_auto:
            where = "with dataset_sink_mode" if mode == ms.GRAPH_MODE else "in PyNative mode, which compiles nothing"
            _logger.info("compile_cache has no effect %s", where)
        return None
    is_measured = device == "CPU" and jit_level in (None, "O0")
    if is_auto and not is_measured:
        return None
    if not is_measured:
        _logger.info("compile_cache: not measured on %s%s", device, f" at jit_level {jit_level}" if jit_level else "")
    if os.environ.get(_ENABLE) == "1" or ms.get_context("enable_compile_cache"):
        _logger.warning(
            "compile_cache: off, as MindSpore's own cache is on (%s), which may return wrong graphs", _ENABLE
        )
        return None
    folder = default_cache_folder() if is_auto else Path(wanted).expanduser()
    try:
        return CompileCache(GraphStore(folder))
    except OSError as error:
        _logger.warning("compile_cache: off, %s: %s", folder, error.strerror)
    except ValueError as error:
        _logger.warning("compile_cache: off, %s", error)
    return None


class CompileCache:
    """Compiles cells, or takes their graphs from a store.

    Args:
        store: Where graphs are kept.
    """

    def __init__(self, store: GraphStore) -> None:
        self.store = store
        prepare()
        self._done: weakref.WeakKeyDictionary[nn.Cell, set[tuple[Any, ...]]] = weakref.WeakKeyDictionary()
        # Key and meaning of a graph that is there and has not run yet with its memory counted.
        self._not_counted: tuple[str, str] | None = None

    def compile(
        self, cell: nn.Cell, inputs: tuple[Any, ...], what: str, kernel_cells: KernelCells | None = None
    ) -> bool:
        """Compiles a cell for such inputs, once; calling it afterwards runs it.

        Whatever goes wrong with the cache, the cell is then compiled when it is called, as without one.

        Args:
            cell: The cell.
            inputs: What it will be called with.
            what: What it is, for messages.
            kernel_cells: Those of the network in it; None: the cell's own, if it has any.

        Returns:
            Whether its graph was taken from the store now.
        """
        call = (cell.training, *((i.shape, i.dtype) if isinstance(i, Tensor) else i for i in inputs))
        done = self._done.setdefault(cell, set())
        self._count_memory()
        if call in done:
            return False
        done.add(call)
        kernel_cells = kernel_cells or getattr(cell, "kernel_cells", None) or KernelCells(nn.Cell())
        # Cells have other classes while they compute by the kernels.
        with kernel_cells:
            return self._compile(cell, inputs, what, kernel_cells)

    def _compile(self, cell: nn.Cell, inputs: tuple[Any, ...], what: str, kernel_cells: KernelCells) -> bool:
        begin = time.perf_counter()
        try:
            cell.check_names_and_refresh_name()
            key, parameters = graph_key(cell, inputs)
        except NoKeyError as error:
            _logger.info("compile_cache: not for %s, as %s", what, error)
            return False
        named = _by_name(cell, parameters)
        kept, missed_before = self._take(key), missed.copy()
        ranges = _ranges_of(parameters) if kept else []
        try:
            with _bound_parameters(cell, named):
                outcome = _Compiler.of_process().compile(cell, inputs, kept, ranges, kernel_cells)
        except _UnusableCompilerError as error:
            _logger.warning("compile_cache: off, %s", error)
            return False
        except Exception as error:
            # A graph that MindSpore cannot read or write. A cell that it cannot compile it refuses again when called.
            _logger.debug("compile_cache: %s: %s", what, error)
            if kept is not None:
                self._refuse(key, f"MindSpore cannot read the graph of {what}")
            return False
        seconds = time.perf_counter() - begin
        if kept is None:
            made = KeptGraph(outcome or b"", dict(missed - missed_before))
            self._keep(key, made, what, seconds, cell, named)
            return False
        if outcome is not None:
            self._refuse(key, f"MindSpore did not take the graph of {what}")
            return False
        if not _is_bound(cell, named):
            forget_graph(cell)
            self._refuse(key, f"the graph of {what} has other parameters")
            return False
        missed.update(kept.missed)
        if kept.memory is None:
            self._not_counted = key, what
        _logger.info("compile_cache: %s taken from %s in %.1f s", what, self.store.folder, seconds)
        return True

    def _count_memory(self) -> None:
        """Notes what the graph that ran last needed, memory and plans, so that the next start has them ready."""
        if self._not_counted is None:
            return
        memory = _Compiler.of_process().memory_in_use()
        if 0 < memory <= mmap.PAGESIZE:  # only what it took to find it: no graph has run
            return
        (key, what), self._not_counted = self._not_counted, None
        with contextlib.suppress(OSError, ValueError, UnusableGraphError):
            kept = self.store.take(key)
            if kept is not None:
                self.store.keep(key, dataclasses.replace(kept, memory=memory, plans=plans_made()), what)

    def _refuse(self, key: str, why: str) -> None:
        self.store.put_aside(key)
        _logger.warning("compile_cache: %s; it is put aside and compiled anew", why)

    def _take(self, key: str) -> KeptGraph | None:
        try:
            return self.store.take(key)
        except UnusableGraphError as error:
            _logger.warning("compile_cache: %s", error)
            return None

    def _keep(
        self, key: str, kept: KeptGraph, what: str, seconds: float, cell: nn.Cell, named: dict[str, Parameter]
    ) -> None:
        """Keeps the graph that a cell was compiled to; a line says why not."""
        if not kept.graph:
            _logger.info("compile_cache: MindSpore writes no graph of %s", what)
            return
        # A graph from a file gets its parameters by name.
        if any(named.get(name) is not found for name, found in _parameters_in_graph(cell)):
            _logger.info("compile_cache: not for %s, as two of its parameters have one name", what)
            return
        try:
            self.store.keep(key, kept, what)
        except OSError as error:
            _logger.warning("compile_cache: %s is not kept, %s: %s", what, self.store.folder, error.strerror)
        except ValueError as error:
            _logger.info("compile_cache: %s is not kept, as %s", what, error)
        else:
            self._not_counted = key, what
            _logger.info("compile_cache: %s compiled in %.1f s and kept in %s", what, seconds, self.store.folder)


class _UnusableCompilerError(Exception):
    """MindSpore's cache does not do what is needed here; the message says what."""


class _Probe(nn.Cell):
    """Compiled to see where MindSpore writes graphs and what it calls the next one.

    By an operator, as MindSpore would parse functions of its own for `-x`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.negative = ops.Neg()

    def construct(self, x: Tensor) -> Tensor:
        return self.negative(x)


class _Compiler:
    """MindSpore's own cache. It has one folder a process, and counts the graphs that are compiled while it is on.

    Raises:
        _UnusableCompilerError: There is no folder.
    """

    _of_process: "_Compiler | None" = None

    def __init__(self) -> None:
        _remove_left()
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
        except OSError as error:
            raise _UnusableCompilerError(f"there is no folder for temporary files ({error.strerror})") from error
        atexit.register(_remove_own, self.folder, os.getpid())
        self.graph_folder: Path | None = None

    def _find_out(self) -> Path:
        """Finds out where MindSpore writes graphs, which is returned, what it calls them, and where its memory is.

        Raises:
            _UnusableCompilerError: It writes nothing, or elsewhere.
        """
        probe, value = _Probe(), Tensor([1.0], ms.float32)
        probe.compile(value)
        # MindSpore's memory is there from then on, and the first result at its start.
        self._memory = probe(value).data_ptr()
        written = self._graphs()
        if len(written) != 1:
            raise _UnusableCompilerError("MindSpore does not write its graphs where it is told to")
        # Its folder and the first part of its name say the rank and the role of this process.
        self.graph_folder = written[0].parent
        self.prefix, self.index = _split(written[0])
        written[0].unlink()
        return self.graph_folder

    @classmethod
    def of_process(cls) -> "_Compiler":
        """The one of this process."""
        if cls._of_process is None:
            cls._of_process = cls()
        return cls._of_process

    def compile(
        self,
        cell: nn.Cell,
        inputs: tuple[Any, ...],
        kept: KeptGraph | None,
        ranges: list[tuple[int, int]],
        kernel_cells: KernelCells,
    ) -> bytes | None:
        """Compiles a cell, from a kept graph if there is one.

        Args:
            cell: The cell.
            inputs: What it will be called with.
            kept: The graph of an earlier process.
            ranges: Memory that its first run writes to, besides MindSpore's.
            kernel_cells: Those of the network in the cell.

        Returns:
            The graph, empty where MindSpore wrote none. None: the kept one was taken.

        Raises:
            _UnusableCompilerError: MindSpore writes nothing, or elsewhere.
        """
        try:
            # oneDNN reads the environment while plans are made, so it must not grow meanwhile: glibc moves it then.
            with self._switched_on(), _without_old_objects(), _joined(make_plans(kept.plans) if kept else None):
                folder = self.graph_folder or self._find_out()
                given = folder / f"{self.prefix}{self.index + 1}{_SUFFIX}"
                if kept is None:
                    before = _state_of(given)
                    made = kernel_cells.compile(cell, inputs)
                else:
                    populate(self._memory_ranges(kept.memory or 0) + ranges)
                    folder.mkdir(parents=True, exist_ok=True)
                    given.write_bytes(kept.graph)
                    before = _state_of(given)
                    cell.compile(*inputs)
                    made = 1
            written = [path for path in self._graphs() if path != given or _state_of(path) != before]
            if kept is not None and not written:
                self.index += 1
                return None
            written.sort(key=lambda path: _split(path)[1])
            self.index = _split(written[-1])[1] if written else self.index
            # More than were made: something in the cell was compiled for itself, and which is which cannot be told.
            return written[-1].read_bytes() if written and len(written) == made else b""
        finally:
            for path in self._graphs():
                path.unlink(missing_ok=True)

    def memory_in_use(self) -> int:
        """Bytes of the first block of MindSpore's memory that were ever in use."""
        return resident_bytes(self._memory)

    def _memory_ranges(self, size: int) -> list[tuple[int, int]]:
        """Returns the address and size of so many bytes of that block, as far as it goes."""
        size = min(size, bytes_behind(self._memory))
        return [(self._memory, size)] if size else []

    @contextlib.contextmanager
    def _switched_on(self) -> Iterator[None]:
        """Turns MindSpore's cache on; what it says of that is not shown."""
        wanted = {_ENABLE: "1", _FORCE: "1", _PATH: str(self.folder)}
        executor = _cell_graph_executor
        # MindSpore would read the main script and all that it imports, and fail where there is none (`python -c`).
        executor._set_compile_cache_dep_files = lambda *_: executor._graph_executor.set_compile_cache_dep_files(_FILES)
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            with _without_expected(self.folder):
                yield
        finally:
            del executor._set_compile_cache_dep_files
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def _graphs(self) -> list[Path]:
        return sorted(self.folder.rglob(f"*{_NAME}*{_SUFFIX}"))


@contextlib.contextmanager
def _joined(thread: threading.Thread | None) -> Iterator[None]:
    """Waits for a thread at the end."""
    try:
        yield
    finally:
        if thread is not None:
            thread.join()


def _split(path: Path) -> tuple[str, int]:
    """Returns the first part of a graph's name and its index."""
    prefix, _, index = path.name.removesuffix(_SUFFIX).rpartition("_")
    return f"{prefix}_", int(index)


def _state_of(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def _without_old_objects() -> Iterator[None]:
    """Leaves what lives already out of the garbage collection that MindSpore does when it compiles."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _remove_own(folder: Path, pid: int) -> None:
    """Removes the folder at the end of the process that made it, not of one that it forked."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left() -> None:
    """Removes the folders of processes that ended without doing it, as one does that is killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}[0-9]*-*"):
        pid = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):  # somebody else's cannot be removed
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    """Whether there is such a process; True where that cannot be asked."""
    return not Path("/proc/self").exists() or Path(f"/proc/{pid}").exists()


@contextlib.contextmanager
def _without_expected(folder: Path) -> Iterator[None]:
    """Holds back the error stream, MindSpore's C++ parts included, and then shows it without the expected lines."""
    sys.stderr.flush()
    own = os.dup(2)
    with (folder / "messages").open("w+b") as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(own, 2)
            os.close(own)
            held.seek(0)
            for line in held:
                if not any(text in line.decode(errors="replace") for text in _EXPECTED):
                    os.write(2, line)


def _ranges_of(parameters: list[Parameter]) -> list[tuple[int, int]]:
    """Addresses and bytes of parameters that have memory already."""
    present = [parameter for parameter in parameters if not parameter.has_init]
    # MindSpore 2.7 has none before the first run.
    return [(parameter.data_ptr(), parameter.nbytes) for parameter in present if parameter.data_ptr()]


def _by_name(cell: nn.Cell, parameters: list[Parameter]) -> dict[str, Parameter]:
    """Returns parameters by name. Of two with one name, which MindSpore's optimizers have, the cell's own counts."""
    named: dict[str, Parameter] = OrderedDict((parameter.name, parameter) for parameter in parameters)
    named.update((parameter.name, parameter) for parameter in cell.get_parameters())
    return named


def _is_bound(cell: nn.Cell, named: dict[str, Parameter]) -> bool:
    """Whether each parameter of the graph from a file has the name of one of the cell's, which MindSpore then takes."""
    return all(name in named for name, _ in _parameters_in_graph(cell))


def _parameters_in_graph(cell: nn.Cell) -> Iterable[tuple[str, Any]]:
    """Names and tensors of the graph that a cell has now; if it was just compiled these are the parameters."""
    return _cell_graph_executor._graph_executor.get_params(cell.current_phase).items()


@contextlib.contextmanager
def _bound_parameters(cell: nn.Cell, named: dict[str, Parameter]) -> Iterator[None]:
    """Lets MindSpore find all parameters of a graph from a file by name.

    It looks in `parameters_dict`, and gives those that are not there, which are kept past nn.Cell, memory of their own.
    """
    object.__setattr__(cell, "parameters_dict", lambda recurse=True: named)
    try:
        yield
    finally:
        object.__delattr__(cell, "parameters_dict")
