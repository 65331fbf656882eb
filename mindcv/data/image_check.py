"""Tells image files that MindSpore's decoder reads well from those it would not survive, not take, or get wrong.

Only what stands in front of the picture is looked at, which takes some microseconds; pixels are not decoded.
"""

import contextlib
import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["MAX_PIXELS", "checked_image", "checked_pixels", "refuse_broken_jpeg", "to_rgb"]

# Of a picture that claims more, decoding takes over half a gigabyte; Pillow's limit too.
MAX_PIXELS = 178_956_970

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"
_QUANTISATION, _HUFFMAN, _EXIF = 0xDB, 0xC4, 0xE1
# Baseline and extended sequential frames. Progressive and other ones have tables amid the picture, damage to which
# MindSpore's decoder does not survive (segmentation fault with 2.10).
_PLAIN_FRAMES = frozenset({0xC0, 0xC1})
_OTHER_FRAMES = frozenset(range(0xC2, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Of what may stand in front of a picture: tables, restart interval, application data, comments.
_KNOWN_MARKERS = frozenset({0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})


class _Unusual(Exception):  # noqa: N818
    """A good image that MindSpore's decoder does not read as a viewer shows it."""


def checked_image(data: bytes) -> bytes:
    """Returns an image file as MindSpore's decoder can take it.

    Plain JPEG and PNG files are returned as they are. Turned (EXIF), progressive and CMYK JPEGs and other formats are
    decoded by Pillow, upright, in RGB and the first picture only, and returned as a BMP.

    Raises:
        ValueError: The file is empty, no image, cut off, damaged, or claims to be larger than `MAX_PIXELS`.
    """
    try:
        _check(data)
    except _Unusual:
        return _converted(data)
    return data


def checked_pixels(data: bytes) -> np.ndarray:
    """Decodes an image of any format by Pillow.

    Returns:
        The first picture, upright, uint8 (H, W, 3), RGB.

    Raises:
        ValueError: As for `checked_image`.
    """
    with contextlib.suppress(_Unusual):
        _check(data)
    return np.asarray(_decoded(data))


def _check(data: bytes) -> None:
    if data.startswith(b"\xff\xd8"):
        _check_jpeg(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        _check_png(data)
    elif data.startswith((b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*")) or data[8:12] == b"WEBP":
        raise _Unusual
    elif not data:
        raise ValueError("the file is empty (its size is 0)")
    else:
        raise ValueError(f"this is no image file (it begins with {data[:8]!r})")


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"the image claims {width} x {height} pixels; allowed are 1 to {MAX_PIXELS}")


def _check_png(data: bytes) -> None:
    """Checks all of its checksums: the decoder would fill up what is missing or damaged without a word."""
    place, kind = 8, b""
    while kind != b"IEND":
        if place + 12 > len(data):
            raise ValueError(f"this PNG file is cut off after {len(data)} bytes")
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            raise ValueError(f"this PNG file is cut off after {len(data)} bytes")
        if data[end : end + 4] != zlib.crc32(memoryview(data)[place + 4 : end]).to_bytes(4, "big"):
            raise ValueError(f"this PNG file is damaged (the checksum of its part {kind!r} is wrong)")
        if place == 8:
            if kind != b"IHDR" or length < 8:
                raise ValueError("this PNG file has no header")
            _check_size(*struct.unpack_from(">II", data, 16))
        place = end + 4


def _check_jpeg(data: bytes) -> None:
    """Walks through the segments: 0xFF, a marker and, but for bare markers, a length that counts itself."""
    place, size = 2, len(data)
    components: dict[int, int] = {}
    huffman, quantisation = set(), set()
    is_turned = False
    while place + 4 <= size and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            place += 2
            continue
        end = place + 2 + (data[place + 2] << 8 | data[place + 3])
        segment = data[place + 4 : end]
        if end > size:
            break
        if marker == _QUANTISATION:
            quantisation |= _quantisation_tables(segment)
        elif marker == _HUFFMAN:
            huffman |= _huffman_tables(segment)
        elif marker in _PLAIN_FRAMES:
            components = _components(segment)
        elif marker in _OTHER_FRAMES:
            raise _Unusual
        elif marker not in _KNOWN_MARKERS:
            break
        elif marker == _EXIF and segment.startswith(b"Exif\0\0"):
            is_turned = is_turned or _is_turned(segment[6:])
        elif marker == _START_OF_SCAN:
            _check_scan(segment, components, huffman, quantisation)
            # What is missing at the end stops the decoder; a thumbnail's end, in front of the picture, does not count.
            if data.rfind(_END_OF_IMAGE, end) < 0:
                raise ValueError(f"this JPEG is cut off after {size} bytes")
            if is_turned or len(components) == 4 or segment[0] < len(components):
                raise _Unusual
            return
        place = end
    raise _broken(size)


def _broken(size: int) -> ValueError:
    return ValueError(f"this JPEG of {size} bytes ends, or is damaged, before its picture begins")


@functools.lru_cache(256)
def _quantisation_tables(segment: bytes) -> frozenset[int]:
    """Numbers of the tables in a segment; almost all files of a dataset share a few segments."""
    found, place = set(), 0
    while place < len(segment):
        is_long, number = segment[place] >> 4, segment[place] & 15
        place += 1 + (128 if is_long else 64)
        if is_long > 1 or number > 3 or place > len(segment):
            raise ValueError("a quantisation table of this JPEG is damaged")
        found.add(number)
    return frozenset(found)


@functools.lru_cache(256)
def _huffman_tables(segment: bytes) -> frozenset[int]:
    """Numbers of the tables in a segment, 16 added for AC. Checks that the lengths of their codes are possible."""
    found, place = set(), 0
    while place < len(segment):
        number, counts = segment[place], segment[place + 1 : place + 17]
        place += 17 + sum(counts)
        free = 1
        for count in counts:
            free = 2 * free - count
            if free < 0:
                break
        if number & 0xEF > 3 or len(counts) < 16 or place > len(segment) or sum(counts) > 256 or free < 0:
            raise ValueError("a Huffman table of this JPEG is damaged")
        if number < 16 and any(symbol > 15 for symbol in segment[place - sum(counts) : place]):
            raise ValueError("a Huffman table of this JPEG is damaged")
        found.add(number)
    return frozenset(found)


def _components(segment: bytes) -> dict[int, int]:
    """Number of each component and its quantisation table."""
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
        raise ValueError("the frame header of this JPEG is damaged")
    precision, height, width, count = struct.unpack_from(">BHHB", segment)
    if precision != 8 or count not in (1, 3, 4):
        raise ValueError(f"this JPEG has {count} components of {precision} bits; 1, 3 or 4 of 8 bits can be decoded")
    _check_size(width, height)
    numbers, samplings, tables = segment[6::3], segment[7::3], segment[8::3]
    for factors in ([sampling >> 4 for sampling in samplings], [sampling & 15 for sampling in samplings]):
        # The decoder scales components by whole numbers only.
        if min(factors) < 1 or max(factors) > 4 or any(max(factors) % factor for factor in factors):
            raise ValueError("the frame header of this JPEG is damaged")
    if len(set(numbers)) < count or max(tables) > 3:
        raise ValueError("the frame header of this JPEG is damaged")
    return dict(zip(numbers, tables, strict=True))


def _check_scan(segment: bytes, components: dict[int, int], huffman: set[int], quantisation: set[int]) -> None:
    count = segment[0] if segment else 0
    numbers, tables = segment[1 : 1 + 2 * count : 2], segment[2 : 2 + 2 * count : 2]
    if (
        not components
        or not 1 <= count <= 4
        or len(segment) != 4 + 2 * count
        or len(set(numbers)) != count
        or not set(numbers) <= components.keys()
        or not {components[number] for number in numbers} <= quantisation
        or not {table >> 4 for table in tables} <= huffman
        or not {16 + (table & 15) for table in tables} <= huffman
    ):
        raise ValueError("the scan header of this JPEG is damaged")


def _is_turned(exif: bytes) -> bool:
    """Whether the first directory of an EXIF block has an orientation other than upright."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return False
    start = struct.unpack_from(f"{order}I", exif, 4)[0]
    if start + 2 > len(exif):
        return False
    count = struct.unpack_from(f"{order}H", exif, start)[0]
    for place in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, place)
        if tag == 0x0112:
            return 2 <= value <= 8
    return False


def to_rgb(image: Image.Image) -> Image.Image:
    """Decodes an image and returns it upright, in 8 bits and RGB."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        # Pillow would cut 16 bits off at 255.
        upright = Image.fromarray((np.asarray(upright).astype(np.uint32) // 257).astype(np.uint8))
    return upright.convert("RGB")


def _decoded(data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return to_rgb(image)
    except UnidentifiedImageError as error:
        raise ValueError("the image cannot be decoded: its header is damaged") from error
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise ValueError(f"the image cannot be decoded: {error}") from error


def _converted(data: bytes) -> bytes:
    """An image as a BMP."""
    file = io.BytesIO()
    _decoded(data).save(file, "BMP")
    return file.getvalue()


def refuse_broken_jpeg(data: np.ndarray) -> np.ndarray:
    """Lets an image file pass unless it is a JPEG that MindSpore's decoder would not survive or not take.

    One that ends before its picture begins makes the decoder divide by zero, which kills the process (SIGFPE, seen with
    2.10). For datasets of `create_dataset`, `checked_image` has looked at every file already.

    Args:
        data: The bytes of an image file, uint8 (size,).

    Returns:
        The same bytes.

    Raises:
        ValueError: The file is such a JPEG.
    """
    if data.size >= 2 and data[0] == 0xFF and data[1] == 0xD8:
        with contextlib.suppress(_Unusual):
            _check_jpeg(data.tobytes())
    return data
