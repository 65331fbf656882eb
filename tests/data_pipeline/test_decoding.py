"""Decoding by the C extension: equal to Pillow and MindSpore; crops spread as they should be; damage does no harm."""

import io
import logging
import random
import re
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest
from jpeg.make_corpus import DECODED, OTHERS, encoded
from mindspore.dataset import vision
from PIL import Image, ImageOps

from mindcv.data import create_dataset, create_loader, create_transforms, epoch_batches
from mindcv.data.images import decoding, extensions
from mindcv.data.images.decoding import Decode, RandomBox, RandomCrop, Resize
from mindcv.data.images.flips import RandomHorizontalFlip, RandomVerticalFlip
from mindcv.data.images.image_check import checked_image
from mindcv.data.images.reading import Transform
from mindcv.data.sources.samples import FileSamples

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "flower.jpg"
_jpeg = extensions.jpeg
if _jpeg is None:
    pytest.skip("the JPEG extension is not built", allow_module_level=True)


def jpeg(height=131, width=203, **options) -> bytes:
    """A piece of a photo as a JPEG file."""
    return encoded((height, width), **options)


@pytest.fixture
def photo_folder(tmp_path):
    """Two classes with six photos of different sizes each."""
    for name in ("a", "b"):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        for index in range(6):
            (folder / f"{index}.jpg").write_bytes(jpeg(90 + 10 * index, 140 - 8 * index + len(name)))
    return tmp_path


def random_boxes(shape, seed, count=20):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        height, width = rng.integers(1, shape[0] + 1), rng.integers(1, shape[1] + 1)
        yield rng.integers(0, shape[0] - height + 1), rng.integers(0, shape[1] - width + 1), height, width


def decoded_box(data, top, left, height, width, reduction=1):
    box = np.empty((height, width, 3), np.uint8)
    assert _jpeg.decode(data, top, left, height, width, reduction, box)
    return box


@pytest.mark.parametrize("options", DECODED)
def test_a_box_has_the_pixels_that_pillow_decodes(options):
    data = jpeg(**options)
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for top, left, height, width in random_boxes(whole.shape, 1):
        box = decoded_box(data, top, left, height, width)
        np.testing.assert_array_equal(box, whole[top : top + height, left : left + width])


@pytest.mark.parametrize("height", [80, 94])  # rows of MCUs, of which two are read at once: an even and an odd number
@pytest.mark.parametrize("blocks", [1, 3, 4, 7, 10])
def test_rows_that_are_read_two_at_once_have_the_pixels_that_pillow_decodes(blocks, height):
    """Intervals of a part of a row, across rows and of one row, beside those that are too long for it."""
    data = jpeg(height, 160, restart_marker_blocks=blocks)
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for top, left, rows, columns in [(0, 0, height, 160), *random_boxes(whole.shape, blocks)]:
        box = decoded_box(data, top, left, rows, columns)
        np.testing.assert_array_equal(box, whole[top : top + rows, left : left + columns])


def test_damage_to_either_of_two_rows_that_are_read_at_once_is_seen():
    data = jpeg(64, 160, subsampling=2, restart_marker_blocks=5)  # four rows of ten MCUs
    markers = [match.start() for match in re.finditer(b"\xff[\xd0-\xd7]", data)]
    assert len(markers) == 7
    for row in range(4):
        # No code begins with so many ones.
        begin = (data.index(b"\xff\xda") + 14, *(marker + 2 for marker in markers))[2 * row]
        bad = data[:begin] + b"\xff\x00" * 8 + data[begin + 16 :]
        for other in range(4):
            box = np.empty((8, 160, 3), np.uint8)
            is_decoded = _jpeg.decode(bad, 16 * other + 4, 0, 8, 160, 1, box)
            assert is_decoded == (other != row), (row, other)


