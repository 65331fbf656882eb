"""The same file gives the same pixels in training, evaluation, inference and packing, with the extension or not."""

import functools
import io
import random
import struct
import zlib

import numpy as np
import pytest
from mindspore.dataset import vision
from PIL import Image, PngImagePlugin, features

from mindcv.data import create_dataset, create_loader, create_transforms
from mindcv.data.images import decoding
from mindcv.data.images.decoding import RandomBox, RandomCrop, check_pixels, decode_image
from mindcv.data.images.image_check import checked_image, to_rgb
from mindcv.data.images.image_formats import format_of
from mindcv.data.packing import Packing, repacked
from mindcv.data.preprocess import EvalPreprocess
from mindcv.export.images import ImageReader

HEIGHT, WIDTH = 24, 36
ORIENTATION = 0x0112
# What turns the upright picture into the one that is stored with each orientation.
STORED = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def smooth(channels=3, seed=0):
    """A smooth picture, which lossy kinds keep well."""
    small = np.random.default_rng(seed).integers(0, 256, (2, 3, channels), dtype=np.uint8)
    planes = [Image.fromarray(small[..., c]).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC) for c in range(channels)]
    return np.stack([np.asarray(plane) for plane in planes], -1)


RGB = smooth()
GREY = smooth(1)[..., 0]
ALPHA = np.dstack([RGB, np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)])
RGB_OF_GREY = np.repeat(GREY[..., None], 3, -1)


def encoded(image, kind, **options):
    file = io.BytesIO()
    (Image.fromarray(np.ascontiguousarray(image)) if isinstance(image, np.ndarray) else image).save(
        file, kind, **options
    )
    return file.getvalue()


def exif(orientation):
    block = Image.Exif()
    block[ORIENTATION] = orientation
    return block


def png(values, colour_type, depth, late_exif=None):
    """A PNG written by hand, for what Pillow does not write. `values`: (H, W) or (H, W, C)."""

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    height, width = values.shape[:2]
    rows = values.reshape(height, -1).astype(">u2" if depth == 16 else ">u1")
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    late = part(b"eXIf", exif(late_exif).tobytes()[6:]) if late_exif else b""
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", data) + late + part(b"IEND", b"")


