"""What a label in a list or an archive means: a whole number, or the name of a class."""

import re
from collections.abc import Mapping, Sequence

from ...utils.registry import suggest

__all__ = ["MOST_CLASSES", "class_number", "is_whole", "numbers_by_name"]

# A label beyond is a slip; a network with so many outputs fits no device.
MOST_CLASSES = 10_000_000
_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)


def is_whole(label: str) -> bool:
    """Whether a label is a whole number from 0."""
    return bool(_WHOLE.fullmatch(label))


def numbers_by_name(names: Sequence[str], where: object) -> dict[str, int]:
    """The number of each class by its name.

    Raises:
        ValueError: A name is there twice.
    """
    number_of: dict[str, int] = {}
    for number, name in enumerate(names):
        if number_of.setdefault(name, number) != number:
            raise ValueError(f"{where} has the class {name!r} twice, on lines {number_of[name] + 1} and {number + 1}")
    return number_of


def class_number(value: object, number_of: Mapping[str, int] | None, where: str) -> int:
    """The class that a label means: a whole number, or a name.

    Args:
        value: The label: text, or a number.
        number_of: The classes by name; None where they have no names.
        where: Where the label stands, for messages.

    Raises:
        ValueError: It is no class, or could mean two.
    """
    number = int(value) if isinstance(value, str) and is_whole(value) else value
    named = number_of.get(value) if number_of is not None and isinstance(value, str) else None
    if named is not None:
        if isinstance(number, int) and number != named:
            raise ValueError(f"{where}: the label {value!r} is a number and also the name of class {named}; rename it")
        return named
    most = MOST_CLASSES if number_of is None else len(number_of)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < most:
        what = "there is no label" if value is None else f"the label {value!r} is no class"
        if number_of is not None and isinstance(value, str):
            what = f"the label {value!r} is not in class_names.txt{suggest(value, list(number_of))}"
        name = ", or a name that stands in class_names.txt" if number_of is None else ", or one of those names"
        raise ValueError(f"{where}: {what}; allowed are whole numbers from 0 to {most - 1}{name}")
    return number