def test_restart_intervals_beside_a_box_are_passed_unread():
    """MCUs of 16 x 16 pixels, ten in a row, in intervals of two: what no pixel of the box needs may be anything."""
    data = jpeg(96, 160, subsampling=2, restart_marker_blocks=2)
    box = (40, 66, 14, 28)  # and two pixels around: columns 4 and 5 of rows 2 and 3
    head = data.index(b"\xff\xda") + 14
    parts = re.split(b"(\xff[\xd0-\xd7])", data[head:-2])
    assert len(parts) == 2 * 30 - 1
    needed = {12, 17}
    changed = [part if i % 2 or i // 2 in needed else bytes(len(part)) for i, part in enumerate(parts)]
    assert sum(part != other for part, other in zip(parts, changed, strict=True)) == 28
    beside = data[:head] + b"".join(changed) + data[-2:]
    np.testing.assert_array_equal(decoded_box(beside, *box), decoded_box(data, *box))
    whole = np.empty((96, 160, 3), np.uint8)
    assert not _jpeg.decode(beside, 0, 0, 96, 160, 1, whole)
    # A marker that is not the next one, in front of the box: nobody knows what is missing.
    changed[9] = b"\xff\xd6"
    swapped = data[:head] + b"".join(changed) + data[-2:]
    assert parts[9] == b"\xff\xd4"
    assert not _jpeg.decode(swapped, *box, 1, np.empty((*box[2:], 3), np.uint8))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(1, 5), (3, 6), (7, 7), (8, 8), (9, 16), (16, 17), (17, 33)])
def test_small_pictures_have_the_pixels_that_pillow_decodes(size, subsampling):
    data = jpeg(*size, subsampling=subsampling, quality=90)
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decoded_box(data, 0, 0, *size), whole)


