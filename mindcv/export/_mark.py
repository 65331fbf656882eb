"""The digest of an exported file's JSON, kept in the file itself, so that another JSON beside it is noticed.

ONNX's and MINDIR's files are protocol buffers whose field 14 maps texts to texts (`metadata_props`, `user_info`), and
protocol buffers may be added to at their end.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["read_mark", "write_mark"]

_NAME = b"mindcv_json_sha256"
_FIELD = 14
_LENGTH_DELIMITED = 2
_LONGEST_ENTRY = 1000


def write_mark(path: Path, digest: str) -> None:
    """Adds the digest to a file that has none."""
    entry = _delimited(1, _NAME) + _delimited(2, digest.encode())
    with path.open("ab") as file:
        file.write(_delimited(_FIELD, entry))


def read_mark(path: Path) -> str | None:
    """Returns the digest that a file holds; None when it has none, is encrypted or damaged."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for entry in _entries(file, size):
                texts = dict(_texts(entry))
                if texts.get(1) == _NAME:
                    return texts.get(2, b"").decode()
    except (ValueError, EOFError):
        return None
    return None


def _entries(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The short entries of field 14; the other fields are passed over without being read."""
    while file.tell() < size:
        tag = _varint(file)
        wire_type = tag & 7
        if wire_type == _LENGTH_DELIMITED:
            length = _varint(file)
            end = file.tell() + length
            if end > size:
                raise EOFError
            if tag >> 3 == _FIELD and length <= _LONGEST_ENTRY:
                yield file.read(length)
            file.seek(end)
        elif wire_type == 0:
            _varint(file)
        elif wire_type in (1, 5):
            file.seek(8 if wire_type == 1 else 4, os.SEEK_CUR)
        else:
            raise ValueError("no protocol buffer")


def _texts(entry: bytes) -> Iterator[tuple[int, bytes]]:
    """Field numbers and contents of an entry with a name (1) and a value (2), each shorter than 128 bytes."""
    offset = 0
    while offset + 1 < len(entry):
        tag, length = entry[offset], entry[offset + 1]
        yield tag >> 3, entry[offset + 2 : offset + 2 + length]
        offset += 2 + length


def _varint(file: IO[bytes]) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise EOFError
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise ValueError("no protocol buffer")


def _delimited(field: int, data: bytes) -> bytes:
    """A field of a protocol buffer; field numbers up to 15 and up to 127 bytes have one byte each."""
    return bytes([field << 3 | _LENGTH_DELIMITED, len(data)]) + data
