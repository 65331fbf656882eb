"""A table of named things with helpful errors; every factory of the library looks names up in one."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

# A longer text is no name, and comparing it takes time.
_LONGEST_NAME = 200
# How many similar names are looked at for one that is close.
_CANDIDATES = 8


def closest(name: str, choices: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Returns the closest of `choices`, the closest first; none that takes more edits than half of the name's length.

    Args:
        name: What was written.
        choices: What it may have meant.
        count: How many to return at most.
        cutoff: Least similarity, 0 to 1, of difflib's measure.
    """
    written = str(name).lower()
    if len(written) > _LONGEST_NAME:
        return []
    by_lower = {str(choice).lower(): str(choice) for choice in choices}
    close = difflib.get_close_matches(written, by_lower, n=max(count, _CANDIDATES), cutoff=cutoff)
    return [by_lower[word] for word in close if 2 * _edits(written, word) <= len(written)][:count]


def _edits(one: str, other: str) -> int:
    """Levenshtein's distance: letters to put in, to take out or to exchange."""
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        last, row[0] = row[0], index
        for column, other_letter in enumerate(other, 1):
            last, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, last + (letter != other_letter))
    return row[-1]


def suggest(name: str, choices: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` for the closest of `choices`, or an empty string when none is close."""
    found = closest(name, choices)
    return f"; did you mean {found[0]!r}?" if found else ""


def unknown_name_message(kind: str, name: object, choices: Iterable[str]) -> str:
    """Returns the error text for a name that is not among `choices`: got, closest match, allowed."""
    choices = sorted(choices)
    return f"unknown {kind} {name!r}{suggest(str(name), choices) or '.'} Allowed: {', '.join(choices)}"


class Registry(Mapping[str, T], Generic[T]):
    """Named things of one kind, in order of registration. A duplicate is refused and an unknown name explained.

    Args:
        kind: What is registered, for messages ("loss", "optimizer").
        ignore_case: Whether names are looked up in any case.
    """

    def __init__(self, kind: str, ignore_case: bool = False) -> None:
        self.kind = kind
        self._ignore_case = ignore_case
        self._things: dict[str, T] = {}

    def _key(self, name: str) -> str:
        return name.lower() if self._ignore_case else name

    def register(self, name: str, thing: T) -> T:
        """Adds `thing` under `name` and returns it.

        Raises:
            ValueError: The name is taken.
        """
        key = self._key(name)
        if key in self._things:
            raise ValueError(
                f"{self.kind} {name!r} is already registered (as {self._things[key]!r}); choose another name"
            )
        self._things[key] = thing
        return thing

    def __getitem__(self, name: str) -> T:
        key = self._key(name) if isinstance(name, str) else name
        if key not in self._things:
            raise KeyError(name)
        return self._things[key]

    def find(self, name: str) -> T:
        """Returns the thing of that name.

        Raises:
            ValueError: No such name; the message has the closest match and all allowed names.
        """
        try:
            return self[name]
        except KeyError:
            raise ValueError(unknown_name_message(self.kind, name, self._things)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._key(name) in self._things
