"""The compile cache: what is taken gives the numbers of what is compiled, and no two graphs that differ share a key."""

import dataclasses
import dis
import enum
import functools
import importlib.util
import inspect
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindcv.engine import CompileCache, LossWithNetwork, TrainStep, compile_cache, open_compile_cache
from mindcv.engine import graph_key as graph_key_module
from mindcv.engine.graph_key import NoKeyError, graph_key
from mindcv.kernels import onednn
from mindcv.kernels.cells import missed
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer
from mindcv.utils.graph_store import GraphStore, KeptGraph, UnusableGraphError

X = np.random.RandomState(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
LABELS = np.array([0, 1, 2, 1], np.int32)
FACTOR = 2.0


class Kind(enum.Enum):
    RELU = 1
    TANH = 2


@dataclasses.dataclass
class Options:
    slope: float = 0.5


def twice(x):
    return x * FACTOR


def scaled(factor, x):
    return x * factor


def made(factor):
    def inner(x):
        return x * factor

    return inner


@ops.constexpr
def chosen():
    return FACTOR


class Net(nn.Cell):
    """A small network; each of its arguments changes the graph by a constant of another kind."""

    class_constant = 1.0

    def __init__(self, **options):
        super().__init__()
        self.width = options.get("width", 4)
        self.pad = options.get("pad", 1)
        self.conv = nn.Conv2d(3, self.width, 3, pad_mode="pad", padding=self.pad, weight_init="ones")
        self.norm = nn.BatchNorm2d(self.width, eps=options.get("eps", 1e-5), momentum=options.get("momentum", 0.9))
        self.dropout = nn.Dropout(p=options.get("drop", 0.5))
        self.head = nn.Dense(self.width, 3, weight_init="ones")
        self.whole = options.get("whole", 1)
        self.number = options.get("number", 0.5)
        self.is_on = options.get("is_on", False)
        self.text = options.get("text", "add")
        self.axes = options.get("axes", (2, 3))
        self.table = options.get("table", {"a": 1.0, "b": 2.0})
        self.names = options.get("names", ["a"])
        self.kind = options.get("kind", Kind.RELU).value
        self.constant = Tensor(options.get("constant", 1.5), ms.float32)
        self.array = options.get("array", np.ones((2,), np.float32))
        self.type = options.get("type", ms.float32)
        self.factor = options.get("factor", 1.0)
        self.partial = functools.partial(scaled, options.get("argument", 1.0))
        self.closed = made(options.get("closed", 1.0))
        self.reduce = ops.ReduceMean(keep_dims=options.get("keep_dims", False))
        self.options = Options(options.get("slope", 0.5))
        self.function = options.get("function", twice)

    def construct(self, x):
        x = self.dropout(self.norm(self.conv(x)))
        x = self.function(self.closed(ops.partial(scaled, self.factor)(x))) * self.number + self.whole
        if self.is_on:
            x = -x
        x = x + self.constant if self.text == "add" else x * self.constant
        x = ops.cast(ops.cast(x * self.table[self.names[0]], self.type), ms.float32)
        x = ops.tanh(x) if self.kind == 2 else ops.relu(x) * self.class_constant * chosen()
        return self.head(self.reduce(x, self.axes).reshape((x.shape[0], -1))[:, : self.width])


def make_step(opt="momentum", lr=0.1, smoothing=0.0, loss="CE", step=None, seed=3, **options):
    ms.set_seed(seed)
    network = LossWithNetwork(Net(**options), create_loss(loss, label_smoothing=smoothing))
    optimizer = create_optimizer(network.network, opt=opt, lr=lr, weight_decay=0.0)
    made_step = TrainStep(network, optimizer, **(step or {}))
    made_step.set_train(True)
    return made_step


def inputs():
    return Tensor(X), Tensor(LABELS)


def losses(step, cache=None, count=3):
    """The losses of some steps, and whether the graph was taken."""
    is_taken = cache.compile(step, inputs(), "the step") if cache else False
    values = [step(*inputs()).asnumpy().tobytes() for _ in range(count)]
    state = {name: parameter.asnumpy().tobytes() for name, parameter in step.parameters_dict().items()}
    return values, state, is_taken


@pytest.fixture
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture
def cache(tmp_path, graph_mode):
    return CompileCache(GraphStore(tmp_path / "graphs"))


def key_of(cell, values=None):
    return graph_key(cell, inputs() if values is None else values)[0]


EVERYTHING = {
    "step": {
        "ema": True,
        "clip_grad": True,
        "gradient_accumulation_steps": 2,
        "scale_sense": 128.0,
    }
}


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_a_graph_that_is_taken_gives_the_same_bits(cache, options):
    expected = losses(make_step(**options), count=4)
    kept = losses(make_step(**options), cache, count=4)
    taken = losses(make_step(**options), cache, count=4)
    assert (kept[2], taken[2]) == (False, True)
    assert kept[:2] == expected[:2]
    assert taken[:2] == expected[:2]


def test_statistics_that_no_checkpoint_has_are_bound_too(cache):
    """An overflow is dropped, and what it moved is taken back from parameters that are kept past nn.Cell."""
    options = {"step": {"scale_sense": make_scale(), "gradient_accumulation_steps": 1}}
    wild = Tensor(np.where(X > 1.5, np.inf, X).astype(np.float32)), Tensor(LABELS)
    states = []
    for is_cached in (False, True, True):
        step = make_step(**options)
        if is_cached:
            states.append(cache.compile(step, inputs(), "the step"))
        step(*inputs())
        before = step.network.network.norm.moving_mean.asnumpy().copy()
        step(*wild)
        assert step.dropped_updates == 1
        np.testing.assert_array_equal(step.network.network.norm.moving_mean.asnumpy(), before)
    assert states == [False, True]


class HalfActivation(nn.Cell):
    """Has a GELU that the CPU kernels do not compute, so that they need a second graph."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, weight_init="ones")
        self.act = nn.GELU()
        self.head = nn.Dense(4, 3, weight_init="ones")

    def construct(self, x):
        x = ops.cast(self.act(ops.cast(self.conv(x), ms.float16)), ms.float32)
        return self.head(x.mean((2, 3)))


def test_of_two_graphs_the_last_one_is_kept(cache):
    found = []
    for is_cached in (False, True, True):
        ms.set_seed(3)
        network = HalfActivation()
        optimizer = create_optimizer(network, opt="momentum", lr=0.1, weight_decay=0.0)
        step = TrainStep(LossWithNetwork(network, create_loss("CE")), optimizer).set_train(True)
        found.append(losses(step, cache if is_cached else None))
    assert [is_taken for *_, is_taken in found] == [False, False, True]
    assert found[0][0] == found[1][0] == found[2][0]


def test_memory_that_a_step_needed_is_ready_at_the_next_start(cache, monkeypatch):
    """Counted when the graph has run, kept beside it, and asked for with the parameters when it is taken."""
    asked = []
    monkeypatch.setattr(compile_cache, "populate", asked.append)
    losses(make_step(), cache)
    (key,) = (graph.path.stem for graph in cache.store.graphs())
    assert cache.store.take(key).memory is None
    losses(make_step(seed=4), cache)
    assert cache.store.take(key).memory > 4096
    assert asked == []
    step = make_step()
    parameters = {(parameter.data_ptr(), parameter.nbytes) for parameter in step.get_parameters()}
    assert losses(step, cache)[2]
    ((memory, *ranges),) = asked
    assert memory[1] == cache.store.take(key).memory
    assert set(ranges) >= {(address, size) for address, size in parameters if address}
    assert all(address for address, _ in ranges)


def test_memory_is_counted_when_a_graph_has_run(cache, monkeypatch):
    in_use = 4096
    monkeypatch.setattr(compile_cache, "resident_bytes", lambda address: in_use)
    monkeypatch.setattr(compile_cache.mmap, "PAGESIZE", 4096)
    step = make_step()
    for _ in range(2):
        cache.compile(step, inputs(), "the step")
    (key,) = (graph.path.stem for graph in cache.store.graphs())
    assert cache.store.take(key).memory is None
    in_use = 123456
    cache.compile(step, inputs(), "the step")
    assert cache.store.take(key).memory == 123456


@pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)
def test_a_start_says_what_no_kernel_computes_whether_compiled_or_taken(cache, caplog):
    lines = []
    for _ in range(2):
        caplog.clear()
        missed.clear()
        network = HalfActivation()
        optimizer = create_optimizer(network, opt="momentum", lr=0.1, weight_decay=0.0)
        step = TrainStep(LossWithNetwork(network, create_loss("CE")), optimizer).set_train(True)
        with caplog.at_level("INFO", "mindcv"):
            is_taken = losses(step, cache)[2]
        lines.append([line for line in caplog.messages if "left to MindSpore" in line])
    assert is_taken
    assert lines[0] == lines[1]
    assert lines[0][0].endswith("left to MindSpore: GELU of (4, 4, 8, 8), not in fp32 (1)")


def test_the_environment_does_not_change_while_plans_are_made(cache, monkeypatch):
    """A thread makes them, in which oneDNN reads it; glibc may move it when it grows."""
    seen = []

    class Thread:
        def join(self):
            seen.append(dict(os.environ))

    def make_plans(plans):
        seen.append(dict(os.environ))
        return Thread()

    monkeypatch.setattr(compile_cache, "make_plans", make_plans)
    losses(make_step(), cache)
    assert seen == []
    assert losses(make_step(), cache)[2]
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert seen[0]["MS_COMPILER_CACHE_ENABLE"] == "1"


@pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)
def test_plans_of_a_step_are_made_at_the_next_start(cache, monkeypatch):
    """Kept with the memory, when the graph has run, and asked for when it is taken."""
    asked = []
    monkeypatch.setattr(compile_cache, "make_plans", asked.append)
    losses(make_step(), cache)
    (key,) = (graph.path.stem for graph in cache.store.graphs())
    assert cache.store.take(key).plans == b""
    losses(make_step(seed=4), cache)
    assert cache.store.take(key).plans
    assert len(cache.store.take(key).plans) % (24 * 8) == 0
    assert asked == []
    assert losses(make_step(), cache)[2]
    assert asked == [cache.store.take(key).plans]


def make_scale():
    from mindcv.engine import LossScale

    return LossScale(4.0, dynamic=True, drop_overflow=True)


def test_the_evaluation_is_taken_after_a_step_that_was(cache):
    outputs = []
    for _ in range(2):
        step = make_step()
        taken = [cache.compile(step, inputs(), "the step")]
        step(*inputs())
        network = step.network.network
        network.set_train(False)
        taken.append(cache.compile(network, (Tensor(X),), "the evaluation"))
        outputs.append(network(Tensor(X)).asnumpy().tobytes())
        network.set_train(True)
        step(*inputs())
        network.set_train(False)
        outputs.append(network(Tensor(X)).asnumpy().tobytes())
    assert taken == [True, True]
    assert outputs[:2] == outputs[2:]
    assert outputs[0] != outputs[1]


CONSTANTS = {
    "width": 5,
    "pad": 2,
    "eps": 1e-3,
    "momentum": 0.8,
    "drop": 0.25,
    "whole": 2,
    "number": 0.25,
    "is_on": True,
    "text": "times",
    "axes": (3, 2),
    "table": {"a": 3.0, "b": 2.0},
    "names": ["b"],
    "kind": Kind.TANH,
    "constant": 2.5,
    "array": np.ones((2,), np.float64),
    "type": ms.float16,
    "factor": 2.0,
    "argument": 2.0,
    "closed": 3.0,
    "keep_dims": True,
    "slope": 0.25,
    "function": functools.partial(scaled, 4.0),
    "opt": "adamw",
    "lr": [0.1, 0.2],
    "smoothing": 0.1,
    "loss": "BCE",
    "seed": 4,
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_another_constant_is_another_key(graph_mode, name):
    assert key_of(make_step()) != key_of(make_step(**{name: CONSTANTS[name]}))


STEP_OPTIONS = {
    "ema": True,
    "clip_grad": True,
    "gradient_accumulation_steps": 2,
    "scale_sense": 64.0,
}


@pytest.mark.parametrize("name", STEP_OPTIONS)
def test_another_option_of_the_step_is_another_key(graph_mode, name):
    assert key_of(make_step()) != key_of(make_step(step={name: STEP_OPTIONS[name]}))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ema_decay", (0.9, 0.99)),
        ("clip_value", (1.0, 2.0)),
        ("gradient_accumulation_steps", (2, 4)),
        ("scale_sense", (2.0, 4.0)),
    ],
)
def test_another_value_of_an_option_is_another_key(graph_mode, name, values):
    first, second = (key_of(make_step(step={"ema": True, "clip_grad": True, name: value})) for value in values)
    assert first != second


def test_equal_cells_have_one_key(graph_mode):
    assert key_of(make_step(**EVERYTHING)) == key_of(make_step(**EVERYTHING))


@pytest.mark.parametrize(
    ("name", "value"),
    [("whole", 2), ("number", 0.25), ("table", {"a": 3.0, "b": 2.0}), ("constant", 2.5), ("factor", 2.0), ("pad", 2)],
)
def test_losses_follow_the_constant_and_not_the_cache(cache, name, value):
    losses(make_step(), cache)
    expected = losses(make_step(**{name: value}))
    found = losses(make_step(**{name: value}), cache)
    assert found[:2] == expected[:2]
    assert not found[2]
    assert found[0] != losses(make_step(), cache)[0]


def changes():
    """What differs beside the arguments: name and what changes it, with pytest's monkeypatch."""
    yield "a global number", lambda patch, step: patch.setitem(twice.__globals__, "FACTOR", 3.0)
    yield "a global function", lambda patch, step: patch.setitem(made.__globals__, "chosen", ops.constexpr(lambda: 5.0))
    yield "a class attribute", lambda patch, step: patch.setattr(Net, "class_constant", 2.0)
    yield "a method", lambda patch, step: patch.setattr(Net, "construct", lambda self, x: self.head(x.mean((2, 3))))
    yield "a method of MindSpore's", lambda patch, step: patch.setattr(nn.Dense, "construct", lambda self, x: x)
    yield "a parameter's name", lambda patch, step: setattr(first_parameter(step), "name", "other")
    yield "requires_grad", lambda patch, step: setattr(step.network.network.conv.weight, "requires_grad", False)
    yield "training", lambda patch, step: step.network.network.norm.set_train(False)
    yield "a flag", lambda patch, step: step.network.network.head.to_float(ms.float16)
    yield "recompute", lambda patch, step: step.network.network.conv.recompute()
    yield "an attribute of an operator", lambda patch, step: step.network.network.reduce.add_prim_attr("note", 1)
    yield "a hook", lambda patch, step: step.network.network.head.register_forward_hook(lambda *args: None)
    yield "a variable", lambda patch, step: patch.setenv("MINDCV_CPU_KERNELS", "0")
    yield "a variable of MindSpore's", lambda patch, step: patch.setenv("MS_DEV_SOMETHING", "1")
    yield "the number of ranks", lambda patch, step: patch.setattr("mindcv.engine.graph_key.world_size", lambda: 2)
    yield "the version of mindcv", lambda patch, step: patch.setattr("mindcv.engine.graph_key.__version__", "0.0")
    yield "the version of MindSpore", lambda patch, step: patch.setattr(ms, "__version__", "2.9.0")
    yield "the text of mindcv", lambda patch, step: patch.setattr("mindcv.engine.graph_key._package_digest", str)
    yield "the files of MindSpore", lambda patch, step: patch.setattr("mindcv.engine.graph_key._mindspore_digest", str)
    yield "the processor", lambda patch, step: patch.setattr("mindcv.engine.graph_key._processor", str)


def first_parameter(step):
    return next(iter(step.get_parameters()))


@pytest.mark.parametrize(("what", "change"), list(changes()), ids=[name for name, _ in changes()])
def test_what_stands_beside_the_constants_is_in_the_key(graph_mode, monkeypatch, what, change):
    step = make_step()
    before = key_of(step)
    assert key_of(step) == before
    change(monkeypatch, step)
    assert key_of(step) != before, what


def test_settings_of_mindspore_are_in_the_key(graph_mode):
    step = make_step()
    before = key_of(step)
    old = ms.get_context("jit_syntax_level")
    try:
        ms.set_context(jit_syntax_level=ms.STRICT)
        assert key_of(step) != before
    finally:
        ms.set_context(jit_syntax_level=old)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    assert key_of(step) != before


@pytest.mark.parametrize(
    "values",
    [
        (Tensor(X[:2]), Tensor(LABELS[:2])),
        (Tensor(X, ms.float16), Tensor(LABELS)),
        (Tensor(X), Tensor(LABELS, ms.int64)),
        (Tensor(X), Tensor(LABELS), 1),
    ],
)
def test_inputs_are_in_the_key(graph_mode, values):
    step = make_step()
    assert key_of(step) != key_of(step, values)


def test_values_of_parameters_and_inputs_are_not(graph_mode):
    step = make_step()
    before = key_of(step)
    for parameter in step.get_parameters():
        parameter.set_data(Tensor(np.zeros(parameter.shape), parameter.dtype))
    assert key_of(step) == key_of(step, (Tensor(X * 2), Tensor(LABELS))) == before


def joined(x):
    return x if len("_".join(("a", "b"))) == 3 else -x


def test_how_the_program_was_started_is_not(graph_mode, monkeypatch):
    """A shell sets the variable `_`, and code that joins texts has that text."""
    keys = []
    for started_by in ("/usr/bin/python", "/usr/bin/time"):
        monkeypatch.setenv("_", started_by)
        keys.append(key_of(make_step(function=joined)))
    assert keys[0] == keys[1]


def test_which_parameter_is_shared_is_in_the_key(graph_mode):
    class Two(nn.Cell):
        def __init__(self, is_shared):
            super().__init__()
            a, b = (Parameter(Tensor(np.ones(3, np.float32)), name=name) for name in "ab")
            self.pair = (a, b if is_shared else a)

        def construct(self, x):
            return x * self.pair[0] + self.pair[1]

    assert key_of(Two(True), ()) != key_of(Two(False), ())


def test_a_library_is_in_the_key_by_path_and_content(graph_mode, tmp_path):
    library = tmp_path / "kernels.so"
    library.write_bytes(b"one")
    net = Net(text=f"{library}:Function")
    keys = [key_of(net, ())]
    library.write_bytes(b"two")
    keys.append(key_of(net, ()))
    (tmp_path / "other.so").write_bytes(b"two")
    keys.append(key_of(Net(text=f"{tmp_path / 'other.so'}:Function"), ()))
    assert len(set(keys)) == 3


def test_source_that_was_edited_is_in_the_key(graph_mode, tmp_path, monkeypatch):
    """The key follows a module that a user wrote, also where only a function's body differs."""
    keys = []
    for index, body in enumerate(("x + 1", "x + 1.0", "x - 1", "x + y(x)")):
        path = tmp_path / f"net_{index}.py"
        path.write_text(
            "from mindspore import nn\n\ndef y(x):\n    return 2 * x\n\nclass Own(nn.Cell):\n"
            f"    def construct(self, x):\n        return {body}\n"
        )
        spec = importlib.util.spec_from_file_location("net_under_test", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "net_under_test", module)
        spec.loader.exec_module(module)
        keys.append(key_of(module.Own(), (Tensor(X),)))
    assert len(set(keys)) == 4


class Pair(NamedTuple):
    first: float
    second: float


def test_the_order_of_a_named_tuples_fields_is_in_the_key(graph_mode):
    class Swapped(NamedTuple):
        second: float
        first: float

    Swapped.__module__, Swapped.__name__, Swapped.__qualname__ = Pair.__module__, "Pair", "Pair"

    def key(cls):
        def function(x):
            return cls(x, -x).first

        ms.set_seed(1)
        return key_of(Net(function=function))

    assert key(Pair) == key(Pair) != key(Swapped)


def test_an_attribute_named_like_a_global_is_not_one():
    def construct(self, x):
        return [FACTOR * self.scaled(x) for _ in range(2)]

    names = graph_key_module._globals_in(construct.__code__)
    assert {"FACTOR", "range"} <= names
    assert "scaled" not in names


def test_globals_of_functions_are_those_that_dis_finds():
    functions = [f for module in (graph_key_module, dis, functools, inspect) for f in vars(module).values()]
    functions = [f for f in functions if inspect.isfunction(f)]
    assert len(functions) > 100

    def slowly(code):
        inner = [item for item in code.co_consts if inspect.iscode(item)]
        names = {line.argval for line in dis.get_instructions(code) if line.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        return names.union(*map(slowly, inner))

    for function in functions:
        assert graph_key_module._globals_in(function.__code__) == slowly(function.__code__)


@pytest.mark.parametrize(
    "thing", [threading.Lock(), np.random.RandomState(0), object(), iter([1]), {1: threading.Event()}]
)
def test_what_is_not_known_has_no_key(cache, caplog, thing):
    net = Net()
    net.thing = thing
    with pytest.raises(NoKeyError, match="thing"):
        key_of(net, ())
    with caplog.at_level(logging.INFO):
        assert not cache.compile(net, (Tensor(X),), "the network")
    assert "compile_cache: not for the network, as Net.thing" in caplog.text
    assert cache.store.graphs() == []


class TestStore:
    KEY = "0123456789abcdef" * 4

    def test_what_is_kept_is_taken(self, tmp_path):
        store = GraphStore(tmp_path / "new" / "graphs")
        assert store.take(self.KEY) is None
        store.keep(self.KEY, KeptGraph(b"graph" * 1000), "a step")
        assert store.take(self.KEY) == KeptGraph(b"graph" * 1000)
        (graph,) = store.graphs()
        assert (graph.of, graph.is_aside) == ("a step", False)
        assert store.folder.stat().st_mode & 0o777 == 0o700
        assert graph.path.stat().st_mode & 0o777 == 0o600

    def test_what_is_known_is_kept_beside_the_graph(self, tmp_path):
        store = GraphStore(tmp_path)
        kept = KeptGraph(b"graph", {"convolution of (4, 3)": 2}, 77700, bytes(range(192)) * 30)
        for one in (KeptGraph(b"graph"), kept):
            store.keep(self.KEY, one, "a step")
            assert store.take(self.KEY) == one
        path = store.graphs()[0].path
        header, _, content = path.read_bytes().partition(b"\n")
        for wrong in (b'"77700"', b"-77700", b"[1]"):
            path.write_bytes(header.replace(b"77700", wrong) + b"\n" + content)
            assert store.take(self.KEY) == dataclasses.replace(kept, memory=None)
        for wrong in (b'"missed": []', b'"missed": {"convolution": "x"}'):
            path.write_bytes(re.sub(rb'"missed": {.*?}', wrong, header) + b"\n" + content)
            assert store.take(self.KEY) == dataclasses.replace(kept, missed={})
        for wrong in (b'"plans": -1', b'"plans": "x"', b'"plans": 1e9', b'"plans": 3'):
            path.write_bytes(re.sub(rb'"plans": \d+', wrong, header) + b"\n" + content)
            with pytest.raises(UnusableGraphError):
                store.take(self.KEY)
            path.write_bytes(header + b"\n" + content)
        path.write_bytes(header + b"\n" + b"y" + content[1:])
        with pytest.raises(UnusableGraphError, match="its contents were cut or changed"):
            store.take(self.KEY)

    def test_a_graph_of_many_layers_that_no_kernel_computes_is_taken(self, tmp_path):
        kept = KeptGraph(b"graph", {f"convolution of ({n}, 3, 224, 224), not in fp32": 1 for n in range(1000)})
        store = GraphStore(tmp_path)
        store.keep(self.KEY, kept, "a step")
        assert store.take(self.KEY) == kept

    @pytest.mark.parametrize("kind", ["cut", "changed", "foreign", "version", "empty", "link", "writable", "folder"])
    def test_what_is_unusable_is_put_aside(self, tmp_path, kind):
        store = GraphStore(tmp_path)
        store.keep(self.KEY, KeptGraph(b"graph" * 1000), "a step")
        path = store.graphs()[0].path
        content = path.read_bytes()
        if kind in ("cut", "empty"):
            path.write_bytes(content[:-3] if kind == "cut" else b"")
        elif kind == "changed":
            path.write_bytes(content[:-3] + b"abc")
        elif kind == "version":
            assert content.count(b'"format": 1') == 1
            path.write_bytes(content.replace(b'"format": 1', b'"format": 2'))
        elif kind == "foreign":
            path.rename(tmp_path / f"{'f' * 64}.graph")
            store.keep("e" * 64, KeptGraph(b"other"), "another")
            (tmp_path / f"{'e' * 64}.graph").rename(path)
        elif kind == "link":
            path.rename(tmp_path / "elsewhere")
            path.symlink_to(tmp_path / "elsewhere")
        elif kind == "writable":
            path.chmod(0o622)
        else:
            path.unlink()
            path.mkdir()
        with pytest.raises(UnusableGraphError, match="is not used"):
            store.take(self.KEY)
        assert store.take(self.KEY) is None
        assert (tmp_path / f"{self.KEY}.bad").exists()

    def test_what_was_used_longest_ago_goes_first(self, tmp_path):
        store = GraphStore(tmp_path, most_bytes=30_000)
        random = np.random.RandomState(0)
        for index in range(4):
            store.keep(f"{index:064x}", KeptGraph(random.bytes(9000)), str(index))
            os.utime(tmp_path / f"{index:064x}.graph", (index, index))
            if index == 2:
                store.take(f"{0:064x}")
        assert sorted(graph.of for graph in store.graphs()) == ["0", "2", "3"]

    def test_one_that_is_too_large_is_not_kept(self, tmp_path):
        store = GraphStore(tmp_path, most_bytes=10_000)
        with pytest.raises(ValueError, match="its graph has 0 MiB"):
            store.keep(self.KEY, KeptGraph(np.random.RandomState(0).bytes(9000)), "a step")
        assert store.graphs() == []

    def test_others_must_not_write_there(self, tmp_path):
        tmp_path.chmod(0o777)
        with pytest.raises(ValueError, match=r"others may write to .*: chmod go-w"):
            GraphStore(tmp_path)
        tmp_path.chmod(0o755)
        GraphStore(tmp_path)

    def test_clear_leaves_other_files(self, tmp_path):
        store = GraphStore(tmp_path)
        store.keep(self.KEY, KeptGraph(b"graph"), "a step")
        store.put_aside(self.KEY)
        store.keep(self.KEY, KeptGraph(b"graph"), "a step")
        (tmp_path / "notes.txt").write_text("mine")
        (tmp_path / f".{self.KEY}.graph.abcdefgh.tmp").write_text("left")
        assert store.clear()[0] == 2
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_graph_that_mindspore_cannot_read_is_compiled_anew(cache, caplog):
    expected = losses(make_step())
    losses(make_step(), cache)
    key = cache.store.graphs()[0].path.stem
    cache.store.keep(key, KeptGraph(b"no graph at all"), "the step")
    with caplog.at_level(logging.WARNING):
        found = losses(make_step(), cache)
    assert found == expected
    assert "put aside and compiled anew" in caplog.text
    assert (cache.store.folder / f"{key}.bad").is_file()
    losses(make_step(), cache)
    assert losses(make_step(), cache) == (*expected[:2], True)


def test_a_graph_of_other_parameters_is_compiled_anew(cache, caplog):
    """What no key lets through: the file of another network under this one's key."""

    class Other(nn.Cell):
        def __init__(self, name):
            super().__init__()
            self.own = Parameter(Tensor(np.full(1, 2.0, np.float32)), name=name)

        def construct(self, x):
            return x * self.own

    assert not cache.compile(Other("theirs"), (Tensor(X),), "the network")
    graph = cache.store.take(cache.store.graphs()[0].path.stem)
    net = Other("mine")
    cache.store.keep(key_of(net, (Tensor(X),)), graph, "the network")
    with caplog.at_level(logging.WARNING):
        assert not cache.compile(net, (Tensor(X),), "the network")
    assert "has other parameters; it is put aside and compiled anew" in caplog.text
    np.testing.assert_array_equal(net(Tensor(X)).asnumpy(), X * 2.0)


def test_when_there_is_no_cache(tmp_path, caplog, monkeypatch, graph_mode):
    monkeypatch.setenv("MINDCV_COMPILE_CACHE", str(tmp_path / "auto"))
    file = tmp_path / "file"
    file.write_text("")
    with caplog.at_level(logging.INFO):
        assert open_compile_cache("off", "CPU", 0) is None
        assert open_compile_cache("auto", "Ascend", 0) is None
        assert open_compile_cache("auto", "CPU", 1) is None
        assert open_compile_cache("auto", "CPU", 0, "O1") is None
        assert caplog.text == ""
        assert open_compile_cache(str(tmp_path / "own"), "CPU", 1) is None
        assert "compile_cache has no effect in PyNative mode" in caplog.text
        assert open_compile_cache(str(file), "CPU", 0) is None
        assert "compile_cache: off" in caplog.text
        assert open_compile_cache(str(tmp_path / "own"), "Ascend", 0) is not None
        assert "not measured on Ascend" in caplog.text
        monkeypatch.setenv("MS_COMPILER_CACHE_ENABLE", "1")
        assert open_compile_cache("auto", "CPU", 0) is None
        assert "MindSpore's own cache is on" in caplog.text
    monkeypatch.delenv("MS_COMPILER_CACHE_ENABLE")
    assert open_compile_cache("auto", "CPU", 0).store.folder == tmp_path / "auto"


def test_a_home_that_cannot_be_written_is_one_line(caplog, monkeypatch, graph_mode):
    monkeypatch.delenv("MINDCV_COMPILE_CACHE", raising=False)
    monkeypatch.setenv("MINDCV_HOME", "/proc/nowhere")  # not even root makes a folder there
    with caplog.at_level(logging.INFO):
        assert open_compile_cache("auto", "CPU", 0) is None
    (record,) = caplog.records
    assert record.getMessage().startswith("compile_cache: off, /proc/nowhere/")


def test_what_killed_processes_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, lives = f"mindcv-compile-{ended.pid}-abc", f"mindcv-compile-{os.getpid()}-abc"
    others = ["mindcv-compile-abc", "mindcv-compile-1x-abc", f"other-{ended.pid}-abc"]
    for name in (left, lives, *others):
        (tmp_path / name / "rank_0").mkdir(parents=True)
        (tmp_path / name / "messages").write_text("")
    compile_cache._remove_left()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([lives, *others])


def test_a_killed_process_is_cleared_away_by_the_next(tmp_path):
    """The folder's name has the number of the process that made it."""
    script = (
        "import os, sys\nfrom mindcv.engine.compile_cache import _Compiler\n"
        "print(_Compiler().folder, flush=True)\nif sys.argv[1:]: os._exit(1)"
    )
    run = [sys.executable, "-c", script]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = Path(subprocess.run([*run, "kill"], env=environment, capture_output=True, text=True).stdout.strip())
    assert killed.parent == tmp_path
    assert killed.is_dir()
    subprocess.run(run, env=environment, capture_output=True, check=True)
    assert [path for path in tmp_path.iterdir() if path.name.startswith("mindcv-compile-")] == []


def test_a_folder_that_cannot_be_written_is_one_line(cache, caplog, monkeypatch):
    def fail(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache.store, "keep", fail)
    expected = losses(make_step())
    with caplog.at_level(logging.WARNING):
        assert losses(make_step(), cache) == expected
    assert caplog.text.count("\n") == 1
    assert "is not kept" in caplog.text


def test_nothing_is_left_behind(cache, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    losses(make_step(), cache)
    losses(make_step(), cache)
    assert sorted(path.name for path in Path().iterdir()) == ["graphs"]
    assert "compilation cache" not in capfd.readouterr().err
    assert not {"MS_COMPILER_CACHE_ENABLE", "MS_COMPILER_CACHE_PATH"} & os.environ.keys()
