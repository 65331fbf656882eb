"""A pickle reader that can build data and nothing else.

A pickle is a program for a small stack machine, and Python's own `pickle` lets it import and call anything. This
machine knows containers, numbers and text. A name from a module is never imported: it stays a `Global`, a mere label,
and a call of one goes to the table that the caller hands in. Whatever is not in that table is refused by name.
Instructions come from the standard library's `pickletools`, which decodes and never runs them.
"""

import dataclasses
import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

from ._arrays import BadWeightFile

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_SIZED_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_LITERALS = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    )
)
_IGNORED = frozenset(("PROTO", "FRAME"))
_MARK = object()


@dataclasses.dataclass(frozen=True)
class Global:
    """The name of something in a module, as written in the pickle. Nothing is imported."""

    name: str


class Inert:
    """What is left of an object of a harmless class that weights do not need (a training's arguments, a device)."""


Build = Callable[..., Any]


def load_data(file: IO[bytes], builders: Mapping[str, Build], persistent: Callable[[Any], Any]) -> Any:
    """Reads one pickle and leaves the file after it.

    Args:
        file: Positioned at the pickle.
        builders: What a call of a global does, by its dotted name. All others are refused.
        persistent: Gives the value of a persistent id, a reference to data outside the pickle.

    Raises:
        BadWeightFile: It is truncated or malformed, or wants a class or function that is not in `builders`.
    """
    try:
        return _run(file, builders, persistent)
    except BadWeightFile:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise BadWeightFile(f"truncated or damaged: its pickle is malformed ({error})") from None


def _run(file: IO[bytes], builders: Mapping[str, Build], persistent: Callable[[Any], Any]) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def pop_to_mark() -> list[Any]:
        start = len(stack) - 1
        while stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise ValueError("no mark")
        items = stack[start + 1 :]
        del stack[start:]
        return items

    def make_global(name: str) -> Global:
        if name not in builders:
            raise BadWeightFile(
                f"its pickle wants {name}, which is not on the list of harmless names; refused, and nothing was run. "
                "If you trust the file, save its weights alone in torch: torch.save(model.state_dict(), FILE)"
            )
        return Global(name)

    argument: Any
    for instruction, argument, _ in pickletools.genops(file):
        name = instruction.name
        if name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[int(argument)])
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _SIZED_TUPLES:
            count = _SIZED_TUPLES[name]
            items = stack[-count:]
            del stack[-count:]
            stack.append(tuple(items))
        elif name == "TUPLE":
            stack.append(tuple(pop_to_mark()))
        elif name == "LIST":
            stack.append(pop_to_mark())
        elif name == "DICT":
            items = pop_to_mark()
            stack.append(make_dict(zip(items[::2], items[1::2], strict=True)))
        elif name == "APPEND":
            item = stack.pop()
            _expect(stack[-1], list).append(item)
        elif name == "APPENDS":
            items = pop_to_mark()
            _expect(stack[-1], list).extend(items)
        elif name == "ADDITEMS":
            items = pop_to_mark()
            _expect(stack[-1], set).update(map(_as_key, items))
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _expect(stack[-1], dict)[_as_key(key)] = value
        elif name == "SETITEMS":
            items = pop_to_mark()
            _expect(stack[-1], dict).update(make_dict(zip(items[::2], items[1::2], strict=True)))
        elif name == "GLOBAL":
            stack.append(make_global(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(make_global(f"{module}.{attribute}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, target = _expect(stack.pop(), tuple), _expect(stack.pop(), Global)
            stack.append(builders[target.name](*arguments))
        elif name == "BUILD":
            # The state of an object: attributes of an OrderedDict or of something inert. Weights have none.
            stack.pop()
            _expect(stack[-1], dict, Inert)
        elif name == "BINPERSID":
            stack.append(persistent(stack.pop()))
        elif name == "POP":
            stack.pop()
        elif name == "STOP":
            value = stack.pop()
            if stack:
                raise ValueError("more than one value")
            return value
        elif name not in _IGNORED:
            raise BadWeightFile(f"its pickle has the instruction {name}, which no weight file needs; refused")
    raise ValueError("no end")


def make_dict(pairs: Iterable[Any]) -> dict[Any, Any]:
    """Makes a dictionary of (key, value) pairs whose keys are numbers or text."""
    return {_as_key(key): value for key, value in pairs}


def _as_key(key: Any) -> Any:
    """Returns a key that is safe to hash; a tuple nested a million deep would overflow the process's stack."""
    if key is not None and not isinstance(key, (str, int, float, bytes)):
        raise ValueError(f"a {type(key).__name__} as a key")
    return key


def _expect(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds):
        raise ValueError(f"a {type(value).__name__} where a {kinds[0].__name__} belongs")
    return value
