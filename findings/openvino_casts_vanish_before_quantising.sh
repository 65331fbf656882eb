#!/usr/bin/env bash
# openvino 2026.4.1: a cast to uint8 and back is left out where QuantizeLinear follows, so that nothing is cut off.
#
# A file with its own preprocessing resizes the photograph, casts it to uint8 and back to float, as the decoder of the
# training had bytes, and goes on in a quantised network. ONNX's Cast cuts 2.9 down to 2. OpenVINO does that as long as
# no QuantizeLinear comes after it; before one it takes both casts out, and 2.9 arrives as 3. A pixel is up to one grey
# level brighter, half a level on average, and with steps below 1 there are values between the grey levels. A
# multiplication between the casts and QuantizeLinear does not stop it. Casts to uint8 and int8 vanish; to uint16 and
# int32 they stay, and so does Floor. onnxruntime and ONNX's reference cut off in all cases.
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


x = np.float32([0.3, 1.4, 2.6, 2.9, 3.8, 9.7, 10.2, 12.4])


def show(what, nodes, values):
    for name, y in run(nodes, values, x, x.shape).items():
        print(f"{what}, {name}:", *(f"{value:.1f}" for value in y))


def casts(kind):
    return [
        helper.make_node("Cast", ["x"], ["whole"], to=getattr(TensorProto, kind)),
        helper.make_node("Cast", ["whole"], ["a"], to=TensorProto.FLOAT),
    ]


one, half = ({"step": np.float32(step), "zero": np.uint8(0)} for step in (1, 0.5))
two = {"two": np.float32(2)}
for kind in ("UINT8", "INT8", "UINT16", "INT32"):
    show(f"{kind}, step 0.5", casts(kind) + pair("a", "y"), half)
show("UINT8, step 1", casts("UINT8") + pair("a", "y"), one)
show("Floor, step 0.5", [helper.make_node("Floor", ["x"], ["a"]), *pair("a", "y")], half)
double = [helper.make_node("Mul", ["a", "two"], ["b"])]
show("UINT8, times 2, step 0.5", casts("UINT8") + double + pair("b", "y"), half | two)
show("UINT8, times 2, not quantised", [*casts("UINT8"), helper.make_node("Mul", ["a", "two"], ["y"])], two)
PYTHON

cat > expected <<'TEXT'
UINT8, step 0.5, the reference: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
UINT8, step 0.5, onnxruntime: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
UINT8, step 0.5, OpenVINO: 0.5 1.5 2.5 3.0 4.0 9.5 10.0 12.5
INT8, step 0.5, the reference: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
INT8, step 0.5, onnxruntime: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
INT8, step 0.5, OpenVINO: 0.5 1.5 2.5 3.0 4.0 9.5 10.0 12.5
UINT16, step 0.5, the reference: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
UINT16, step 0.5, onnxruntime: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
UINT16, step 0.5, OpenVINO: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
INT32, step 0.5, the reference: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
INT32, step 0.5, onnxruntime: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
INT32, step 0.5, OpenVINO: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
UINT8, step 1, the reference: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
UINT8, step 1, onnxruntime: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
UINT8, step 1, OpenVINO: 0.0 1.0 3.0 3.0 4.0 10.0 10.0 12.0
Floor, step 0.5, the reference: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
Floor, step 0.5, onnxruntime: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
Floor, step 0.5, OpenVINO: 0.0 1.0 2.0 2.0 3.0 9.0 10.0 12.0
UINT8, times 2, step 0.5, the reference: 0.0 2.0 4.0 4.0 6.0 18.0 20.0 24.0
UINT8, times 2, step 0.5, onnxruntime: 0.0 2.0 4.0 4.0 6.0 18.0 20.0 24.0
UINT8, times 2, step 0.5, OpenVINO: 0.5 3.0 5.0 6.0 7.5 19.5 20.5 25.0
UINT8, times 2, not quantised, the reference: 0.0 2.0 4.0 4.0 6.0 18.0 20.0 24.0
UINT8, times 2, not quantised, onnxruntime: 0.0 2.0 4.0 4.0 6.0 18.0 20.0 24.0
UINT8, times 2, not quantised, OpenVINO: 0.0 2.0 4.0 4.0 6.0 18.0 20.0 24.0
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
