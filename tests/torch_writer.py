"""Writes what `torch.save` writes, without torch: raw storages, and the pickle that shapes them."""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}
_EMPTY_DICT = b"ccollections\nOrderedDict\n)R"


def write_torch_file(path: Path, arrays: Mapping[str, np.ndarray], epoch: int | None = None) -> None:
    """Writes arrays as a `.pth` of PyTorch 1.6 and later: alone, or with an epoch as a training's `state_dict`."""
    entries = []
    with zipfile.ZipFile(path, "w") as archive:
        for key, (name, array) in enumerate(arrays.items()):
            kind = f"ctorch\n{_STORAGES[array.dtype.name]}\n".encode()
            storage = _tuple(_text("storage"), kind, _text(str(key)), _text("cpu"), _number(array.size)) + b"Q"
            shape = _tuple(*map(_number, array.shape))
            strides = _tuple(*(_number(stride // array.itemsize) for stride in array.strides))
            tensor = _tuple(storage, _number(0), shape, strides, b"\x89", _EMPTY_DICT)
            entries.append(_text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n" + tensor + b"R")
            archive.writestr(f"archive/data/{key}", array.tobytes())
        pickled = _EMPTY_DICT + b"(" + b"".join(entries) + b"u"
        if epoch is not None:
            pickled = b"}(" + _text("epoch") + _number(epoch) + _text("state_dict") + pickled + b"u"
        archive.writestr("archive/data.pkl", b"\x80\x02" + pickled + b".")
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _number(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def _tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"
