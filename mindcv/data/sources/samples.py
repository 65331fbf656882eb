"""Where the samples of a dataset are: images by index, with their labels and names. No MindSpore here.

Each kind of storage is one class of one shape, so that shuffling, sharding, splitting and the treatment of bad files
are the same for all.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from ...utils.cache import get_default_download_root
from ...utils.fs import atomic_write, read_local
from ..distributed_sampler import ShuffleWindows
from ..images.image_formats import IMAGE_SUFFIXES, LeftOut, images_below, is_hidden, is_image_name

__all__ = [
    "ArraySamples",
    "FileSamples",
    "Samples",
    "StoredSamples",
    "StringArray",
    "Subset",
    "scan_classes",
    "single_labels",
]

_logger = logging.getLogger(__name__)

# Listing so many files takes a second or so; below it, a cache is not worth its file.
CACHED_FROM = 20_000
# A folder that was changed so lately may change again without its time stamp showing it.
_SETTLED_S = 2.0
_CACHE_VERSION = 2


class Samples(Protocol):
    """Images with labels.

    Attributes:
        labels: int32 (N,), or float32 (N, `num_classes`) of zeros and ones where a sample has several, or of
            probabilities where they are soft.
        num_classes: Number of classes.
        class_names: Their names by label; None when there are none.
        windows: See `Shared`.
        left_out: See `Shared`.
        is_soft: See `Shared`.
        is_encoded: Whether `read` returns image files, not arrays.
        columns: The labels by the name of their column; the last one is `labels`, what is learned.
    """

    labels: np.ndarray
    num_classes: int
    class_names: list[str] | None
    windows: ShuffleWindows | None
    left_out: LeftOut
    is_soft: bool
    is_encoded: bool

    @property
    def columns(self) -> dict[str, np.ndarray]: ...

    def __len__(self) -> int:
        """Number of samples."""

    def prefetch(self, indices: np.ndarray) -> None:
        """Prepares to read samples, see `Shared`."""

    def name(self, index: int) -> str:
        """What to call a sample in a message: its path, or its name in a shard."""

    def read(self, index: int) -> bytes | np.ndarray:
        """The bytes of an image file; or pixels, uint8 (H, W, C), not to be written to.

        Raises:
            OSError: They cannot be read.
        """


class StringArray:
    """Many texts in two arrays, which take a quarter of the memory of a list and are loaded from a file at once."""

    def __init__(self, text: np.ndarray, ends: np.ndarray) -> None:
        self.text, self.ends = text, ends

    @classmethod
    def of(cls, names: Sequence[str]) -> "StringArray":
        """Stores a list."""
        encoded = [os.fsencode(name) for name in names]
        ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        start = self.ends[index - 1] if index else 0
        return os.fsdecode(self.text[start : self.ends[index]].tobytes())


class Shared:
    """What copies of a dataset have in common: MindSpore copies the whole tree of operations for every iterator.

    A copy of many samples would cost memory in each epoch, and copies of open files would close each other's.

    Attributes:
        windows: In what order samples can be had quickly. None: in any.
        whole: All samples of the split, where these are a part of them. None: these are all.
        left_out: Files that lie among the samples and are none.
        is_soft: Whether a row of labels is one label, as the probabilities of the classes, which sum to 1.
        is_encoded: Whether `read` returns image files, not arrays.
        labels: See `Samples`.
    """

    windows: ShuffleWindows | None = None
    whole: Any = None
    left_out = LeftOut()
    is_soft = False
    is_encoded = True
    labels: np.ndarray

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The labels by the name of their column."""
        return {"label": self.labels}

    def prefetch(self, indices: np.ndarray) -> None:
        """Fetches ahead, where that helps, what will be read in an epoch, in this order."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Shared":
        return self


class FileSamples(Shared):
    """Image files below a folder.

    Args:
        folder: The folder; empty when names are absolute.
        names: Path of each file from there.
        labels: See `Samples`.
        num_classes: See `Samples`.
        class_names: See `Samples`.
        has_class_folders: Whether the first folder of each name is that of the class.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        names: StringArray,
        labels: np.ndarray,
        num_classes: int,
        class_names: list[str] | None = None,
        has_class_folders: bool = False,
    ) -> None:
        self.has_class_folders = has_class_folders
        self.folder = os.fspath(folder)
        self.names = names
        self.labels = labels
        self.num_classes = num_classes
        self.class_names = class_names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """Path of the file."""
        return os.path.join(self.folder, self.names[index])

    def read(self, index: int) -> bytes:
        """The file's bytes."""
        return read_local(self.name(index))


