#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: warpAffine moves float32 as told, float64 and two channels in steps of 1/32 pixel.
#
# The documentation of warpAffine has dst(x, y) = src(M11 x + M12 y + M13, M21 x + M22 y + M23) and linear interpolation,
# that of remap dst(x, y) = src(map_x(x, y), map_y(x, y)). OpenCV 4 takes that place to the nearest 1/32 of a pixel first:
# an image moved by 0.01 stays, one moved by 0.1 is moved by 3/32. OpenCV 5 takes the place as it is, for uint16 and
# float32 of one or three channels, and does as OpenCV 4 for int16, for float64 and for two channels. So the type with the
# larger precision is moved with the lesser one, and a map of two channels (optical flow, an image with its mask)
# otherwise than its two halves one by one. Pillow's transform moves by what it is told.
# Seen with: opencv-python-headless 4.14.0.94 and 5.0.0.93, pillow 13.0.0, numpy 2.4.6, Python 3.11.
# Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for version in 4.14.0.94 5.0.0.93; do
    "${PYTHON:-python3.11}" -m venv "$version"
    "$version/bin/pip" install --quiet --disable-pip-version-check "opencv-python-headless==$version" \
        pillow==13.0.0 numpy==2.4.6
done

cat > look.py <<'PYTHON'
import cv2
import numpy as np
from PIL import Image

SHIFTS = (0.01, 0.1, 0.2)
rows, columns = np.mgrid[:64, :64].astype(np.float32)


def by_matrix(image, shift):
    return cv2.warpAffine(image, np.float64([[1, 0, -shift], [0, 1, 0]]), (64, 64), flags=cv2.INTER_LINEAR)


def by_map(image, shift):
    return cv2.remap(image, columns + np.float32(shift), rows, cv2.INTER_LINEAR)


def moved(way, dtype, channels, step):
    """Returns by how much a ramp that rises by `step` a column was moved, in pixels."""
    ramp = np.tile(np.arange(64) * step, (64, 1)).astype(dtype)
    image = ramp if channels == 1 else np.dstack([ramp] * channels)
    moves = [(way(image, shift).reshape(64, 64, -1)[32, 32, 0] - float(ramp[32, 32])) / step for shift in SHIFTS]
    return " ".join(f"{move:.3f}" for move in moves)


version = "OpenCV " + cv2.__version__
print(version, "is told to move by", *SHIFTS)
for dtype, step in (("float32", 1), ("float64", 1), ("uint16", 1000), ("int16", 500)):
    for channels in (1, 2, 3):
        values = [moved(way, dtype, channels, step) for way in (by_matrix, by_map)]
        print(f"{version}, {dtype}, channels {channels}: warpAffine {values[0]}, remap {values[1]}")
image = Image.fromarray(np.tile(np.arange(64, dtype=np.float32), (64, 1)))
for shift in SHIFTS:
    moved_image = image.transform((64, 64), Image.Transform.AFFINE, (1, 0, shift, 0, 1, 0), Image.Resampling.BILINEAR)
    print(f"Pillow, {shift}: {moved_image.getpixel((32, 32)) - 32:.3f}")
PYTHON

cat > expected <<'TEXT'
OpenCV 4.14.0 is told to move by 0.01 0.1 0.2
OpenCV 4.14.0, float32, channels 1: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, float32, channels 2: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, float32, channels 3: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, float64, channels 1: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, float64, channels 2: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, float64, channels 3: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, uint16, channels 1: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, uint16, channels 2: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, uint16, channels 3: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, int16, channels 1: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, int16, channels 2: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 4.14.0, int16, channels 3: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
Pillow, 0.01: 0.010
Pillow, 0.1: 0.100
Pillow, 0.2: 0.200
OpenCV 5.0.0 is told to move by 0.01 0.1 0.2
OpenCV 5.0.0, float32, channels 1: warpAffine 0.010 0.100 0.200, remap 0.010 0.100 0.200
OpenCV 5.0.0, float32, channels 2: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 5.0.0, float32, channels 3: warpAffine 0.010 0.100 0.200, remap 0.010 0.100 0.200
OpenCV 5.0.0, float64, channels 1: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 5.0.0, float64, channels 2: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 5.0.0, float64, channels 3: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 5.0.0, uint16, channels 1: warpAffine 0.010 0.100 0.200, remap 0.010 0.100 0.200
OpenCV 5.0.0, uint16, channels 2: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 5.0.0, uint16, channels 3: warpAffine 0.010 0.100 0.200, remap 0.010 0.100 0.200
OpenCV 5.0.0, int16, channels 1: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 5.0.0, int16, channels 2: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
OpenCV 5.0.0, int16, channels 3: warpAffine 0.000 0.094 0.188, remap 0.000 0.094 0.188
Pillow, 0.01: 0.010
Pillow, 0.1: 0.100
Pillow, 0.2: 0.200
TEXT

for version in 4.14.0.94 5.0.0.93; do
    "$version/bin/python" look.py 2>> errors
done | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
