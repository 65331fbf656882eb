"""Datasets small enough to be held in memory: cifar10 and cifar100 (binary and python files), mnist, digits."""

import io
import pickle
import struct
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.text import names_in
from .dataset_download import Cifar10Download, Cifar100Download, DatasetDownload, MnistDownload
from .folders import check_folder, choose_split
from .samples import ArraySamples

__all__ = ["find_cifar10", "find_cifar100", "find_digits", "find_mnist"]

# Upstream's default name of the evaluation split is "val"; these datasets call theirs "test".
_SPLITS = {"train": ("train",), "test": ("test",), "val": ("test",), "all": ("train", "test"), "": ("train", "test")}
_DIGITS_VAL_EVERY = 5


class _SafeUnpickler(pickle.Unpickler):
    """Reads pickles of arrays and plain values only, so that nothing in the file is run."""

    _ALLOWED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not data")
        return super().find_class(module, name)


def _read_pickle(path: Path) -> dict[bytes, Any]:
    try:
        content = _SafeUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except Exception as error:  # unpickling damaged bytes can raise anything
        raise ValueError(f"{path} is damaged or no file of this dataset: {error}; download it again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no file of this dataset: it holds a {type(content).__name__}")
    return {key if isinstance(key, bytes) else str(key).encode(): value for key, value in content.items()}


