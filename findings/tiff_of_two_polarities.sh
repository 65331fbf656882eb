#!/usr/bin/env bash
# pillow 13.0.0 and opencv-python-headless 5.0.0.93: a TIFF in which 0 is white is turned over at 8 bits, not at 16.
#
# PhotometricInterpretation 0 (TIFF 6.0, tag 262) says that 0 is white and the largest value black; scanners and X-ray
# machines write it. Pillow and OpenCV turn such values over when they have 8 bits, so that black is 0 in the array as
# of any other file. At 16 bits Pillow does not. OpenCV's IMREAD_COLOR and IMREAD_GRAYSCALE turn them over and
# IMREAD_UNCHANGED and IMREAD_ANYDEPTH do not, though all four do at 8 bits: one file is a negative or not, by the flag,
# and a set that was converted from 16 to 8 bits has another polarity than its originals. libvips turns both over,
# tifffile (and imageio with it) neither. Nothing in the array tells which it is. (OpenCV's IMREAD_UNCHANGED does so
# since its pull request 9564.)
# Seen with: pillow 13.0.0, opencv-python-headless 5.0.0.93, pyvips 3.2.0 and pyvips-binary 8.18.7, tifffile 2026.3.3,
# numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check pillow==13.0.0 \
    opencv-python-headless==5.0.0.93 pyvips==3.2.0 pyvips-binary==8.18.7 tifffile==2026.3.3 numpy==2.4.6

cat > look.py <<'PYTHON'
import cv2
import numpy as np
import pyvips
import tifffile
from PIL import Image

FLAGS = ("IMREAD_COLOR", "IMREAD_GRAYSCALE", "IMREAD_ANYDEPTH", "IMREAD_UNCHANGED")
stored = np.uint8([[0, 50, 200, 255]])
for bits, pixels in ((8, stored), (16, stored.astype(np.uint16) * 257)):
    for zero in ("black", "white"):
        name = f"{bits}_{zero}.tiff"
        tifffile.imwrite(name, pixels, photometric=f"minis{zero}")
        with Image.open(name) as image:
            outputs = {f"Pillow, mode {image.mode}": np.asarray(image)}
        for flag in FLAGS:
            image = cv2.imread(name, getattr(cv2, flag))
            outputs[f"OpenCV, {flag}"] = image if image.ndim == 2 else image[..., 0]
        outputs["libvips"] = pyvips.Image.new_from_file(name).numpy()
        outputs["tifffile"] = tifffile.imread(name)
        for reader, image in outputs.items():
            levels = image[0].astype(int) // (257 if image.dtype.itemsize == 2 else 1)
            print(f"{bits} bits, 0 is {zero}, {reader}: {levels.tolist()} of {image.dtype.itemsize * 8} bits")
PYTHON

cat > expected <<'TEXT'
8 bits, 0 is black, Pillow, mode L: [0, 50, 200, 255] of 8 bits
8 bits, 0 is black, OpenCV, IMREAD_COLOR: [0, 50, 200, 255] of 8 bits
8 bits, 0 is black, OpenCV, IMREAD_GRAYSCALE: [0, 50, 200, 255] of 8 bits
8 bits, 0 is black, OpenCV, IMREAD_ANYDEPTH: [0, 50, 200, 255] of 8 bits
8 bits, 0 is black, OpenCV, IMREAD_UNCHANGED: [0, 50, 200, 255] of 8 bits
8 bits, 0 is black, libvips: [0, 50, 200, 255] of 8 bits
8 bits, 0 is black, tifffile: [0, 50, 200, 255] of 8 bits
8 bits, 0 is white, Pillow, mode L: [255, 205, 55, 0] of 8 bits
8 bits, 0 is white, OpenCV, IMREAD_COLOR: [255, 205, 55, 0] of 8 bits
8 bits, 0 is white, OpenCV, IMREAD_GRAYSCALE: [255, 205, 55, 0] of 8 bits
8 bits, 0 is white, OpenCV, IMREAD_ANYDEPTH: [255, 205, 55, 0] of 8 bits
8 bits, 0 is white, OpenCV, IMREAD_UNCHANGED: [255, 205, 55, 0] of 8 bits
8 bits, 0 is white, libvips: [255, 205, 55, 0] of 8 bits
8 bits, 0 is white, tifffile: [0, 50, 200, 255] of 8 bits
16 bits, 0 is black, Pillow, mode I;16: [0, 50, 200, 255] of 16 bits
16 bits, 0 is black, OpenCV, IMREAD_COLOR: [0, 50, 200, 255] of 8 bits
16 bits, 0 is black, OpenCV, IMREAD_GRAYSCALE: [0, 50, 200, 255] of 8 bits
16 bits, 0 is black, OpenCV, IMREAD_ANYDEPTH: [0, 50, 200, 255] of 16 bits
16 bits, 0 is black, OpenCV, IMREAD_UNCHANGED: [0, 50, 200, 255] of 16 bits
16 bits, 0 is black, libvips: [0, 50, 200, 255] of 16 bits
16 bits, 0 is black, tifffile: [0, 50, 200, 255] of 16 bits
16 bits, 0 is white, Pillow, mode I;16: [0, 50, 200, 255] of 16 bits
16 bits, 0 is white, OpenCV, IMREAD_COLOR: [255, 205, 55, 0] of 8 bits
16 bits, 0 is white, OpenCV, IMREAD_GRAYSCALE: [255, 205, 55, 0] of 8 bits
16 bits, 0 is white, OpenCV, IMREAD_ANYDEPTH: [0, 50, 200, 255] of 16 bits
16 bits, 0 is white, OpenCV, IMREAD_UNCHANGED: [0, 50, 200, 255] of 16 bits
16 bits, 0 is white, libvips: [255, 205, 55, 0] of 16 bits
16 bits, 0 is white, tifffile: [0, 50, 200, 255] of 16 bits
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
