#!/usr/bin/env bash
# openvino 2026.4.1: MaxPool with ceil_mode=1 adds a row and a column of -3.4e38, AveragePool beside it does not.
#
# With ceil_mode the last window may begin behind the image, in the border on the right. ONNX's MaxPool of opset 22 leaves
# such windows out by its text and by its inference of shapes, and so do PyTorch, onnxruntime and ONNX's reference.
# OpenVINO's AveragePool does too. Its MaxPool keeps the window, finds no pixel in it, and writes the lowest float32: of 3
# by 3 pixels under windows of two, strides of two and borders of one it makes 3 by 3, not the 2 by 2 that the file
# declares. A mean over the map, as classifiers have it before their last layer, is minus infinity then; with a ReLU
# between, which makes zeros of them, it is a number that looks right and is 4/9 of the right one.
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
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def run(nodes, x, shape):
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, shape),
    ]
    graph = helper.make_graph(nodes, "pool", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    file = model.SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return {
        "the reference": ReferenceEvaluator(model).run(None, {"x": x})[0],
        "onnxruntime": session.run(None, {"x": x})[0],
        "OpenVINO": compiled({"x": x})[0],
    }


def pool(operator, kernel, stride, border):
    return helper.make_node(
        operator,
        ["x"],
        ["p"],
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[border] * 4,
        ceil_mode=1,
    )


# Image size, kernel, stride, border; the number of windows, and the first that begins behind the image does not count.
for size, kernel, stride, border in ((3, 2, 2, 1), (5, 2, 3, 1), (4, 1, 2, 0), (6, 3, 2, 1)):
    count = -(-(size + 2 * border - kernel) // stride) + 1
    count -= (count - 1) * stride >= size + border
    image = np.arange(1, size * size + 1, dtype=np.float32).reshape(1, 1, size, size)
    for operator in ("AveragePool", "MaxPool"):
        nodes = [pool(operator, kernel, stride, border), helper.make_node("Identity", ["p"], ["y"])]
        for name, y in run(nodes, image, [1, 1, count, count]).items():
            lowest = np.count_nonzero(y == np.finfo(np.float32).min)
            shape = " by ".join(map(str, y.shape[2:]))
            print(f"{operator} {kernel}, stride {stride}, of {size}, {name}: {shape}, {lowest} of -3.4e38")
image = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
for middle in ("Identity", "Relu"):
    nodes = [
        pool("MaxPool", 2, 2, 1),
        helper.make_node(middle, ["p"], ["q"]),
        helper.make_node("GlobalAveragePool", ["q"], ["y"]),
    ]
    for name, y in run(nodes, image, [1, 1, 1, 1]).items():
        print(f"MaxPool, {middle}, mean, {name}: {'below -1e38' if y.item() < -1e38 else f'{y.item():.3g}'}")
PYTHON

cat > expected <<'TEXT'
AveragePool 2, stride 2, of 3, the reference: 2 by 2, 0 of -3.4e38
AveragePool 2, stride 2, of 3, onnxruntime: 2 by 2, 0 of -3.4e38
AveragePool 2, stride 2, of 3, OpenVINO: 2 by 2, 0 of -3.4e38
MaxPool 2, stride 2, of 3, the reference: 2 by 2, 0 of -3.4e38
MaxPool 2, stride 2, of 3, onnxruntime: 2 by 2, 0 of -3.4e38
MaxPool 2, stride 2, of 3, OpenVINO: 3 by 3, 5 of -3.4e38
AveragePool 2, stride 3, of 5, the reference: 2 by 2, 0 of -3.4e38
AveragePool 2, stride 3, of 5, onnxruntime: 2 by 2, 0 of -3.4e38
AveragePool 2, stride 3, of 5, OpenVINO: 2 by 2, 0 of -3.4e38
MaxPool 2, stride 3, of 5, the reference: 2 by 2, 0 of -3.4e38
MaxPool 2, stride 3, of 5, onnxruntime: 2 by 2, 0 of -3.4e38
MaxPool 2, stride 3, of 5, OpenVINO: 3 by 3, 5 of -3.4e38
AveragePool 1, stride 2, of 4, the reference: 2 by 2, 0 of -3.4e38
AveragePool 1, stride 2, of 4, onnxruntime: 2 by 2, 0 of -3.4e38
AveragePool 1, stride 2, of 4, OpenVINO: 2 by 2, 0 of -3.4e38
MaxPool 1, stride 2, of 4, the reference: 2 by 2, 0 of -3.4e38
MaxPool 1, stride 2, of 4, onnxruntime: 2 by 2, 0 of -3.4e38
MaxPool 1, stride 2, of 4, OpenVINO: 3 by 3, 5 of -3.4e38
AveragePool 3, stride 2, of 6, the reference: 4 by 4, 0 of -3.4e38
AveragePool 3, stride 2, of 6, onnxruntime: 4 by 4, 0 of -3.4e38
AveragePool 3, stride 2, of 6, OpenVINO: 4 by 4, 0 of -3.4e38
MaxPool 3, stride 2, of 6, the reference: 4 by 4, 0 of -3.4e38
MaxPool 3, stride 2, of 6, onnxruntime: 4 by 4, 0 of -3.4e38
MaxPool 3, stride 2, of 6, OpenVINO: 4 by 4, 0 of -3.4e38
MaxPool, Identity, mean, the reference: 5
MaxPool, Identity, mean, onnxruntime: 5
MaxPool, Identity, mean, OpenVINO: below -1e38
MaxPool, Relu, mean, the reference: 5
MaxPool, Relu, mean, onnxruntime: 5
MaxPool, Relu, mean, OpenVINO: 2.22
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
