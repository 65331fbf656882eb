"""The safetensors format, by a reader of our own.

The package's numpy side has no bfloat16 and gives views of a mapped file, which crash when the file is replaced.
The format is small: eight bytes of header length, a JSON header `{name: {dtype, shape, data_offsets}}`, and the arrays.
"""

import functools
import json
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from ._arrays import BFLOAT16, BadWeightFile, LazyArray, as_bytes, count_elements, item_size, read_array

_DTYPES = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
}
_TYPE_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items() if dtype != BFLOAT16}
_MAX_HEADER_BYTES = 100_000_000
# numpy's limits: dimensions of an array, and bytes that an offset reaches.
_MOST_DIMENSIONS = 32
_LARGEST_SIZE = 2**63 - 1
_LONGEST_SHOWN = 200
_METADATA = "__metadata__"


def looks_like_safetensors(start: bytes) -> bool:
    """Whether `start` (at least 9 bytes) is the beginning of a safetensors file."""
    return len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _MAX_HEADER_BYTES


def index_safetensors(file: IO[bytes], size: int) -> dict[str, LazyArray]:
    """Lists the tensors, having checked the header: types, shapes, offsets without gap, overlap or end past the file's.

    Raises:
        BadWeightFile: It is damaged or truncated.
    """
    header_bytes = int.from_bytes(file.read(8), "little")
    data_start = 8 + header_bytes
    if data_start > size:
        raise BadWeightFile(f"truncated: its header has {header_bytes} bytes, but the file only {size}")
    header = _parse_header(file.read(header_bytes))
    header.pop(_METADATA, None)
    spans: list[tuple[int, int]] = []
    arrays = {}
    for name, entry in header.items():
        dtype, shape, begin, end = _check_entry(name, entry)
        spans.append((begin, end))
        arrays[name] = LazyArray(
            shape, functools.partial(read_array, file, [(data_start + begin, end - begin)], dtype, shape)
        )
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise BadWeightFile(
                f"damaged: its arrays leave a gap or overlap at byte {data_start + min(begin, position)}"
            )
        position = end
    if data_start + position != size:
        fault = "truncated" if data_start + position > size else "damaged"
        raise BadWeightFile(f"{fault}: its header describes {data_start + position} bytes, but the file has {size}")
    return arrays


def write_safetensors_to(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays, the widest types first, so that each is aligned.

    Raises:
        ValueError: The format does not have an array's dtype.
    """
    little = {}
    for name, array in arrays.items():
        dtype = np.asarray(array).dtype.newbyteorder("<")
        if dtype not in _TYPE_NAMES:
            allowed = ", ".join(map(str, _TYPE_NAMES))
            raise ValueError(f"{name}: safetensors cannot hold an array of type {dtype}; use one of {allowed}")
        little[name] = np.asarray(array, dtype, order="C")
    # MindSpore's reader wants the header in the order of the data.
    ordered = dict(sorted(little.items(), key=lambda entry: -entry[1].itemsize))
    header, position = {}, 0
    for name, array in ordered.items():
        offsets = [position, position + array.nbytes]
        header[name] = {"dtype": _TYPE_NAMES[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for array in ordered.values():
        file.write(as_bytes(array))


def _parse_header(text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            raise BadWeightFile("damaged: its header names an entry twice")
        return mapping

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except BadWeightFile:
        raise
    except (ValueError, RecursionError):
        raise BadWeightFile("damaged, or no safetensors file: its header is no JSON") from None
    if not isinstance(header, dict):
        raise BadWeightFile("damaged, or no safetensors file: its header is no table")
    return header


def _check_entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Returns dtype, shape, first byte and end of an entry of the header."""
    if not isinstance(entry, dict):
        raise BadWeightFile(f"damaged: the header's entry {_shown(name)} is no table")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    type_name: Any = entry.get("dtype")
    what = _shown(name)
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2 or len(shape) > _MOST_DIMENSIONS:
        raise BadWeightFile(
            f"damaged: the header's entry {what} has the shape {_shown(shape)} and the offsets {_shown(offsets)}"
        )
    if not isinstance(type_name, str) or type_name not in _DTYPES:
        raise BadWeightFile(f"the tensor {what} has the type {_shown(type_name)}; readable are {', '.join(_DTYPES)}")
    dtype = _DTYPES[type_name]
    begin, end = offsets
    expected = count_elements(shape) * item_size(dtype)
    if end - begin != expected:
        raise BadWeightFile(
            f"damaged: the tensor {what} of shape {tuple(shape)} has {end - begin} bytes, not {expected}"
        )
    return dtype, tuple(shape), begin, end


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= _LARGEST_SIZE for value in values)


def _shown(value: Any) -> str:
    """A value of a header, cut where it is long; a number of thousands of digits cannot be written at all."""
    try:
        text = repr(value)
    except ValueError:
        return "a number that is too long"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
