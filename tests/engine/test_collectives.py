"""No collective stands in a `try`: ranks that go on after one that failed get numbers that mean nothing."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.no_mindspore

ENGINE = Path(__file__).resolve().parents[2] / "mindcv/engine"
# MindSpore's, and what runs a training step, which reduces the gradients.
COLLECTIVES = {"AllReduce", "AllGather", "Broadcast", "DistributedGradReducer", "ReduceScatter", "Barrier", "init"}
COLLECTIVES |= {"run_step"}


def called_names(nodes):
    """Names of all functions and methods that are called or handed on somewhere in the nodes."""
    found = set()
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                found.add(inner.id)
            elif isinstance(inner, ast.Attribute):
                found.add(inner.attr)
    return found


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def trees():
    return {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ENGINE.glob("*.py"))}


def collectives(modules):
    """MindSpore's collectives and all functions of the engine that reach one, whichever way."""
    known = set(COLLECTIVES)
    bodies = [(f.name, called_names(f.body)) for tree in modules for f in functions(tree)]
    while True:
        more = {name for name, called in bodies if called & known and not name.startswith("__")} - known
        if not more:
            return known
        known |= more


def offences(modules):
    known = collectives(modules.values())
    return [
        f"{name}:{node.lineno}: {', '.join(sorted(found))}"
        for name, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and (found := called_names(node.body + node.handlers + node.finalbody) & known)
    ]


def test_no_collective_stands_in_a_try():
    known = collectives(trees().values())
    assert known >= {
        "agree",
        "average_batch_norm",
        "broadcast_parameters",
        "fit",
        "wait_for_ranks",
        "_evaluate",
        "_save",
    }
    assert offences(trees()) == []


def test_it_would_be_found():
    text = """
def total(values):
    return ops.AllReduce()(values)

def save(values):
    return total(values)

def end():
    try:
        save([0.0])
    except RuntimeError:
        pass
"""
    assert offences({"bad.py": ast.parse(text)}) == ["bad.py:9: save"]
