#!/usr/bin/env bash
# pillow 13.0.0, opencv-python-headless 5.0.0.93: around a small first frame of a GIF are three different colours.
#
# A GIF's first frame may be smaller than the picture, as programs that shrink animations make it, and nothing says what
# is around it: the background colour of the header, which the specification names for that, or nothing, as browsers
# draw it. Pillow, and imageio by it, paint it in colour 0 of the palette, whatever that is (red here), as opaque
# pixels. OpenCV takes the background colour, libvips black. A frame as large as the picture is the same in all, so that
# only some files of a set have a coloured border, and another one after each change of decoder. (mindcv reads GIF by
# Pillow.)
# Seen with: pillow 13.0.0, imageio 2.38.1, opencv-python-headless 5.0.0.93, pyvips 3.2.0 and pyvips-binary 8.18.7,
# numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check pillow==13.0.0 imageio==2.38.1 \
    opencv-python-headless==5.0.0.93 pyvips==3.2.0 pyvips-binary==8.18.7 numpy==2.4.6

cat > look.py <<'PYTHON'
import struct
from pathlib import Path

import cv2
import imageio.v3
import numpy as np
import pyvips
from PIL import Image

PALETTE = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (255, 255, 255)]
WIDTH, HEIGHT = 4, 2


def packed(pixels):
    """Indices of two bits as GIF's LZW with codes of three bits: a clear code before each pair keeps them so short."""
    codes = []
    for start in range(0, len(pixels), 2):
        codes += [4, *pixels[start : start + 2]]
    bits = "".join(f"{code:03b}"[::-1] for code in [*codes, 5])
    data = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))
    return b"\x02" + bytes([len(data)]) + data + b"\0"


def gif(x, y, width, height, index):
    """One frame of one colour on a canvas of 4 by 2 pixels; the background is colour 3, white."""
    screen = struct.pack("<HHBBB", WIDTH, HEIGHT, 0xF1, 3, 0)
    frame = b"\x2c" + struct.pack("<HHHHB", x, y, width, height, 0)
    return b"GIF89a" + screen + bytes(np.ravel(PALETTE).tolist()) + frame + packed([index] * (width * height)) + b"\x3b"


def by_imageio(name):
    return imageio.v3.imread(name, index=0)


READERS = {
    "Pillow": lambda name: np.asarray(Image.open(name).convert("RGB")),
    "imageio": by_imageio,
    "OpenCV, IMREAD_COLOR": lambda name: cv2.imread(name)[..., ::-1],
    "OpenCV, IMREAD_UNCHANGED": lambda name: cv2.imread(name, cv2.IMREAD_UNCHANGED)[..., [2, 1, 0]],
    "libvips": lambda name: pyvips.Image.new_from_buffer(Path(name).read_bytes(), "").numpy(),
}
for what, place in {"the whole canvas": (0, 0, 4, 2), "the middle of it": (1, 0, 2, 2)}.items():
    Path("image.gif").write_bytes(gif(*place, 1))
    print(f"a green frame over {what}:")
    for reader, read in READERS.items():
        pixels = read("image.gif")
        print(f"    {reader}: {pixels.shape}, corner {pixels[0, 0].tolist()}, middle {pixels[0, 1].tolist()}")
PYTHON

cat > expected <<'TEXT'
a green frame over the whole canvas:
    Pillow: (2, 4, 3), corner [0, 200, 0], middle [0, 200, 0]
    imageio: (2, 4, 3), corner [0, 200, 0], middle [0, 200, 0]
    OpenCV, IMREAD_COLOR: (2, 4, 3), corner [0, 200, 0], middle [0, 200, 0]
    OpenCV, IMREAD_UNCHANGED: (2, 4, 3), corner [0, 200, 0], middle [0, 200, 0]
    libvips: (2, 4, 3), corner [0, 200, 0], middle [0, 200, 0]
a green frame over the middle of it:
    Pillow: (2, 4, 3), corner [200, 0, 0], middle [0, 200, 0]
    imageio: (2, 4, 3), corner [200, 0, 0], middle [0, 200, 0]
    OpenCV, IMREAD_COLOR: (2, 4, 3), corner [255, 255, 255], middle [0, 200, 0]
    OpenCV, IMREAD_UNCHANGED: (2, 4, 3), corner [255, 255, 255], middle [0, 200, 0]
    libvips: (2, 4, 3), corner [0, 0, 0], middle [0, 200, 0]
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
