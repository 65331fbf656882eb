"""Which files are images: one table for folders, lists, shards, packing and inference. No MindSpore here.

Files are found by their names and decoded by their first bytes, so a PNG that is called `x.jpg` is read as a PNG.
"""

import functools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

from PIL import __version__ as pillow_version
from PIL import features

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "ImageFormat",
    "LeftOut",
    "format_of",
    "has_hidden_part",
    "images_among",
    "images_below",
    "is_hidden",
    "is_image_name",
    "reason_to_leave_out",
    "suffix_of",
]


@dataclass(frozen=True)
class ImageFormat:
    """A format of image files.

    Attributes:
        name: What to call it in messages.
        suffixes: Endings of its files, in lower case; any case of letters counts.
        plugin: Pillow's name of it.
        feature: What Pillow must have been built with, by the name that `PIL.features` has for it; empty: nothing.
    """

    name: str
    suffixes: tuple[str, ...]
    plugin: str
    feature: str = ""

    def require(self) -> None:
        """Checks that Pillow reads this format here.

        Raises:
            ValueError: It does not.
        """
        if self.feature and not _is_built(self.feature):
            raise ValueError(
                f"Pillow {pillow_version} reads no {self.name} files as it is installed; "
                "pip install --upgrade pillow, or convert the file to JPEG or PNG"
            )


