#!/usr/bin/env bash
# onnx 1.23.2 and openvino 2026.4.1: Softmax of opset 11 and 12 sums over one axis; the standard says all from it on.
#
# Until opset 12, Softmax and LogSoftmax see their input as a matrix: the axes before `axis` (1 when it is not said) are
# rows, and each row sums to one. Of (N, C, H, W) that is one sum over C, H and W. Opset 13 made it the one axis. A valid
# file, which onnx.checker accepts, is read in three ways:
#   onnxruntime           the matrix, as the standard says
#   onnx's own reference  one axis; without `axis` the last one (both are opset 13's rules), so who tests a runtime
#                         against it finds the right one wrong
#   OpenVINO              the matrix in Softmax of opset 9, in LogSoftmax and in Hardmax; one axis in Softmax of 11 and 12
# So two of three agree, and are wrong: each pixel's classes sum to one where the whole image should. With the last axis,
# as in attention, or two dimensions, as in a classifier, there is no difference, which is why it stays unseen.
# onnx.version_converter to opset 13 keeps the meaning; of the converted file all three agree.
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
from onnx import TensorProto, helper, version_converter
from onnx.reference import ReferenceEvaluator

x = np.random.default_rng(0).standard_normal((1, 4, 3, 5)).astype(np.float32)


def model_of(operator, opset, axis):
    node = helper.make_node(operator, ["x"], ["y"], **({} if axis is None else {"axis": axis}))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in "xy"]
    graph = helper.make_graph([node], "softmax", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    return model


def runs(model):
    file = model.SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {
        "onnx's reference": ReferenceEvaluator(model).run(None, {"x": x})[0],
        "onnxruntime": onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0],
        "OpenVINO": compiled({"x": x})[0],
    }


def softmax(values, axes):
    powers = np.exp(values - values.max())
    return powers / powers.sum(axis=axes, keepdims=True)


for operator in ("Softmax", "LogSoftmax"):
    final = np.log if operator == "LogSoftmax" else np.asarray
    meanings = {"the standard": final(softmax(x, (1, 2, 3))), "one axis": final(softmax(x, (1,)))}
    meanings["the last axis"] = final(softmax(x, (3,)))
    for opset, axis in ((9, None), (11, 1), (12, 1)):
        for name, y in runs(model_of(operator, opset, axis)).items():
            meaning = [name for name, values in meanings.items() if np.allclose(y, values, atol=1e-5)]
            print(f"{operator}, opset {opset}, {name}: {' and '.join(meaning) or 'something else'}")
for name, y in runs(model_of("Hardmax", 11, 1)).items():
    print(f"Hardmax, opset 11, {name}: {int(y.sum())} of {y.size} values are one")
converted = version_converter.convert_version(model_of("Softmax", 11, 1), 13)
for name, y in runs(converted).items():
    print(f"Softmax, converted to opset 13, {name}: sums to {y.sum():.2f}")
PYTHON

{
    for operator in Softmax LogSoftmax; do
        for opset in 9 11 12; do
            reference="one axis" openvino="the standard"
            if [[ $opset == 9 ]]; then reference="the last axis"; fi
            if [[ $operator == Softmax && $opset != 9 ]]; then openvino="one axis"; fi
            echo "$operator, opset $opset, onnx's reference: $reference"
            echo "$operator, opset $opset, onnxruntime: the standard"
            echo "$operator, opset $opset, OpenVINO: $openvino"
        done
    done
    cat <<'TEXT'
Hardmax, opset 11, onnx's reference: 15 of 60 values are one
Hardmax, opset 11, onnxruntime: 1 of 60 values are one
Hardmax, opset 11, OpenVINO: 1 of 60 values are one
Softmax, converted to opset 13, onnx's reference: sums to 1.00
Softmax, converted to opset 13, onnxruntime: sums to 1.00
Softmax, converted to opset 13, OpenVINO: sums to 1.00
TEXT
} > expected
venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
