"""MindSpore's checkpoint format, read and written without MindSpore: a protobuf message of (name, tensor) entries.

    Checkpoint  { repeated Value value = 1 }
    Value       { string tag = 1;  TensorProto tensor = 2;  MapTensorProto maptensor = 3 }
    TensorProto { repeated int64 dims = 1;  string tensor_type = 2;  bytes tensor_content = 3 }

MindSpore cuts tensors over 512 MiB into several entries of one name, each with the dims of the whole, and may end the
file with `crc_num` and the CRC-32 of what precedes as ten big-endian bytes. Text is UCS-4, of type `str` and dims [0].
"""

import functools
import zlib
from collections.abc import Iterator, Mapping
from typing import IO

import numpy as np

from ._arrays import BFLOAT16, BadWeightFile, LazyArray, as_bytes, count_elements, item_size, read_array

_DTYPES = {
    "Int8": "<i1",
    "UInt8": "<u1",
    "Int16": "<i2",
    "UInt16": "<u2",
    "Int32": "<i4",
    "UInt32": "<u4",
    "Int64": "<i8",
    "UInt64": "<u8",
    "Float16": "<f2",
    "Float32": "<f4",
    "Float64": "<f8",
    "Bool": "|b1",
    "BFloat16": BFLOAT16,
}
_TYPE_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items() if dtype != BFLOAT16}
_SLICE_BYTES = 512 * 1024 * 1024
_CRC_MARK = b"crc_num"
_CRC_TRAILER_BYTES = len(_CRC_MARK) + 10
_BLOCK_BYTES = 4 * 1024 * 1024
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def looks_like_ckpt(start: bytes) -> bool:
    """Whether `start`, a file's first bytes, holds the beginning of a checkpoint: its first entry's name."""
    position = 0
    try:
        for _ in range(2):
            if start[position] != 0x0A:
                return False
            length, position = _varint_in(start, position + 1)
    except IndexError:
        return False
    name = start[position : position + length]
    return length > 0 and name.decode("utf-8", errors="replace").isprintable()


def index_ckpt(file: IO[bytes], size: int) -> dict[str, LazyArray]:
    """Lists the tensors of a checkpoint, having checked its CRC, if it has one, and every length in it.

    Raises:
        BadWeightFile: It is damaged or holds something else than tensors and text.
    """
    end = _check_crc(file, size)
    found: dict[str, tuple[str, tuple[int, ...], list[tuple[int, int]]]] = {}
    previous = ""
    for _, start, stop in _fields(file, 0, end):
        name, type_name, dims, piece = _read_entry(file, start, stop)
        if name not in found:
            found[name] = (type_name, dims, [piece])
        elif name == previous and found[name][:2] == (type_name, dims):
            found[name][2].append(piece)
        else:
            raise BadWeightFile(f"the entry {name!r} is there twice")
        previous = name
    return {name: _lazy(file, name, *entry) for name, entry in found.items()}


