#!/usr/bin/env bash
# pillow 13.0.0: ImageOps.equalize makes a quarter of a 32 by 32 image white.
#
# Equalising spreads the levels so that each is as frequent as any other; the brightest 1/256 of the pixels are white
# then. Pillow finds how many pixels belong to a level by a division of whole numbers, (all pixels - those of the
# brightest level) // 255, and drops the fraction. Of 1024 pixels that is 3 where 4 would be needed: the levels are used
# up after three quarters of the pixels, and the rest is 255, the image a quarter brighter. Of 400 pixels it is 36 % of
# them; of 225 the number is 0, and nothing is done. CIFAR's images, on which AutoAugment was searched, and which its
# policy equalises often, are of 32 by 32; of 224 by 224 pixels it is half a percent more white, which nobody sees.
# OpenCV's equalizeHist divides in float and has no such sizes. The documentation has the purpose only, not the
# rounding.
# Seen with: pillow 13.0.0, opencv-python-headless 5.0.0.93, numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check pillow==13.0.0 \
    opencv-python-headless==5.0.0.93 numpy==2.4.6

cat > look.py <<'PYTHON'
import cv2
import numpy as np
from PIL import Image, ImageOps

for size in (15, 16, 20, 24, 28, 32, 33, 40, 64, 96, 224):
    count = size * size
    # 200 levels from 20 on, all of them equally frequent as far as the number of pixels allows.
    image = (20 + np.arange(count) * 200 // count).astype(np.uint8).reshape(size, size)
    outputs = {
        "Pillow": np.asarray(ImageOps.equalize(Image.fromarray(image))),
        "OpenCV": cv2.equalizeHist(image),
    }
    for name, values in outputs.items():
        white = 100 * np.mean(values == 255)
        levels = f"from {values.min()} to {values.max()}, mean {values.mean():.1f}"
        print(f"{size} by {size}, {name}: {levels}, {white:.1f} % white")
PYTHON

cat > expected <<'TEXT'
15 by 15, Pillow: from 20 to 219, mean 119.1, 0.0 % white
15 by 15, OpenCV: from 0 to 255, mean 127.1, 0.4 % white
16 by 16, Pillow: from 0 to 255, mean 127.3, 0.4 % white
16 by 16, OpenCV: from 0 to 255, mean 127.2, 0.4 % white
20 by 20, Pillow: from 0 to 255, mean 173.1, 36.0 % white
20 by 20, OpenCV: from 0 to 255, mean 127.5, 0.5 % white
24 by 24, Pillow: from 0 to 255, mean 141.7, 11.5 % white
24 by 24, OpenCV: from 0 to 255, mean 127.5, 0.3 % white
28 by 28, Pillow: from 0 to 255, mean 130.0, 2.4 % white
28 by 28, OpenCV: from 0 to 255, mean 127.5, 0.4 % white
32 by 32, Pillow: from 0 to 255, mean 159.1, 25.0 % white
32 by 32, OpenCV: from 0 to 255, mean 127.4, 0.5 % white
33 by 33, Pillow: from 0 to 255, mean 135.1, 6.4 % white
33 by 33, OpenCV: from 0 to 255, mean 127.4, 0.5 % white
40 by 40, Pillow: from 0 to 255, mean 132.4, 4.5 % white
40 by 40, OpenCV: from 0 to 255, mean 127.5, 0.5 % white
64 by 64, Pillow: from 0 to 255, mean 135.3, 6.5 % white
64 by 64, OpenCV: from 0 to 255, mean 127.5, 0.5 % white
96 by 96, Pillow: from 0 to 255, mean 130.9, 3.0 % white
96 by 96, OpenCV: from 0 to 255, mean 127.5, 0.5 % white
224 by 224, Pillow: from 0 to 255, mean 128.0, 1.0 % white
224 by 224, OpenCV: from 0 to 255, mean 127.5, 0.5 % white
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
