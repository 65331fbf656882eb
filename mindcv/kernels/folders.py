"""Digests of folders, for the key of a compiled graph.

Thousands of small files take a thread long in Python while another one works: each call to the system gives the
interpreter away, and gets it back milliseconds later. So the library reads them, where it is there.
"""

import ctypes
import hashlib
import os
from pathlib import Path

from . import library
from .onednn import loaded

__all__ = ["folder_digest"]

_LIBRARY = "multi_tensor"


def folder_digest(folder: Path, endings: tuple[str, ...], reads: bool) -> str:
    """Returns a digest of the files of a folder and of those below, by their paths from there and sizes.

    Args:
        folder: The folder.
        endings: What the files' names end with; others do not count.
        reads: Digest the contents as well; else when they were changed.

    Raises:
        OSError: Something cannot be read.
    """
    path = library(_LIBRARY)
    digest = None if path is None else _by_library(path, folder, endings, reads)
    return digest or _in_python(folder, endings, reads)


def _by_library(path: str, folder: Path, endings: tuple[str, ...], reads: bool) -> str | None:
    """The digest; None where something cannot be read."""
    kernels = loaded(path)
    kernels.folder_text.restype = ctypes.c_void_p
    size = ctypes.c_size_t()
    names = b"".join(os.fsencode(ending) + b"\0" for ending in endings)
    text = kernels.folder_text(os.fsencode(folder), names, int(reads), ctypes.byref(size))
    if text is None:
        return None
    try:
        return hashlib.sha256((ctypes.c_char * size.value).from_address(text)).hexdigest()
    finally:
        kernels.free_text(ctypes.c_void_p(text))


def _in_python(folder: Path, endings: tuple[str, ...], reads: bool) -> str:
    digest = hashlib.sha256()
    for path in _files_in(os.fsencode(folder), tuple(map(os.fsencode, endings))):
        name = os.path.relpath(path, os.fsencode(folder))
        if reads:
            with open(path, "rb", buffering=0) as file:
                content = file.readall()
            digest.update(b"%b %d\n%b" % (name, len(content), content))
        else:
            status = os.stat(path)
            digest.update(b"%b %d %d\n" % (name, status.st_size, status.st_mtime_ns))
    return digest.hexdigest()


def _files_in(folder: bytes, endings: tuple[bytes, ...]) -> list[bytes]:
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    files: list[bytes] = []
    for name, is_folder in found:
        path = os.path.join(folder, name)
        if is_folder:
            files += _files_in(path, endings)
        elif name.endswith(endings):
            files.append(path)
    return files