def write_ckpt_to(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a checkpoint with a CRC. Text (0-d arrays of numpy strings) is kept.

    Raises:
        ValueError: The format does not have an array's dtype.
    """
    crc = 0
    for name, array in arrays.items():
        array = np.asarray(array)
        little = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        dims: tuple[int, ...] = array.shape
        if array.dtype.kind == "U" and array.ndim == 0:
            type_name, dims = "str", (0,)
        elif little.dtype in _TYPE_NAMES:
            type_name = _TYPE_NAMES[little.dtype]
        else:
            allowed = ", ".join(map(str, _TYPE_NAMES))
            raise ValueError(f"{name}: a checkpoint cannot hold an array of type {array.dtype}; use one of {allowed}")
        content = as_bytes(little)
        for begin in range(0, max(len(content), 1), _SLICE_BYTES):
            piece = content[begin : begin + _SLICE_BYTES]
            header = _entry_header(name, type_name, dims, len(piece))
            crc = zlib.crc32(piece, zlib.crc32(header, crc))
            file.write(header)
            file.write(piece)
    file.write(_CRC_MARK + crc.to_bytes(10, "big"))


def _check_crc(file: IO[bytes], size: int) -> int:
    """Returns where the message ends: before the CRC, which is checked, or at the end of the file."""
    if size < _CRC_TRAILER_BYTES:
        return size
    end = size - _CRC_TRAILER_BYTES
    file.seek(end)
    trailer = file.read(_CRC_TRAILER_BYTES)
    if not trailer.startswith(_CRC_MARK):
        return size
    file.seek(0)
    crc, left = 0, end
    while left:
        block = file.read(min(_BLOCK_BYTES, left))
        crc = zlib.crc32(block, crc)
        left -= len(block)
    if crc != int.from_bytes(trailer[len(_CRC_MARK) :], "big"):
        raise BadWeightFile("damaged: its contents do not match the CRC stored in it")
    return end


def _read_entry(file: IO[bytes], start: int, stop: int) -> tuple[str, str, tuple[int, ...], tuple[int, int]]:
    """Reads one Value: name, type name, dims and the offset of its contents."""
    name, tensor = None, None
    for field, begin, end in _fields(file, start, stop):
        if field == 1:
            name = _text(file, begin, end)
        elif field == 2:
            tensor = (begin, end)
        elif field == 3:
            raise BadWeightFile(f"the entry {name!r} is a hash table (MapParameter), which no vision model has")
    if name is None or tensor is None:
        raise BadWeightFile(f"damaged: the entry at byte {start} has no name or no tensor")
    type_name, dims, content = None, [], None
    for field, begin, end in _fields(file, *tensor):
        if field == 1:
            dims.extend(_integers(file, begin, end))
        elif field == 2:
            type_name = _text(file, begin, end)
        elif field == 3:
            content = (begin, end - begin)
    if type_name is None or content is None:
        raise BadWeightFile(f"damaged: the tensor {name!r} has no type or no contents")
    return name, type_name, tuple(dims), content


def _lazy(
    file: IO[bytes], name: str, type_name: str, dims: tuple[int, ...], pieces: list[tuple[int, int]]
) -> LazyArray:
    """Turns a checked entry into an array that can be read."""
    total = sum(length for _, length in pieces)
    if type_name == "str":
        if total % 4:
            raise BadWeightFile(f"damaged: the text {name!r} has {total} bytes, which is no multiple of 4")
        return LazyArray((), functools.partial(read_array, file, pieces, f"<U{max(total // 4, 1)}", ()), is_text=True)
    if type_name not in _DTYPES:
        raise BadWeightFile(f"the tensor {name!r} has the type {type_name!r}; readable are {', '.join(_DTYPES)}")
    dtype = _DTYPES[type_name]
    shape = () if dims == (0,) and total else dims
    expected = count_elements(shape) * item_size(dtype)
    if min(shape, default=1) < 0 or expected != total:
        raise BadWeightFile(
            f"damaged: the tensor {name!r} of shape {shape} and type {type_name} has {total} bytes, not {expected}"
        )
    return LazyArray(shape, functools.partial(read_array, file, pieces, dtype, shape))


def _fields(file: IO[bytes], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yields (field number, first byte, end) of a message's fields; a varint's offset is the varint itself."""
    position = start
    while position < stop:
        file.seek(position)
        key = _varint(file, stop)
        field, wire = key >> 3, key & 7
        begin = file.tell()
        if wire == _VARINT:
            _varint(file, stop)
            end = file.tell()
        elif wire == _BYTES:
            length = _varint(file, stop)
            begin = file.tell()
            end = begin + length
        elif wire in (_FIXED64, _FIXED32):
            end = begin + (8 if wire == _FIXED64 else 4)
        else:
            raise BadWeightFile(f"damaged, or no MindSpore checkpoint: nonsense at byte {position}")
        if end > stop:
            raise BadWeightFile(f"truncated or damaged: the entry at byte {position} ends at byte {end}, past {stop}")
        yield field, begin, end
        position = end


def _varint(file: IO[bytes], stop: int) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1) if file.tell() < stop else b""
        if not byte:
            raise BadWeightFile(f"truncated: it ends inside an entry, at byte {stop}")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise BadWeightFile(f"damaged, or no MindSpore checkpoint: nonsense at byte {file.tell()}")


def _varint_in(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _integers(file: IO[bytes], begin: int, end: int) -> list[int]:
    """Reads int64 values: one varint, or several when the writer packed them."""
    file.seek(begin)
    values = []
    while file.tell() < end:
        value = _varint(file, end)
        values.append(value - (1 << 64) if value >> 63 else value)
    return values


def _text(file: IO[bytes], begin: int, end: int) -> str:
    file.seek(begin)
    try:
        return file.read(end - begin).decode("utf-8")
    except UnicodeDecodeError:
        raise BadWeightFile(f"damaged, or no MindSpore checkpoint: no text at byte {begin}") from None


def _entry_header(name: str, type_name: str, dims: tuple[int, ...], content_bytes: int) -> bytes:
    """Everything of a Checkpoint with one Value that precedes the tensor's contents."""
    tensor = b"".join(b"\x08" + _encode(side) for side in dims) + _delimited(2, type_name.encode())
    tensor += b"\x1a" + _encode(content_bytes)
    tag = _delimited(1, name.encode())
    tensor_bytes = len(tensor) + content_bytes
    value = tag + b"\x12" + _encode(tensor_bytes) + tensor
    return b"\x0a" + _encode(len(value) + content_bytes) + value


def _delimited(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | _BYTES]) + _encode(len(content)) + content


def _encode(value: int) -> bytes:
    """Encodes a number of 0 or more as a varint."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
