"""Factors of the training loss by class, from a file or from how often the classes occur."""

import math
import os
import re
from collections.abc import Sequence

import numpy as np

from ..utils.fs import open_file
from ..utils.registry import suggest
from ..utils.text import names_in
from .sources.samples import Samples

__all__ = ["BALANCED", "balanced_weights", "class_weights", "read_class_weights"]

BALANCED = "balanced"

_MOST_BYTES = 1 << 26


def class_weights(source: str, samples: Samples, num_classes: int) -> np.ndarray:
    """Returns a factor for each class (num_classes,).

    Args:
        source: `balanced`, or a file, see `read_class_weights`.
        samples: The training samples.
        num_classes: Outputs of the network, at least the classes of the samples.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file does not have one number above 0 for each class.
    """
    if source == BALANCED:
        return balanced_weights(samples.labels, num_classes)
    return read_class_weights(source, samples.class_names, num_classes)


def balanced_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns `n / (k * n_c)` for each class that occurs: n labels in all, k classes that occur, n_c labels of class c.

    The mean over all labels is 1. A class that does not occur has 1.

    Args:
        labels: Class numbers (N,), or shares of the classes (N, num_classes), which are added up.
        num_classes: Number of classes.
    """
    counts = np.bincount(labels, minlength=num_classes) if labels.ndim == 1 else labels.sum(0, dtype=np.float64)
    counts = np.pad(counts, (0, num_classes - len(counts)))
    occurs = counts > 0
    weights = np.ones(num_classes)
    weights[occurs] = counts.sum() / (np.count_nonzero(occurs) * counts[occurs])
    return weights


def read_class_weights(path: str | os.PathLike[str], names: Sequence[str] | None, num_classes: int) -> np.ndarray:
    """Reads a factor for each class from a text file.

    A line has a number, in the order of the classes; or a class's name and a number, with a comma, a tab or a space
    between them, in any order. Empty lines are passed over.

    Args:
        path: The file, or its address.
        names: Names of the classes by number; None when they have none.
        num_classes: Number of classes. Those without a name have 1 in a file of names.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It does not have one number above 0 for each class; the message says what is wrong.
    """
    try:
        with open_file(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"class_weights: there is no file {path}; give one, or {BALANCED!r}") from error
    if len(data) > _MOST_BYTES:
        raise ValueError(f"class_weights: {path} has more than {_MOST_BYTES} bytes; it has one line for each class")
    cells = [_parted(line, path) for line in names_in(data)]
    if len({not name for name, _ in cells}) > 1:
        raise ValueError(f"class_weights: {path} has lines with a name and lines without; give names to all or to none")
    numbers = np.array([number for _, number in cells])
    if not cells:
        raise ValueError(f"class_weights: {path} is empty; it has one line for each class")
    if not cells[0][0]:
        if len(cells) != num_classes:
            raise ValueError(f"class_weights: {path} has {len(cells)} numbers, the model {num_classes} classes")
        return numbers
    if not names:
        raise ValueError(f"class_weights: {path} has names, the classes have none; give {num_classes} numbers alone")
    index_of = {name: index for index, name in enumerate(names) if name}
    weights = np.ones(num_classes)
    given: set[str] = set()
    for name, number in cells:
        if name not in index_of:
            raise ValueError(f"class_weights: {path} has a class {name!r}, the data not{suggest(name, index_of) or ''}")
        if name in given:
            raise ValueError(f"class_weights: {path} has the class {name!r} twice")
        given.add(name)
        weights[index_of[name]] = number
    missing = [name for name in index_of if name not in given]
    if missing:
        raise ValueError(f"class_weights: {path} has no number for {', '.join(missing[:10])} ({len(missing)} in all)")
    return weights


def _parted(line: str, path: str | os.PathLike[str]) -> tuple[str, float]:
    """Returns name ('' for none) and number of a line."""
    found = re.fullmatch(r"(?:(.*?)[\t, ]\s*)?([^\t, ]+)", line)
    try:
        number = float(found.group(2)) if found else math.nan
    except ValueError:
        number = math.nan
    if found is None or not math.isfinite(number) or number <= 0:
        raise ValueError(
            f"class_weights: {path}: {line[:100]!r} does not end in a number above 0; a line is number or name,number"
        )
    return (found.group(1) or "").rstrip("\t, "), number
