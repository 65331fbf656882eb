"""What a label in a list or an archive means: a whole number, or the name of a class."""

import re
from collections.abc import Mapping, Sequence

from ...utils.registry import suggest

__all__ = ["MOST_CLASSES", "class_index", "index_by_name", "is_whole"]

# A label beyond is a slip; a network with so many outputs fits no device.
MOST_CLASSES = 10_000_000
_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)


def is_whole(label: str) -> bool:
    """Whether a label is a whole number from 0."""
    return bool(_WHOLE.fullmatch(label))


def index_by_name(names: Sequence[str], where: object) -> dict[str, int]:
    """The number of each class by its name.

    Raises:
        ValueError: A name is there twice.
    """
    index_of: dict[str, int] = {}
    for index, name in enumerate(names):
        if index_of.setdefault(name, index) != index:
            raise ValueError(f"{where} has the class {name!r} twice, on lines {index_of[name] + 1} and {index + 1}")
    return index_of


def class_index(value: object, index_of: Mapping[str, int] | None, where: str) -> int:
    """The class that a label means: a whole number, or a name.

    Args:
        value: The label: text, or a number.
        index_of: The classes by name; None where they have no names.
        where: File and line of the label, for messages.

    Raises:
        ValueError: It is no class, or could mean two.
    """
    index = int(value) if isinstance(value, str) and is_whole(value) else value
    named = index_of.get(value) if index_of is not None and isinstance(value, str) else None
    if named is not None:
        if isinstance(index, int) and index != named:
            raise ValueError(f"{where}: the label {value!r} is a number and also the name of class {named}; rename it")
        return named
    most = MOST_CLASSES if index_of is None else len(index_of)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < most:
        what = "there is no label" if value is None else f"the label {value!r} is no class"
        if index_of is not None and isinstance(value, str):
            what = f"the label {value!r} is not in class_names.txt{suggest(value, list(index_of))}"
        name = ", or a name that stands in class_names.txt" if index_of is None else ", or one of those names"
        raise ValueError(f"{where}: {what}; allowed are whole numbers from 0 to {most - 1}{name}")
    return index
