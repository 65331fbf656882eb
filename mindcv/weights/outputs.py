"""What a model's outputs mean: its classes in their order, and whether an image has one of them or several.

It is an entry of the weight file itself, so that it goes wherever the weights go: checkpoints, the best one, exported
and converted files. Other readers pass it over.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .formats import read_entry

__all__ = [
    "HEADS",
    "MULTIPLE",
    "OUTPUTS_ENTRY",
    "SINGLE",
    "ModelOutputs",
    "check_threshold",
    "mean_scores",
    "probabilities",
    "read_outputs",
    "renamed_classes",
]

OUTPUTS_ENTRY = "model_outputs"
SINGLE, MULTIPLE = "single", "multiple"
HEADS = (SINGLE, MULTIPLE)

_MOST_BYTES = 1 << 26
_MOST_CLASSES = 10_000_000  # as of the key num_classes


@dataclass(frozen=True)
class ModelOutputs:
    """What a model's outputs mean.

    Attributes:
        num_classes: Length of a row of the output.
        class_names: Names by index, as many as classes, '' for a class without one; None when no class has a name.
        head: `single`: an image is of one class, probabilities are a softmax; `multiple`: an image has any number of
            labels, each with a probability of its own, a sigmoid.
    """

    num_classes: int
    class_names: tuple[str, ...] | None = None
    head: str = SINGLE

    @classmethod
    def of(cls, num_classes: int, class_names: Sequence[str] | None, head: str = SINGLE) -> "ModelOutputs":
        """Makes one of the names of the first classes."""
        if not class_names:
            return cls(num_classes, None, head)
        return cls(num_classes, (*class_names, *[""] * (num_classes - len(class_names))), head)

    def name(self, index: int) -> str:
        """Returns a class's name, or its index when it has none."""
        return (self.class_names and self.class_names[index]) or str(index)

    def entry(self) -> dict[str, np.ndarray]:
        """Returns the entry of a weight file that says it."""
        text = json.dumps({"num_classes": self.num_classes, "class_names": self.class_names, "head": self.head})
        return {OUTPUTS_ENTRY: np.frombuffer(text.encode(), np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], source: str | os.PathLike[str]) -> "ModelOutputs | None":
        """Reads it from all arrays of a file, `source`; None when the file does not say.

        Raises:
            ValueError: The entry is not what `entry` writes.
        """
        found = arrays.get(OUTPUTS_ENTRY)
        return None if found is None else _parsed(found, source)

    def renamed(self, names: Sequence[str], source: str | os.PathLike[str]) -> "ModelOutputs":
        """Returns these outputs with the names of a file, `source`, see `renamed_classes`.

        Raises:
            ValueError: There are more or fewer names than classes, or a name stands for two of them.
        """
        if len(names) != self.num_classes:
            raise ValueError(f"{source} has {len(names)} class names, the model {self.num_classes} classes")
        return ModelOutputs(self.num_classes, renamed_classes(self.class_names, names, source), self.head)


def check_threshold(threshold: float | None, head: str) -> None:
    """Checks the least probability of a label that counts as found.

    Raises:
        ValueError: It is no probability, or an image has one label only, which is the most probable one.
    """
    if threshold is None:
        return
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; give a probability, from 0 to 1")
    if head != MULTIPLE:
        raise ValueError(
            "threshold is for models of several labels an image; this one gives the probabilities of one label, of "
            "which the largest counts: leave threshold out"
        )


def renamed_classes(
    known: Sequence[str] | None, names: Sequence[str], source: str | os.PathLike[str]
) -> tuple[str, ...]:
    """Returns the names of a model's classes when a user gives names for them.

    The same names in another order change nothing, since the order is the model's. Others are new names for the same
    classes.

    Args:
        known: The model's own names by index; None when it has none.
        names: The user's, in the model's order.
        source: Where they come from, for messages.

    Raises:
        ValueError: There are more or fewer names than classes, or a name stands for two of them.
    """
    if known is None:
        return tuple(names)
    if set(names) == set(known):
        return tuple(known)
    if len(names) != len(known):
        raise ValueError(f"{source} has {len(names)} class names, the model {len(known)} classes")
    for index, name in enumerate(names):
        if name in known and known[index] != name:
            own = list(known).index(name)
            raise ValueError(
                f"{source}: {name!r} is class {index} there, but class {own} of the model; give the names in the "
                "model's order"
            )
    return tuple(names)


def read_outputs(path: str | os.PathLike[str]) -> ModelOutputs | None:
    """Returns what a weight file says of the model's outputs; None when it does not.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged.
    """
    entry = read_entry(path, OUTPUTS_ENTRY, _MOST_BYTES)
    return None if entry is None else _parsed(entry, path)


def probabilities(scores: np.ndarray, head: str) -> np.ndarray:
    """Returns the probabilities of scores (N, num_classes): a softmax of each row, or independent sigmoids."""
    if head == MULTIPLE:
        # exp of a number below 0 only, which cannot overflow
        powers = np.exp(-np.abs(scores))
        return np.where(scores >= 0, 1, powers) / (1 + powers)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def mean_scores(scores: np.ndarray, head: str) -> np.ndarray:
    """Returns the scores whose probabilities are the mean of those of several views.

    Args:
        scores: (V, N, num_classes).
        head: `single` or `multiple`.

    Returns:
        (N, num_classes), float32.
    """
    values = scores.astype(np.float64)
    if head == MULTIPLE:  # the mean's logarithm less that of what is missing to 1
        return (_log_mean(-np.logaddexp(0, -values)) - _log_mean(-np.logaddexp(0, values))).astype(np.float32)
    return _log_mean(values - np.logaddexp.reduce(values, axis=-1, keepdims=True)).astype(np.float32)


def _log_mean(logarithms: np.ndarray) -> np.ndarray:
    return np.logaddexp.reduce(logarithms, axis=0) - np.log(len(logarithms))


def _parsed(entry: np.ndarray, source: str | os.PathLike[str]) -> ModelOutputs:
    try:
        saved: Any = json.loads(entry.astype(np.uint8).tobytes())
        number, names, head = saved["num_classes"], saved["class_names"], saved["head"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{os.fspath(source)}: its entry {OUTPUTS_ENTRY} is damaged ({error})") from error
    is_whole = type(number) is int and 0 < number <= _MOST_CLASSES and head in HEADS
    if names is not None:
        is_whole = is_whole and isinstance(names, list) and len(names) == number
        is_whole = is_whole and all(isinstance(name, str) for name in names)
    if not is_whole:
        raise ValueError(f"{os.fspath(source)}: its entry {OUTPUTS_ENTRY} is damaged")
    return ModelOutputs(number, None if names is None else tuple(names), head)
