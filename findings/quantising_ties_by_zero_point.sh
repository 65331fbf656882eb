#!/usr/bin/env bash
# openvino 2026.4.1, opencv-python-headless 5.0.0.93: a tie goes to the even step or to the odd, by the zero point.
#
# QuantizeLinear is round(x / scale) to the even number, and then the zero point is added. OpenVINO and OpenCV add first
# and round the sum. That is the same number but for ties, and for them too while the zero point is even, as 0 and 128
# are, with which people test. With an odd one, as calibration finds it for every other layer, 0.5 becomes 1 and 1.5
# becomes 1, where onnxruntime and ONNX's reference have 0 and 2. Ties are no rare thing: of bytes with a step of 2,
# every second grey level is one, and after a first quantisation all values are multiples of a step; scales that are
# powers of two make them everywhere. Who compares two runtimes then sees whole steps of difference in a file that has
# nothing but this one pair.
# Seen with: openvino 2026.4.1, opencv-python-headless 5.0.0.93, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, Python
# 3.11, Linux on x86-64 with AVX2. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check openvino==2026.4.1 \
    opencv-python-headless==5.0.0.93 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6

cat > look.py <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def file(step, zero_point, count):
    """QuantizeLinear and DequantizeLinear of `count` values."""
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["y"]),
        ],
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, count])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, count])],
        [numpy_helper.from_array(np.float32(step), "step"), numpy_helper.from_array(zero_point, "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")
    return model


def by_opencv(x):
    network = cv2.dnn.readNetFromONNX("m.onnx")
    network.setInput(x)
    return network.forward()


def outputs(step, zero_point, x):
    model = file(step, zero_point, x.size)
    x = x.reshape(1, 1, 1, -1)
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    return {
        "onnxruntime": session.run(None, {"x": x})[0].ravel(),
        "onnx's reference": ReferenceEvaluator(model).run(None, {"x": x})[0].ravel(),
        "OpenVINO": openvino.Core().compile_model("m.onnx", "CPU")([x])[0].ravel(),
        "OpenCV": by_opencv(x).ravel(),
    }


ties = np.float32([0.5, 1.5, 2.5, 3.5, 4.5, -0.5, -1.5])
for zero_point in (np.uint8(128), np.uint8(127), np.int8(0), np.int8(-3)):
    print(f"{zero_point.dtype}, zero point {zero_point}, of {' '.join(f'{x:g}' for x in ties)}:")
    for name, y in outputs(1, zero_point, ties).items():
        print(f"    {name}: {' '.join(f'{value:g}' for value in y + 0)}")

levels = np.arange(256, dtype=np.float32)
for zero_point in (np.uint8(0), np.uint8(1)):
    by = outputs(2, zero_point, levels)
    print(f"grey levels 0 to 255, step 2, zero point {zero_point}:")
    for name, y in by.items():
        print(f"    {name}: {np.count_nonzero(y != by['onnxruntime'])} of 256 differ from onnxruntime")
PYTHON

cat > expected <<'TEXT'
uint8, zero point 128, of 0.5 1.5 2.5 3.5 4.5 -0.5 -1.5:
    onnxruntime: 0 2 2 4 4 0 -2
    onnx's reference: 0 2 2 4 4 0 -2
    OpenVINO: 0 2 2 4 4 0 -2
    OpenCV: 0 2 2 4 4 0 -2
uint8, zero point 127, of 0.5 1.5 2.5 3.5 4.5 -0.5 -1.5:
    onnxruntime: 0 2 2 4 4 0 -2
    onnx's reference: 0 2 2 4 4 0 -2
    OpenVINO: 1 1 3 3 5 -1 -1
    OpenCV: 1 1 3 3 5 -1 -1
int8, zero point 0, of 0.5 1.5 2.5 3.5 4.5 -0.5 -1.5:
    onnxruntime: 0 2 2 4 4 0 -2
    onnx's reference: 0 2 2 4 4 0 -2
    OpenVINO: 0 2 2 4 4 0 -2
    OpenCV: 0 2 2 4 4 0 -2
int8, zero point -3, of 0.5 1.5 2.5 3.5 4.5 -0.5 -1.5:
    onnxruntime: 0 2 2 4 4 0 -2
    onnx's reference: 0 2 2 4 4 0 -2
    OpenVINO: 1 1 3 3 5 -1 -1
    OpenCV: 1 1 3 3 5 -1 -1
grey levels 0 to 255, step 2, zero point 0:
    onnxruntime: 0 of 256 differ from onnxruntime
    onnx's reference: 0 of 256 differ from onnxruntime
    OpenVINO: 0 of 256 differ from onnxruntime
    OpenCV: 0 of 256 differ from onnxruntime
grey levels 0 to 255, step 2, zero point 1:
    onnxruntime: 0 of 256 differ from onnxruntime
    onnx's reference: 0 of 256 differ from onnxruntime
    OpenVINO: 128 of 256 differ from onnxruntime
    OpenCV: 128 of 256 differ from onnxruntime
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
