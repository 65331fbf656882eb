#!/usr/bin/env bash
# MindSpore 2.10.0 on the CPU: bicubic interpolation has one cubic with align_corners and another one without.
#
# A cubic filter has a free number, the slope one pixel away from its middle. PyTorch's is -0.75 always, Pillow's and
# torchvision's with antialias -0.5. ops.interpolate and nn.Upsample take -0.75 with align_corners=True and -0.5 with
# False, which is the one that networks use: position embeddings that are resized for another image size, which is
# written in PyTorch's words in every port of a transformer, differ from PyTorch's by up to 0.3 on normal numbers, and a
# test with align_corners=True, or of a smooth image, finds the two libraries equal. Seen from the weights of one pixel:
# its least weight is -0.050 or -0.094. Arguments and documentation are those of PyTorch; the number is in neither.
# Seen with: mindspore 2.10.0, numpy 1.26.4, Python 3.11, Linux x86-64. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check mindspore==2.10.0 numpy==1.26.4

cat > look.py <<'PYTHON'
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

SIZE, LONGER = 9, 17


def cubic(distance, a):
    """The weight of a pixel at this distance; `a` is the slope of the curve one pixel away, where it is zero."""
    s = np.abs(distance)
    near = (a + 2) * s**3 - (a + 3) * s**2 + 1
    far = a * s**3 - 5 * a * s**2 + 8 * a * s - 4 * a
    return np.where(s <= 1, near, np.where(s < 2, far, 0))


def positions(corners):
    """Where in the row of 9 the pixels of the row of 17 lie."""
    index = np.arange(LONGER)
    return index * (SIZE - 1) / (LONGER - 1) if corners else (index + 0.5) * SIZE / LONGER - 0.5


FUNCTIONS = {
    "ops.interpolate": lambda x, corners: ops.interpolate(x, (SIZE, LONGER), mode="bicubic", align_corners=corners),
    "nn.Upsample": lambda x, corners: nn.Upsample((SIZE, LONGER), mode="bicubic", align_corners=corners)(x),
}
impulse = np.zeros((1, 1, SIZE, SIZE), np.float32)
impulse[..., 4] = 1
for name, mode in {"PyNative": ms.PYNATIVE_MODE, "graph": ms.GRAPH_MODE}.items():
    ms.set_context(mode=mode)
    for function, call in FUNCTIONS.items():
        for corners in (False, True):
            row = call(Tensor(impulse), corners).asnumpy()[0, 0, 4]
            errors = {a: np.abs(row - cubic(positions(corners) - 4, a)).max() for a in (-0.5, -0.75)}
            a = min(errors, key=errors.get)
            least = f"least weight {row.min():.3f}, largest {row.max():.3f}"
            print(f"{name}, {function}, align_corners={corners}: a = {a} to {errors[a]:.3f}, {least}")
PYTHON

cat > expected <<'TEXT'
PyNative, ops.interpolate, align_corners=False: a = -0.5 to 0.000, least weight -0.050, largest 1.000
PyNative, ops.interpolate, align_corners=True: a = -0.75 to 0.000, least weight -0.094, largest 1.000
PyNative, nn.Upsample, align_corners=False: a = -0.5 to 0.000, least weight -0.050, largest 1.000
PyNative, nn.Upsample, align_corners=True: a = -0.75 to 0.000, least weight -0.094, largest 1.000
graph, ops.interpolate, align_corners=False: a = -0.5 to 0.000, least weight -0.050, largest 1.000
graph, ops.interpolate, align_corners=True: a = -0.75 to 0.000, least weight -0.094, largest 1.000
graph, nn.Upsample, align_corners=False: a = -0.5 to 0.000, least weight -0.050, largest 1.000
graph, nn.Upsample, align_corners=True: a = -0.75 to 0.000, least weight -0.094, largest 1.000
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
