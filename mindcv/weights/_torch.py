"""Files of `torch.save` read without torch: the zip archives of today and the stream of pickles from before torch 1.6.

Both hold a pickle that describes tensors as views (offset, shape, strides) of storages, and the storages' bytes
beside it. The pickle is read by `_pickle.load_data` with the table below, so nothing in it is ever run. Every view is
checked against its storage, every storage against the file, and the sum of all against a multiple of the file's size.
"""

import dataclasses
import functools
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

from ._arrays import BFLOAT16, BadWeightFile, LazyArray, Tree, count_elements, item_size, read_array
from ._pickle import Build, Global, Inert, load_data, make_dict

LEGACY_START = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""A pickle of torch's magic number, with which files from before torch 1.6 begin."""

_PICKLE_NAME = "data.pkl"
_STORAGE_DTYPES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": BFLOAT16,
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "|i1",
    "torch.ByteStorage": "|u1",
    "torch.BoolStorage": "|b1",
}
_MAX_EXPANSION = 8
_MAX_DIMENSIONS = 32
_LOCAL_HEADER_BYTES = 30


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of elements in the file, which tensors are views of."""

    key: str
    dtype: str
    count: int


@dataclasses.dataclass(frozen=True)
class View:
    """A tensor: a part of a storage. Offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


OffsetOf = Callable[[Storage], int]
"""Gives the offset of a storage's first byte in the file."""


def index_torch_zip(archive: zipfile.ZipFile, file: IO[bytes], size: int) -> Tree:
    """Lists the contents of an archive of `torch.save`.

    Raises:
        BadWeightFile: It is damaged, hostile, or holds something else than data.
    """
    entries = {info.filename: info for info in archive.infolist()}
    pickle_name = next(name for name in entries if is_torch_pickle(name))
    folder = pickle_name.removesuffix(_PICKLE_NAME)
    if f"{folder}constants.pkl" in entries:
        raise BadWeightFile("a TorchScript program, not weights; save its state_dict() in torch")
    if f"{folder}byteorder" in entries:
        with archive.open(f"{folder}byteorder") as stream:
            if stream.read(16) != b"little":
                raise BadWeightFile("its numbers are big-endian; save it on a little-endian machine")

    def offset_of(storage: Storage) -> int:
        info = entries.get(f"{folder}data/{storage.key}")
        if info is None:
            raise BadWeightFile(f"damaged: the storage {storage.key!r} is not in the archive")
        return _stored_at(file, info, storage.count * item_size(storage.dtype), size)

    _stored_at(file, entries[pickle_name], entries[pickle_name].file_size, size)
    with archive.open(pickle_name) as stream:
        tree = load_data(stream, _BUILDERS, _zip_storage)
    return _index(tree, file, size, offset_of)


def index_torch_legacy(file: IO[bytes], size: int) -> Tree:
    """Lists the contents of a file from before torch 1.6: magic number, version, machine, tree, keys, storages.

    Raises:
        BadWeightFile: It is damaged, hostile, or holds something else than data.
    """
    storages: dict[str, Storage] = {}

    def persistent(reference: Any) -> Storage:
        storage = _legacy_storage(reference)
        if storages.setdefault(storage.key, storage) != storage:
            raise BadWeightFile(f"damaged: the storage {storage.key!r} is described in two ways")
        return storage

    load_data(file, {}, persistent)
    load_data(file, {}, persistent)
    machine = load_data(file, {}, persistent)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise BadWeightFile("its numbers are big-endian, or it is damaged")
    tree = load_data(file, _BUILDERS, persistent)
    keys = load_data(file, {}, persistent)
    if not isinstance(keys, list):
        raise BadWeightFile("damaged: there is no list of its storages")
    offsets: dict[str, int] = {}
    position = file.tell()
    for key in keys:
        if not isinstance(key, str) or key not in storages:
            raise BadWeightFile(f"damaged: nothing is known of the storage {key!r}")
        storage = storages[key]
        file.seek(position)
        count = int.from_bytes(file.read(8), "little")
        end = position + 8 + storage.count * item_size(storage.dtype)
        if count != storage.count or end > size:
            raise BadWeightFile(f"truncated or damaged: the storage {key!r} should have {storage.count} elements")
        offsets[key] = position + 8
        position = end

    def offset_of(storage: Storage) -> int:
        if storage.key not in offsets:
            raise BadWeightFile(f"truncated or damaged: the storage {storage.key!r} is not in the file")
        return offsets[storage.key]

    return _index(tree, file, size, offset_of)


def is_torch_pickle(name: str) -> bool:
    """Whether an archive's entry of this name is the tree of a torch file."""
    return name.count("/") == 1 and name.endswith(f"/{_PICKLE_NAME}")


def _index(tree: Any, file: IO[bytes], size: int, offset_of: OffsetOf) -> Tree:
    """Replaces views by arrays that can be read, having checked all of them."""
    if isinstance(tree, View):
        raise BadWeightFile("a single tensor without a name; save a dictionary of names")
    if not isinstance(tree, Mapping):
        raise BadWeightFile(f"holds a {type(tree).__name__}, not a dictionary of names")
    budget = _MAX_EXPANSION * size
    done: dict[int, Mapping[Any, Any]] = {}

    def convert(folder: Mapping[Any, Any]) -> Mapping[Any, Any]:
        nonlocal budget
        if id(folder) in done:
            return done[id(folder)]
        converted: dict[Any, Any] = {}
        done[id(folder)] = converted
        for name, value in folder.items():
            if isinstance(value, View):
                budget -= count_elements(value.shape) * item_size(value.storage.dtype)
                if budget < 0:
                    raise BadWeightFile(f"its {size} bytes claim to hold over {_MAX_EXPANSION} times as many; refused")
                converted[name] = _lazy(value, name, file, offset_of)
            else:
                converted[name] = convert(value) if isinstance(value, Mapping) else value
        return converted

    return convert(tree)


