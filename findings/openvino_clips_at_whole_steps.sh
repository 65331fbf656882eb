#!/usr/bin/env bash
# openvino 2026.4.1: in a quantised network Clip stops at the next whole step, which may lie beyond its limit.
#
# Clip(x, 0, 6) behind QuantizeLinear and DequantizeLinear of step 0.35 should answer 6 for 7 (20 steps), which is no
# multiple of 0.35. OpenVINO moves Clip in front of DequantizeLinear and rounds its limits to integers there: 17 steps,
# 5.95. A lower limit is rounded too, to either side: of Clip(x, 0.1), which is there so that the logarithm or the
# division behind it never sees 0, a limit of 0 is left, and the outputs are minus infinity and infinity. Max and Min,
# which say the same in two operators, are taken for a Clip. Clip without the pair in front is right, and onnxruntime
# and ONNX's reference hold the limits in all cases.
# Seen with: openvino 2026.4.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 1.26.4, Python 3.11, Linux on x86-64 with AVX2.
# Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check openvino==2026.4.1 onnxruntime==1.32.0 \
    onnx==1.23.2 numpy==1.26.4

cat > look.py <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def run(nodes, values, x, shape):
    """Returns what ONNX's reference, onnxruntime and OpenVINO make of a graph from x to y."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
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


def pair(source, target):
    """Returns the nodes that round `source` to whole steps, by uint8."""
    return [
        helper.make_node("QuantizeLinear", [source, "step", "zero"], [f"{target}_q"]),
        helper.make_node("DequantizeLinear", [f"{target}_q", "step", "zero"], [target]),
    ]


x = np.float32([-1.05, 0, 0.35, 0.7, 5.6, 5.95, 6.3, 7])
constants = {"step": np.float32(0.35), "zero": np.uint8(20)}


def show(what, nodes, values):
    for name, y in run(nodes, constants | values, x, x.shape).items():
        print(f"{what}, {name}:", *(f"{value:.2f}" for value in y))


def clip(source, target):
    return [helper.make_node("Clip", [source, "low", "high"], [target])]


six = {"low": np.float32(0), "high": np.float32(6)}
small = {"low": np.float32(0.1), "high": np.float32(6)}
minus = {"low": np.float32(-0.9), "high": np.float32(6)}
show("quantised, 0 to 6", pair("x", "a") + clip("a", "y"), six)
show("quantised, 0.1 to 6", pair("x", "a") + clip("a", "y"), small)
show("quantised, -0.9 to 6", pair("x", "a") + clip("a", "y"), minus)
for operator in ("Log", "Reciprocal"):
    last = helper.make_node(operator, ["b"], ["y"])
    show(f"quantised, 0.1 to 6, {operator}", [*pair("x", "a"), *clip("a", "b"), last], small)
halves = [helper.make_node("Max", ["a", "low"], ["b"]), helper.make_node("Min", ["b", "high"], ["y"])]
show("quantised, Max 0.1 and Min 6", pair("x", "a") + halves, small)
show("not quantised, 0.1 to 6", clip("x", "y"), small)
PYTHON

cat > expected <<'TEXT'
quantised, 0 to 6, the reference: 0.00 0.00 0.35 0.70 5.60 5.95 6.00 6.00
quantised, 0 to 6, onnxruntime: 0.00 0.00 0.35 0.70 5.60 5.95 6.00 6.00
quantised, 0 to 6, OpenVINO: 0.00 0.00 0.35 0.70 5.60 5.95 5.95 5.95
quantised, 0.1 to 6, the reference: 0.10 0.10 0.35 0.70 5.60 5.95 6.00 6.00
quantised, 0.1 to 6, onnxruntime: 0.10 0.10 0.35 0.70 5.60 5.95 6.00 6.00
quantised, 0.1 to 6, OpenVINO: 0.00 0.00 0.35 0.70 5.60 5.95 5.95 5.95
quantised, -0.9 to 6, the reference: -0.90 0.00 0.35 0.70 5.60 5.95 6.00 6.00
quantised, -0.9 to 6, onnxruntime: -0.90 0.00 0.35 0.70 5.60 5.95 6.00 6.00
quantised, -0.9 to 6, OpenVINO: -1.05 0.00 0.35 0.70 5.60 5.95 5.95 5.95
quantised, 0.1 to 6, Log, the reference: -2.30 -2.30 -1.05 -0.36 1.72 1.78 1.79 1.79
quantised, 0.1 to 6, Log, onnxruntime: -2.30 -2.30 -1.05 -0.36 1.72 1.78 1.79 1.79
quantised, 0.1 to 6, Log, OpenVINO: -inf -inf -1.05 -0.36 1.72 1.78 1.78 1.78
quantised, 0.1 to 6, Reciprocal, the reference: 10.00 10.00 2.86 1.43 0.18 0.17 0.17 0.17
quantised, 0.1 to 6, Reciprocal, onnxruntime: 10.00 10.00 2.86 1.43 0.18 0.17 0.17 0.17
quantised, 0.1 to 6, Reciprocal, OpenVINO: inf inf 2.86 1.43 0.18 0.17 0.17 0.17
quantised, Max 0.1 and Min 6, the reference: 0.10 0.10 0.35 0.70 5.60 5.95 6.00 6.00
quantised, Max 0.1 and Min 6, onnxruntime: 0.10 0.10 0.35 0.70 5.60 5.95 6.00 6.00
quantised, Max 0.1 and Min 6, OpenVINO: 0.00 0.00 0.35 0.70 5.60 5.95 5.95 5.95
not quantised, 0.1 to 6, the reference: 0.10 0.10 0.35 0.70 5.60 5.95 6.00 6.00
not quantised, 0.1 to 6, onnxruntime: 0.10 0.10 0.35 0.70 5.60 5.95 6.00 6.00
not quantised, 0.1 to 6, OpenVINO: 0.10 0.10 0.35 0.70 5.60 5.95 6.00 6.00
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
