#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: imread turns a photograph upright as JPEG, PNG and WebP, and leaves it lying as AVIF.
#
# A telephone's photograph is stored as the sensor sees it, with a note on how to turn it. In AVIF the note is no EXIF
# tag but a property of the image (irot, and imir for mirrors), which HEIF's standard counts as part of decoding;
# Pillow, libavif's and libheif's tools make it of EXIF's when they convert. OpenCV looks at EXIF only: a set that is
# converted from JPEG to AVIF to save space lies on its side for it, with width and height exchanged, while IMREAD_COLOR
# turned every file before. libvips has another rule again: it turns AVIF always and the others only when asked
# (autorot), so that two lines of code that agree on JPEG differ by a quarter turn on AVIF. Pillow turns nothing by
# itself and by exif_transpose all four.
# Seen with: opencv-python-headless 5.0.0.93, pillow 13.0.0, pyvips 3.2.0 and pyvips-binary 8.18.7, numpy 2.4.6, Python
# 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    pillow==13.0.0 pyvips==3.2.0 pyvips-binary==8.18.7 numpy==2.4.6

cat > look.py <<'PYTHON'
import cv2
import numpy as np
import pyvips
from PIL import Image, ImageOps

SIDES = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 0): "yellow"}


def photograph():
    """48 by 32 pixels with a colour in each quarter."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    for index, colour in enumerate(SIDES):
        row, column = divmod(index, 2)
        pixels[16 * row : 16 * row + 16, 24 * column : 24 * column + 24] = np.multiply(colour, 220)
    return Image.fromarray(pixels)


def corners(pixels):
    names = [SIDES[tuple((pixels[y, x, :3] > 110).astype(int).tolist())] for y in (4, -5) for x in (4, -5)]
    return f"{pixels.shape[1]} by {pixels.shape[0]}, {names[0]} {names[1]} above {names[2]} {names[3]}"


READERS = {
    "OpenCV, IMREAD_COLOR": lambda name: cv2.imread(name, cv2.IMREAD_COLOR)[..., ::-1],
    "OpenCV, IMREAD_UNCHANGED": lambda name: cv2.imread(name, cv2.IMREAD_UNCHANGED)[..., ::-1],
    "libvips": lambda name: pyvips.Image.new_from_file(name).numpy(),
    "libvips, autorot": lambda name: pyvips.Image.new_from_file(name).autorot().numpy(),
    "Pillow": lambda name: np.asarray(Image.open(name)),
    "Pillow, exif_transpose": lambda name: np.asarray(ImageOps.exif_transpose(Image.open(name))),
}
print(f"stored: {corners(np.asarray(photograph()))}")
for form in ("jpg", "png", "webp", "avif"):
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter; Pillow writes it as the property `irot` into AVIF
    photograph().save(f"image.{form}", exif=exif, quality=90)
    print(f"{form}:")
    for reader, read in READERS.items():
        print(f"    {reader}: {corners(read(f'image.{form}'))}")
PYTHON

cat > expected <<'TEXT'
stored: 48 by 32, red green above blue yellow
jpg:
    OpenCV, IMREAD_COLOR: 32 by 48, blue red above yellow green
    OpenCV, IMREAD_UNCHANGED: 48 by 32, red green above blue yellow
    libvips: 48 by 32, red green above blue yellow
    libvips, autorot: 32 by 48, blue red above yellow green
    Pillow: 48 by 32, red green above blue yellow
    Pillow, exif_transpose: 32 by 48, blue red above yellow green
png:
    OpenCV, IMREAD_COLOR: 32 by 48, blue red above yellow green
    OpenCV, IMREAD_UNCHANGED: 48 by 32, red green above blue yellow
    libvips: 48 by 32, red green above blue yellow
    libvips, autorot: 32 by 48, blue red above yellow green
    Pillow: 48 by 32, red green above blue yellow
    Pillow, exif_transpose: 32 by 48, blue red above yellow green
webp:
    OpenCV, IMREAD_COLOR: 32 by 48, blue red above yellow green
    OpenCV, IMREAD_UNCHANGED: 48 by 32, red green above blue yellow
    libvips: 48 by 32, red green above blue yellow
    libvips, autorot: 32 by 48, blue red above yellow green
    Pillow: 48 by 32, red green above blue yellow
    Pillow, exif_transpose: 32 by 48, blue red above yellow green
avif:
    OpenCV, IMREAD_COLOR: 48 by 32, red green above blue yellow
    OpenCV, IMREAD_UNCHANGED: 48 by 32, red green above blue yellow
    libvips: 32 by 48, blue red above yellow green
    libvips, autorot: 32 by 48, blue red above yellow green
    Pillow: 48 by 32, red green above blue yellow
    Pillow, exif_transpose: 32 by 48, blue red above yellow green
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