def _lazy(view: View, name: Any, file: IO[bytes], offset_of: OffsetOf) -> LazyArray:
    """Checks that a view stays inside its storage."""
    storage = view.storage
    sizes = (view.offset, *view.shape, *view.strides)
    if any(type(value) is not int or value < 0 for value in sizes) or len(view.shape) != len(view.strides):
        raise BadWeightFile(f"damaged: the tensor {name!r} has the shape {view.shape} and the strides {view.strides}")
    count = count_elements(view.shape)
    last = view.offset + sum((side - 1) * stride for side, stride in zip(view.shape, view.strides, strict=True))
    if count and (last >= storage.count or count > storage.count):
        raise BadWeightFile(f"damaged: the tensor {name!r} does not fit into its storage of {storage.count} elements")
    return LazyArray(view.shape, functools.partial(_read_view, file, offset_of(storage), view, last - view.offset + 1))


def _read_view(file: IO[bytes], storage_offset: int, view: View, span: int) -> np.ndarray:
    """Reads the run of `span` elements that a view touches, and puts it in C order."""
    if not count_elements(view.shape):
        return read_array(file, [], view.storage.dtype, view.shape)
    width = item_size(view.storage.dtype)
    run = read_array(file, [(storage_offset + view.offset * width, span * width)], view.storage.dtype, (span,))
    strides = tuple(stride * run.itemsize for stride in view.strides)
    return np.asarray(np.lib.stride_tricks.as_strided(run, view.shape, strides), order="C")


def _stored_at(file: IO[bytes], info: zipfile.ZipInfo, length: int, size: int) -> int:
    """Returns where an archive's entry begins, having checked that it is stored as it is and has `length` bytes."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise BadWeightFile(f"{info.filename} is compressed or encrypted, which torch never does; refused")
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    begin = info.header_offset + len(header)
    begin += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if info.file_size != length or begin + length > size:
        raise BadWeightFile(f"truncated or damaged: {info.filename} should have {length} bytes, not {info.file_size}")
    return begin


def _storage(key: Any, storage_class: Any, count: Any) -> Storage:
    if not isinstance(storage_class, Global) or storage_class.name not in _STORAGE_DTYPES:
        raise BadWeightFile(f"its pickle has a storage of another type than {', '.join(_STORAGE_DTYPES)}")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise BadWeightFile(f"damaged: it has a storage {key!r} of {count!r} elements")
    return Storage(key, _STORAGE_DTYPES[storage_class.name], count)


def _zip_storage(reference: Any) -> Storage:
    """Reads `("storage", class, key, device, elements)`."""
    if not isinstance(reference, tuple) or len(reference) != 5 or reference[0] != "storage":
        raise BadWeightFile("its pickle refers to something that is no storage; refused")
    _, storage_class, key, _, count = reference
    return _storage(key, storage_class, count)


def _legacy_storage(reference: Any) -> Storage:
    """Reads `("storage", class, key, device, elements, None)`."""
    if not isinstance(reference, tuple) or len(reference) != 6 or reference[0] != "storage":
        raise BadWeightFile("its pickle refers to something that is no storage, such as a whole module; refused")
    _, storage_class, key, _, count, view = reference
    if view is not None:
        raise BadWeightFile(f"its storage {key!r} is a part of another; save it anew with a current torch")
    return _storage(key, storage_class, count)


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> View:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise BadWeightFile("damaged: it has a tensor without a storage, shape or strides")
    return View(storage, offset, shape, strides)


def _first(value: Any, *_: Any) -> Any:
    """A parameter is its tensor."""
    return value


def _from_type(build: Any, _: Any, arguments: Any, __: Any) -> Any:
    """A tensor with attributes of its own is a tensor."""
    if not isinstance(build, Global) or not isinstance(arguments, tuple):
        raise BadWeightFile("damaged: it has a tensor that is built in an unknown way")
    return _BUILDERS[build.name](*arguments)


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    made = make_dict(items.items() if isinstance(items, dict) else items)
    if isinstance(items, list):
        items.clear()  # so that a pickle cannot have one list copied over and over
    return made


def _size(sides: Any = ()) -> tuple[Any, ...]:
    if not isinstance(sides, (tuple, list)) or len(sides) > _MAX_DIMENSIONS:
        raise BadWeightFile("damaged: it has a shape that is none")
    return tuple(sides)


def _inert(*_: Any) -> Inert:
    return Inert()


def _no_call(*_: Any) -> Any:
    raise BadWeightFile("its pickle calls a type, which no weight file needs; refused")


_BUILDERS: dict[str, Build] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _ordered_dict,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Tensor": _no_call,
    "torch.nn.parameter.Parameter": _no_call,
    # What training scripts save beside the weights.
    "argparse.Namespace": _inert,
    "torch.device": _inert,
    "numpy.dtype": _inert,
    "numpy.core.multiarray.scalar": _inert,
    "numpy._core.multiarray.scalar": _inert,
    "_codecs.encode": _inert,
    "builtins.set": _inert,
    "__builtin__.set": _inert,
    **dict.fromkeys(_STORAGE_DTYPES, _no_call),
}
