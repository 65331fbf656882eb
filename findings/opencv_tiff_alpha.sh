#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: imread multiplies the colours of a TIFF by its alpha, those of the same PNG not.
#
# TIFF 6.0, section 18, has two kinds of alpha: ExtraSamples 1, where the stored colours are multiplied by it, and 2
# ("unassociated"), where they are not. Pillow writes 2, and reads the colours as they are. OpenCV reads 8 bits by
# an interface of libtiff that multiplies: with IMREAD_COLOR, and with IMREAD_UNCHANGED too, a pixel (210, 115, 63) of
# alpha 128 comes as (105, 58, 32), and as black where alpha is 0, as outside the frame of an aerial photograph. In 16
# bits IMREAD_UNCHANGED leaves the colours alone and IMREAD_COLOR multiplies, so that one file has two images. A PNG of
# the same pixels is read as it is, and so is OpenCV's own TIFF, which has no such tag: a round trip shows nothing.
# Seen with: opencv-python-headless 5.0.0.93, pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6, Python 3.11.
# Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 pillow==13.0.0 \
    tifffile==2026.3.3 numpy==2.4.6

cat > look.py <<'PYTHON'
import cv2
import numpy as np
import tifffile
from PIL import Image

pixels = np.empty((4, 4, 4), np.uint8)
pixels[:2] = 210, 115, 63, 128
pixels[2:] = 210, 115, 63, 0
wide = pixels.astype(np.uint16) * 257

Image.fromarray(pixels).save("pillow.tiff")
tifffile.imwrite("tifffile.tiff", pixels, photometric="rgb", extrasamples=["unassalpha"])
tifffile.imwrite("sixteen.tiff", wide, photometric="rgb", extrasamples=["unassalpha"])
cv2.imwrite("opencv.tiff", cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))
Image.fromarray(pixels).save("pillow.png")
cv2.imwrite("sixteen.png", cv2.cvtColor(wide, cv2.COLOR_RGBA2BGRA))

FLAGS = {"IMREAD_COLOR": cv2.IMREAD_COLOR, "IMREAD_UNCHANGED": cv2.IMREAD_UNCHANGED}
for name in ("pillow.tiff", "tifffile.tiff", "opencv.tiff", "pillow.png", "sixteen.tiff", "sixteen.png"):
    if name.endswith("tiff"):
        with tifffile.TiffFile(name) as file:
            page = file.pages[0]
            tag = page.tags.get("ExtraSamples")
            print(f"{name}: ExtraSamples {None if tag is None else int(np.ravel(tag.value)[0])}")
    with Image.open(name) as image:
        values = np.asarray(image.convert("RGBA"))
    print(f"{name}, Pillow: alpha 128 {values[0, 0, :3].tolist()}, alpha 0 {values[3, 3, :3].tolist()}")
    for flag, number in FLAGS.items():
        image = cv2.imread(name, number)
        values = image[..., 2::-1] // (257 if image.dtype == np.uint16 else 1)
        print(f"{name}, {flag}: alpha 128 {values[0, 0].tolist()}, alpha 0 {values[3, 3].tolist()}")
PYTHON

cat > expected <<'TEXT'
pillow.tiff: ExtraSamples 2
pillow.tiff, Pillow: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
pillow.tiff, IMREAD_COLOR: alpha 128 [105, 58, 32], alpha 0 [0, 0, 0]
pillow.tiff, IMREAD_UNCHANGED: alpha 128 [105, 58, 32], alpha 0 [0, 0, 0]
tifffile.tiff: ExtraSamples 2
tifffile.tiff, Pillow: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
tifffile.tiff, IMREAD_COLOR: alpha 128 [105, 58, 32], alpha 0 [0, 0, 0]
tifffile.tiff, IMREAD_UNCHANGED: alpha 128 [105, 58, 32], alpha 0 [0, 0, 0]
opencv.tiff: ExtraSamples None
opencv.tiff, Pillow: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
opencv.tiff, IMREAD_COLOR: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
opencv.tiff, IMREAD_UNCHANGED: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
pillow.png, Pillow: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
pillow.png, IMREAD_COLOR: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
pillow.png, IMREAD_UNCHANGED: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
sixteen.tiff: ExtraSamples 2
sixteen.tiff, Pillow: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
sixteen.tiff, IMREAD_COLOR: alpha 128 [105, 58, 32], alpha 0 [0, 0, 0]
sixteen.tiff, IMREAD_UNCHANGED: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
sixteen.png, Pillow: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
sixteen.png, IMREAD_COLOR: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
sixteen.png, IMREAD_UNCHANGED: alpha 128 [210, 115, 63], alpha 0 [210, 115, 63]
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