class StoredSamples(Shared):
    """Image files that lie in few large files, found by offset and size.

    The large files stay open and are read at any offset by any thread.

    Args:
        shards: Paths of the large files.
        locations: int64 (N, 3): index of the shard, offset and size in bytes.
        labels: See `Samples`.
        num_classes: See `Samples`.
        class_names: See `Samples`.
        names: What each image is called; without, its shard and index.
    """

    def __init__(
        self,
        shards: Sequence[str | os.PathLike[str]],
        locations: np.ndarray,
        labels: np.ndarray,
        num_classes: int,
        class_names: list[str] | None = None,
        names: StringArray | None = None,
    ) -> None:
        self.shards = [os.fspath(shard) for shard in shards]
        self.locations = locations
        self.labels = labels
        self.num_classes = num_classes
        self.class_names = class_names
        self.names = names
        self._files: dict[int, IO[bytes]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Other processes open the large files for themselves."""
        return {**self.__dict__, "_files": {}}

    def __len__(self) -> int:
        return len(self.locations)

    def name(self, index: int) -> str:
        """Name of the image and of its shard."""
        what = self.names[index] if self.names is not None else f"sample {index}"
        return f"{self.shards[self.locations[index, 0]]}:{what}"

    def read(self, index: int) -> bytes:
        """The image's bytes.

        Raises:
            OSError: The shard is not there or too short.
        """
        shard, offset, size = self.locations[index].tolist()
        data = os.pread(self._file(shard).fileno(), size, offset)
        if len(data) < size:
            raise OSError(f"{self.shards[shard]} ends at byte {offset + len(data)}; {offset + size} are needed")
        return data

    def _file(self, shard: int) -> IO[bytes]:
        file = self._files.get(shard)
        if file is None:
            # Of two threads the first one's stays; the other's is closed with its last use.
            file = self._files.setdefault(shard, open(self.shards[shard], "rb", buffering=0))  # noqa: SIM115
        return file


class ArraySamples(Shared):
    """Images that are held in memory as arrays.

    Args:
        images: uint8 (N, H, W, C).
        columns: Name of each label column and its values (N,); the last one is what is learned.
        num_classes: Number of classes.
        class_names: Their names by label; None when there are none.
    """

    is_encoded = False

    def __init__(
        self,
        images: np.ndarray,
        columns: dict[str, np.ndarray],
        num_classes: int,
        class_names: list[str] | None = None,
    ) -> None:
        self.images = images.view()
        self.images.flags.writeable = False  # who reads an image does not get a copy
        *self._others, (self._name, self.labels) = columns.items()
        self.num_classes = num_classes
        self.class_names = class_names

    def __len__(self) -> int:
        return len(self.images)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The labels by the name of their column."""
        return {**dict(self._others), self._name: self.labels}

    def name(self, index: int) -> str:
        """Its index: it has no file."""
        return f"sample {index}"

    def read(self, index: int) -> np.ndarray:
        """The pixels."""
        return self.images[index]


class Subset(Shared):
    """Some of the samples of another set, with indices of their own.

    Args:
        samples: The other set.
        indices: Their indices there.
    """

    def __init__(self, samples: Samples, indices: np.ndarray) -> None:
        self.samples = samples
        self.indices = indices
        self.is_encoded = samples.is_encoded
        self.labels = samples.labels[indices]
        self.num_classes = samples.num_classes
        self.class_names = samples.class_names
        self.left_out = samples.left_out
        self.is_soft = samples.is_soft
        if samples.windows is not None:
            self.windows = ShuffleWindows(samples.windows.shards[indices], samples.windows.size)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The labels by the name of their column."""
        *others, learned = self.samples.columns.items()
        return {**{name: values[self.indices] for name, values in others}, learned[0]: self.labels}

    def prefetch(self, indices: np.ndarray) -> None:
        """Prepares the other set to read them."""
        self.samples.prefetch(self.indices[indices])

    def name(self, index: int) -> str:
        """What the other set calls it."""
        return self.samples.name(self.indices[index])

    def read(self, index: int) -> bytes | np.ndarray:
        """The bytes of the image file, or the pixels."""
        return self.samples.read(self.indices[index])


def single_labels(samples: Samples) -> np.ndarray | None:
    """Returns one class a sample, (N,), of soft labels the most probable one; None where a sample has several."""
    if samples.is_soft:
        return samples.labels.argmax(1)
    return samples.labels if samples.labels.ndim == 1 else None


def scan_classes(
    folder: Path, classes: Sequence[str], extensions: Sequence[str] | None = None
) -> tuple[StringArray, np.ndarray, LeftOut]:
    """Lists `folder/class/image` for the given classes, each sorted by name; links are followed.

    The list of a large set is kept in a file below `get_default_download_root()` and read from there as long as no
    class folder has changed.

    Args:
        folder: The folder of the classes.
        classes: Their folders.
        extensions: Endings of image files. None: those of the kinds that can be decoded, in any case of letters.

    Returns:
        Paths from `folder`, how many each class has, int64, and what is left out.
    """
    changed = np.array([os.stat(folder / name).st_mtime_ns for name in classes], np.int64)
    endings = sorted(IMAGE_SUFFIXES if extensions is None else extensions)
    question = repr((_CACHE_VERSION, str(folder.resolve()), list(classes), extensions is None, endings))
    key = hashlib.sha256(question.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    path = Path(get_default_download_root()) / "index" / f"{key}.npz"
    cached = read_arrays(path, ("changed", "text", "ends", "counts", "left_out"))
    if cached is not None and np.array_equal(cached["changed"], changed):
        return (
            StringArray(cached["text"], cached["ends"]),
            cached["counts"],
            LeftOut.of_bytes(cached["left_out"].tobytes()),
        )
    is_image = is_image_name if extensions is None else lambda name: name.endswith(tuple(extensions))
    paths: list[str] = []
    counts = np.zeros(len(classes), np.int64)
    left_out = LeftOut()
    for index, name in enumerate(classes):
        files = _images_of_class(str(folder / name), is_image, left_out)
        counts[index] = len(files)
        paths += [f"{name}/{file}" for file in files]
    names = StringArray.of(paths)
    if len(paths) >= CACHED_FROM and changed.max() < (time.time() - _SETTLED_S) * 1e9:
        others = np.frombuffer(left_out.to_bytes(), np.uint8)
        arrays = {"changed": changed, "text": names.text, "ends": names.ends, "counts": counts, "left_out": others}
        write_arrays(path, arrays)
    return names, counts, left_out


def _images_of_class(folder: str, is_image: Callable[[str], bool], left_out: LeftOut) -> list[str]:
    """Names of the images in a class folder, sorted; what else is there is noted."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            # Whether it is a regular file is known without asking the disk again, but for links.
            if is_hidden(entry.name):
                left_out.add("hidden", entry.path)
            elif is_image(entry.name) and entry.is_file():
                names.append(entry.name)
            elif entry.is_dir():
                for path in images_below(entry.path, LeftOut()):
                    left_out.add("nested", path)
            elif not is_image(entry.name):
                left_out.add("unknown", entry.path)
            elif os.path.exists(entry.path):
                left_out.add("special", entry.path)
            else:  # a link to what is gone: a sample that cannot be read
                names.append(entry.name)
    return sorted(names)


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """What `write_arrays` wrote; None when there is no such file or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError) as error:
        _logger.warning("the list of images in %s cannot be read (%s) and is made anew", path, error)
        return None


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Keeps a list of images for the next run, where that is possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.savez(file, **arrays)
    except OSError as error:
        _logger.warning("the list of images cannot be kept for the next run: %s", error)
