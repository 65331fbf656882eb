#!/usr/bin/env bash
# MNN 3.6.1: an image enlarged by Resize (cubic) has the wrong first row and first column, the last ones are right.
#
# With half_pixel, which is what PyTorch writes for bicubic interpolation without align_corners, the first new pixel
# of an image that is doubled lies at -0.25, before the first old one. A cubic takes the floor of that, -1, and the
# rest, 0.75. MNN's CPU backend has the rest of the floor, and the place without its fraction, which is 0: so it
# computes the pixel at 0.75. The first column is the same as the third, and the first row as the third, in a place
# where an image's corner is, or a position embedding's: of 14 by 14 embeddings made 16 by 16, the 31 along two edges.
# Twice as large or a little larger, all do it; shrinking, align_corners, asymmetric, linear and the other two edges
# are right. A test with an image of one colour, or with a tolerance for few pixels, passes.
# Seen with: mnn 3.6.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check mnn==3.6.1 onnxruntime==1.32.0 onnx==1.23.2 \
    numpy==2.4.6

cat > look.py <<'PYTHON'
import subprocess

import MNN.expr
import MNN.nn
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def save(shape, size, mode, place):
    cubic = {"cubic_coeff_a": -0.75} if mode == "cubic" else {}
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode=mode, coordinate_transformation_mode=place, **cubic
    )
    sizes = np.array([*shape[:2], *size])
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes.tolist())],
        [numpy_helper.from_array(sizes, "sizes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")
    convert = ["mnnconvert", "-f", "ONNX", "--modelFile", "m.onnx", "--MNNModel", "m.mnn", "--bizCode", "test"]
    subprocess.run(["venv/bin/" + convert[0], *convert[1:]], check=True, capture_output=True)


def run_mnn(x):
    network = MNN.nn.load_module_from_file("m.mnn", ["x"], ["y"])
    y = network.forward([MNN.expr.const(x, list(x.shape), MNN.expr.NCHW, MNN.expr.float)])[0]
    return np.array(MNN.expr.convert(y, MNN.expr.NCHW).read())


def both(x, size, mode, place):
    save(x.shape, size, mode, place)
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0], run_mnn(x)


def row(y):
    return " ".join(f"{value:.3f}" for value in y[0, 0, -1])


ramp = np.tile(np.arange(4, dtype=np.float32), (1, 1, 4, 1))
right, seen = both(ramp, (8, 8), "cubic", "half_pixel")
print(f"columns 0 to 3, doubled: onnxruntime {row(right)}")
print(f"                         MNN         {row(seen)}")

table = np.random.default_rng(0).normal(size=(1, 1, 14, 14)).astype(np.float32)
CASES = [
    ((16, 16), "cubic", "half_pixel"),
    ((28, 28), "cubic", "half_pixel"),
    ((28, 28), "cubic", "pytorch_half_pixel"),
    ((28, 28), "cubic", "align_corners"),
    ((28, 28), "cubic", "asymmetric"),
    ((28, 28), "linear", "half_pixel"),
    ((12, 12), "cubic", "half_pixel"),
]
for size, mode, place in CASES:
    right, seen = both(table, size, mode, place)
    wrong = np.abs(seen - right)[0, 0] > 1e-4
    where = "none" if not wrong.any() else "others than the first row and column"
    if wrong.any() and not wrong[1:, 1:].any():
        where = "in the first row and column"
    print(f"14 by 14 to {size[0]} by {size[1]}, {mode}, {place}: {wrong.sum()} of {wrong.size} wrong, {where}")
PYTHON

cat > expected <<'TEXT'
columns 0 to 3, doubled: onnxruntime -0.105 0.191 0.668 1.297 1.703 2.332 2.809 3.105
                         MNN         0.668 0.191 0.668 1.297 1.703 2.332 2.809 3.105
14 by 14 to 16 by 16, cubic, half_pixel: 31 of 256 wrong, in the first row and column
14 by 14 to 28 by 28, cubic, half_pixel: 55 of 784 wrong, in the first row and column
14 by 14 to 28 by 28, cubic, pytorch_half_pixel: 55 of 784 wrong, in the first row and column
14 by 14 to 28 by 28, cubic, align_corners: 0 of 784 wrong, none
14 by 14 to 28 by 28, cubic, asymmetric: 0 of 784 wrong, none
14 by 14 to 28 by 28, linear, half_pixel: 0 of 784 wrong, none
14 by 14 to 12 by 12, cubic, half_pixel: 0 of 144 wrong, none
TEXT

venv/bin/python look.py 2> errors | grep -v "^The device supports" | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
