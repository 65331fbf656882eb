#!/usr/bin/env bash
# pillow 13.0.0: a 16-bit RGB TIFF whose colours lie one after the other comes as the bytes of its left half.
#
# With PlanarConfiguration 2 (TIFF 6.0, tag 284) all red samples come first, then the green, then the blue ones;
# satellite images are often stored so. Of 16 bits Pillow gives mode "RGB", the upper byte of each sample. If the file
# is not compressed and in planes, it takes each byte for a pixel instead: a low one, a high one, a low one, so that the
# left half is drawn over the whole width with noise in every second column, and the right half is lost. Size and mode
# are the right ones. The same samples in planes with zlib or LZW, which libtiff reads, are right, and so are those of 8
# bits and those that lie pixel by pixel. Big-endian files have the high byte first.
# Seen with: pillow 13.0.0, tifffile 2026.3.3, imagecodecs 2026.3.6, numpy 2.4.6, Python 3.11. Output seen: `expected`
# below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 \
    imagecodecs==2026.3.6 numpy==2.4.6

cat > look.py <<'PYTHON'
import numpy as np
import tifffile
from PIL import Image

# The upper byte of a sample is 10 times its column (from 1 on) plus its colour, the lower one always 7.
columns = np.arange(1, 7) * 10
upper = np.stack([columns, columns + 1, columns + 2], axis=1)[None].repeat(2, axis=0)
wide = (upper * 256 + 7).astype(np.uint16)


def show(what, pixels, planar, compression=None, byteorder="<"):
    if planar == "separate":
        pixels = np.moveaxis(pixels, 2, 0)
    tifffile.imwrite(
        "image.tiff", pixels, photometric="rgb", planarconfig=planar, compression=compression, byteorder=byteorder
    )
    with Image.open("image.tiff") as image:
        row = np.asarray(image)[0]
        size = f"{image.width} by {image.height}"
        print(f"{what}: {image.mode}, {size}, red {row[:, 0].tolist()}, blue {row[:, 2].tolist()}")


print(f"upper bytes: red {upper[0, :, 0].tolist()}, blue {upper[0, :, 2].tolist()}")
show("16 bits, pixel by pixel", wide, "contig")
show("16 bits, planes", wide, "separate")
show("16 bits, planes, big-endian", wide, "separate", byteorder=">")
show("16 bits, planes, zlib", wide, "separate", "zlib")
show("16 bits, planes, LZW", wide, "separate", "lzw")
show("8 bits, planes", upper.astype(np.uint8), "separate")
PYTHON

cat > expected <<'TEXT'
upper bytes: red [10, 20, 30, 40, 50, 60], blue [12, 22, 32, 42, 52, 62]
16 bits, pixel by pixel: RGB, 6 by 2, red [10, 20, 30, 40, 50, 60], blue [12, 22, 32, 42, 52, 62]
16 bits, planes: RGB, 6 by 2, red [7, 10, 7, 20, 7, 30], blue [7, 12, 7, 22, 7, 32]
16 bits, planes, big-endian: RGB, 6 by 2, red [10, 7, 20, 7, 30, 7], blue [12, 7, 22, 7, 32, 7]
16 bits, planes, zlib: RGB, 6 by 2, red [10, 20, 30, 40, 50, 60], blue [12, 22, 32, 42, 52, 62]
16 bits, planes, LZW: RGB, 6 by 2, red [10, 20, 30, 40, 50, 60], blue [12, 22, 32, 42, 52, 62]
8 bits, planes: RGB, 6 by 2, red [10, 20, 30, 40, 50, 60], blue [12, 22, 32, 42, 52, 62]
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
