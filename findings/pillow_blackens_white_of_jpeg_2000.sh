#!/usr/bin/env bash
# pillow 13.0.0: white is black in a colour JPEG 2000 of more than 8 bits, and alpha of 1 is 0.
#
# Pillow gives such images mode "RGB" or "RGBA", 8 bits, and rounds: half a step is added before the lower bits are
# shifted out. Nothing stops the sum at the top, so that what would be 256 is stored as 0: of 12 bits 4088 to 4095 are
# black, and of 16 bits all from 65408 on, half of a grey level. A burnt-out sky, snow or a scanned page's paper has
# black holes, an opaque image is transparent everywhere, and all else is right, so that a mean or a look at a dark
# picture shows nothing. Grey of 10 bits and more is mode "I;16", without rounding, and right; grey of 9 bits is mode
# "L", and wrong. OpenCV cuts the lower bits off. Satellite images (Sentinel-2's are JPEG 2000), digital cinema and
# medical archives have such files, and lossy ones are hit as lossless ones are.
# Seen with: pillow 13.0.0, opencv-python-headless 5.0.0.93, imagecodecs 2026.3.6, numpy 2.4.6, Python 3.11. Output
# seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check pillow==13.0.0 \
    opencv-python-headless==5.0.0.93 imagecodecs==2026.3.6 numpy==2.4.6

cat > look.py <<'PYTHON'
import io

import cv2
import imagecodecs
import numpy as np
from PIL import Image


def show(bits, kind):
    top, step = 2**bits - 1, 2 ** (bits - 8)
    levels = [0, top // 2, top - step, top - step // 2, top - step // 2 + 1, top]
    row = np.array(levels).repeat(8)
    grey = np.tile(row, (8, 1)).astype(np.uint16 if bits > 8 else np.uint8)
    planes = {"grey": [grey], "colour": [grey] * 3, "colour and alpha": [grey] * 3 + [np.full_like(grey, top)]}[kind]
    pixels = np.ascontiguousarray(np.stack(planes, axis=2)) if len(planes) > 1 else grey
    data = imagecodecs.jpeg2k_encode(pixels, level=0, bitspersample=bits, codecformat="jp2")
    decoded = imagecodecs.jpeg2k_decode(data)
    print(f"{bits} bits, {kind}: stored", np.atleast_3d(decoded)[0, ::8, 0].tolist())
    with Image.open(io.BytesIO(data)) as image:
        values = np.atleast_3d(np.asarray(image))[0, ::8]
        alpha = f", alpha {values[0, 3]}" if kind == "colour and alpha" else ""
        print(f"    Pillow, mode {image.mode}: {values[:, 0].tolist()}{alpha}")
    print("    OpenCV:", cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[0, ::8, 0].tolist())


show(8, "colour")
for bits in (9, 10, 12, 16):
    show(bits, "colour")
show(12, "colour and alpha")
for bits in (9, 12):
    show(bits, "grey")
white = np.full((64, 64, 3), 65535, np.uint16)
data = imagecodecs.jpeg2k_encode(white, level=60, codecformat="jp2")
with Image.open(io.BytesIO(data)) as image:
    print("a white image, lossy, 16 bits, Pillow:", np.unique(np.asarray(image)).tolist())
PYTHON

cat > expected <<'TEXT'
8 bits, colour: stored [0, 127, 254, 255, 0, 255]
    Pillow, mode RGB: [0, 127, 254, 255, 0, 255]
    OpenCV: [0, 127, 254, 255, 0, 255]
9 bits, colour: stored [0, 255, 509, 510, 511, 511]
    Pillow, mode RGB: [0, 128, 255, 255, 0, 0]
    OpenCV: [0, 127, 254, 255, 255, 255]
10 bits, colour: stored [0, 511, 1019, 1021, 1022, 1023]
    Pillow, mode RGB: [0, 128, 255, 255, 0, 0]
    OpenCV: [0, 127, 254, 255, 255, 255]
12 bits, colour: stored [0, 2047, 4079, 4087, 4088, 4095]
    Pillow, mode RGB: [0, 128, 255, 255, 0, 0]
    OpenCV: [0, 127, 254, 255, 255, 255]
16 bits, colour: stored [0, 32767, 65279, 65407, 65408, 65535]
    Pillow, mode RGB: [0, 128, 255, 255, 0, 0]
    OpenCV: [0, 127, 254, 255, 255, 255]
12 bits, colour and alpha: stored [0, 2047, 4079, 4087, 4088, 4095]
    Pillow, mode RGBA: [0, 128, 255, 255, 0, 0], alpha 0
    OpenCV: [0, 127, 254, 255, 255, 255]
9 bits, grey: stored [0, 255, 509, 510, 511, 511]
    Pillow, mode L: [0, 128, 255, 255, 0, 0]
    OpenCV: [0, 127, 254, 255, 255, 255]
12 bits, grey: stored [0, 2047, 4079, 4087, 4088, 4095]
    Pillow, mode I;16: [0, 32752, 65264, 65392, 65408, 65520]
    OpenCV: [0, 127, 254, 255, 255, 255]
a white image, lossy, 16 bits, Pillow: [0]
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
