#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: white of a 16-bit BMP is (248, 248, 248), or a green one, (248, 252, 248).
#
# BMP files of 16 bits have 5 bits for each colour, or 6 for green; displays, microcontrollers' cameras and old sets of
# icons write them. The largest number is full intensity, so that 31 is 255; OpenCV shifts by three bits and fills with
# zeros, so that nothing in such an image is brighter than 248, or 252 in green, and paper, sky and saturation are off
# by seven levels. Whatever looks for 255 finds nothing, and grey pixels of the second sort turn greenish.
# IMREAD_UNCHANGED, COLOR and GRAYSCALE do the same. Pillow spreads 0 to 31 over 0 to 255.
# Seen with: opencv-python-headless 5.0.0.93, pillow 13.0.0, numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    pillow==13.0.0 numpy==2.4.6

cat > look.py <<'PYTHON'
import struct

import cv2
import numpy as np
from PIL import Image

RED, GREEN, BLUE = (1, 0, 0), (0, 1, 0), (0, 0, 1)
COLOURS = {"white": (1, 1, 1), "black": (0, 0, 0), "red": RED, "green": GREEN, "blue": BLUE}


def bmp(green_bits, pixels):
    """A BMP file with one row of 16-bit pixels: 5, 5 and 5 bits, or by masks 5, 6 and 5."""
    masks = struct.pack("<3I", 0xF800, 0x07E0, 0x001F) if green_bits == 6 else b""
    data = struct.pack(f"<{len(pixels)}H", *pixels) + b"\0\0" * (len(pixels) % 2)
    start = 14 + 40 + len(masks)
    header = struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start)
    compression = 3 if masks else 0  # BI_BITFIELDS, BI_RGB
    about = struct.pack("<IiiHHIIiiII", 40, len(pixels), 1, 1, 16, compression, len(data), 0, 0, 0, 0)
    return header + about + masks + data


def shown(array):
    return ", ".join(f"{name} {tuple(pixel.tolist())}" for name, pixel in zip(COLOURS, array[0], strict=True))


for green_bits in (5, 6):
    greatest = 2**green_bits - 1
    pixels = [(r * 31 << 5 + green_bits) | (g * greatest << 5) | b * 31 for r, g, b in COLOURS.values()]
    with open("image.bmp", "wb") as file:
        file.write(bmp(green_bits, pixels))
    print(f"5, {green_bits} and 5 bits:")
    print(f"    Pillow: {shown(np.asarray(Image.open('image.bmp')))}")
    for flag in ("IMREAD_COLOR", "IMREAD_UNCHANGED"):
        print(f"    OpenCV, {flag}: {shown(cv2.imread('image.bmp', getattr(cv2, flag))[..., ::-1])}")
    grey = cv2.imread("image.bmp", cv2.IMREAD_GRAYSCALE)
    reference = Image.open("image.bmp").convert("L").getpixel((0, 0))
    print(f"    OpenCV, IMREAD_GRAYSCALE: white {grey[0, 0]}; Pillow {reference}")
PYTHON

cat > expected <<'TEXT'
5, 5 and 5 bits:
    Pillow: white (255, 255, 255), black (0, 0, 0), red (255, 0, 0), green (0, 255, 0), blue (0, 0, 255)
    OpenCV, IMREAD_COLOR: white (248, 248, 248), black (0, 0, 0), red (248, 0, 0), green (0, 248, 0), blue (0, 0, 248)
    OpenCV, IMREAD_UNCHANGED: white (248, 248, 248), black (0, 0, 0), red (248, 0, 0), green (0, 248, 0), blue (0, 0, 248)
    OpenCV, IMREAD_GRAYSCALE: white 248; Pillow 255
5, 6 and 5 bits:
    Pillow: white (255, 255, 255), black (0, 0, 0), red (255, 0, 0), green (0, 255, 0), blue (0, 0, 255)
    OpenCV, IMREAD_COLOR: white (248, 252, 248), black (0, 0, 0), red (248, 0, 0), green (0, 252, 0), blue (0, 0, 248)
    OpenCV, IMREAD_UNCHANGED: white (248, 252, 248), black (0, 0, 0), red (248, 0, 0), green (0, 252, 0), blue (0, 0, 248)
    OpenCV, IMREAD_GRAYSCALE: white 250; Pillow 255
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