@pytest.mark.parametrize("sampling", ["440", "411", "22_12_12"])
def test_unusual_sampling(sampling):
    """Colours halved downwards are decoded; what is rarer is left to Pillow."""
    data = (Path(__file__).parents[1] / "data" / "jpeg" / f"{sampling}.jpg").read_bytes()
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert _jpeg.decode(data, 0, 0, *whole.shape[:2], 1, np.empty_like(whole)) == (sampling == "440")
    np.testing.assert_array_equal(Decode().transform(data, random.Random(0)), whole)


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("options", DECODED)
def test_a_reduced_picture_has_the_means_of_its_pixels(options, reduction):
    data = jpeg(**options)
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float64)
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (image.width // reduction, image.height // reduction))
        of_pillow = np.asarray(image.convert("RGB"))
    height, width = (side // reduction for side in whole.shape[:2])
    cut = whole[: height * reduction, : width * reduction]
    means = cut.reshape(height, reduction, width, reduction, 3).mean((1, 3))
    reduced = decoded_box(data, 0, 0, *of_pillow.shape[:2], reduction)
    error, error_of_pillow = (np.abs(pixels[:height, :width] - means).mean() for pixels in (reduced, of_pillow))
    assert error < min(1.0, 1.05 * error_of_pillow)
    if options.get("mode") == "L":
        assert np.abs(reduced[:height, :width] - means).max() <= 0.5
    for top, left, rows, columns in random_boxes(reduced.shape, reduction):
        box = decoded_box(data, top, left, rows, columns, reduction)
        np.testing.assert_array_equal(box, reduced[top : top + rows, left : left + columns])


def test_a_crop_is_a_box_resized():
    data = jpeg()
    for index, (top, left, height, width) in enumerate(random_boxes((66, 102), 5)):
        box = decoded_box(data, top, left, height, width, 2)
        expected, cropped = np.empty((2, 24, 31, 3), np.uint8)
        _jpeg.resize(box, height, width, expected, 24, 31, index % 2)
        assert _jpeg.crop(data, top, left, height, width, 2, cropped, 24, 31, index % 2)
        np.testing.assert_array_equal(cropped, expected)


@pytest.mark.parametrize("name", _jpeg.loops()[1:])
@pytest.mark.parametrize("options", DECODED)
def test_loops_for_this_processor_have_the_pixels_of_plain_c(name, options):
    data = jpeg(**options)
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    results = {}
    try:
        for loops in ("plain", name):
            _jpeg.use_loops(loops)
            results[loops] = []
            for reduction in (1, 2, 4, 8):
                shape = tuple(-(-side // reduction) for side in whole.shape[:2])
                for top, left, height, width in random_boxes(shape, 7, 5):
                    results[loops].append(decoded_box(data, top, left, height, width, reduction))
                    resized = np.empty((33, 47, 3), np.uint8)
                    assert _jpeg.crop(data, top, left, height, width, reduction, resized, 33, 47, True)
                    results[loops].append(resized)
    finally:
        _jpeg.use_loops(None)
    assert len(results[name]) == 40
    for pixels, expected in zip(results[name], results["plain"], strict=True):
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("name", _jpeg.loops()[1:])
@pytest.mark.parametrize("factor", [0x7F, 0xFF])
def test_loops_agree_where_values_leave_the_range_of_16_bits(name, factor):
    """Quantisation that no encoder would choose makes coefficients of up to 2^15, and more of their sums."""
    data = bytearray(jpeg(64, 96, quality=100))
    for match in re.finditer(rb"\xff\xdb\x00\x43", bytes(data)):
        data[match.end() + 1 : match.end() + 65] = bytes([factor]) * 64
    try:
        _jpeg.use_loops("plain")
        expected = decoded_box(bytes(data), 0, 0, 64, 96)
        _jpeg.use_loops(name)
        np.testing.assert_array_equal(decoded_box(bytes(data), 0, 0, 64, 96), expected)
    finally:
        _jpeg.use_loops(None)
    assert np.bincount(expected.ravel(), minlength=256)[[0, 255]].sum() > 1000  # values are cut


def test_loops_that_the_processor_has_not_are_refused():
    with pytest.raises(ValueError, match="there are no loops altivec here"):
        _jpeg.use_loops("altivec")


@pytest.mark.parametrize("options", OTHERS)
def test_files_of_other_kinds_are_left_to_pillow(options):
    data = jpeg(**options)
    assert _jpeg.decode(data, 0, 0, 8, 8, 1, np.empty((8, 8, 3), np.uint8)) is False
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(Decode().transform(data, random.Random(0)), whole)


def test_damaged_files_are_refused_or_decoded_within_their_box():
    """Thousands of files with bytes changed, cut out or cut off: none may write beside its box or stop the process."""
    rng = random.Random(4)
    originals = [jpeg(40, 56, **options) for options in DECODED]
    outcomes = {True: 0, False: 0, None: 0}
    for _ in range(4000):
        data = bytearray(rng.choice(originals))
        for _ in range(rng.randint(1, 6)):
            offset = rng.randrange(min(len(data), rng.choice((700, len(data)))))
            data[offset] = rng.choice((0, 0xFF, rng.randrange(256)))
        if rng.random() < 0.2:
            del data[rng.randrange(2, len(data)) :]
        size = _jpeg.size(data)
        outcome = None
        if size:
            reduction = rng.choice((1, 2, 4, 8))
            height, width = (min(64, -(-side // reduction)) for side in size)
            guarded = np.full(height * width * 3 + 128, 77, np.uint8)
            outcome = _jpeg.decode(data, 0, 0, height, width, reduction, guarded[64:-64])
            assert (guarded[:64] == 77).all()
            assert (guarded[-64:] == 77).all()
            if outcome:
                assert checked_image(bytes(data)) == data
        outcomes[outcome] += 1
    assert min(outcomes.values()) > 100, outcomes


@pytest.mark.parametrize("orientation", range(1, 10))
@pytest.mark.parametrize("endian", ["<", ">"])
def test_turned_files_are_left_to_pillow(orientation, endian):
    exif = Image.Exif()
    exif.endian = endian
    exif[0x0112] = orientation
    data = jpeg(exif=exif)
    is_upright = orientation in (1, 9)
    assert _jpeg.size(data) == ((131, 203) if is_upright else None)
    shape = (203, 131) if orientation in (5, 6, 7, 8) else (131, 203)
    pixels = Decode().transform(data, random.Random(0))
    assert pixels.shape[:2] == shape
    np.testing.assert_array_equal(pixels, ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def test_what_is_cut_off_or_too_large_is_named():
    data = jpeg()
    with pytest.raises(ValueError, match="this JPEG is cut off after"):
        RandomCrop((8, 8), (0.1, 1.0), (1.0, 1.0)).transform(data[:-40], random.Random(0))
    huge = bytearray(data)
    frame = huge.index(b"\xff\xc0")
    huge[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(ValueError, match="claims 65535 x 65535 pixels"):
        Decode().transform(bytes(huge), random.Random(0))


def test_a_file_that_is_cut_off_is_refused_where_its_box_needs_more():
    data = jpeg()
    cut = data[: len(data) // 2]
    assert _jpeg.decode(cut, 0, 0, 131, 203, 1, np.empty((131, 203, 3), np.uint8)) is False
    np.testing.assert_array_equal(decoded_box(cut, 0, 0, 16, 203), decoded_box(data, 0, 0, 16, 203))


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2}, {"mode": "L"}])
def test_a_whole_image_has_the_pixels_that_mindspore_decodes(options):
    data = jpeg(quality=90, **options)
    expected = vision.Decode()(np.frombuffer(data, np.uint8))
    np.testing.assert_array_equal(Decode().transform(data, random.Random(0)), expected)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(131, 203), (60, 80), (300, 500), (1, 1), (5, 1), (9, 2), (3, 3), (224, 1)])
def test_resizing_is_bilinear(size, flip):
    image = Decode().transform(jpeg(), random.Random(0)).astype(np.float64)
    (y, near_y, far_y), (x, near_x, far_x) = (_places(old, new) for old, new in zip(image.shape[:2], size, strict=True))
    y, x = y[:, None, None], x[:, None]
    upper = image[near_y][:, near_x] * (1 - x) + image[near_y][:, far_x] * x
    lower = image[far_y][:, near_x] * (1 - x) + image[far_y][:, far_x] * x
    expected = upper * (1 - y) + lower * y
    resized = np.empty((*size, 3), np.uint8)
    _jpeg.resize(image.astype(np.uint8), *image.shape[:2], resized, *size, flip)
    assert np.abs(resized[:, :: -1 if flip else 1] - expected).max() <= 0.51


def _places(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of the farther of the two old pixels that a new one lies between, and both."""
    position = np.maximum((np.arange(new) + 0.5) * old / new - 0.5, 0)
    near = np.minimum(position.astype(int), old - 1)
    return position - near, near, np.minimum(near + 1, old - 1)


def test_resizing_agrees_with_mindspore_to_one_grey_level():
    image = Decode().transform(jpeg(), random.Random(0))
    resized = np.empty((96, 112, 3), np.uint8)
    _jpeg.resize(image, *image.shape[:2], resized, 96, 112, False)
    expected = vision.Resize((96, 112), vision.Inter.BILINEAR)(image)
    assert np.abs(resized.astype(int) - expected).max() <= 1


def resized_cubic(image: np.ndarray, size: tuple[int, int], flip: bool = False) -> np.ndarray:
    out = np.empty((*size, 3), np.uint8)
    _jpeg.resize(np.ascontiguousarray(image), *image.shape[:2], out, *size, flip, True)
    return out


@pytest.mark.parametrize("loops", _jpeg.loops() if _jpeg else [])
@pytest.mark.parametrize("size", [(224, 224), (31, 45), (96, 17), (1, 1), (300, 7), (66, 224)])
def test_bicubic_is_pillows_filter_to_one_grey_level(size, loops):
    """Pillow goes along rows or along columns first, by its version and the size; here it is rows."""
    rng = np.random.default_rng(0)
    images = [np.asarray(Image.open(PHOTO).convert("RGB").resize((240, 200)))]
    images += [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in ((90, 70), (2, 3), (1, 1))]
    images += [rng.integers(0, 2, (33, 57, 3), np.uint8) * 255, np.full((50, 40, 3), 77, np.uint8)]
    _jpeg.use_loops(loops)
    try:
        for image in images:
            picture = Image.fromarray(image)
            for side in ((size[1], picture.height), size[::-1]):
                picture = picture.resize(side, Image.Resampling.BICUBIC)
            for flip in (False, True):
                difference = resized_cubic(image, size, flip).astype(int) - np.asarray(picture)[:, :: -1 if flip else 1]
                assert np.abs(difference).max() <= 1
                assert difference.size < 1000 or np.abs(difference).mean() < 0.05
    finally:
        _jpeg.use_loops(None)


def test_a_bicubic_crop_is_a_box_resized():
    data = jpeg()
    for index, (top, left, height, width) in enumerate(random_boxes((66, 102), 5)):
        box, cropped = decoded_box(data, top, left, height, width, 2), np.empty((24, 31, 3), np.uint8)
        assert _jpeg.crop(data, top, left, height, width, 2, cropped, 24, 31, index % 2, True)
        np.testing.assert_array_equal(cropped, resized_cubic(box, (24, 31), bool(index % 2)))


@pytest.mark.parametrize("kind", [vision.Inter.BICUBIC, vision.Inter.PILCUBIC])
def test_a_reader_crops_by_the_bicubic_filter(kind):
    """JPEG and PNG; the same boxes and mirroring as with bilinear interpolation."""
    plain = Decode().transform(jpeg(50, 70), random.Random(0))
    png = io.BytesIO()
    Image.fromarray(plain).save(png, "PNG")
    crop, rest = RandomCrop((20, 24), (0.3, 0.6), (0.9, 1.1), kind).joined([RandomHorizontalFlip(0.5)])
    assert (crop.hflip, rest) == (0.5, [])
    for seed in range(6):
        rng = random.Random(seed)
        top, left, height, width = crop.box(50, 70, rng)
        cut = plain[top : top + height, left : left + width]
        expected = resized_cubic(cut, (20, 24), rng.random() < 0.5)
        for data in (jpeg(50, 70), png.getvalue()):
            np.testing.assert_array_equal(crop.transform(data, random.Random(seed)), expected)


def test_crops_have_the_areas_and_ratios_that_are_asked_for():
    crop = RandomCrop((24, 24), (0.08, 0.5), (0.75, 4 / 3))
    boxes = np.array([crop.box(1000, 1200, random.Random(seed)) for seed in range(4000)], np.float64)
    top, left, height, width = boxes.T
    assert (top + height).max() <= 1000
    assert (left + width).max() <= 1200
    areas, ratios = height * width / (1000 * 1200), np.log(width / height) / np.log(4 / 3)
    # Kolmogorov and Smirnov: the largest distance between the two distributions, 0.0257 in 1 of 100 cases.
    for values, low, high in ((areas, 0.08, 0.5), (ratios, -1, 1), (top / (1000 - height), 0, 1)):
        steps = np.sort((values - low) / (high - low))
        assert np.abs(steps - np.arange(0.5, 4000) / 4000).max() < 0.0257


@pytest.mark.parametrize(
    ("shape", "expected"), [((10, 1000), (0, 493, 10, 13)), ((1000, 10), (493, 0, 13, 10)), ((1, 1), (0, 0, 1, 1))]
)
def test_an_image_that_no_crop_fits_gives_its_middle(shape, expected):
    assert RandomCrop((24, 24), (0.5, 1.0), (0.75, 4 / 3)).box(*shape, random.Random(0)) == expected


def test_half_of_the_images_are_mirrored():
    data = jpeg(40, 40)
    whole = RandomCrop((40, 40), (1.0, 1.0), (1.0, 1.0), hflip=0.3)
    plain = Decode().transform(data, random.Random(0))
    mirrored = 0
    for seed in range(1000):
        pixels = whole.transform(data, random.Random(seed))
        is_mirrored = np.array_equal(pixels, plain[:, ::-1])
        assert is_mirrored or np.array_equal(pixels, plain)
        mirrored += is_mirrored
    assert 255 < mirrored < 345  # three standard deviations


def test_a_large_crop_is_decoded_at_a_reduced_scale_and_looks_the_same():
    data = jpeg(400, 400, quality=95)
    pixels = RandomCrop((100, 100), (1.0, 1.0), (1.0, 1.0)).transform(data, random.Random(0))
    expected = np.asarray(
        Image.fromarray(Decode().transform(data, random.Random(0))).resize((100, 100), Image.Resampling.BOX)
    )
    assert np.abs(pixels.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_other_files_are_cropped_too(kind):
    plain = Decode().transform(jpeg(50, 70), random.Random(0))
    file = io.BytesIO()
    Image.fromarray(plain).save(file, kind)
    np.testing.assert_array_equal(Decode().transform(file.getvalue(), random.Random(0)), plain)
    crop = RandomCrop((20, 20), (0.3, 0.6), (0.9, 1.1))
    top, left, height, width = crop.box(50, 70, random.Random(3))
    expected = np.empty((20, 20, 3), np.uint8)
    cut = np.ascontiguousarray(plain[top : top + height, left : left + width])
    _jpeg.resize(cut, height, width, expected, 20, 20, False)
    np.testing.assert_array_equal(crop.transform(file.getvalue(), random.Random(3)), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda out: _jpeg.decode(jpeg(), 130, 0, 8, 8, 1, out), "not in the picture"),
        (lambda out: _jpeg.decode(jpeg(), -1, 0, 8, 8, 1, out), "not in the picture"),
        (lambda out: _jpeg.decode(jpeg(), 0, 0, 0, 8, 1, out), "empty"),
        (lambda out: _jpeg.decode(jpeg(), 0, 0, 8, 8, 3, out), "reduction must be 1, 2, 4 or 8"),
        (lambda out: _jpeg.decode(jpeg(), 0, 0, 9, 8, 1, out), "height x width x 3 bytes"),
        (lambda out: _jpeg.crop(jpeg(), 0, 0, 9, 8, 1, out, 8, 9, False), "height x width x 3 bytes"),
        (lambda out: _jpeg.crop(jpeg(), 0, 200, 9, 8, 1, out, 8, 8, False), "not in the picture"),
        (lambda out: _jpeg.resize(out, 8, 9, out, 8, 8, False), "height x width x 3 bytes"),
        (lambda out: _jpeg.resize(out, 8, 8, out, 0, 8, False), "height x width x 3 bytes"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.empty((8, 8, 3), np.uint8))


def test_a_crop_takes_on_the_mirroring_behind_it():
    flips = [RandomHorizontalFlip(0.25), RandomVerticalFlip(0.5)]
    decode, rest = RandomCrop((32, 32), (0.2, 0.9), (0.8, 1.2)).joined([*flips, len])
    assert (decode.size, decode.scale, decode.ratio, decode.hflip) == ((32, 32), (0.2, 0.9), (0.8, 1.2), 0.25)
    assert rest == [flips[1], len]
    area = RandomCrop((32, 32), (0.2, 0.9), (0.8, 1.2), vision.Inter.AREA)
    decode, rest = area.joined(flips)
    assert (type(decode), decode.size, decode.scale, decode.ratio) == (RandomBox, (32, 32), (0.2, 0.9), (0.8, 1.2))
    assert [type(operation) for operation in rest] == [Resize, *map(type, flips)]
    assert (rest[0].size, rest[0].interpolation) == ((32, 32), vision.Inter.AREA)
    whole = Decode()
    assert whole.joined(flips) == (whole, flips)


def test_what_a_list_begins_with_is_of_mindspore_and_of_the_reader():
    """MindSpore's pipelines do what is in the list as they always did; readers do it themselves."""
    crop, flip, *_ = create_transforms("imagenet", 32, True, vflip=0.5)
    assert isinstance(crop, vision.RandomCropDecodeResize)
    assert isinstance(crop, Transform)
    assert isinstance(flip, vision.RandomHorizontalFlip)
    decode = create_transforms("imagenet", 32)[0]
    data = jpeg()
    np.testing.assert_array_equal(decode(np.frombuffer(data, np.uint8)), decode.transform(data, random.Random(0)))


def test_operations_of_mindspore_alone_are_done_by_mindspore(photo_folder):
    """A user's own list; images are checked all the same."""
    operations = [vision.Decode(), vision.Resize((20, 30)), vision.HWC2CHW()]
    dataset = create_dataset("imagenet", str(photo_folder), shuffle=False)
    [(images, labels)] = create_loader(dataset, 12, transform=operations).create_tuple_iterator(output_numpy=True)
    assert labels.tolist() == [0] * 6 + [1] * 6
    for image, path in zip(images, sorted(photo_folder.glob("*/*/*.jpg")), strict=True):
        expected = np.fromfile(path, np.uint8)
        for operation in operations:
            expected = operation(expected)
        np.testing.assert_array_equal(image, expected)


def test_oblong_crops_are_boxes_resized():
    crop, *rest = create_transforms("imagenet", (64, 100), True, normalize_on_device=True)
    decode, _ = crop.joined(rest)
    data = jpeg(40, 50)  # enlarged only, which Pillow does without antialiasing
    plain = Decode().transform(data, random.Random(0))
    for seed in range(20):
        rng = random.Random(seed)
        top, left, height, width = decode.box(*plain.shape[:2], rng)
        flip = rng.random() < decode.hflip
        cut = Image.fromarray(plain[top : top + height, left : left + width])
        expected = np.asarray(cut.resize((100, 64), Image.Resampling.BILINEAR)).astype(int)[:, :: -1 if flip else 1]
        found = decode.transform(data, random.Random(seed))
        assert found.shape == (64, 100, 3)
        assert np.abs(found - expected).max() <= 1


def images_of(loader, epoch=0, first_step=0, seed=3):
    return [batch[0].asnumpy() for batch in epoch_batches(loader, epoch, first_step, seed)]


def train_loader(folder, workers=2, size=24, **options):
    transform = create_transforms("imagenet", size, True, normalize_on_device=True, **options)
    dataset = create_dataset("imagenet", str(folder), seed=1)
    return create_loader(dataset, 5, is_training=True, transform=transform, num_parallel_workers=workers)


@pytest.mark.parametrize("size", [24, (20, 36)], ids=str)
def test_augmentation_follows_from_seed_epoch_and_place_alone(size, photo_folder):
    one, two = train_loader(photo_folder, 1, size), train_loader(photo_folder, 2, size)
    first = images_of(one)
    assert [images.shape for images in first] == [(count, *np.broadcast_to(size, 2), 3) for count in (5, 5, 2)]
    for images, again in zip(first, images_of(two), strict=True):
        np.testing.assert_array_equal(images, again)
    for images, again in zip(first[1:], images_of(two, first_step=1), strict=True):
        np.testing.assert_array_equal(images, again)
    for images, again in zip(first, images_of(two), strict=True):  # after a start in the middle, from the start again
        np.testing.assert_array_equal(images, again)
    assert not np.array_equal(first[0], images_of(one, epoch=1)[0])
    assert not np.array_equal(first[0], images_of(one, seed=4)[0])


def test_what_was_seen_before_is_not_read_again(photo_folder, monkeypatch):
    loader = train_loader(photo_folder, workers=1)
    read = []
    original = FileSamples.read
    monkeypatch.setattr(FileSamples, "read", lambda self, index: read.append(index) or original(self, index))
    assert [len(images) for images in images_of(loader, first_step=2)] == [2]
    assert len(read) == 2


def test_mixing_in_a_resumed_epoch_is_that_of_the_whole(photo_folder):
    transform = create_transforms("imagenet", 24, True, normalize_on_device=True)
    dataset = create_dataset("imagenet", str(photo_folder), seed=1)
    loader = create_loader(*(dataset, 4, False, True, 0.8, 1.0, 1.0, 2), transform=transform, mix_on_device=True)
    whole = [[column.asnumpy() for column in batch] for batch in epoch_batches(loader, 0)]
    rest = [[column.asnumpy() for column in batch] for batch in epoch_batches(loader, 0, first_step=1)]
    assert len(whole) == 3
    for batch, again in zip(whole[1:], rest, strict=True):
        assert len(batch) == 3
        for column, other in zip(batch, again, strict=True):
            np.testing.assert_array_equal(column, other)


def test_epochs_of_one_iterator_and_repeats_of_one_image_differ(photo_folder):
    transform = create_transforms("imagenet", 24, True, normalize_on_device=True)
    dataset = create_dataset("imagenet", str(photo_folder), shuffle=False, num_aug_repeats=2)
    loader = create_loader(dataset, 12, is_training=True, transform=transform)
    iterator = loader.create_tuple_iterator(num_epochs=2, output_numpy=True)
    (first,), (second,) = ([batch[0] for batch in iterator] for _ in range(2))
    assert len({image.tobytes() for image in first}) == 12
    assert not np.array_equal(first, second)


def test_batches_are_whole_where_the_rest_must_be_dropped(photo_folder):
    dataset = create_dataset("imagenet", str(photo_folder))
    transform = create_transforms("imagenet", 24, True, normalize_on_device=True)
    loader = create_loader(dataset, 5, drop_remainder=True, is_training=True, transform=transform)
    assert loader.get_dataset_size() == 2
    assert loader.get_batch_size() == 5
    assert [len(batch[0]) for batch in loader.create_tuple_iterator(num_epochs=1)] == [5, 5]


def test_evaluation_gives_the_pixels_of_mindspores_decoder(photo_folder, monkeypatch, caplog):
    def batches():
        transform = create_transforms("imagenet", 32, normalize_on_device=True)
        loader = create_loader(create_dataset("imagenet", str(photo_folder), shuffle=False), 5, transform=transform)
        return [[column.asnumpy() for column in batch] for batch in loader.create_tuple_iterator(num_epochs=1)]

    fast = batches()
    monkeypatch.setattr(decoding, "_jpeg", None)
    with caplog.at_level(logging.INFO):
        slow = batches()
    assert "Pillow decodes the images" in caplog.text
    for ours, theirs in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_a_jpeg_that_only_the_decoder_finds_bad_is_replaced_and_named(photo_folder, caplog):
    bad = photo_folder / "train" / "a" / "3.jpg"
    data = bytearray(jpeg())
    frame = data.index(b"\xff\xc0")
    data[frame + 11] = 0x44  # the first component in 4 x 4 blocks, the others in 1 x 1: more than a unit may have
    bad.write_bytes(data)
    dataset = create_dataset("imagenet", str(photo_folder), bad_samples="replace", seed=1)
    transform = create_transforms("imagenet", 24, True, normalize_on_device=True)
    loader = create_loader(dataset, 6, is_training=True, transform=transform)
    assert sum(len(batch[0]) for batch in loader.create_tuple_iterator(num_epochs=1)) == 12
    assert f"replaced the bad image {bad}" in caplog.text
    assert "cannot be decoded" in caplog.text


def test_the_seed_is_that_of_mindspores_datasets(photo_folder):
    loader = train_loader(photo_folder)
    ds.config.set_seed(8)
    first = [batch[0].asnumpy() for batch in loader.create_tuple_iterator(num_epochs=1)]
    ds.config.set_seed(9)
    second = [batch[0].asnumpy() for batch in loader.create_tuple_iterator(num_epochs=1)]
    assert not np.array_equal(first[0], second[0])
