#!/usr/bin/env bash
# MNN 3.6.1: mnnconvert takes a dilated pooling for one without holes, and SAME_LOWER for SAME_UPPER, without a word.
#
# A converter can refuse what its runtime cannot compute, and mnnconvert does so with Hardmax or a Pad that wraps. These
# attributes of ONNX operators it leaves out, and its log names none of them:
#   MaxPool, AveragePool            dilations: the windows have no holes, and the output is larger for it
#   MaxPool, AveragePool, Conv      auto_pad SAME_LOWER: the odd border is behind the image, as with SAME_UPPER
#   AveragePool                     count_include_pad: border pixels that are on the right and below alone do not count
#   ArgMax                          select_last_index: of equal numbers the first is named
# A network with a mean over the picture behind them takes any size, so that only its scores are worse. The same nodes
# without the attribute, or with SAME_UPPER or equal borders, are right in all of these.
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

X = np.float32([[1, 2, 3, 3], [4, 5, 6, 7], [8, 8, 2, 1], [9, 7, 6, 9]]).reshape(1, 1, 4, 4)


def convert(operator, attributes):
    weights = [numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w")] if operator == "Conv" else []
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"] if weights else ["x"], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_empty_tensor_value_info("y")],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")
    arguments = ["-f", "ONNX", "--modelFile", "m.onnx", "--MNNModel", "m.mnn", "--bizCode", "test"]
    done = subprocess.run(["venv/bin/mnnconvert", *arguments], check=True, capture_output=True, text=True)
    return [name for name in attributes if name in done.stdout + done.stderr]


def run_mnn():
    network = MNN.nn.load_module_from_file("m.mnn", ["x"], ["y"])
    y = network.forward([MNN.expr.const(X, list(X.shape), MNN.expr.NCHW, MNN.expr.float)])[0]
    if y.data_format == MNN.expr.NC4HW4:
        y = MNN.expr.convert(y, MNN.expr.NCHW)
    return np.array(y.read()).reshape(y.shape)


def told(y):
    return f"{y.shape[-2]} by {y.shape[-1]}, " + " ".join(f"{value:g}" for value in y.ravel())


def show(operator, **attributes):
    named = convert(operator, attributes)
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    right, seen = session.run(None, {"x": X})[0], run_mnn()
    same = right.shape == seen.shape and np.allclose(right, seen, rtol=1e-3)
    print(f"{operator} {attributes}: {told(right)}")
    print(f"    MNN: {'the same' if same else told(seen)}; the log names {named or 'no attribute'}")


show("MaxPool", kernel_shape=[2, 2], strides=[1, 1])
show("MaxPool", kernel_shape=[2, 2], strides=[1, 1], dilations=[2, 2])
show("AveragePool", kernel_shape=[2, 2], strides=[1, 1], dilations=[2, 2])
for operator in ("MaxPool", "AveragePool", "Conv"):
    for auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        show(operator, kernel_shape=[3, 3], strides=[2, 2], auto_pad=auto_pad)
for pads in ([1, 1, 1, 1], [0, 0, 1, 1]):
    show("AveragePool", kernel_shape=[3, 3], strides=[1, 1], pads=pads, count_include_pad=1)
show("ArgMax", axis=3)
show("ArgMax", axis=3, select_last_index=1)
PYTHON

cat > expected <<'TEXT'
MaxPool {'kernel_shape': [2, 2], 'strides': [1, 1]}: 3 by 3, 5 6 7 8 8 7 9 8 9
    MNN: the same; the log names no attribute
MaxPool {'kernel_shape': [2, 2], 'strides': [1, 1], 'dilations': [2, 2]}: 2 by 2, 8 8 9 9
    MNN: 3 by 3, 5 6 7 8 8 7 9 8 9; the log names no attribute
AveragePool {'kernel_shape': [2, 2], 'strides': [1, 1], 'dilations': [2, 2]}: 2 by 2, 3.5 3.5 6.25 7
    MNN: 3 by 3, 3 4 4.75 6.25 5.25 4 8 5.75 4.5; the log names no attribute
MaxPool {'kernel_shape': [3, 3], 'strides': [2, 2], 'auto_pad': 'SAME_UPPER'}: 2 by 2, 8 7 9 9
    MNN: the same; the log names no attribute
MaxPool {'kernel_shape': [3, 3], 'strides': [2, 2], 'auto_pad': 'SAME_LOWER'}: 2 by 2, 5 7 9 9
    MNN: 2 by 2, 8 7 9 9; the log names no attribute
AveragePool {'kernel_shape': [3, 3], 'strides': [2, 2], 'auto_pad': 'SAME_UPPER'}: 2 by 2, 4.33333 3.66667 6.66667 4.5
    MNN: the same; the log names no attribute
AveragePool {'kernel_shape': [3, 3], 'strides': [2, 2], 'auto_pad': 'SAME_LOWER'}: 2 by 2, 3 4.33333 6.83333 5.66667
    MNN: 2 by 2, 4.33333 3.66667 6.66667 4.5; the log names no attribute
Conv {'kernel_shape': [3, 3], 'strides': [2, 2], 'auto_pad': 'SAME_UPPER'}: 2 by 2, 39 22 40 18
    MNN: the same; the log names no attribute
Conv {'kernel_shape': [3, 3], 'strides': [2, 2], 'auto_pad': 'SAME_LOWER'}: 2 by 2, 12 26 41 51
    MNN: 2 by 2, 39 22 40 18; the log names no attribute
AveragePool {'kernel_shape': [3, 3], 'strides': [1, 1], 'pads': [1, 1, 1, 1], 'count_include_pad': 1}: 4 by 4, 1.33333 2.33333 2.88889 2.11111 3.11111 4.33333 4.11111 2.44444 4.55556 6.11111 5.66667 3.44444 3.55556 4.44444 3.66667 2
    MNN: the same; the log names no attribute
AveragePool {'kernel_shape': [3, 3], 'strides': [1, 1], 'pads': [0, 0, 1, 1], 'count_include_pad': 1}: 3 by 3, 4.33333 4.11111 2.44444 6.11111 5.66667 3.44444 4.44444 3.66667 2
    MNN: 3 by 3, 4.33333 4.11111 3.66667 6.11111 5.66667 5.16667 6.66667 5.5 4.5; the log names no attribute
ArgMax {'axis': 3}: 4 by 1, 2 3 0 0
    MNN: the same; the log names no attribute
ArgMax {'axis': 3, 'select_last_index': 1}: 4 by 1, 3 3 1 3
    MNN: 4 by 1, 2 3 0 0; the log names no attribute
TEXT

venv/bin/python look.py 2> errors | grep -v "^The device supports" | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
