"""Files that are being downloaded: what came of them is kept, and gone on with, when it is of the same version."""

import dataclasses
import errno
import os
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

__all__ = ["Content", "DiskFullError", "InterruptedDownload", "PartFile", "Source", "clear_parts"]


class InterruptedDownload(ConnectionError):  # noqa: N818
    """What came is not what was asked for, or not all of it; another try may help."""


class DiskFullError(OSError):
    """The rest of a file is larger than the free space."""


@dataclasses.dataclass(frozen=True)
class Content:
    """What a source sends of a file.

    Attributes:
        start: Offset of the first byte; 0 where it sends the whole file.
        size: Of the whole file in bytes; None when unknown.
        version: What tells this version of the file from another one; empty when nothing does.
        blocks: The bytes from `start` on.
    """

    start: int
    size: int | None
    version: str
    blocks: Iterable[bytes]


class Source(Protocol):
    """A file that can be read from any offset on."""

    def open(self, offset: int, version: str) -> AbstractContextManager[Content]:
        """Opens the file at an offset, or at its start when it is not of that version; an empty one is unknown."""


class PartFile:
    """The unfinished file of a download, with the version that it is a part of in a file beside it.

    Args:
        path: The unfinished file; its version is in `<path>.tag`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tag = path.with_name(f"{path.name}.tag")

    @property
    def size(self) -> int:
        """How many bytes are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def receive(self, source: Source, is_checked: bool = False, progress: str = "") -> None:
        """Asks for what is missing and appends it. What comes is kept, also when the rest does not.

        Args:
            source: Where from.
            is_checked: Whether a checksum tells afterwards when parts of two versions were joined. Else a part of
                unknown version is not gone on with.
            progress: Name on a progress bar; empty: there is none.

        Raises:
            DiskFullError: The rest is larger than the free space.
            InterruptedDownload: Less came than there is.
        """
        offset = self.size
        version = self._tag.read_text(encoding="utf-8") if self._tag.exists() else ""
        if not version and not is_checked:
            offset = 0
        with source.open(offset, version) as content:
            if content.start not in (0, offset):
                raise InterruptedDownload(f"the server sent bytes from {content.start}, not from {offset}")
            self._require_space(content)
            self._tag.write_text(content.version, encoding="utf-8")
            reached = self._append(content, progress)
        if content.size is not None and reached < content.size:
            raise InterruptedDownload(f"the connection was cut at byte {reached} of {content.size}")

    def move_to(self, target: Path) -> None:
        """Makes it the file that it is a download of."""
        os.replace(self.path, target)
        self._tag.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes what came."""
        self.path.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)

    def _require_space(self, content: Content) -> None:
        missing = (content.size or 0) - content.start
        free = shutil.disk_usage(self.path.parent).free
        if missing > free:
            need = f"{missing / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB free"
            raise DiskFullError(errno.ENOSPC, f"the disk is too full ({need})")

    def _append(self, content: Content, progress: str) -> int:
        """Writes the blocks where they belong; returns the size that was reached."""
        reached = content.start
        bar = tqdm(
            *(None, progress, content.size),
            initial=reached,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            disable=None if progress else True,
        )
        with bar, self.path.open("r+b" if reached else "wb") as file:
            file.seek(reached)
            file.truncate()
            for block in content.blocks:
                file.write(block)
                file.flush()
                reached += len(block)
                bar.update(len(block))
            os.fsync(file.fileno())
        return reached


def clear_parts(folder: Path) -> int:
    """Removes the hidden parts of downloads into a folder, that were cut and are not gone on with; returns how many."""
    parts = [path for path in folder.rglob(".*") if path.name.endswith((".part", ".part.tag")) and path.is_file()]
    for path in parts:
        path.unlink(missing_ok=True)
    return len(parts)
