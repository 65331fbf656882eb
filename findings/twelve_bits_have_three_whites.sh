#!/usr/bin/env bash
# pillow 13.0.0, opencv-python-headless 5.0.0.93: white of 12 bits is 4095, 65520 or 65535, by format and decoder.
#
# Cameras, microscopes, X-ray and satellites have 12 bits, and all decoders give them as uint16, without a word on what
# white is. Pillow gives a TIFF as it is stored, 4095, a JPEG 2000 times 16, 65520, and a JPEG XL (by its plug-in)
# spread over all 16 bits, 65535. OpenCV has it the other way round: times 16 for a TIFF and as it is stored for JPEG
# 2000 and AVIF. So each of the two disagrees with itself, they disagree with each other on every format, and a set that
# is converted from one format to another becomes 16 times darker or brighter for one of its readers. A division by
# 65535, or by 4095, is right for some of the files only. OpenCV's own 8-bit images (IMREAD_GRAYSCALE) are scaled
# rightly, of TIFF there are none. imagecodecs gives 4095 throughout. (mindcv reads 12-bit TIFF and JPEG 2000 by Pillow
# with a shift for each; JPEG XL not.)
# Seen with: pillow 13.0.0, pillow-jxl-plugin 1.3.8, opencv-python-headless 5.0.0.93, imagecodecs 2026.3.6, tifffile
# 2026.3.3, numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check pillow==13.0.0 pillow-jxl-plugin==1.3.8 \
    opencv-python-headless==5.0.0.93 imagecodecs==2026.3.6 tifffile==2026.3.3 numpy==2.4.6

cat > look.py <<'PYTHON'
import cv2
import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401 (registers its format with Pillow)
import tifffile
from PIL import Image

GREY = np.zeros((8, 8), np.uint16)
GREY[:, 1], GREY[:, 2] = 2048, 4095


def lossless(function, **options):
    return function(GREY, bitspersample=12, **options)


FILES = {
    "tif": None,  # tifffile writes it itself
    "jp2": lossless(imagecodecs.jpeg2k_encode, level=0),
    "jxl": lossless(imagecodecs.jpegxl_encode, lossless=True),
    "avif": lossless(imagecodecs.avif_encode, level=100),
}


def pixels(array):
    if array is None:
        return "not read"
    row = array[0, :3] if array.ndim == 2 else array[0, :3, 0]
    return f"{array.dtype} {' '.join(str(value) for value in row)}"


def by_pillow(name):
    with Image.open(name) as image:
        return np.asarray(image)


print(f"stored in 12 bits: {pixels(GREY)}")
for form, data in FILES.items():
    name = f"image.{form}"
    if data is None:
        tifffile.imwrite(name, GREY, photometric="minisblack", bitspersample=12)
    else:
        with open(name, "wb") as file:
            file.write(data)
    print(f"{form}:")
    print(f"    Pillow: {pixels(by_pillow(name))}")
    print(f"    OpenCV, IMREAD_UNCHANGED: {pixels(cv2.imread(name, cv2.IMREAD_UNCHANGED))}")
    print(f"    OpenCV, IMREAD_GRAYSCALE: {pixels(cv2.imread(name, cv2.IMREAD_GRAYSCALE))}")
    print(f"    imagecodecs: {pixels(imagecodecs.imread(name))}")
PYTHON

cat > expected <<'TEXT'
stored in 12 bits: uint16 0 2048 4095
tif:
    Pillow: uint16 0 2048 4095
    OpenCV, IMREAD_UNCHANGED: uint16 0 32768 65520
    OpenCV, IMREAD_GRAYSCALE: not read
    imagecodecs: uint16 0 2048 4095
jp2:
    Pillow: uint16 0 32768 65520
    OpenCV, IMREAD_UNCHANGED: uint16 0 2048 4095
    OpenCV, IMREAD_GRAYSCALE: uint8 0 128 255
    imagecodecs: uint16 0 2048 4095
jxl:
    Pillow: uint16 0 32776 65535
    OpenCV, IMREAD_UNCHANGED: not read
    OpenCV, IMREAD_GRAYSCALE: not read
    imagecodecs: uint16 0 2048 4095
avif:
    Pillow: uint8 0 128 255
    OpenCV, IMREAD_UNCHANGED: uint16 0 2048 4095
    OpenCV, IMREAD_GRAYSCALE: uint8 0 128 255
    imagecodecs: uint16 0 2048 4095
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
