"""Which image files are passed on as they are, which are converted, which are refused."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindcv.data.images import image_check
from mindcv.data.images.image_check import checked_image, refuse_broken_jpeg

pytestmark = pytest.mark.no_mindspore

PHOTO = (Path(__file__).parent.parent / "data" / "photos" / "china.jpg").read_bytes()
PICTURE = PHOTO.find(b"\xff\xda")
SMALL = Image.open(io.BytesIO(PHOTO)).convert("RGB").resize((48, 32))


def encode(image=SMALL, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decode(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int32)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        PHOTO,
        encode(),
        encode(SMALL.convert("L")),
        encode(quality=50, subsampling=0, optimize=True),
        encode(restart_marker_blocks=2),
        turned(1),
        encode() + b"something behind the end",
        encode()[:2] + b"\xff\xff" + encode()[3:],
        encode(kind="PNG"),
        encode(SMALL.convert("L"), "PNG"),
        encode(SMALL.convert("P"), "PNG"),
    ],
    ids=[
        "photo",
        "small",
        "grey",
        "tables",
        "restarts",
        "upright",
        "tail",
        "filled",
        "png",
        "png-grey",
        "png-palette",
    ],
)
def test_plain_files_are_passed_on(data):
    assert checked_image(data) is data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(progressive=True), decode(encode(progressive=True))),
        (encode(SMALL.convert("CMYK")), decode(encode(SMALL.convert("CMYK")))),
        (turned(3), decode(encode())[::-1, ::-1]),
        (turned(6), np.rot90(decode(encode()), -1)),
        (turned(8), np.rot90(decode(encode()))),
        (encode(Image.fromarray(np.full((8, 8), 60000, np.uint16)), "PNG"), np.full((8, 8, 3), 60000 >> 8)),
        (encode(kind="BMP"), decode(encode(kind="BMP"))),
        (encode(kind="TIFF"), decode(encode(kind="BMP"))),
        (encode(kind="WEBP", lossless=True), decode(encode(kind="BMP"))),
        (encode(SMALL.quantize(16), "GIF", save_all=True, append_images=[SMALL.rotate(90)]), None),
        (encode(kind="PNG", save_all=True, append_images=[SMALL.rotate(90)]), decode(encode(kind="BMP"))),
    ],
    ids=[
        "progressive",
        "cmyk",
        "turned-3",
        "turned-6",
        "turned-8",
        "png-16-bit",
        "bmp",
        "tiff",
        "webp",
        "gif-animated",
        "png-animated",
    ],
)
def test_others_come_upright_in_rgb_and_the_first_picture_only(data, expected):
    if expected is None:
        expected = decode(encode(SMALL.quantize(16).convert("RGB"), "BMP"))
    np.testing.assert_allclose(decode(checked_image(data)), expected, atol=1)


def frame(width, height):
    """The photo with another size in its header."""
    start = PHOTO.find(b"\xff\xc0")
    return PHOTO[: start + 5] + struct.pack(">HH", height, width) + PHOTO[start + 9 :]


def replaced(data, marker, offset, value):
    position = data.find(marker) + offset
    return data[:position] + bytes([value]) + data[position + 1 :]


PNG = encode(kind="PNG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"\xff", "this is no image file"),
        (b"<html>not found</html>", "this is no image file (it begins with b'<html>no')"),
        (PHOTO[:PICTURE], f"this JPEG of {PICTURE} bytes ends, or is damaged, before its picture begins"),
        (PHOTO[:20], "this JPEG of 20 bytes ends"),
        (PHOTO[:2], "this JPEG of 2 bytes ends"),
        (PHOTO[:-5000], "is cut off after"),
        (PHOTO[: PICTURE + 1000], "is cut off after"),
        (replaced(PHOTO, b"\xff\xe0", 1, 0x72), "is damaged, before its picture begins"),
        (frame(0, 10), "claims 0 x 10 pixels"),
        (frame(60000, 60000), "claims 60000 x 60000 pixels; allowed are 1 to 178956970"),
        (replaced(PHOTO, b"\xff\xc0", 4, 12), "3 components of 12 bits"),
        (replaced(PHOTO, b"\xff\xc0", 11, 0x05), "frame header of this JPEG is damaged"),
        (replaced(PHOTO, b"\xff\xdb", 4, 0x07), "a quantisation table of this JPEG is damaged"),
        (replaced(PHOTO, b"\xff\xc4", 5, 0xFF), "a Huffman table of this JPEG is damaged"),
        (replaced(PHOTO, b"\xff\xda", 6, 0x13), "the scan header of this JPEG is damaged"),
        (PNG[:-20], "this PNG file is cut off"),
        (PNG[:20], "this PNG file is cut off"),
        (PNG[:60] + b"\0\0\0" + PNG[63:], "this PNG file is damaged"),
        (encode(kind="WEBP")[:-100], "the image cannot be decoded"),
        (encode(kind="TIFF")[:200], "the image cannot be decoded"),
        (encode(kind="BMP")[:200], "the image cannot be decoded"),
        (b"GIF89a" + bytes(20), "the image cannot be decoded"),
        (encode(progressive=True)[:-200], "the image cannot be decoded as JPEG: image file is truncated"),
    ],
)
def test_what_cannot_be_used_is_refused(data, reason):
    with pytest.raises(ValueError, match=r".") as caught:
        checked_image(data)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_png_that_claims_to_be_huge_is_refused_before_it_is_decoded():
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    with pytest.raises(ValueError, match="claims 50000 x 50000 pixels"):
        checked_image(PNG[:8] + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)))


def test_arrays_pass_unless_they_would_kill_the_decoder():
    for data in (PHOTO, encode(progressive=True), PNG, b"", b"\xff", b"text"):
        array = np.frombuffer(data, np.uint8)
        assert refuse_broken_jpeg(array) is array
    with pytest.raises(ValueError, match="ends, or is damaged, before its picture begins"):
        refuse_broken_jpeg(np.frombuffer(PHOTO[:PICTURE], np.uint8))


def test_without_the_extension_pillow_decodes_every_jpeg(monkeypatch):
    """The only parser of headers is in C; what is cut off is refused all the same."""
    monkeypatch.setattr(image_check, "_jpeg", None)
    np.testing.assert_array_equal(decode(checked_image(encode())), decode(encode()))
    array = np.frombuffer(PHOTO, np.uint8)
    assert refuse_broken_jpeg(array) is array
    for data in (PHOTO[:PICTURE], PHOTO[:-5000]):
        for function in (checked_image, lambda data: refuse_broken_jpeg(np.frombuffer(data, np.uint8))):
            with pytest.raises(ValueError, match="this JPEG is cut off after"):
                function(data)
