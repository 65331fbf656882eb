#!/usr/bin/env bash
# pillow 13.0.0: rotate and transform cut off the fraction of each pixel, resize rounds it; and their BICUBIC is another.
#
# Image.transform, and rotate, which calls it, store floor(value) of 8-bit images with BILINEAR and BICUBIC: each call
# takes half a level from the mean. RandAugment and AutoAugment on Pillow's images have several in a row; sixteen turns to
# and fro take eight levels from a smooth image. Image.resize by the same part of a pixel rounds. In mode "F" both keep
# the fraction, which tells what is right.
# BICUBIC of transform is the cubic with a = -1, that of resize the one with a = -0.5: half a pixel to the side, four
# pixels weigh -0.125, 0.625, 0.625, -0.125 in the one and -0.0625, 0.5625, 0.5625, -0.0625 in the other, so that edges
# overshoot twice as far. The documentation calls both cubic interpolation, and has neither number nor rounding.
# Seen with: pillow 13.0.0, numpy 2.4.6, Python 3.11. Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6

cat > look.py <<'PYTHON'
import numpy as np
from PIL import Image

AFFINE = Image.Transform.AFFINE
noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)


def by_transform(image, kernel, shift):
    """Returns the image moved to the left by a part of a pixel, less four columns at either side."""
    return np.asarray(image.transform((64, 64), AFFINE, (1, 0, shift, 0, 1, 0), kernel))[:, 4:-4]


def by_resize(image, kernel, shift):
    # The box is as large as the result.
    return np.asarray(image.resize((60, 64), kernel, box=(shift, 0, 60 + shift, 64)))[:, 4:]


for name in ("BILINEAR", "BICUBIC"):
    kernel = Image.Resampling[name]
    for function in (by_transform, by_resize):
        exact = np.clip(function(Image.fromarray(noise.astype(np.float32)), kernel, 0.3).astype(np.float64), 0, 255)
        off = function(Image.fromarray(noise), kernel, 0.3) - exact
        print(f"{name} {function.__name__}: off by {off.min():.1f} to {off.max():.1f}, mean {off.mean():.1f}")
    one = np.zeros((64, 64), np.float32)
    one[:, 32] = 1
    for function in (by_transform, by_resize):
        weights = function(Image.fromarray(one), kernel, 0.5)[8]
        print(f"{name} {function.__name__}: weights", *weights[weights != 0].tolist())

rows, columns = np.mgrid[:128, :128]
smooth = np.uint8(128 + 50 * np.sin(rows / 20) * np.cos(columns / 25))
for mode in ("L", "RGB", "F"):
    image = Image.fromarray(smooth).convert(mode)
    before = np.asarray(image)[48:80, 48:80].mean(dtype=np.float64)
    for _ in range(8):
        image = image.rotate(10, Image.Resampling.BILINEAR).rotate(-10, Image.Resampling.BILINEAR)
    after = np.asarray(image)[48:80, 48:80].mean(dtype=np.float64)
    print(f"{mode}, turned sixteen times by ten degrees: {round(after - before)} levels")
PYTHON

cat > expected <<'TEXT'
BILINEAR by_transform: off by -1.0 to 0.0, mean -0.5
BILINEAR by_resize: off by -0.5 to 0.5, mean -0.0
BILINEAR by_transform: weights 0.5 0.5
BILINEAR by_resize: weights 0.5 0.5
BICUBIC by_transform: off by -1.0 to 0.0, mean -0.5
BICUBIC by_resize: off by -0.5 to 0.5, mean 0.0
BICUBIC by_transform: weights -0.125 0.625 0.625 -0.125
BICUBIC by_resize: weights -0.0625 0.5625 0.5625 -0.0625
L, turned sixteen times by ten degrees: -8 levels
RGB, turned sixteen times by ten degrees: -8 levels
F, turned sixteen times by ten degrees: 0 levels
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