def _read_cifar_binary(path: Path, label_bytes: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Pixels (N, 3072) and each of the labels (N,): rows of label bytes and 3 planes of 32 x 32."""
    data = np.fromfile(path, np.uint8)
    if not data.size or data.size % (label_bytes + 3072):
        raise ValueError(f"{path} is damaged: {data.size} bytes are no whole number of images; download it again")
    rows = data.reshape(-1, label_bytes + 3072)
    return rows[:, label_bytes:], [rows[:, column] for column in range(label_bytes)]


def _read_cifar_python(path: Path, keys: tuple[bytes, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    content = _read_pickle(path)
    pixels, labels = content.get(b"data"), [content.get(key) for key in keys]
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != 3072 or None in labels:
        raise ValueError(f"{path} is no file of this dataset: it has no images or no labels")
    return pixels.astype(np.uint8, copy=False), [np.asarray(label) for label in labels]


def _names_of_text(path: Path) -> list[str] | None:
    if not path.is_file():
        return None
    return names_in(path.read_bytes())


def _names_of_pickle(path: Path, key: bytes) -> list[str] | None:
    if not path.is_file():
        return None
    names = _read_pickle(path).get(key)
    return [bytes(name).decode() if isinstance(name, bytes) else str(name) for name in names] if names else None


def _missing(download: type[DatasetDownload], folder: Path, files: list[str]) -> FileNotFoundError:
    return FileNotFoundError(
        f"dataset {download.name!r}: {str(folder)!r} has no {', '.join(files)}; "
        "set data_dir to the unpacked dataset, or download it with dataset_download: True"
    )


def _find_cifar(
    download: type[DatasetDownload],
    root: str,
    split: str,
    python_dir: str,
    binary_files: dict[str, list[str]],
    python_files: dict[str, list[str]],
    label_keys: tuple[bytes, ...],
    columns: tuple[str, ...],
    names: tuple[str, str, bytes],
) -> ArraySamples:
    usage = choose_split(download.name, split, _SPLITS)
    folder = check_folder(root, download.name)
    binary = folder / download.base_dir if (folder / download.base_dir).is_dir() else folder
    python = folder / python_dir if (folder / python_dir).is_dir() else folder
    wanted = [name for part in usage for name in binary_files[part]]
    if (binary / wanted[0]).is_file():
        folder, class_names = binary, _names_of_text(binary / names[0])
        read: Callable[[Path], Any] = lambda path: _read_cifar_binary(path, len(columns))  # noqa: E731
    elif (python / python_files[usage[0]][0]).is_file():
        wanted = [name for part in usage for name in python_files[part]]
        folder, class_names = python, _names_of_pickle(python / names[1], names[2])
        read = lambda path: _read_cifar_python(path, label_keys)  # noqa: E731
    else:
        raise _missing(download, binary, wanted)
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise _missing(download, folder, missing)
    parts = [read(folder / name) for name in wanted]
    images = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = {
        column: np.concatenate([part[index] for _, part in parts]).astype(np.int32)
        for index, column in enumerate(columns)
    }
    num_classes = 10 if len(columns) == 1 else 100
    last = list(labels.values())[-1]
    if last.min() < 0 or last.max() >= num_classes:
        raise ValueError(f"{folder} is damaged: labels go from {last.min()} to {last.max()}; download it again")
    return ArraySamples(np.ascontiguousarray(images), labels, num_classes, class_names)


def find_cifar10(root: str, split: str) -> ArraySamples:
    """CIFAR-10 from its binary or python files, in `root` or in the folder that its archive makes there."""
    batches = [f"data_batch_{index}" for index in range(1, 6)]
    return _find_cifar(
        Cifar10Download,
        root,
        split,
        "cifar-10-batches-py",
        {"train": [f"{name}.bin" for name in batches], "test": ["test_batch.bin"]},
        {"train": batches, "test": ["test_batch"]},
        (b"labels",),
        ("label",),
        ("batches.meta.txt", "batches.meta", b"label_names"),
    )


def find_cifar100(root: str, split: str) -> ArraySamples:
    """CIFAR-100, as `find_cifar10`; the fine labels are those to learn."""
    return _find_cifar(
        Cifar100Download,
        root,
        split,
        "cifar-100-python",
        {"train": ["train.bin"], "test": ["test.bin"]},
        {"train": ["train"], "test": ["test"]},
        (b"coarse_labels", b"fine_labels"),
        ("coarse_label", "fine_label"),
        ("fine_label_names.txt", "meta", b"fine_label_names"),
    )


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of bytes: magic number, sizes, values (http://yann.lecun.com/exdb/mnist)."""
    data = path.read_bytes()
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, 8, dimensions)):
        raise ValueError(f"{path} is damaged or no file of this dataset; download it again")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    if len(data) != start + int(np.prod(shape)):
        raise ValueError(f"{path} is cut off: {len(data)} bytes for {shape[0]} rows; download it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def find_mnist(root: str, split: str) -> ArraySamples:
    """MNIST; images are uint8 (28, 28, 1)."""
    prefixes = {"train": "train", "test": "t10k"}
    usage = choose_split("mnist", split, _SPLITS)
    folder = check_folder(root, "mnist")
    pairs = [(f"{prefixes[part]}-images-idx3-ubyte", f"{prefixes[part]}-labels-idx1-ubyte") for part in usage]
    missing = [name for pair in pairs for name in pair if not (folder / name).is_file()]
    if missing:
        raise _missing(MnistDownload, folder, missing)
    images = np.concatenate([_read_idx(folder / name, 3) for name, _ in pairs])
    labels = np.concatenate([_read_idx(folder / name, 1) for _, name in pairs]).astype(np.int32)
    if len(images) != len(labels):
        raise ValueError(f"mnist: {folder} has {len(images)} images and {len(labels)} labels; download it again")
    return ArraySamples(images[..., None], {"label": labels}, 10, [str(digit) for digit in range(10)])


def find_digits(root: str, split: str) -> ArraySamples:
    """The embedded digits, 8x8, three equal channels: every fifth is `val` (360), the rest `train` (1437)."""
    del root
    usage = choose_split("digits", split, {"train": "train", "val": "val", "test": "val", "all": "all", "": "all"})
    with (
        (resources.files("mindcv.data") / "assets" / "digits.npz").open("rb") as file,
        np.load(file) as archive,
    ):
        images, labels = archive["images"], archive["labels"].astype(np.int32)
    # Ink has 17 levels, 0 to 16.
    images = np.round(images * (255.0 / 16.0)).astype(np.uint8)
    images = np.repeat(images[..., None], 3, axis=-1)
    is_val = np.arange(len(images)) % _DIGITS_VAL_EVERY == 0
    chosen = {"train": ~is_val, "val": is_val, "all": np.ones_like(is_val)}[usage]
    return ArraySamples(images[chosen], {"label": labels[chosen]}, 10, [str(digit) for digit in range(10)])
