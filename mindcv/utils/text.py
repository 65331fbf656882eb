"""Text from files and names: lines as users mean them, and what may go to a terminal."""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

__all__ = ["csv_line", "escaped", "harmless", "json_text", "line_of", "lines_of", "names_in", "names_to_bytes"]

# Control characters but line feed and tab: ESC and the C1 set begin a terminal's commands, CR hides what stands before.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# With them, what a line of a table or list cannot have: its own end, and marks that turn the direction of text.
_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Excel and LibreOffice take a cell that begins so for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_LINE_OR_TAB = re.compile(r"[\t\n\r]")
# What JSON may hold as it is, but a terminal or UTF-8 not.
_NOT_PLAIN_JSON = re.compile(r"[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """Returns text for a terminal or a log: no control characters but line feed and tab, and in UTF-8.

    A control character becomes `\\x1b`, a byte of a name that is not UTF-8 becomes `\\udcff`.
    """
    return _encodable(_CONTROL.sub(_as_escape, text))


def escaped(text: str) -> str:
    """Returns text for one place in a line: as `harmless`, without line ends and tabs too."""
    return _encodable(_NOT_IN_A_LINE.sub(_as_escape, text))


def lines_of(text: str) -> list[str]:
    """Returns the lines of a list of names: cut at line feeds (with or without a carriage return) and nowhere else.

    A byte order mark is left out. Spaces around a line are taken off and empty lines passed over. `str.splitlines`
    would also cut at form feeds and U+2028, which names may have.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    return [stripped for line in lines if (stripped := line.removesuffix("\r").strip(" \t"))]


def names_in(data: bytes) -> list[str]:
    """Returns the names in a list of lines, see `lines_of`; bytes that are not UTF-8 are kept (`surrogateescape`)."""
    return lines_of(data.decode("utf-8", "surrogateescape"))


def names_to_bytes(names: Sequence[str], what: str) -> bytes:
    """Returns a list of names, one a line, which `names_in` reads as it was.

    Args:
        names: The names.
        what: What they are, for the message.

    Raises:
        ValueError: A name is empty, has a line end, or begins or ends with a space: it would move all others.
    """
    for name in names:
        if lines_of(name) != [name]:
            raise ValueError(
                f"{what} {name!r} cannot stand in a list with one name a line: it is empty, has a line end, or begins "
                "or ends with a space; rename it"
            )
    return "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")


def line_of(*cells: str) -> bytes:
    """Returns a line of a list that we write: cells with tabs between, whose own tabs and line ends are written out.

    Bytes of names that are not UTF-8 go out as they came in.
    """
    parts = [_LINE_OR_TAB.sub(_as_escape, cell) for cell in cells]
    return ("\t".join(parts) + "\n").encode("utf-8", "surrogateescape")


def csv_line(*cells: object) -> str:
    """Returns one row of a CSV file, without its end.

    Line ends in a cell are quoted, and what a spreadsheet would take for a formula has a `'` before it.
    """
    buffer = io.StringIO()
    # A cell is quoted for what is in the line terminator, so that has to be both kinds of line end.
    csv.writer(buffer, lineterminator="\r\n").writerow(
        f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell for cell in cells
    )
    return buffer.getvalue().removesuffix("\r\n")


def json_text(value: Any, **options: Any) -> str:
    """Returns a value as JSON that a terminal and any reader of UTF-8 take, and that loads as exactly that value."""
    text = json.dumps(value, ensure_ascii=False, **options)
    return _NOT_PLAIN_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _as_escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
