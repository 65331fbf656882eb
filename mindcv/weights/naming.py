"""From PyTorch's names to MindSpore's and back.

The two frameworks call the same things differently in three places: the four arrays of a normalisation, the counter
that only PyTorch's BatchNorm has, and the table of an embedding. `from_torch` and `to_torch` know these; how a family's
cells are called is the family's business, which it writes down as a `NameTable`.
"""

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np

Array = TypeVar("Array")

_NORM_NAMES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_TORCH_NORM_NAMES = {ours: theirs for theirs, ours in _NORM_NAMES.items()}
_COUNTER = "num_batches_tracked"
_TABLE = "embedding_table"


def is_mindspore(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether MindSpore named the entries: a norm has gamma and beta. A gamma alone is a scale, of either framework."""
    return any(_is_mindspore_norm(_split(name)[0], arrays) for name in arrays)


def is_torch(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether PyTorch named the entries: running statistics, or a norm's scale called weight where no gamma is."""
    if any(name.endswith((".running_mean", _COUNTER)) for name in arrays):
        return True
    if is_mindspore(arrays):
        return False
    return any(name.endswith(".weight") and array.ndim == 1 for name, array in arrays.items())


def from_torch(arrays: Mapping[str, np.ndarray], names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Gives PyTorch's entries MindSpore's names; entries that have them already are left alone.

    A module with running statistics is a BatchNorm. LayerNorm and GroupNorm have none and are told by the model's
    names, or without those by having nothing but a weight and a bias of one dimension.

    Args:
        arrays: Arrays by name.
        names: Parameter names of the model, its cells called as the file's modules are.
    """
    renamed = {}
    for name, array in arrays.items():
        module, leaf = _split(name)
        if leaf == _COUNTER:
            continue
        if names is not None and name in names:
            renamed[name] = array
        elif leaf in _NORM_NAMES and _is_norm(module, arrays, names):
            renamed[_join(module, _NORM_NAMES[leaf])] = array
        elif leaf == "weight" and names is not None and _join(module, _TABLE) in names:
            renamed[_join(module, _TABLE)] = array
        else:
            renamed[name] = array
    return renamed


def to_torch(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gives MindSpore's entries PyTorch's names, in PyTorch's order, and every BatchNorm a counter of 0.

    Cells with `gamma` and `beta` are normalisations; a `gamma` alone is a scale of that name in both frameworks.
    """
    renamed: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        module, leaf = _split(name)
        if not _is_mindspore_norm(module, arrays):
            renamed[_join(module, "weight") if leaf == _TABLE else name] = array
        elif _join(module, "weight") not in renamed:
            for ours, theirs in _TORCH_NORM_NAMES.items():
                if _join(module, ours) in arrays:
                    renamed[_join(module, theirs)] = arrays[_join(module, ours)]
            if _join(module, "moving_mean") in arrays:
                renamed[_join(module, _COUNTER)] = np.array(0, np.int64)
    return renamed


def split_rows(arrays: Mapping[str, np.ndarray], joint: str, parts: Sequence[str]) -> dict[str, np.ndarray]:
    """Cuts layers that a file holds as one into those that a network has: `**.attn.qkv.*` into q, k and v.

    Args:
        arrays: Arrays by name.
        joint: Last word of the joint layer's name (`qkv`).
        parts: Words of the layers in order of their rows (`("q", "k", "v")`), all of one size.
    """
    cut: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        words = name.split(".")
        if len(words) < 2 or words[-2] != joint or array.shape[0] % len(parts):
            cut[name] = array
            continue
        for part, rows in zip(parts, np.split(array, len(parts)), strict=True):
            cut[".".join([*words[:-2], part, words[-1]])] = rows
    return cut


def join_rows(arrays: Mapping[str, np.ndarray], joint: str, parts: Sequence[str]) -> dict[str, np.ndarray]:
    """Joins the layers of a network that a file holds as one; inverts `split_rows`."""
    joined: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        words = name.split(".")
        names = [".".join([*words[:-2], part, words[-1]]) for part in parts]
        if len(words) < 2 or words[-2] not in parts or any(other not in arrays for other in names):
            joined[name] = array
        elif name == names[0]:
            joined[".".join([*words[:-2], joint, words[-1]])] = np.concatenate([arrays[other] for other in names])
    return joined


class NameTable:
    """Two ways to name the same cells, as pairs of patterns (theirs, ours) that can be read in both directions.

    In a pattern `*` stands for one part of a dotted name and `**` for one or more; both sides have the same ones in the
    same order. A name is renamed by the first pair that matches it whole, and stays as it is when none does.

        NameTable(("fc.*", "classifier.*"), ("**.downsample.**", "**.down_sample.**"))
    """

    def __init__(self, *pairs: tuple[str, str]) -> None:
        for theirs, ours in pairs:
            if _stars(theirs) != _stars(ours):
                raise ValueError(f"the patterns {theirs!r} and {ours!r} have different stars")
        self._pairs = pairs

    def to_ours(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Renames entries of a file to our names.

        Raises:
            ValueError: Two entries would get one name.
        """
        return _rename(arrays, self._pairs)

    def to_theirs(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Renames entries from our names to theirs.

        Raises:
            ValueError: Two entries would get one name.
        """
        return _rename(arrays, [(ours, theirs) for theirs, ours in self._pairs])


def _split(name: str) -> tuple[str, str]:
    module, _, leaf = name.rpartition(".")
    return module, leaf


def _join(module: str, leaf: str) -> str:
    return f"{module}.{leaf}" if module else leaf


def _is_norm(module: str, arrays: Mapping[str, np.ndarray], names: Collection[str] | None) -> bool:
    if _join(module, "running_mean") in arrays:
        return True
    if names is not None:
        return _join(module, "gamma") in names
    sides = [arrays.get(_join(module, leaf)) for leaf in ("weight", "bias")]
    return all(side is not None and side.ndim == 1 for side in sides)


def _is_mindspore_norm(module: str, arrays: Mapping[str, np.ndarray]) -> bool:
    return _join(module, "gamma") in arrays and _join(module, "beta") in arrays


def _stars(pattern: str) -> list[str]:
    return re.findall(r"\*+", pattern)


@functools.lru_cache(4096)
def _ends(pattern: str) -> tuple[str, str]:
    """What names that match a pattern begin and end with."""
    return pattern.partition("*")[0], pattern.rpartition("*")[2]


@functools.lru_cache(4096)
def _compile(pattern: str) -> re.Pattern[str]:
    parts = {"*": r"([^.]+)", "**": r"(.+?)"}
    return re.compile("".join(parts.get(part) or re.escape(part) for part in re.split(r"(\*+)", pattern)))


def _rename(arrays: Mapping[str, Array], rules: Sequence[tuple[str, str]]) -> dict[str, Array]:
    renamed: dict[str, Array] = {}
    for name, array in arrays.items():
        new = _rename_one(name, rules)
        if new in renamed:
            raise ValueError(f"two entries would be called {new!r}, one of them {name!r}")
        renamed[new] = array
    return renamed


def _rename_one(name: str, rules: Sequence[tuple[str, str]]) -> str:
    for pattern, template in rules:
        begin, end = _ends(pattern)
        # Most patterns need not be compiled, which takes a good part of the registry's time.
        if name.startswith(begin) and name.endswith(end) and (match := _compile(pattern).fullmatch(name)):
            pieces = re.split(r"\*+", template)
            return pieces[0] + "".join(map("".join, zip(match.groups(), pieces[1:], strict=True)))
    return name