def tiff(values, bits, sample_format, photometric=1):
    """A grey TIFF written by hand, little-endian, in one strip."""
    data = values.tobytes()
    tags = [(256, values.shape[1]), (257, values.shape[0]), (258, bits), (259, 1), (262, photometric)]
    tags += [(273, 8), (277, 1), (278, values.shape[0]), (279, len(data)), (339, sample_format)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory + bytes(4)


def tiff_in_planes(values):
    """A TIFF written by hand with one strip for each of its colours. `values`: (H, W, 3), little-endian."""
    planes = np.moveaxis(values, 2, 0).tobytes()
    size, end = len(planes) // 3, 8 + len(planes)
    lists = struct.pack("<3H2x3I3I", *[8 * values.itemsize] * 3, 8, 8 + size, 8 + 2 * size, size, size, size)
    tags = [
        (256, 4, 1, values.shape[1]),
        (257, 4, 1, values.shape[0]),
        (258, 3, 3, end),
        (259, 4, 1, 1),
        (262, 4, 1, 2),
    ]
    tags += [(273, 4, 3, end + 8), (277, 4, 1, 3), (278, 4, 1, values.shape[0]), (279, 4, 3, end + 20), (284, 4, 1, 2)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<2sHI", b"II", 42, end + len(lists)) + planes + lists + directory + bytes(4)


def packed_12_bits(values):
    """(H, W) of 12 bits, two in three bytes."""
    first, second = values[:, ::2].astype(np.uint32), values[:, 1::2].astype(np.uint32)
    return (
        np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8).reshape(HEIGHT, -1)
    )


def raw_profile(orientation):
    """What ImageMagick once wrote into PNGs."""
    block = b"Exif\0\0" + exif(orientation).tobytes()[6:]
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    return info


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def xmp_text():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


JPEG = {"quality": 95, "subsampling": 0}
PALETTE = Image.fromarray(RGB).quantize(32)
AS_JPEG = functools.partial(encoded, kind="JPEG", **JPEG)


def pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


# Name of each file, its bytes, and its pixels; None: those that Pillow decodes, where the kind is not lossless.
FILES = {
    "plain.jpg": (AS_JPEG(RGB), None),
    "grey.jpg": (AS_JPEG(GREY), None),
    "half.jpg": (encoded(RGB, "JPEG", subsampling=2), None),
    "progressive.jpg": (AS_JPEG(RGB, progressive=True), None),
    "cmyk.jpg": (AS_JPEG(Image.fromarray(RGB).convert("CMYK")), None),
    "xmp.jpg": (AS_JPEG(RGB, xmp=XMP), pillow(AS_JPEG(RGB))),
    **{f"turned{n}.jpg": (AS_JPEG(f(RGB), exif=exif(n)), None) for n, f in STORED.items()},
    # An orientation as a number of four bytes, which the standard does not know and readers take all the same.
    "turned6.long.jpg": (
        AS_JPEG(STORED[6](RGB), exif=exif(6)).replace(
            b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00", b"\x01\x12\x00\x04\x00\x00\x00\x01\x00\x00\x00\x06"
        ),
        None,
    ),
    "plain.png": (encoded(RGB, "PNG"), RGB),
    "grey.png": (encoded(GREY, "PNG"), RGB_OF_GREY),
    "alpha.png": (encoded(ALPHA, "PNG"), RGB),
    "grey_alpha.png": (
        encoded(Image.fromarray(ALPHA).convert("LA"), "PNG"),
        np.asarray(Image.fromarray(RGB).convert("L").convert("RGB")),
    ),
    "palette.png": (encoded(PALETTE, "PNG"), np.asarray(PALETTE.convert("RGB"))),
    "palette_clear.png": (encoded(PALETTE, "PNG", transparency=3), np.asarray(PALETTE.convert("RGB"))),
    "clear.png": (encoded(RGB, "PNG", transparency=tuple(map(int, RGB[3, 3]))), RGB),
    "bits.png": (encoded(Image.fromarray(GREY > 99), "PNG"), np.where(GREY > 99, 255, 0)[..., None].repeat(3, -1)),
    "four_bits.png": (
        encoded(Image.fromarray(RGB).quantize(9), "PNG", bits=4),
        np.asarray(Image.fromarray(RGB).quantize(9).convert("RGB")),
    ),
    "deep_grey.png": (encoded(GREY.astype(np.uint16) * 256 + 77, "PNG"), RGB_OF_GREY),
    "deep.png": (png(RGB.astype(np.uint16) * 256 + 200, 2, 16), RGB),
    "deep_alpha.png": (png(ALPHA.astype(np.uint16) * 257, 6, 16), RGB),
    "profile.png": (encoded(STORED[6](RGB), "PNG", pnginfo=raw_profile(6)), RGB),
    "xmp.png": (encoded(RGB, "PNG", pnginfo=xmp_text()), RGB),
    "late.png": (png(STORED[6](RGB), 2, 8, late_exif=6), RGB),
    "animated.png": (encoded(RGB, "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB)]), RGB),
    **{f"turned{n}.png": (encoded(f(RGB), "PNG", exif=exif(n)), RGB) for n, f in STORED.items()},
    "plain.bmp": (encoded(RGB, "BMP"), RGB),
    "grey.dib": (encoded(GREY, "BMP"), RGB_OF_GREY),
    "plain.gif": (encoded(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
    "plain.tif": (encoded(RGB, "TIFF"), RGB),
    "lzw.tiff": (encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "turned6.tiff": (encoded(STORED[6](RGB), "TIFF", exif=exif(6)), RGB),
    "turned5.tiff": (encoded(STORED[5](RGB), "TIFF", exif=exif(5), compression="tiff_lzw"), RGB),
    "big.tiff": (encoded(RGB, "TIFF", big_tiff=True), RGB),
    "alpha.tiff": (encoded(ALPHA, "TIFF"), RGB),
    "unit.tiff": (encoded(GREY.astype(np.float32) / 255, "TIFF"), RGB_OF_GREY),
    "float.tiff": (encoded(GREY.astype(np.float32), "TIFF"), RGB_OF_GREY),
    "turned.tiff": (encoded(STORED[8](GREY).astype(np.float32) / 255, "TIFF", exif=exif(8)), RGB_OF_GREY),
    "int32.tiff": (encoded(GREY.astype(np.int32), "TIFF"), RGB_OF_GREY),
    "uint32.tiff": (tiff(GREY.astype("<u4"), 32, 1), RGB_OF_GREY),
    "int16.tiff": (tiff(GREY.astype("<i2"), 16, 2), RGB_OF_GREY),
    "uint16.tiff": (encoded(GREY.astype(np.uint16) * 256 + 200, "TIFF"), RGB_OF_GREY),
    "twelve.tiff": (
        tiff(packed_12_bits(GREY.astype(np.uint16) * 16 + 9), 12, 1).replace(
            struct.pack("<HHII", 256, 4, 1, WIDTH * 3 // 2), struct.pack("<HHII", 256, 4, 1, WIDTH)
        ),
        RGB_OF_GREY,
    ),
    "planes.tiff": (tiff_in_planes(RGB), RGB),
    "white0.tiff": (tiff(65535 - GREY.astype("<u2") * 257, 16, 1, photometric=0), RGB_OF_GREY),
    "white0_float.tiff": (tiff(1 - GREY.astype("<f4") / 255, 32, 3, photometric=0), RGB_OF_GREY),
    "plain.webp": (encoded(RGB, "WEBP", lossless=True), RGB),
    "turned6.WebP": (encoded(STORED[6](RGB), "WEBP", lossless=True, exif=exif(6)), RGB),
    "alpha.webp": (encoded(ALPHA, "WEBP", lossless=True, exact=True), RGB),
    "plain.ppm": (encoded(RGB, "PPM"), RGB),
    "grey.pgm": (encoded(GREY, "PPM"), RGB_OF_GREY),
    "deep.pgm": (encoded(GREY.astype(np.uint16) * 256 + 50, "PPM"), RGB_OF_GREY),
    # White is 15, which OpenCV and so MindSpore's Decode take for black.
    "four_bits.pgm": (b"P5\n%d %d\n15\n" % (WIDTH, HEIGHT) + (GREY // 16).tobytes(), RGB_OF_GREY // 16 * 17),
    "unit.pfm": (encoded(GREY.astype(np.float32) / 255, "PPM"), RGB_OF_GREY),
}
if features.check("jpg_2000"):
    FILES["plain.jp2"] = (encoded(RGB, "JPEG2000"), RGB)
    FILES["plain.j2k"] = (encoded(RGB, "JPEG2000", no_jp2=True), RGB)
    FILES["deep.jp2"] = (encoded(GREY.astype(np.uint16) * 256 + 60, "JPEG2000"), RGB_OF_GREY)
if features.check("avif"):
    FILES["plain.avif"] = (encoded(RGB, "AVIF"), None)
    FILES["turned6.avif"] = (encoded(STORED[6](RGB), "AVIF", exif=exif(6)), None)


def expected(name):
    data, pixels = FILES[name]
    if pixels is not None:
        return pixels
    pixels = pillow(data)
    for orientation in STORED:
        if f"turned{orientation}." in name:
            back = {6: 8, 8: 6}.get(orientation, orientation)
            pixels = STORED[back](pixels)
    return pixels


@pytest.fixture(params=[True, False], ids=["extension", "no-extension"])
def extension(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(decoding, "_jpeg", None)
    elif decoding._jpeg is None:
        pytest.skip("the JPEG extension is not built")
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All files as one class, in the order of their names."""
    root = tmp_path_factory.mktemp("pixels")
    (root / "train" / "a").mkdir(parents=True)
    for name, (data, _) in FILES.items():
        (root / "train" / "a" / name).write_bytes(data)
    return root


@pytest.mark.parametrize("name", FILES)
def test_one_file(name, extension, folder):
    """Of each kind, by every function that takes one file."""
    data, path = FILES[name][0], folder / "train" / "a" / name
    wanted = expected(name)
    assert wanted.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(decode_image(data), wanted)
    check_pixels(data)
    reader = ImageReader(EvalPreprocess((HEIGHT, WIDTH), crop_pct=1.0), normalise=False)
    for image in (path, data, Image.open(path)):
        np.testing.assert_array_equal(reader(image).transpose(1, 2, 0), wanted)
    assert repacked(data, Packing(None)) == data
    smaller = decode_image(repacked(data, Packing(12, quality=100)))
    resized = Image.fromarray(wanted.astype(np.uint8)).resize((18, 12), Image.Resampling.BICUBIC)
    assert np.abs(smaller.astype(int) - np.asarray(resized)).mean() < 8
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(to_rgb(image)), wanted)
    with Image.open(io.BytesIO(checked_image(data))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), wanted)


def pixels_of(folder, transform):
    dataset = create_dataset("", str(folder), shuffle=False)
    loader = create_loader(dataset, 16, transform=transform)
    images = np.concatenate([row[0] for row in loader.create_tuple_iterator(num_epochs=1, output_numpy=True)])
    assert len(images) == len(FILES)
    return dict(zip(sorted(FILES), images, strict=True))


@pytest.mark.parametrize("antialias", [True, False])
def test_evaluation(extension, folder, antialias):
    """At the picture's own size, so that nothing is resized."""
    preprocess = EvalPreprocess((HEIGHT, WIDTH), crop_pct=1.0, antialias=antialias)
    for name, pixels in pixels_of(folder, preprocess.pixel_operations()).items():
        np.testing.assert_array_equal(pixels, expected(name), err_msg=name)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "area", "pilcubic"])
def test_training(extension, folder, interpolation):
    """A crop of all of the picture, at its own size."""
    options = {"scale": (1.0, 1.0), "ratio": (WIDTH / HEIGHT,) * 2, "hflip": 0.0, "normalize_on_device": True}
    transform = create_transforms("", (HEIGHT, WIDTH), True, interpolation=interpolation, **options)
    for name, pixels in pixels_of(folder, transform).items():
        np.testing.assert_array_equal(pixels, expected(name), err_msg=name)


def test_training_with_splits(extension, folder):
    """AugMix: the clean pictures come first."""
    options = {"scale": (1.0, 1.0), "ratio": (WIDTH / HEIGHT,) * 2, "hflip": 0.0, "normalize_on_device": True}
    transform = create_transforms("", (HEIGHT, WIDTH), True, "augmix-m5-w4-d2", separate=True, **options)
    dataset = create_dataset("", str(folder), shuffle=False)
    loader = create_loader(dataset, len(FILES), transform=transform, separate=True)
    ((images, _),) = loader.create_tuple_iterator(num_epochs=1, output_numpy=True)
    for name, pixels in zip(sorted(FILES), images[: len(FILES)], strict=True):
        np.testing.assert_array_equal(pixels, expected(name), err_msg=name)


def test_decoding_at_once(extension, folder):
    dataset = create_dataset("", str(folder), shuffle=False, decode=True)
    rows = list(dataset.create_tuple_iterator(num_epochs=1, output_numpy=True))
    for name, (pixels, _) in zip(sorted(FILES), rows, strict=True):
        np.testing.assert_array_equal(pixels, expected(name), err_msg=name)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_boxes_are_those_of_the_crop_that_is_resized_by_the_extension(kind):
    """Other interpolations get the same crop, halved where it is at least twice as large as the result."""
    picture = Image.fromarray(RGB).resize((200, 160), Image.Resampling.BICUBIC)
    data = encoded(picture, kind)
    arguments = ((20, 30), (0.1, 1.0), (0.8, 1.4))
    for seed in range(20):
        top, left, height, width = RandomCrop(*arguments).box(160, 200, random.Random(seed))
        cut = RandomBox(*arguments).transform(data, random.Random(seed))
        by = RandomCrop(*arguments).reduction((top, left, height, width))
        assert abs(cut.shape[0] - height / by) <= 1
        assert abs(cut.shape[1] - width / by) <= 1
        whole = decode_image(data)[top : top + height, left : left + width]
        means = np.asarray(Image.fromarray(whole).resize((9, 9), Image.Resampling.BOX), int)
        ours = np.asarray(Image.fromarray(cut).resize((9, 9), Image.Resampling.BOX), int)
        assert np.abs(means - ours).mean() < 8


@pytest.mark.parametrize("interpolation", [vision.Inter.BILINEAR, vision.Inter.BICUBIC])
@pytest.mark.parametrize("by", [1, 2, 4, 8])
def test_a_shrunk_crop_is_the_same_of_every_kind_of_file(interpolation, by, monkeypatch):
    """With the extension or not: each averages the same groups of pixels before it resizes."""
    size = (30 * by, 36 * by)
    noise = np.random.default_rng(1).integers(0, 256, (12, 15, 3), np.uint8)
    picture = Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC)
    files = [encoded(picture, "PNG"), *(AS_JPEG(picture, progressive=progressive) for progressive in (False, True))]
    crop = RandomCrop((20, 24), (0.75, 1.0), (0.9, 1.1), interpolation, hflip=0.5)
    for seed in range(5):
        assert crop.reduction(crop.box(*size, random.Random(seed))) == by
        made = [crop.transform(data, random.Random(seed)) for data in files]
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "_jpeg", None)
            made += [crop.transform(data, random.Random(seed)) for data in files]
        for pixels in made[1:]:
            assert np.abs(pixels.astype(int) - made[0]).mean() < 2


def in_12_bits(data):
    """A JPEG 2000 file in colour whose header says that each component has 12 bits."""
    return data.replace(b"\0\3" + bytes([7, 1, 1]) * 3, b"\0\3" + bytes([11, 1, 1]) * 3)


REFUSED = {
    "deep_planes": (
        tiff_in_planes(RGB.astype("<u2") * 257),
        "cannot be decoded as TIFF: it has 16 bits and its colours in planes, uncompressed",
    ),
    "int8": (tiff(GREY.astype(np.int8), 8, 2), "cannot be decoded as TIFF: it has signed integers of 8 bits, of which"),
    "int32": (encoded(GREY.astype(np.int32) * 1000, "TIFF"), f"its integers of 32 bits go from {GREY.min() * 1000} to"),
    "uint32": (tiff(GREY.astype("<u4") + np.uint32(1 << 31), 32, 1), "its integers of 32 bits go from -2147483"),
    "int16": (tiff(GREY.astype("<i2") - 1000, 16, 2), "its integers of 32 bits go from -"),
    "float": (encoded(GREY.astype(np.float32) * 16, "TIFF"), "its floats go from"),
    "negative": (encoded(GREY.astype(np.float32) / 255 - 0.5, "TIFF"), "its floats go from -0.2"),
    "nan": (encoded(np.where(GREY > 200, np.nan, 0.5).astype(np.float32), "TIFF"), "its floats go from nan to nan"),
    "float64": (tiff(GREY.astype("<f8"), 64, 3), "cannot be decoded as TIFF: its header is damaged, or of a sort that"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF (.heic) images are not read; convert the file"),
    "jxl": (b"\xff\x0a" + bytes(20), "JPEG XL images are not read"),
    "jp2": (FILES["plain.jp2"][0][:150] if "plain.jp2" in FILES else b"\0\0\0\x0cjP  \r\n\x87\n", "as JPEG 2000"),
    "avif": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(40), "AVIF"),
    "ppm": (b"P6\n36 24\n255\n" + bytes(50), "as PNM"),
    "huge": (b"P5\n60000 60000\n255\n" + bytes(50), "claims too many pixels; allowed are 1 to 178956970"),
    "webp": (FILES["plain.webp"][0][:60], "as WebP"),
    "pdf": (b"%PDF-1.7", "this is no image file (it begins with b'%PDF-1.7')"),
}


if features.check("jpg_2000"):
    for kind in ("jp2", "j2k"):
        REFUSED[f"deep_{kind}"] = (in_12_bits(FILES[f"plain.{kind}"][0]), "as JPEG 2000: it has 12 bits a colour")


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_pixels_says_of_which_kind_it_is(name, extension):
    data, reason = REFUSED[name]
    for function in (decode_image, check_pixels, checked_image, lambda data: repacked(data, Packing())):
        with pytest.raises(ValueError, match=r".") as caught:
            function(data)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("feature", "name"), [("avif", "AVIF"), ("jpg_2000", "JPEG 2000"), ("webp", "WebP")])
def test_a_kind_that_pillow_was_not_built_with_is_named(feature, name, monkeypatch):
    monkeypatch.setattr("mindcv.data.images.image_formats._is_built", lambda asked: asked != feature)
    for data, _ in FILES.values():
        if format_of(data).name == name:
            with pytest.raises(ValueError, match=rf"Pillow \S+ reads no {name} files as it is installed; pip install"):
                decode_image(data)
