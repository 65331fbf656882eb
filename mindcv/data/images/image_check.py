"""Tells image files that MindSpore's decoder reads well from those it would not survive, not take, or get wrong.

Only the header is looked at, which takes some microseconds; pixels are not decoded. What is
no plain JPEG or PNG is decoded here, by Pillow, the same for training, evaluation, packing and inference.
"""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL import __version__ as pillow_version

from .extensions import jpeg as _jpeg
from .image_formats import format_of

__all__ = ["MAX_PIXELS", "checked_image", "checked_pixels", "claimed_size", "refuse_broken_jpeg", "to_rgb"]

# Of a picture that claims more, decoding takes over half a gigabyte; Pillow's limit too.
MAX_PIXELS = 178_956_970

_END_OF_IMAGE = b"\xff\xd9"

# Of PNGs, those with 8 bits: grey, RGB, palette, and the first two with alpha. The decoder takes the high bytes of
# longer numbers too, but not in all versions.
_PLAIN_PNG = frozenset({0, 2, 3, 4, 6})
# Where old programs put an EXIF block into a PNG.
_EXIF_TEXT = b"Raw profile type exif"
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Where Pillow would look for an orientation when EXIF has none; browsers and the fast decoder do not.
_XMP = ("xmp", "XML:com.adobe.xmp")
# Tags of TIFF, and the photometric interpretation in which 0 is white.
_BITS, _PHOTOMETRIC, _WHITE_IS_0 = 258, 262, 0
_PLANAR_CONFIGURATION, _IN_PLANES = 284, 2
_SAMPLE_FORMAT, _SIGNED = 339, 2
# What a JPEG 2000 codestream begins with, the offset from it of the number of components, and how far into a
# file it is looked for: boxes with a colour profile are in front.
_CODESTREAM, _COMPONENTS, _FARTHEST = b"\xff\x4f\xff\x51", 40, 1 << 22


class _Unusual(Exception):  # noqa: N818
    """A good image that MindSpore's decoder does not read as a viewer shows it."""


def checked_image(data: bytes) -> bytes:
    """Returns an image file as MindSpore's decoder can take it.

    Plain JPEG and PNG files are returned as they are (JPEGs where the C extension was built, which knows them). Turned
    (EXIF), progressive and CMYK JPEGs, PNGs that are turned or have other than 8 bits, and other formats are decoded as
    `checked_pixels` does, and returned as a BMP.

    Raises:
        ValueError: The file is empty, no image, cut off, damaged, or claims to be larger than `MAX_PIXELS`.
    """
    try:
        _check(data)
    except _Unusual:
        file = io.BytesIO()
        _decoded(data).save(file, "BMP")
        return file.getvalue()
    return data


def checked_pixels(data: bytes) -> np.ndarray:
    """Decodes an image of any format by Pillow.

    Returns:
        The first picture, upright, uint8 (H, W, 3), RGB; see `to_rgb`.

    Raises:
        ValueError: As for `checked_image`.
    """
    with contextlib.suppress(_Unusual):
        _check(data)
    return np.asarray(_decoded(data))


