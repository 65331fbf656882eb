#!/usr/bin/env bash
# tract 0.23.9: a constant minus a convolution is computed as constant minus bias, plus the sum of the convolution.
#
# tract runs ONNX files in Rust and, by its wheel, in Python. It computes an operator with one number for each channel
# as a part of the convolution before it. Where the constant comes first, Sub(c, conv) and Div(c, conv), it does so
# before the products are summed up: c - bias + sum in the place of c - (bias + sum), in every pixel, with all shapes
# right; a quotient is as wrong. Whether it does depends on what is beside it: one number for all channels is right,
# and so are a constant for each column, a depthwise convolution and one of 1x1. So an inverted map, "offset -
# conv(x)", is right with a scalar offset, and grows with the convolution's result once the offset is one for each
# channel.
# Seen with: tract 0.23.9, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check tract==0.23.9 onnxruntime==1.32.0 \
    onnx==1.23.2 numpy==2.4.6

cat > look.py <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import tract
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIZE = 2, 5
X = (np.arange(CHANNELS * SIZE * SIZE) % 7 + 1).astype(np.float32).reshape(1, CHANNELS, SIZE, SIZE)
WEIGHTS = {
    "3x3": np.full((CHANNELS, CHANNELS, 3, 3), 0.5, np.float32),
    "1x1": np.full((CHANNELS, CHANNELS, 1, 1), 0.5, np.float32),
    "depthwise 3x3": np.full((CHANNELS, 1, 3, 3), 0.5, np.float32),
}
CONSTANTS = {
    "for each channel": np.float32([8, 16]).reshape(CHANNELS, 1, 1),
    "for each column": np.float32([8, 16, 8, 16, 8]),
    "for all": np.float32([8]),
}
BIAS = np.float32([2, 4])


def save(kind, operator, constant, first):
    groups = CHANNELS if kind.startswith("depthwise") else 1
    pad = 0 if kind == "1x1" else 1
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["conv"], group=groups, pads=[pad] * 4),
        helper.make_node(operator, ["c", "conv"] if first else ["conv", "c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, X.shape)],
        [numpy_helper.from_array(array, name) for name, array in (("w", WEIGHTS[kind]), ("b", BIAS), ("c", constant))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")


def show(kind, operator, constant, first):
    c, bias = CONSTANTS[constant], BIAS.reshape(CHANNELS, 1, 1)
    save(kind, operator, c, first)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession("m.onnx", options, providers=["CPUExecutionProvider"])
    right = session.run(None, {"x": X})[0]
    seen = tract.onnx().load("m.onnx").into_model().into_runnable().run([X])[0].to_numpy()
    order = "constant, conv" if first else "conv, constant"
    told = f"{operator}({order}), {kind}, a constant {constant}: {right[0, 0, 2, 2]:.4f}"
    if np.allclose(seen, right, rtol=1e-4):
        print(f"{told}; tract the same")
    elif operator == "Sub":
        total = c - right - bias
        early = c - bias + total
        formula = "before the sum, everywhere" if np.allclose(seen, early, rtol=1e-4) else "otherwise"
        print(f"{told}; tract {seen[0, 0, 2, 2]:.4f}, computed {formula}")
    else:
        print(f"{told}; tract another number, in {np.mean(~np.isclose(seen, right, rtol=1e-2)):.0%} of the pixels")


for operator in ("Sub", "Div"):
    show("3x3", operator, "for each channel", first=True)
    show("3x3", operator, "for each channel", first=False)
    show("3x3", operator, "for each column", first=True)
    show("3x3", operator, "for all", first=True)
    show("1x1", operator, "for each channel", first=True)
    show("depthwise 3x3", operator, "for each channel", first=True)
PYTHON

cat > expected <<'TEXT'
Sub(constant, conv), 3x3, a constant for each channel: -31.0000; tract 43.0000, computed before the sum, everywhere
Sub(conv, constant), 3x3, a constant for each channel: 31.0000; tract the same
Sub(constant, conv), 3x3, a constant for each column: -31.0000; tract the same
Sub(constant, conv), 3x3, a constant for all: -31.0000; tract the same
Sub(constant, conv), 1x1, a constant for each channel: 1.5000; tract the same
Sub(constant, conv), depthwise 3x3, a constant for each channel: -14.0000; tract the same
Div(constant, conv), 3x3, a constant for each channel: 0.2051; tract another number, in 100% of the pixels
Div(conv, constant), 3x3, a constant for each channel: 4.8750; tract the same
Div(constant, conv), 3x3, a constant for each column: 0.2051; tract the same
Div(constant, conv), 3x3, a constant for all: 0.2051; tract the same
Div(constant, conv), 1x1, a constant for each channel: 1.2308; tract the same
Div(constant, conv), depthwise 3x3, a constant for each channel: 0.3636; tract the same
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
