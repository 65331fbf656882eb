#!/usr/bin/env bash
# openvino 2026.4.1: a ConvTranspose that names the size of its output reads SAME_UPPER as SAME_LOWER.
#
# Of 3 by 3 pixels a transposed convolution with stride 2 and a kernel of 3 makes 7 by 7, one row and one column more than
# SAME gives. ONNX's ConvTranspose says which are cut: with auto_pad SAME_UPPER pads[start] = total / 2, rounded down, so
# the last ones; with SAME_LOWER the first. OpenVINO does so while `output_shape` is left out. With output_shape [6, 6],
# the size that it has anyway, SAME_UPPER too cuts the first: the image moves by a pixel in both directions, all shapes
# stay. onnxruntime and ONNX's reference agree with the formula. Where the number is even ([5, 5]) nothing shows.
# Seen with: openvino 2026.4.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 1.26.4, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==1.26.4

cat > look.py <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

rng = np.random.default_rng(0)
image = rng.standard_normal((1, 1, 3, 3)).astype(np.float32)
weight = rng.standard_normal((1, 1, 3, 3)).astype(np.float32)
# All that the convolution gives before anything is cut: 7 by 7.
whole = np.zeros((7, 7), np.float32)
for i in range(3):
    for j in range(3):
        whole[2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += image[0, 0, i, j] * weight[0, 0]


def run(**attributes):
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], **attributes)
    graph = helper.make_graph(
        [node],
        "transposed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    file = model.SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return {
        "the reference": ReferenceEvaluator(model).run(None, {"x": image})[0],
        "onnxruntime": session.run(None, {"x": image})[0],
        "OpenVINO": compiled({"x": image})[0],
    }


for auto_pad in ("SAME_UPPER", "SAME_LOWER"):
    for size in (None, 6, 5):
        total = 7 - (size or 6)
        start = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
        for name, y in run(auto_pad=auto_pad, **({"output_shape": [size, size]} if size else {})).items():
            rows = y.shape[2]
            first = [i for i in range(8 - rows) if np.allclose(y[0, 0], whole[i : i + rows, i : i + rows], atol=1e-5)]
            print(f"{auto_pad}, output_shape {size}, {name}: {rows} rows from {first[0]}, the standard {start}")
PYTHON

cat > expected <<'TEXT'
SAME_UPPER, output_shape None, the reference: 6 rows from 0, the standard 0
SAME_UPPER, output_shape None, onnxruntime: 6 rows from 0, the standard 0
SAME_UPPER, output_shape None, OpenVINO: 6 rows from 0, the standard 0
SAME_UPPER, output_shape 6, the reference: 6 rows from 0, the standard 0
SAME_UPPER, output_shape 6, onnxruntime: 6 rows from 0, the standard 0
SAME_UPPER, output_shape 6, OpenVINO: 6 rows from 1, the standard 0
SAME_UPPER, output_shape 5, the reference: 5 rows from 1, the standard 1
SAME_UPPER, output_shape 5, onnxruntime: 5 rows from 1, the standard 1
SAME_UPPER, output_shape 5, OpenVINO: 5 rows from 1, the standard 1
SAME_LOWER, output_shape None, the reference: 6 rows from 1, the standard 1
SAME_LOWER, output_shape None, onnxruntime: 6 rows from 1, the standard 1
SAME_LOWER, output_shape None, OpenVINO: 6 rows from 1, the standard 1
SAME_LOWER, output_shape 6, the reference: 6 rows from 1, the standard 1
SAME_LOWER, output_shape 6, onnxruntime: 6 rows from 1, the standard 1
SAME_LOWER, output_shape 6, OpenVINO: 6 rows from 1, the standard 1
SAME_LOWER, output_shape 5, the reference: 5 rows from 1, the standard 1
SAME_LOWER, output_shape 5, onnxruntime: 5 rows from 1, the standard 1
SAME_LOWER, output_shape 5, OpenVINO: 5 rows from 1, the standard 1
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
