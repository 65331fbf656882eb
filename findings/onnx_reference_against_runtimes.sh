#!/usr/bin/env bash
# onnx 1.23.2: the standard's own reference computes LRN, LpNormalization and AveragePool otherwise than the standard.
#
# onnx.reference.ReferenceEvaluator is what a converter's author compares a file with, to see who is wrong. In three
# operators of image networks it is the one (onnxruntime and OpenVINO agree with each other and with the formulas here):
#   LRN               loops over as many channels as the batch has images. Of one image only the first channel is
#                     normalised, of four channels and four images all are.
#   LpNormalization   with p=1 divides by the sum of the values, not of their magnitudes: signs cancel.
#   AveragePool       with ceil_mode=1 pads what the last window lacks half in front, so that all windows are moved and
#                     the first holds a border that nobody asked for. MaxPool is right.
# Seen with: onnx 1.23.2, onnxruntime 1.32.0, openvino 2026.4.1, numpy 1.26.4, Python 3.11. Output seen: `expected` below.
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
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def compare(what, operator, x, right, **attributes):
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, right.shape),
    ]
    graph = helper.make_graph([node], "one", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    file = model.SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    outputs = {
        "onnxruntime": session.run(None, {"x": x})[0],
        "OpenVINO": compiled({"x": x})[0],
        "the reference": ReferenceEvaluator(model).run(None, {"x": x})[0],
    }
    for name, y in outputs.items():
        wrong = np.count_nonzero(~np.isclose(y, right, rtol=1e-3, atol=1e-4))
        print(f"{what}, {name}: {wrong} of {y.size} values differ from the formula")


def images(count, channels=4, size=6):
    return np.random.default_rng(0).standard_normal((count, channels, size, size)).astype(np.float32) * 3


for count in (1, 4):
    x = images(count)
    squares = np.pad(x**2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    sums = squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]
    right = x / (1 + 0.5 / 3 * sums) ** 0.75
    compare(f"LRN, batch of {count}", "LRN", x, right, size=3, alpha=0.5, beta=0.75, bias=1.0)
x = images(1)
for p, right in ((1, x / np.abs(x).sum(1, keepdims=True)), (2, x / np.sqrt((x**2).sum(1, keepdims=True)))):
    compare(f"LpNormalization, p={p}", "LpNormalization", x, right, axis=1, p=p)
x = images(1, channels=1, size=7)
# Windows of three at 0, 3 and 6: the last has one row or column of the image.
for operator, function in (("AveragePool", np.mean), ("MaxPool", np.max)):
    right = np.float32([[function(x[0, 0, i : i + 3, j : j + 3]) for j in (0, 3, 6)] for i in (0, 3, 6)])[None, None]
    compare(f"{operator}, ceil_mode=1", operator, x, right, kernel_shape=[3, 3], strides=[3, 3], ceil_mode=1)
PYTHON

cat > expected <<'TEXT'
LRN, batch of 1, onnxruntime: 0 of 144 values differ from the formula
LRN, batch of 1, OpenVINO: 0 of 144 values differ from the formula
LRN, batch of 1, the reference: 108 of 144 values differ from the formula
LRN, batch of 4, onnxruntime: 0 of 576 values differ from the formula
LRN, batch of 4, OpenVINO: 0 of 576 values differ from the formula
LRN, batch of 4, the reference: 0 of 576 values differ from the formula
LpNormalization, p=1, onnxruntime: 0 of 144 values differ from the formula
LpNormalization, p=1, OpenVINO: 0 of 144 values differ from the formula
LpNormalization, p=1, the reference: 128 of 144 values differ from the formula
LpNormalization, p=2, onnxruntime: 0 of 144 values differ from the formula
LpNormalization, p=2, OpenVINO: 0 of 144 values differ from the formula
LpNormalization, p=2, the reference: 0 of 144 values differ from the formula
AveragePool, ceil_mode=1, onnxruntime: 0 of 9 values differ from the formula
AveragePool, ceil_mode=1, OpenVINO: 0 of 9 values differ from the formula
AveragePool, ceil_mode=1, the reference: 9 of 9 values differ from the formula
MaxPool, ceil_mode=1, onnxruntime: 0 of 9 values differ from the formula
MaxPool, ceil_mode=1, OpenVINO: 0 of 9 values differ from the formula
MaxPool, ceil_mode=1, the reference: 0 of 9 values differ from the formula
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
