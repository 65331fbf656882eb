"""numpy's archive of arrays (`.npz`), read without ever unpickling."""

import functools
import zipfile
from collections.abc import Mapping
from typing import IO

import numpy as np

from ._arrays import BadWeightFile, LazyArray, count_elements

_SUFFIX = ".npy"
_MAX_RATIO = 100
_MAX_FREE_BYTES = 1 << 30


def index_npz(archive: zipfile.ZipFile, size: int) -> dict[str, LazyArray]:
    """Lists the arrays of an open archive from their headers.

    Raises:
        BadWeightFile: An array holds Python objects, sizes are not as stated, or the archive unpacks to far too much.
    """
    entries = [info for info in archive.infolist() if info.filename.endswith(_SUFFIX)]
    if any(info.flag_bits & 1 for info in entries):
        raise BadWeightFile("its entries are encrypted")
    unpacked = sum(info.file_size for info in entries)
    if unpacked > max(_MAX_FREE_BYTES, _MAX_RATIO * size):
        raise BadWeightFile(f"{size} bytes that unpack to {unpacked}: no weights compress like that")
    return {info.filename[: -len(_SUFFIX)]: _lazy(archive, info) for info in entries}


def write_npz_to(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays uncompressed."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(name + _SUFFIX, "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)


def _lazy(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> LazyArray:
    with archive.open(info) as entry:
        try:
            version = np.lib.format.read_magic(entry)
            if version == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(entry)
            else:
                shape, _, dtype = np.lib.format.read_array_header_2_0(entry)
        except ValueError as error:
            raise BadWeightFile(f"damaged: {info.filename}: {error}") from None
        header_bytes = entry.tell()
    if dtype.hasobject:
        raise BadWeightFile(f"{info.filename} holds Python objects, which are pickled code, not weights; refused")
    expected = header_bytes + count_elements(shape) * dtype.itemsize
    if expected != info.file_size:
        raise BadWeightFile(f"damaged: {info.filename} of shape {shape} has {info.file_size} bytes, not {expected}")
    return LazyArray(tuple(shape), functools.partial(_load, archive, info), is_text=dtype.kind in "SU")


def _load(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as entry:
        array = np.lib.format.read_array(entry, allow_pickle=False)
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")
