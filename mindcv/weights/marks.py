"""Marks: entries of a weight file that tell what no parameter's name or shape tells, an argument of the network.

A file with MindCV's names fits a network with either padding of the stem's pool. Where a network is not the one
that its model's name alone gives, its files have an entry `model_args.<argument>.<value>`; other readers pass it over.
Rows and columns of an oblong grid of positions are told by an entry of the same form.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

_PREFIX = "model_args."
_GRID = "grid:"


def mark(argument: str, value: str) -> str:
    """Returns the name of the entry that tells an argument."""
    return f"{_PREFIX}{argument}.{value}"


def arguments_of(arrays: Iterable[str]) -> dict[str, str]:
    """Returns the arguments that the marks among a file's entries tell, their values as text."""
    told = (name.removeprefix(_PREFIX).partition(".") for name in arrays if name.startswith(_PREFIX))
    return {argument: value for argument, _, value in told}


def grid_mark(path: str, rows: int, columns: int) -> str:
    """Returns the name of the entry that tells the grid of a parameter's positions."""
    return mark(f"{_GRID}{path.replace('.', '/')}", f"{rows}x{columns}")


def grids_of(arrays: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Returns rows and columns of positions by the parameter's path, as the marks among a file's entries tell them."""
    grids = {}
    for argument, value in arguments_of(arrays).items():
        if argument.startswith(_GRID) and (sides := re.fullmatch(r"(\d{1,6})x(\d{1,6})", value)):
            grids[argument.removeprefix(_GRID).replace("/", ".")] = (int(sides[1]), int(sides[2]))
    return grids


def mark_arrays(names: Iterable[str]) -> dict[str, np.ndarray]:
    """Returns marks as the arrays that a file holds them as; what counts is their names."""
    return {name: np.zeros(1, np.uint8) for name in names}


def without_marks(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a file's arrays without its marks."""
    return {name: array for name, array in arrays.items() if not name.startswith(_PREFIX)}