def claimed_size(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Returns the width and height that an image file says it has. Nothing is decoded.

    Args:
        data: The file.
        max_pixels: How many pixels are allowed.

    Raises:
        ValueError: As for `checked_image`, as far as it can be seen without decoding.
    """
    with contextlib.suppress(_Unusual):
        _check(data, max_pixels)
    with _opened(data, max_pixels) as image:
        return image.size


def _check(data: bytes, max_pixels: int = MAX_PIXELS) -> None:
    image_format = format_of(data)
    if image_format.name == "JPEG":
        _check_jpeg(data, max_pixels)
    elif image_format.name == "PNG":
        _check_png(data, max_pixels)
    else:
        image_format.require()
        raise _Unusual


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not 0 < width * height <= max_pixels:
        raise ValueError(f"the image claims {width} x {height} pixels; allowed are 1 to {max_pixels} in all")


def _check_png(data: bytes, max_pixels: int) -> None:
    """Checks all of its checksums: the decoder would fill up what is missing or damaged without a word."""
    offset, chunk = 8, b""
    is_plain = True
    while chunk != b"IEND":
        if offset + 12 > len(data):
            raise ValueError(f"this PNG file is cut off after {len(data)} bytes")
        length, chunk = struct.unpack_from(">I4s", data, offset)
        end = offset + 8 + length
        if end + 4 > len(data):
            raise ValueError(f"this PNG file is cut off after {len(data)} bytes")
        if data[end : end + 4] != zlib.crc32(memoryview(data)[offset + 4 : end]).to_bytes(4, "big"):
            raise ValueError(f"this PNG file is damaged (the checksum of its part {chunk!r} is wrong)")
        if offset == 8:
            if chunk != b"IHDR" or length < 8:
                raise ValueError("this PNG file has no header")
            _check_size(*struct.unpack_from(">II", data, 16), max_pixels)
            is_plain = length >= 10 and data[24] == 8 and data[25] in _PLAIN_PNG
        elif chunk == b"eXIf":
            is_plain = is_plain and not _is_turned(data[offset + 8 : end])
        elif chunk in (b"tEXt", b"zTXt", b"iTXt") and data.startswith(_EXIF_TEXT, offset + 8):
            is_plain = False
        offset = end + 4
    if not is_plain:
        raise _Unusual


def _check_jpeg(data: bytes | np.ndarray, max_pixels: int = MAX_PIXELS) -> None:
    """Asks the C extension, which has the only parser of these headers; without it Pillow decodes every JPEG.

    Progressive files have tables amid the picture, damage to which MindSpore's decoder does not survive (segmentation
    fault with 2.10), so they are unusual too.
    """
    if _jpeg is None:
        # Pillow fills up what is missing at the end of some files.
        if bytes(data).rfind(_END_OF_IMAGE) < 0:
            raise ValueError(f"this JPEG is cut off after {len(data)} bytes")
        raise _Unusual
    size, is_plain = _jpeg.check(data)
    if size:
        _check_size(*size, max_pixels)
    if not is_plain:
        raise _Unusual


def _is_turned(exif: bytes) -> bool:
    """Whether the first directory of an EXIF block has an orientation other than upright."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return False
    start = struct.unpack_from(f"{order}I", exif, 4)[0]
    if start + 2 > len(exif):
        return False
    count = struct.unpack_from(f"{order}H", exif, start)[0]
    for offset in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, dtype, _, value = struct.unpack_from(f"{order}HHIH", exif, offset)
        if tag == _ORIENTATION:
            # Not the SHORT that the standard asks for: Pillow decides.
            return dtype != 3 or 2 <= value <= 8
    return False


def to_rgb(image: Image.Image) -> Image.Image:
    """Decodes an image and returns it upright, in 8 bits and RGB.

    Upright is by EXIF alone. Grey is repeated, a palette looked up, CMYK converted, alpha dropped without blending. Of
    16-bit integers the high byte counts. Integers of 32 bits are taken as they are, floats as 0 to 1, or as 0 to 255
    where one is above 1.

    Raises:
        ValueError: Integers of 32 bits, or floats, are beyond those ranges; or it is a file of which Pillow would give
            other pixels than are stored (see `_refuse_misread`).
        OSError: The file is damaged.
    """
    _refuse_misread(image)
    image.load()
    upright = image
    if image.mode == "F" or image.mode.startswith("I"):
        upright = Image.fromarray(_in_8_bits(image))
    turn = _TURNS.get(_orientation(image))
    return (upright if turn is None else upright.transpose(turn)).convert("RGB")


def _refuse_misread(image: Image.Image) -> None:
    """Refuses files whose pixels Pillow (13.0.0) changes without a word; findings/pillow_*.sh show how.

    Raises:
        ValueError: A JPEG 2000 with colours, or grey in 8 bits, made of more than 8 bits: its white would be black. An
            uncompressed TIFF of 16 bits with its colours in planes: half of its bytes would be taken for pixels. A TIFF
            of signed integers of 8 bits: -1 would be white.
    """
    if image.format == "JPEG2000" and not image.mode.startswith("I"):
        bits = _jpeg_2000_bits(image)
        if bits > 8:
            raise ValueError(
                f"it has {bits} bits a colour, whose white Pillow {pillow_version} reads as black; allowed are 8; "
                "store it with 8 bits, or as PNG"
            )
    elif image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        bits, planes = tags.get(_BITS, (1,)), tags.get(_PLANAR_CONFIGURATION)
        if len(bits) > 1 and max(bits) == 16 and planes == _IN_PLANES and image.info.get("compression") == "raw":
            raise ValueError(
                f"it has 16 bits and its colours in planes, uncompressed, of which Pillow {pillow_version} takes each "
                "byte for a pixel; compress it (LZW, zlib), or store its colours pixel by pixel"
            )
        if bits[0] == 8 and _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
            raise ValueError(
                f"it has signed integers of 8 bits, of which Pillow {pillow_version} drops the sign; allowed are 0 to "
                "255; store it without signs"
            )