_JPEG = ImageFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"), "JPEG")
_PNG = ImageFormat("PNG", (".png", ".apng"), "PNG")
_BMP = ImageFormat("BMP", (".bmp", ".dib"), "BMP")
_GIF = ImageFormat("GIF", (".gif",), "GIF")
_TIFF = ImageFormat("TIFF", (".tif", ".tiff", ".btf", ".tf8"), "TIFF")
_WEBP = ImageFormat("WebP", (".webp",), "WEBP", "webp")
_AVIF = ImageFormat("AVIF", (".avif", ".avifs"), "AVIF", "avif")
_JPEG_2000 = ImageFormat("JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), "JPEG2000", "jpg_2000")
_PNM = ImageFormat("PNM", (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), "PPM")

FORMATS = (_JPEG, _PNG, _BMP, _GIF, _TIFF, _WEBP, _AVIF, _JPEG_2000, _PNM)
IMAGE_SUFFIXES = tuple(suffix for each in FORMATS for suffix in each.suffixes)
_SUFFIXES = frozenset(IMAGE_SUFFIXES)

# What images of these formats begin with. The second pair of TIFF's is BigTIFF's.
_BEGINNINGS = {
    b"\xff\xd8": _JPEG,
    b"\x89PNG\r\n\x1a\n": _PNG,
    b"BM": _BMP,
    b"GIF87a": _GIF,
    b"GIF89a": _GIF,
    b"II*\0": _TIFF,
    b"MM\0*": _TIFF,
    b"II+\0": _TIFF,
    b"MM\0+": _TIFF,
    b"\0\0\0\x0cjP  \r\n\x87\n": _JPEG_2000,
    b"\xff\x4f\xff\x51": _JPEG_2000,
}
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")


def format_of(data: bytes) -> ImageFormat:
    """Returns the format of an image file, by its first bytes.

    Raises:
        ValueError: It is no image file, or of a format that is not read.
    """
    for beginning, image_format in _BEGINNINGS.items():
        if data.startswith(beginning):
            return image_format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _WEBP
    if data[:1] == b"P" and data[1:2] in b"123456f" and data[2:3].isspace():
        return _PNM
    if data[4:8] == b"ftyp":
        brands = _brands(data)
        if brands & {*_AVIF_BRANDS}:
            return _AVIF
        if brands & {*_HEIF_BRANDS}:
            raise ValueError("HEIF (.heic) images are not read; convert the file to JPEG or PNG")
    if data.startswith(_JPEG_XL):
        raise ValueError("JPEG XL images are not read; convert the file to JPEG or PNG")
    if not data:
        raise ValueError("the file is empty (its size is 0)")
    raise ValueError(f"this is no image file (it begins with {data[:8]!r})")


def _brands(data: bytes) -> set[bytes]:
    """The brands that an ISO media file says it is compatible with: one, four bytes of version, then others."""
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    return {data[8:12], *(data[offset : offset + 4] for offset in range(16, end, 4))}


@functools.cache
def _is_built(feature: str) -> bool:
    # Older versions of Pillow do not know the names of newer features.
    return feature in features.get_supported()


def suffix_of(name: str) -> str:
    """The ending of a file's name in lower case, with its dot; empty where there is none."""
    return os.path.splitext(name)[1].lower()


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its name. (Asked for each of a million files, so no `splitext`.)"""
    return name[name.rfind(".") :].lower() in _SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is nobody's sample: hidden ones, and what a Mac adds to an archive."""
    return name.startswith(".") or name == "__MACOSX"


def has_hidden_part(path: str) -> bool:
    """Whether a relative path is hidden or leads through a hidden folder."""
    return any(is_hidden(part) for part in PurePath(path).parts if part not in (".", ".."))


# Why files are left out, and how one and several of them are called.
_REASONS = {
    "unknown": ("file of unknown kind", "files of unknown kind"),
    "nested": ("image in folders inside classes", "images in folders inside classes"),
    "beside": ("image beside the class folders", "images beside the class folders"),
    "part": ("image that is a part of another sample", "images that are parts of other samples"),
    "label": ("label without an image", "labels without an image"),
    "special": ("pipe, socket or device", "pipes, sockets or devices"),
    "hidden": ("hidden file or folder", "hidden files or folders"),
}
_MOST_SUFFIXES = 5


@dataclass
class LeftOut:
    """Files that are no samples.

    Attributes:
        files: Reason, a key of `_REASONS`, and name of each.
    """

    files: list[tuple[str, str]] = field(default_factory=list)

    def add(self, reason: str, name: str) -> None:
        """Notes a file."""
        self.files.append((reason, name))

    def __iadd__(self, other: "LeftOut") -> "LeftOut":
        self.files += other.files
        return self

    def __len__(self) -> int:
        return len(self.files)

    def __str__(self) -> str:
        """How many there are of each sort, on one line."""
        counts = Counter(reason for reason, _ in self.files)
        parts = []
        for reason, (one, several) in _REASONS.items():
            if counts[reason]:
                parts.append(f"{counts[reason]} {one if counts[reason] == 1 else several}")
                if reason == "unknown":
                    parts[-1] += f" ({self._suffixes()})"
        return ", ".join(parts)

    def _suffixes(self) -> str:
        """The most frequent endings of files of unknown kind."""
        counts = Counter(suffix_of(name) or "no ending" for reason, name in self.files if reason == "unknown")
        most = [suffix for suffix, _ in counts.most_common(_MOST_SUFFIXES)]
        return ", ".join(most) + (" ..." if len(counts) > len(most) else "")

    def to_bytes(self) -> bytes:
        """All of it, for a file."""
        return os.fsencode(json.dumps(self.files, ensure_ascii=False))

    @classmethod
    def of_bytes(cls, data: bytes) -> "LeftOut":
        """Reads what `to_bytes` made."""
        return cls([(str(reason), str(name)) for reason, name in json.loads(os.fsdecode(data))])

    def described(self) -> Iterator[tuple[str, str]]:
        """Name of each file and the reason in words."""
        for reason, name in self.files:
            yield name, _REASONS[reason][0]


def images_below(folder: str | os.PathLike[str], left_out: LeftOut) -> Iterator[str]:
    """Paths of the images in a folder and all folders in it but hidden ones; links to folders are not followed.

    Args:
        folder: The folder.
        left_out: Where files that are no images, and hidden folders, are noted.
    """
    for path, folders, files in os.walk(folder):
        for name in sorted(folders):
            if is_hidden(name):
                left_out.add("hidden", os.path.join(path, name))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from images_among((os.path.join(path, name) for name in sorted(files)), left_out)


def images_among(paths: Iterable[str], left_out: LeftOut) -> Iterator[str]:
    """Those paths that are images; other files are noted, folders passed over."""
    for path in paths:
        reason = reason_to_leave_out(path)
        if reason is None:
            yield path
        elif not os.path.isdir(path):
            left_out.add(reason, path)


def reason_to_leave_out(path: str) -> str | None:
    """Why a file is no sample, a key of `_REASONS`; None for an image, also one that is gone or cannot be read."""
    name = os.path.basename(path)
    if is_hidden(name):
        return "hidden"
    if not is_image_name(name):
        return "unknown"
    return "special" if os.path.exists(path) and not os.path.isfile(path) else None  # of what is gone, reading tells
