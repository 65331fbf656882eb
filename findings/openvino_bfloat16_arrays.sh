#!/usr/bin/env bash
# openvino 2026.4.1, from Python: what goes into and comes out of a bfloat16 tensor is float16 in the bits of bfloat16.
#
# An ONNX file with a bfloat16 output gives a numpy array of float16 in which the sixteen bits of bfloat16 stand: a 1.0
# arrives as 1.875, -3.0 as -2.125. A bfloat16 input goes the same way backwards: an array of float32, float64 or
# float16 is cast to float16, and its bits are read as bfloat16: 1.0 is 0.0078125 to the network, -3.0 is -32 and 0.125 is
# 4.7e-10. Nothing is said, and the documentation of the call promises a cast to the data type of the input. A network
# that only passes its input on undoes one by the other, so that a first test with it finds all right. Even ml_dtypes'
# bfloat16 array is read rightly with share_inputs=True only.
# ONNX's operator Cast says what is right: these numbers are values of both types, and a cast keeps them. onnxruntime
# refuses such arrays. What works in OpenVINO is PrePostProcessor's set_element_type(f32) for both ends, or an
# openvino.Tensor made of the bits.
# Seen with: openvino 2026.4.1, onnx 1.23.2, ml_dtypes 0.5.4, numpy 1.26.4, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openvino==2026.4.1 onnx==1.23.2 ml_dtypes==0.5.4 numpy==1.26.4

cat > look.py <<'PYTHON'
import ml_dtypes
import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper
from openvino.preprocess import PrePostProcessor

FLOAT, BFLOAT16 = TensorProto.FLOAT, TensorProto.BFLOAT16
values = np.float32([1, 2, -3, 0.125])
core = openvino.Core()


def read(source, target):
    """Returns a model of one node that casts four numbers from a type to another."""
    node = helper.make_node("Cast", ["x"], ["y"], to=target)
    ends = [helper.make_tensor_value_info("x", source, [4]), helper.make_tensor_value_info("y", target, [4])]
    graph = helper.make_graph([node], "cast", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return core.read_model(model.SerializeToString())


def compiled(model):
    return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def show(what, y):
    print(f"{what}: {y.dtype}", " ".join(f"{value:.6g}" for value in y.astype(np.float64)))


outward = compiled(read(FLOAT, BFLOAT16))
y = outward(values)[0]
show(f"out of {outward.output(0).element_type.get_type_name()}", y)
show("the same bits as bfloat16", y.view(ml_dtypes.bfloat16))
inward = compiled(read(BFLOAT16, FLOAT))
for dtype in ("float32", "float64", "float16"):
    show(f"into bf16 from {dtype}", inward(values.astype(dtype), share_inputs=False)[0])
for share in (False, True):
    array = values.astype(ml_dtypes.bfloat16)
    show(f"into bf16 from bfloat16, share_inputs={share}", inward(array, share_inputs=share)[0])
show("passed on", compiled(read(BFLOAT16, BFLOAT16))(values, share_inputs=False)[0])

bits = values.astype(ml_dtypes.bfloat16).view(np.float16)
show("into bf16 from a Tensor of the bits", inward(openvino.Tensor(bits, [4], openvino.Type.bf16))[0])
steps = PrePostProcessor(read(BFLOAT16, BFLOAT16))
steps.input().tensor().set_element_type(openvino.Type.f32)
steps.output().tensor().set_element_type(openvino.Type.f32)
show("both ends set to f32", compiled(steps.build())(values)[0])
PYTHON

cat > expected <<'TEXT'
out of bf16: float16 1.875 2 -2.125 1.5
the same bits as bfloat16: bfloat16 1 2 -3 0.125
into bf16 from float32: float32 0.0078125 2 -32 4.65661e-10
into bf16 from float64: float32 0.0078125 2 -32 4.65661e-10
into bf16 from float16: float32 0.0078125 2 -32 4.65661e-10
into bf16 from bfloat16, share_inputs=False: float32 0.0078125 2 -32 4.65661e-10
into bf16 from bfloat16, share_inputs=True: float32 1 2 -3 0.125
passed on: float16 1 2 -3 0.125
into bf16 from a Tensor of the bits: float32 1 2 -3 0.125
both ends set to f32: float32 1 2 -3 0.125
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
