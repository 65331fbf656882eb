"""Marks: entries of a weight file that tell what no parameter's name or shape tells, an argument of the network.

A file with MindCV's names fits a network with either padding of the stem's pool. Where a network is not the one
that its model's name alone gives, its files have an entry `model_args.<argument>.<value>`; other readers pass it over.
"""

from collections.abc import Iterable, Mapping

import numpy as np

_PREFIX = "model_args."


def mark(argument: str, value: str) -> str:
    """Returns the name of the entry that tells an argument."""
    return f"{_PREFIX}{argument}.{value}"


def arguments_of(arrays: Iterable[str]) -> dict[str, str]:
    """Returns the arguments that the marks among a file's entries tell, their values as text."""
    told = (name.removeprefix(_PREFIX).partition(".") for name in arrays if name.startswith(_PREFIX))
    return {argument: value for argument, _, value in told}


def mark_arrays(names: Iterable[str]) -> dict[str, np.ndarray]:
    """Returns marks as the arrays that a file holds them as; what counts is their names."""
    return {name: np.zeros(1, np.uint8) for name in names}


def without_marks(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a file's arrays without its marks."""
    return {name: array for name, array in arrays.items() if not name.startswith(_PREFIX)}