def _jpeg_2000_bits(image: Image.Image) -> int:
    """The largest number of bits of its components, 0 where the file is closed or has no codestream's header."""
    file = getattr(image, "fp", None)
    if file is None:
        return 0
    position = file.tell()
    file.seek(0)
    data = file.read(_FARTHEST)
    file.seek(position)
    start = data.find(_CODESTREAM)
    if start < 0 or start + _COMPONENTS + 2 > len(data):
        return 0
    count = int.from_bytes(data[start + _COMPONENTS : start + _COMPONENTS + 2], "big")
    # Three bytes each; the first is the bits less one, and a flag for negative numbers.
    depths = data[start + _COMPONENTS + 2 : start + _COMPONENTS + 2 + 3 * count : 3]
    return max((depth & 0x7F) + 1 for depth in depths) if depths else 0


def _orientation(image: Image.Image) -> int:
    others = {key: image.info.pop(key) for key in _XMP if key in image.info}
    try:
        return image.getexif().get(_ORIENTATION, 1)
    finally:
        image.info.update(others)


def _in_8_bits(image: Image.Image) -> np.ndarray:
    """Grey pixels of more than 8 bits as uint8 (H, W)."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        values = _as_floats_of_255(values)
    elif image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):
        # Pillow brings those of PNM files, whatever their largest value, to 16 bits, but not the 12 bits of a TIFF.
        values = values >> (max(tags.get(_BITS, (16,))[0], 8) - 8)
    elif not 0 <= values.min() <= values.max() <= 255:
        raise ValueError(
            f"its integers of 32 bits go from {values.min()} to {values.max()}, of which nobody knows what is white; "
            "allowed are 0 to 255; store it in 8 or 16 bits"
        )
    pixels = values.astype(np.uint8)
    return 255 - pixels if tags.get(_PHOTOMETRIC) == _WHITE_IS_0 else pixels


def _as_floats_of_255(values: np.ndarray) -> np.ndarray:
    least, greatest = values.min(), values.max()
    # Numbers that are not finite fail the comparison too.
    if not 0 <= least <= greatest <= 255:
        raise ValueError(
            f"its floats go from {least:g} to {greatest:g}, of which nobody knows what is white; allowed are 0 to 1, "
            "or 0 to 255"
        )
    return np.rint(values * np.float32(255) if greatest <= 1 else values)


def _decoded(data: bytes) -> Image.Image:
    with _opened(data) as image:
        return to_rgb(image)


@contextlib.contextmanager
def _opened(data: bytes, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Opens an image file in Pillow; whatever goes wrong with it until it is closed becomes a ValueError."""
    image_format = format_of(data)
    try:
        with Image.open(io.BytesIO(data), formats=(image_format.plugin,)) as image:
            _check_size(*image.size, max_pixels)
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(
            f"the image cannot be decoded as {image_format.name}: its header is damaged, or of a sort that Pillow "
            f"{pillow_version} does not read"
        ) from error
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:  # of what claims more than `MAX_PIXELS` too, before it can be asked
        raise ValueError(f"the image claims too many pixels; allowed are 1 to {max_pixels} in all") from error
    except Exception as error:  # readers of damaged files raise all kinds
        raise ValueError(
            f"the image cannot be decoded as {image_format.name}: {error or type(error).__name__}"
        ) from error


def refuse_broken_jpeg(data: np.ndarray) -> np.ndarray:
    """Lets an image file pass unless it is a JPEG that MindSpore's decoder would not survive or not take.

    One that ends before its picture begins makes the decoder divide by zero, which kills the process (SIGFPE, seen with
    2.10). Without the C extension Pillow decodes the whole image to see it. For datasets of `create_dataset`,
    `checked_image` has looked at every file already.

    Args:
        data: The bytes of an image file, uint8 (size,).

    Returns:
        The same bytes.

    Raises:
        ValueError: The file is such a JPEG.
    """
    if data.size >= 2 and data[0] == 0xFF and data[1] == 0xD8:
        with contextlib.suppress(_Unusual):
            _check_jpeg(data.tobytes(), MAX_PIXELS)
    return data
