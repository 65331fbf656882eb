"""What all weight formats share: arrays that are read when asked for, and the error for a file that is not right."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any, TypeAlias

import numpy as np

BFLOAT16 = "bfloat16"
"""Dtype of a tensor that numpy does not have; it is read as float32, which holds every bfloat16 number exactly."""


class BadWeightFile(ValueError):  # noqa: N818 (never leaves the package by this name: formats.py adds the path)
    """What is wrong with a file, in words that can follow its path."""


@dataclasses.dataclass(frozen=True)
class LazyArray:
    """An array in an open file.

    Attributes:
        shape: Its shape.
        load: Reads it: a new, contiguous, writable array.
        is_text: Whether it is text, which is never a weight.
    """

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]
    is_text: bool = False


Tree: TypeAlias = Mapping[str, Any]
"""Contents of a weight file: `LazyArray` by name, or folders of them, beside values that are no weights."""


def item_size(dtype: str) -> int:
    """Bytes of one element of `dtype`, a numpy type string such as `<f4` or `BFLOAT16`."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def count_elements(shape: Iterable[int]) -> int:
    """Number of elements of a shape, exact however large it claims to be."""
    count = 1
    for side in shape:
        count *= side
    return count


def as_bytes(array: np.ndarray) -> memoryview:
    """The memory of a C-contiguous array as bytes."""
    return array.reshape(-1).view(np.uint8).data


def decode(raw: np.ndarray, dtype: str) -> np.ndarray:
    """Turns a bfloat16 array's 16-bit words into float32; other dtypes are returned as they are."""
    if dtype != BFLOAT16:
        return raw
    words = raw.astype(np.uint32)
    words <<= 16
    return words.view(np.float32)


def storage_dtype(dtype: str) -> np.dtype:
    """The numpy type that holds the stored words of `dtype`."""
    return np.dtype("<u2" if dtype == BFLOAT16 else dtype)


def read_array(file: IO[bytes], pieces: Iterable[tuple[int, int]], dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reads an array straight into its own memory, so that nothing is held twice and no file stays mapped.

    Args:
        file: Seekable file.
        pieces: (offset, length) in bytes of its parts, in order. Their lengths add up to the array's.
        dtype: Type of the elements.
        shape: Shape of the array.
    """
    raw = np.empty(shape, storage_dtype(dtype))
    target = as_bytes(raw)
    done = 0
    for offset, length in pieces:
        file.seek(offset)
        end = done + length
        while done < end:
            got = file.readinto(target[done:end])  # type: ignore[attr-defined]
            if not got:
                raise BadWeightFile("the file ended while it was read; was it being written at the same time?")
            done += got
    return decode(raw, dtype)
