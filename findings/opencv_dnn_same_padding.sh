#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: cv2.dnn pads a network of TensorFlow on the wrong side, once it is an ONNX file.
#
# Where SAME needs an odd number of border pixels, ONNX's SAME_UPPER has the odd one behind the image, which is
# TensorFlow's "same", and SAME_LOWER before it: at stride 2, a kernel of 3 and an even size, as in nearly all networks
# that came from there, the one row is below and the one column on the right. OpenCV 5's new engine, which
# readNetFromONNX takes unless told otherwise, puts them above and on the left with strides, and behind the image
# without strides, whatever the file says: so SAME_UPPER is wrong at stride 2, and SAME_LOWER at stride 1. The classic
# engine, which was OpenCV 4's, knows SAME_UPPER alone. All shapes are right; each stage of a network moves by a pixel
# more, and its scores are merely worse. Convolution, MaxPool and AveragePool do the same, and border pixels that are
# written as numbers (pads) are right.
# Seen with: opencv-python-headless 5.0.0.93, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, Python 3.11. Output seen:
# `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check opencv-python-headless==5.0.0.93 \
    onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6

cat > look.py <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

IMAGE = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
ENGINES = {"OpenCV, new engine": cv2.dnn.ENGINE_NEW, "OpenCV, classic engine": cv2.dnn.ENGINE_CLASSIC}


def save(operator, path, size, stride, **attributes):
    kernel = {} if operator == "Conv" else {"kernel_shape": [size, size]}
    inputs = ["x", "w"] if operator == "Conv" else ["x"]
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, ["y"], strides=[stride, stride], **kernel, **attributes)],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 4 // stride, 4 // stride])],
        [numpy_helper.from_array(np.ones((1, 1, size, size), np.float32), "w")] if operator == "Conv" else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def run(engine):
    network = cv2.dnn.readNetFromONNX("m.onnx", engine=engine)
    network.setInput(IMAGE)
    return network.forward()


def row(y):
    return " ".join(f"{value:g}" for value in y[0, 0, 0])


def show(operator, size, stride, **attributes):
    save(operator, "m.onnx", size, stride, **attributes)
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    right = session.run(None, {"x": IMAGE})[0]
    said = attributes.get("auto_pad") or f"pads {attributes['pads']}"
    print(f"{operator} {size}x{size}, stride {stride}, {said}: first row {row(right)}")
    for name, engine in ENGINES.items():
        y = run(engine)
        print(f"    {name}: {'the same' if np.array_equal(y, right) else row(y)}")


for operator in ("Conv", "MaxPool", "AveragePool"):
    show(operator, 3, 2, auto_pad="SAME_UPPER")
    show(operator, 3, 2, auto_pad="SAME_LOWER")
show("Conv", 2, 1, auto_pad="SAME_LOWER")
show("Conv", 2, 1, auto_pad="SAME_UPPER")
show("Conv", 3, 1, auto_pad="SAME_UPPER")
show("Conv", 3, 2, pads=[0, 0, 1, 1])
show("Conv", 3, 2, pads=[1, 1, 0, 0])
PYTHON

cat > expected <<'TEXT'
Conv 3x3, stride 2, SAME_UPPER: first row 54 45
    OpenCV, new engine: 14 30
    OpenCV, classic engine: the same
Conv 3x3, stride 2, SAME_LOWER: first row 14 30
    OpenCV, new engine: the same
    OpenCV, classic engine: 54 45
MaxPool 3x3, stride 2, SAME_UPPER: first row 11 12
    OpenCV, new engine: 6 8
    OpenCV, classic engine: the same
MaxPool 3x3, stride 2, SAME_LOWER: first row 6 8
    OpenCV, new engine: the same
    OpenCV, classic engine: 11 12
AveragePool 3x3, stride 2, SAME_UPPER: first row 6 7.5
    OpenCV, new engine: 3.5 5
    OpenCV, classic engine: the same
AveragePool 3x3, stride 2, SAME_LOWER: first row 3.5 5
    OpenCV, new engine: the same
    OpenCV, classic engine: 6 7.5
Conv 2x2, stride 1, SAME_LOWER: first row 1 3 5 7
    OpenCV, new engine: 14 18 22 12
    OpenCV, classic engine: 14 18 22 12
Conv 2x2, stride 1, SAME_UPPER: first row 14 18 22 12
    OpenCV, new engine: the same
    OpenCV, classic engine: the same
Conv 3x3, stride 1, SAME_UPPER: first row 14 24 30 22
    OpenCV, new engine: the same
    OpenCV, classic engine: the same
Conv 3x3, stride 2, pads [0, 0, 1, 1]: first row 54 45
    OpenCV, new engine: the same
    OpenCV, classic engine: the same
Conv 3x3, stride 2, pads [1, 1, 0, 0]: first row 14 30
    OpenCV, new engine: the same
    OpenCV, classic engine: the same
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
