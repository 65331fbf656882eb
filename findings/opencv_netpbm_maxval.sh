#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: white of a binary PGM with maxval 15 is 15, of the same PGM in text 255.
#
# Netpbm's pages on the formats say that samples are proportional to intensity and that maxval is white; there are files
# with other maxvals than 255, of cameras with four or twelve bits. Pillow scales them all. OpenCV scales the numbers of
# text (P2, P3) up to 255 and takes those of binary files (P5, P6) as they come, so that one picture in two spellings has
# two brightnesses, one of them nearly black, and IMREAD_UNCHANGED too differs between them. Above 255 IMREAD_COLOR drops
# the lower eight bits, whatever maxval is: white of twelve bits, 4095, is 15 in both spellings. What maxval was, no
# function tells.
# Seen with: opencv-python-headless 5.0.0.93, pillow 13.0.0, numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6

cat > look.py <<'PYTHON'
import io

import cv2
import numpy as np
from PIL import Image


def write(values, maximum, text):
    """Returns a PGM or PPM of one row, binary or as text."""
    gray = values.ndim == 1
    kind = {(True, True): 2, (False, True): 3, (True, False): 5, (False, False): 6}[gray, text]
    if text:
        body = " ".join(map(str, values.ravel())).encode() + b"\n"
    else:
        body = values.astype(">u2" if maximum > 255 else "u1").tobytes()
    return b"P%d\n%d 1\n%d\n" % (kind, len(values), maximum) + body


for maximum in (255, 15, 100, 4095, 65535):
    gray = np.array([0, maximum // 2, maximum])
    for values in (gray, np.stack([gray] * 3, -1)):
        for text in (True, False):
            file = write(values, maximum, text)
            image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
            raw = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
            with Image.open(io.BytesIO(file)) as other:
                white = np.asarray(other).max() / (65535 if other.mode == "I" else 255)
            print(
                f"P{file[1:2].decode()}, maxval {maximum}: IMREAD_COLOR {image[0, :, 0].tolist()}, "
                f"IMREAD_UNCHANGED {raw[0].reshape(3, -1)[:, 0].tolist()}, Pillow's white {white:.2f}"
            )
PYTHON

cat > expected <<'TEXT'
P2, maxval 255: IMREAD_COLOR [0, 127, 255], IMREAD_UNCHANGED [0, 127, 255], Pillow's white 1.00
P5, maxval 255: IMREAD_COLOR [0, 127, 255], IMREAD_UNCHANGED [0, 127, 255], Pillow's white 1.00
P3, maxval 255: IMREAD_COLOR [0, 127, 255], IMREAD_UNCHANGED [0, 127, 255], Pillow's white 1.00
P6, maxval 255: IMREAD_COLOR [0, 127, 255], IMREAD_UNCHANGED [0, 127, 255], Pillow's white 1.00
P2, maxval 15: IMREAD_COLOR [0, 119, 255], IMREAD_UNCHANGED [0, 119, 255], Pillow's white 1.00
P5, maxval 15: IMREAD_COLOR [0, 7, 15], IMREAD_UNCHANGED [0, 7, 15], Pillow's white 1.00
P3, maxval 15: IMREAD_COLOR [0, 119, 255], IMREAD_UNCHANGED [0, 119, 255], Pillow's white 1.00
P6, maxval 15: IMREAD_COLOR [0, 7, 15], IMREAD_UNCHANGED [0, 7, 15], Pillow's white 1.00
P2, maxval 100: IMREAD_COLOR [0, 127, 255], IMREAD_UNCHANGED [0, 127, 255], Pillow's white 1.00
P5, maxval 100: IMREAD_COLOR [0, 50, 100], IMREAD_UNCHANGED [0, 50, 100], Pillow's white 1.00
P3, maxval 100: IMREAD_COLOR [0, 127, 255], IMREAD_UNCHANGED [0, 127, 255], Pillow's white 1.00
P6, maxval 100: IMREAD_COLOR [0, 50, 100], IMREAD_UNCHANGED [0, 50, 100], Pillow's white 1.00
P2, maxval 4095: IMREAD_COLOR [0, 7, 15], IMREAD_UNCHANGED [0, 2047, 4095], Pillow's white 1.00
P5, maxval 4095: IMREAD_COLOR [0, 7, 15], IMREAD_UNCHANGED [0, 2047, 4095], Pillow's white 1.00
P3, maxval 4095: IMREAD_COLOR [0, 7, 15], IMREAD_UNCHANGED [0, 2047, 4095], Pillow's white 1.00
P6, maxval 4095: IMREAD_COLOR [0, 7, 15], IMREAD_UNCHANGED [0, 2047, 4095], Pillow's white 1.00
P2, maxval 65535: IMREAD_COLOR [0, 127, 255], IMREAD_UNCHANGED [0, 32767, 65535], Pillow's white 1.00
P5, maxval 65535: IMREAD_COLOR [0, 127, 255], IMREAD_UNCHANGED [0, 32767, 65535], Pillow's white 1.00
P3, maxval 65535: IMREAD_COLOR [0, 127, 255], IMREAD_UNCHANGED [0, 32767, 65535], Pillow's white 1.00
P6, maxval 65535: IMREAD_COLOR [0, 127, 255], IMREAD_UNCHANGED [0, 32767, 65535], Pillow's white 1.00
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
