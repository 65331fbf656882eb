#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: in cv2.dnn the second image of a batch is multiplied by the weights of another head.
#
# ONNX's MatMul is numpy's: of (images, heads, rows, columns) and weights of (heads, columns, outputs) each image has
# the same weights, one matrix for each head, as in networks whose heads or groups are mixed by a matrix of their own.
# Of one image OpenCV is right, which is what a test with one photograph sees. Of more it counts through all matrices of
# the batch and divides, so that of 2 images of 3 heads both have weights 1, 1 and 2 in the place of 1, 2 and 3. The
# first image, too, is another one then than alone. Both engines do it, and a batch of weights for each image and head
# is right. In the new engine, which readNetFromONNX takes unless told otherwise, the sum behind a MatMul has a fault of
# its own: a summand for each row, (rows, 1), is added to the columns if there are as many of them, as in the square
# matrices that mix positions. With another number of columns it is right.
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

ENGINES = {"new": cv2.dnn.ENGINE_NEW, "classic": cv2.dnn.ENGINE_CLASSIC}


def numbers(y):
    return " ".join(f"{value:g}" for value in y.ravel())


def show(what, x, weights, summand=None):
    product = helper.make_node("MatMul", ["x", "w"], ["y" if summand is None else "a"])
    addition = [] if summand is None else [helper.make_node("Add", ["a", "s"], ["y"])]
    constants = {"w": weights} if summand is None else {"w": weights, "s": summand}
    right = x @ weights if summand is None else x @ weights + summand
    graph = helper.make_graph(
        [product, *addition],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, right.shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    agree = np.array_equal(session.run(None, {"x": x})[0], right)
    print(f"{what}: numpy {numbers(right)}, onnxruntime {'the same' if agree else 'other numbers'}")
    for name, engine in ENGINES.items():
        network = cv2.dnn.readNetFromONNX("m.onnx", engine=engine)
        network.setInput(x)
        y = network.forward()
        print(f"    OpenCV, {name} engine: {'the same' if np.array_equal(y, right) else numbers(y)}")


def ones(*shape):
    return np.ones(shape, np.float32)


heads = np.float32([1, 10, 100]).reshape(3, 1, 1)
show("a weight for each of 3 heads, 1 image", ones(1, 3, 1, 1), heads)
show("a weight for each of 3 heads, 2 images", ones(2, 3, 1, 1), heads)
show("a weight for each of 4 heads, 3 images", ones(3, 4, 1, 1), np.float32([1, 10, 100, 1000]).reshape(1, 4, 1, 1))
show("a weight for each of 3 images, 2 heads", ones(3, 2, 1, 1), heads[:, None])
show("weights for each of 2 images and 3 heads", ones(2, 3, 1, 1), np.stack([heads, 2 * heads]))

eye = np.eye(3, dtype=np.float32)
summand = np.float32([1, 2, 3])
show("a summand for each column, 3 by 3", 0 * ones(1, 3, 3), eye, summand)
show("a summand for each row, 3 by 3", 0 * ones(1, 3, 3), eye, summand[:, None])
show("a summand for each row, 3 by 2", 0 * ones(1, 3, 3), eye[:, :2], summand[:, None])
PYTHON

cat > expected <<'TEXT'
a weight for each of 3 heads, 1 image: numpy 1 10 100, onnxruntime the same
    OpenCV, new engine: the same
    OpenCV, classic engine: the same
a weight for each of 3 heads, 2 images: numpy 1 10 100 1 10 100, onnxruntime the same
    OpenCV, new engine: 1 1 10 1 1 10
    OpenCV, classic engine: 1 1 10 1 1 10
a weight for each of 4 heads, 3 images: numpy 1 10 100 1000 1 10 100 1000 1 10 100 1000, onnxruntime the same
    OpenCV, new engine: 1 1 1 1 1 1 1 1 1 1 1 1
    OpenCV, classic engine: 1 1 1 1 1 1 1 1 1 1 1 1
a weight for each of 3 images, 2 heads: numpy 1 1 10 10 100 100, onnxruntime the same
    OpenCV, new engine: 1 1 1 1 10 10
    OpenCV, classic engine: 1 1 1 1 10 10
weights for each of 2 images and 3 heads: numpy 1 10 100 2 20 200, onnxruntime the same
    OpenCV, new engine: the same
    OpenCV, classic engine: the same
a summand for each column, 3 by 3: numpy 1 2 3 1 2 3 1 2 3, onnxruntime the same
    OpenCV, new engine: the same
    OpenCV, classic engine: the same
a summand for each row, 3 by 3: numpy 1 1 1 2 2 2 3 3 3, onnxruntime the same
    OpenCV, new engine: 1 2 3 1 2 3 1 2 3
    OpenCV, classic engine: the same
a summand for each row, 3 by 2: numpy 1 1 2 2 3 3, onnxruntime the same
    OpenCV, new engine: the same
    OpenCV, classic engine: the same
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
