"""Reading and writing weight files of every format. A file's format is told by its contents; its name plays no part.

| format | what |
| --- | --- |
| `ckpt` | MindSpore's checkpoint |
| `safetensors` | of any framework |
| `npz` | numpy's archive |
| `torch` | `.pth`, `.pt`, `.bin` of `torch.save`, old and new; read only, and never by running the pickle in it |

The readers list a file's arrays first, having checked every size in it, and then read only those that are wanted, each
straight into its own memory.
"""

import contextlib
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import IO

import numpy as np

from ..utils.fs import atomic_write, is_remote, local_path, open_file, require_directory
from ._arrays import BadWeightFile, LazyArray, Tree
from ._ckpt import index_ckpt, looks_like_ckpt, write_ckpt_to
from ._npz import index_npz, write_npz_to
from ._safetensors import index_safetensors, looks_like_safetensors, write_safetensors_to
from ._torch import LEGACY_START, index_torch_legacy, index_torch_zip, is_torch_pickle
from .wrappers import select_weights

_WRITERS: dict[str, Callable[[IO[bytes], Mapping[str, np.ndarray]], None]] = {
    ".ckpt": write_ckpt_to,
    ".safetensors": write_safetensors_to,
    ".npz": write_npz_to,
}
_START_BYTES = 4096
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, UnicodeDecodeError)
_READABLE = "a MindSpore checkpoint, safetensors, a torch file or .npz"
_FOREIGN = (
    (b"<", "looks like a web page"),
    (b"version https://git-lfs", "is a Git LFS pointer; fetch the file itself with `git lfs pull`"),
    (b"\x93NUMPY", "is a single numpy array (.npy) without a name"),
    (b"\x89HDF", "is an HDF5 file"),
    (b"\x80", "is a pickle, but not one of torch.save"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"\x08", "looks like an ONNX file, which `mindcv validate --model FILE.onnx` and `mindcv infer` take"),
)


def read_weights(path: str | os.PathLike[str], *, ema: bool = False) -> dict[str, np.ndarray]:
    """Reads a model's weights from a file of any format.

    What a training adds is left out: wrappers (`state_dict`, `model`, `module.` before every name), optimizer slots
    (`moments.*`, `accum.*`), counters and schedules. Half precision (fp16, bf16) becomes float32.

    Args:
        path: Local path or address that fsspec knows.
        ema: Read the averaged weights of a file that has both (`state_dict_ema`, `model_ema`, `ema.*`). Entries without
            an average, such as MindCV's BatchNorm statistics, are the raw ones.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated, damaged, hostile or not a weight file, or has no averaged weights (`ema`).
    """
    with _open_tree(path) as tree:
        weights = select_weights(tree, ema=ema)
        return {name: _widen(array.load()) for name, array in weights.items()}


def read_entry(path: str | os.PathLike[str], name: str, most_bytes: int) -> np.ndarray | None:
    """Reads one entry of bytes of a file of any format; None when the file has no such entry.

    Args:
        path: Local path or address that fsspec knows.
        name: The entry.
        most_bytes: The largest size that it may have.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged or no weight file, or the entry is no row of so many bytes.
    """
    with _open_tree(path) as tree:
        entry = tree.get(name)
        if not isinstance(entry, LazyArray):
            return None
        if len(entry.shape) != 1 or entry.shape[0] > most_bytes:
            raise BadWeightFile(f"its entry {name!r} has the shape {entry.shape}")
        return entry.load()


def read_ckpt(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads every entry of a MindSpore checkpoint as it is, optimizer slots and scalars included.

    bfloat16 becomes float32, which numpy can hold; text becomes a 0-d array of a numpy string.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated, damaged or no MindSpore checkpoint.
    """
    with _open(path) as (file, size):
        if not looks_like_ckpt(_start(file)):
            raise BadWeightFile("not a MindSpore checkpoint")
        return {name: array.load() for name, array in index_ckpt(file, size).items()}


def write_ckpt(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a MindSpore checkpoint, whole or not at all. `mindspore.load_checkpoint` reads it.

    Args:
        path: Local path; its folder is made.
        arrays: By name; 0-d arrays of numpy strings are text.

    Raises:
        ValueError: The folder cannot be written to, or the format does not have an array's dtype.
    """
    _write(path, arrays, write_ckpt_to)


def write_weights(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name in the format of the path's suffix (`.ckpt`, `.safetensors`, `.npz`), whole or not at all.

    Raises:
        ValueError: Another suffix, a folder that cannot be written to, or a dtype that the format does not have.
    """
    suffix = PurePosixPath(os.fspath(path)).suffix.lower()
    if suffix not in _WRITERS:
        raise ValueError(f"{path}: cannot write the suffix {suffix!r}; choose one of {', '.join(_WRITERS)}")
    _write(path, arrays, _WRITERS[suffix])


def _write(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    writer: Callable[[IO[bytes], Mapping[str, np.ndarray]], None],
) -> None:
    if is_remote(path):
        raise ValueError(f"{path}: weights are written to local files only; name one, and copy it there")
    target = local_path(path)
    require_directory(target.parent, f"output {target.name}")
    if target.is_dir():
        raise ValueError(f"{path}: is a folder; name a file")
    with atomic_write(target) as file:
        writer(file, arrays)


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[tuple[IO[bytes], int]]:
    """Opens a file and gives every fault found in it the path and one line."""
    if not is_remote(path) and local_path(path).is_dir():
        raise ValueError(f"{path}: is a folder, not a weight file")
    try:
        with open_file(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if not size:
                raise BadWeightFile("the file is empty (0 bytes)")
            yield file, size
    except BadWeightFile as error:
        raise ValueError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such weight file") from None
    except RecursionError:
        raise ValueError(f"{path}: its contents are nested too deep for a weight file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextlib.contextmanager
def _open_tree(path: str | os.PathLike[str]) -> Iterator[Tree]:
    """Opens a file of any format as a tree of arrays."""
    with _open(path) as (file, size):
        start = _start(file)
        if looks_like_safetensors(start):
            yield index_safetensors(file, size)
        elif looks_like_ckpt(start):
            yield index_ckpt(file, size)
        elif start.startswith(b"PK"):
            with _open_zip(file) as archive:
                if any(map(is_torch_pickle, archive.namelist())):
                    yield index_torch_zip(archive, file, size)
                else:
                    yield index_npz(archive, size)
        elif start.startswith(LEGACY_START):
            yield index_torch_legacy(file, size)
        else:
            raise BadWeightFile(f"{_describe(start)}; readable are {_READABLE}")


@contextlib.contextmanager
def _open_zip(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except _ZIP_FAULTS as error:
        raise BadWeightFile(f"truncated or damaged archive ({error})") from None


def _start(file: IO[bytes]) -> bytes:
    start = file.read(_START_BYTES)
    file.seek(0)
    return start


def _describe(start: bytes) -> str:
    for magic, words in _FOREIGN:
        if start.lstrip().startswith(magic):
            return words
    return "is not a weight file, or its beginning is damaged"


def _widen(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array
