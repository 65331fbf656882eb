#!/usr/bin/env bash
# pillow 13.0.0: a TIFF of 8 bits loses the sign that it has, and one of 32 bits gets a sign that it has not.
#
# TIFF's tag 339, SampleFormat, says whether integers are signed. Differences of images, normalised elevations,
# quantised feature maps and some microscopes' cameras write signed ones. Pillow opens int8 as mode "L": -1, a little
# below nothing, is 255, white, and -128 is the middle grey. uint32 it opens as mode "I", which is int32: from
# 2147483648 on values are negative, so that the largest, 4294967295, is -1; a label image with hashed numbers, or
# counts of photons, has them. int16 is right (mode "I"), and so are int32, uint8 and uint16, which makes the two look
# right as well. Nothing but tag_v2[339] tells. tifffile and OpenCV's IMREAD_UNCHANGED keep the type. (mindcv reads TIFF
# by Pillow; it refuses signed integers of 8 bits since this was found, and has refused numbers of 32 bits outside 0 to
# 255 before.)
# Seen with: pillow 13.0.0, tifffile 2026.3.3, imagecodecs 2026.3.6, opencv-python-headless 5.0.0.93, numpy 2.4.6,
# Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 \
    imagecodecs==2026.3.6 opencv-python-headless==5.0.0.93 numpy==2.4.6

cat > look.py <<'PYTHON'
import cv2
import numpy as np
import tifffile
from PIL import Image

KINDS = {
    "int8": np.int8([[-128, -1, 0, 1, 127]]),
    "int16": np.int16([[-32768, -1, 0, 1, 32767]]),
    "int32": np.int32([[-(2**31), -1, 0, 1, 2**31 - 1]]),
    "uint8": np.uint8([[0, 1, 127, 128, 255]]),
    "uint16": np.uint16([[0, 1, 32767, 32768, 65535]]),
    "uint32": np.uint32([[0, 1, 2**31 - 1, 2**31, 2**32 - 1]]),
}


def text(array):
    return " ".join(str(value) for value in array.ravel())


for name, array in KINDS.items():
    tifffile.imwrite("image.tif", array, photometric="minisblack", compression="zlib")
    print(f"{name}: stored {text(array)}")
    for reader, pixels in {
        "tifffile": tifffile.imread("image.tif"),
        "OpenCV": cv2.imread("image.tif", cv2.IMREAD_UNCHANGED),
        "Pillow": np.asarray(Image.open("image.tif")),
    }.items():
        same = np.array_equal(pixels.astype(np.int64), array.astype(np.int64))
        print(f"    {reader}: {'the same' if same else f'{pixels.dtype} {text(pixels)}'}")
PYTHON

cat > expected <<'TEXT'
int8: stored -128 -1 0 1 127
    tifffile: the same
    OpenCV: the same
    Pillow: uint8 128 255 0 1 127
int16: stored -32768 -1 0 1 32767
    tifffile: the same
    OpenCV: the same
    Pillow: the same
int32: stored -2147483648 -1 0 1 2147483647
    tifffile: the same
    OpenCV: the same
    Pillow: the same
uint8: stored 0 1 127 128 255
    tifffile: the same
    OpenCV: the same
    Pillow: the same
uint16: stored 0 1 32767 32768 65535
    tifffile: the same
    OpenCV: the same
    Pillow: the same
uint32: stored 0 1 2147483647 2147483648 4294967295
    tifffile: the same
    OpenCV: the same
    Pillow: int32 0 1 2147483647 -2147483648 -1
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
