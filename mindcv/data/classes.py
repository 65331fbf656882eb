"""The classes of a dataset and those of a model, brought together by name."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..utils.fs import local_path
from ..utils.text import names_in
from ..weights import ModelOutputs
from .sources.samples import Samples, Subset

if TYPE_CHECKING:  # a pipeline needs no config, whose schema takes memory and time
    from ..config import Config

__all__ = [
    "UNKNOWN_CLASSES",
    "ClassMap",
    "imagenet_class_names",
    "known_outputs",
    "map_classes",
    "other_classes",
    "read_class_names",
    "with_classes",
]

_logger = logging.getLogger(__name__)

UNKNOWN_CLASSES = ("refuse", "skip")
_MOST_NAMED = 10


@dataclass(frozen=True)
class ClassMap:
    """Where the classes of a dataset are among those of a model.

    Attributes:
        index: For each class of the dataset its index in the model, -1 where the model does not know it; int32 (N,).
        unknown: Names of the dataset's classes that the model does not know.
        missing: Names of the model's classes that the dataset does not have.
    """

    index: np.ndarray
    unknown: list[str]
    missing: list[str]


def map_classes(names: Sequence[str], known: Sequence[str]) -> ClassMap:
    """Finds the classes of a dataset among those of a model by their names.

    Args:
        names: Names of the dataset's classes by label, '' for one without a name, which keeps its index.
        known: Names of the model's classes by index, '' for one without a name.
    """
    index_of = {name: index for index, name in enumerate(known) if name}
    nameless = {index for index, name in enumerate(known) if not name}
    index = [index_of.get(name, -1) if name else (i if i in nameless else -1) for i, name in enumerate(names)]
    own = set(names)
    return ClassMap(
        np.array(index, np.int32),
        [name or str(i) for i, name in enumerate(names) if index[i] < 0],
        [name for name in known if name and name not in own],
    )


def with_classes(
    samples: Samples,
    known: Sequence[str] | None,
    num_classes: int,
    unknown_classes: str = "refuse",
    what: str = "the data",
) -> Samples:
    """Gives samples the labels that a model has for their classes, and says in one line what is missing or new.

    Where the samples' classes have no names, their labels are the model's indices already.

    Args:
        samples: The samples, whose labels are set anew.
        known: Names of the model's classes by index; None when they have none.
        num_classes: Number of the model's classes.
        unknown_classes: What is done about a class that the model does not know: `refuse`, or `skip` its samples; of a
            sample with several labels only those labels are left out.
        what: What to call the samples in a message.

    Raises:
        ValueError: A class with samples is none of the model's, or two of the model's have its name.
    """
    names = samples.class_names
    if known is None or names is None:
        return _padded(samples, known, num_classes)
    names = [*names, *[""] * (samples.num_classes - len(names))]
    twice = sorted(name for name, count in Counter(known).items() if name and count > 1 and name in names)
    if twice:
        raise ValueError(
            f"{what} has the class {twice[0]!r}, whose name {list(known).count(twice[0])} of the model's classes have; "
            "give each a name of its own with --class_names FILE, in the model's order"
        )
    mapped = map_classes(names, known)
    counts = samples.labels.sum(0) if samples.labels.ndim == 2 else np.bincount(samples.labels, minlength=len(names))
    # A class without images may have any name.
    new = [name for name, count in zip(mapped.unknown, counts[mapped.index < 0], strict=True) if count]
    notes = []
    if mapped.missing:
        notes.append(f"no images of {_listed(mapped.missing, len(known))}, which keep their numbers")
    if new and unknown_classes == "refuse":
        gone = f"; it has no images of {_listed(mapped.missing, len(known))}: renamed?" if mapped.missing else ""
        hint = "; if these are other words for the model's classes, give them in its order with --class_names FILE"
        raise ValueError(
            f"{what} has classes that the model does not know: {_listed(new, len(names))}{gone}; leave them out with "
            f"--unknown-classes skip, or fine-tune on them with --pretrained FILE"
            f"{hint if len(new) == len(names) else ''}"
        )
    is_kept = None
    if samples.labels.ndim == 2:
        labels = np.zeros((len(samples), num_classes), np.float32)
        known_columns = np.flatnonzero(mapped.index >= 0)
        labels[:, mapped.index[known_columns]] = samples.labels[:, known_columns]
        if new and samples.is_soft:  # a part of a label that is one is no label
            is_kept = samples.labels[:, mapped.index < 0].sum(1) == 0
        elif new:
            notes.append(f"the labels {_listed(new, len(names))}, which the model does not know, are left out")
    else:
        labels = mapped.index[samples.labels]
        if new:
            is_kept = labels >= 0
    if is_kept is not None:
        notes.append(
            f"{np.count_nonzero(~is_kept)} of {len(samples)} images are skipped, of classes that the model does "
            f"not know: {_listed(new, len(names))}"
        )
        if not is_kept.any():
            raise ValueError(f"{what}: {notes[-1]}, and none are left")
    if notes:
        _logger.warning("%s: %s", what, "; ".join(notes))
    _set_classes(samples, labels, num_classes, known)
    if is_kept is None:
        return samples
    return Subset(samples, np.flatnonzero(is_kept))


def _padded(samples: Samples, known: Sequence[str] | None, num_classes: int) -> Samples:
    """Labels without names stay; a table of several labels gets columns for the classes that it lacks."""
    labels = samples.labels
    if samples.num_classes > num_classes:
        return samples  # said by check_num_classes
    if labels.ndim == 2:
        labels = np.pad(labels, ((0, 0), (0, num_classes - labels.shape[1])))
    _set_classes(samples, labels, num_classes, samples.class_names if known is None else known)
    return samples


def _set_classes(samples: Samples, labels: np.ndarray, num_classes: int, names: Sequence[str] | None) -> None:
    samples.labels = labels
    samples.num_classes = num_classes
    samples.class_names = None if names is None else list(names)


def _listed(names: Sequence[str], of: int) -> str:
    """Names for a message, not too many, with their number where that is not plain."""
    text = ", ".join(names[:_MOST_NAMED]) + (" ..." if len(names) > _MOST_NAMED else "")
    return f"{len(names)} of {of} classes ({text})"


def read_class_names(path: str | os.PathLike[str]) -> list[str]:
    """Reads a text file with one class name a line, in the order of the classes; empty lines are passed over.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, or has a name twice.
    """
    file = local_path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path}: there is no such file of class names")
    names = names_in(file.read_bytes())
    if not names:
        raise ValueError(f"{path}: has no class names; give one a line")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: has the class name {twice[0]!r} more than once; each class needs one of its own")
    return names


def imagenet_class_names() -> list[str]:
    """Returns the names of the 1000 classes of ImageNet-1K by index, from a file of the package.

    The classes are the synsets of ILSVRC 2012 (arXiv:1409.0575) in the order of their WordNet numbers, as a folder of
    the dataset is sorted. A name is WordNet 3.0's first word of the synset; two cranes and two maillots are told apart.
    """
    return read_class_names(Path(__file__).parent / "assets" / "imagenet_classes.txt")


def known_outputs(cfg: "Config", source: str = "", outputs: ModelOutputs | None = None) -> ModelOutputs | None:
    """Returns what a model's outputs mean, before the data is looked at: as its file says, else as `class_names` does.

    Args:
        cfg: The config, of which `class_names` and `num_classes` count.
        source: The file of the model's weights; empty when there is none.
        outputs: What this file says; None when it does not.

    Returns:
        None where the data alone tells.

    Raises:
        FileNotFoundError: There is no such file of names.
        ValueError: They contradict each other.
    """
    names = read_class_names(cfg.class_names) if cfg.class_names else None
    if source and names is None and (outputs is None or outputs.class_names is None):
        _logger.warning("%s does not name its classes, so it is the data that names and numbers them", source)
    if outputs is None:
        return ModelOutputs.of(max(cfg.num_classes or 0, len(names)), names) if names else None
    if cfg.num_classes not in (None, outputs.num_classes):
        raise ValueError(other_classes(source, outputs.num_classes, f"num_classes says {cfg.num_classes}"))
    return outputs.renamed(names, cfg.class_names) if names else outputs


def other_classes(source: str, given: int, wanted: str) -> str:
    """Returns what to say of a file with `given` classes where others are `wanted`, in words such as 'the data 3'."""
    return (
        f"{source}: the file has {given} classes, {wanted}: its classifier does not fit; fine-tune it on other classes "
        f"with --pretrained {source} in place of --ckpt_path, or give the classes that it was trained on"
    )
