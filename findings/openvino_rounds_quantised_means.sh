#!/usr/bin/env bash
# openvino 2026.4.1: in a quantised network AveragePool rounds each mean to a whole step, if certain layers follow.
#
# Behind QuantizeLinear and DequantizeLinear the pixels are whole multiples of the step; a mean of four of them is not,
# and a file that wants it rounded says so by another such pair. Without one, ONNX's AveragePool gives the mean in
# float. OpenVINO moves DequantizeLinear behind the pooling, and pools in integers: means of 0.25, 1.75 and 3.25 steps
# become 0, 2 and 3. It does so before Add, Mul, Gemm and a convolution with weights in int8 (the shortcut of ResNet-D
# is such a mean and such a convolution), and not at the end of the network, before ReLU, or before a convolution in
# float. So the mean is right when it is made an output to look at it, and another one in the network.
# INFERENCE_PRECISION_HINT f32 does not change that. onnxruntime and ONNX's reference keep the fractions.
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


# Windows of 2 by 2 with means of 0.25, 1.75 and 3.25; the step is 1.
image = np.float32([[0, 0, 1, 2, 3, 3], [0, 1, 2, 2, 4, 3]])[None, None]
constants = {"step": np.float32(1), "zero": np.uint8(0)}
pool = [*pair("x", "a"), helper.make_node("AveragePool", ["a"], ["mean"], kernel_shape=[2, 2], strides=[2, 2])]


def show(what, nodes, values, last="y"):
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in pool + nodes]
    nodes[-1].output[0] = "y"
    for name, y in run(nodes, constants | values, image, last).items():
        print(f"{what}, {name}:", *(f"{value:.2f}" for value in y.ravel()))


square = [1, 1, 1, 3]
show("the mean", [], {}, square)
show("the mean, ReLU", [helper.make_node("Relu", ["mean"], ["y"])], {}, square)
show("the mean, plus 10", [helper.make_node("Add", ["mean", "ten"], ["y"])], {"ten": np.float32(10)}, square)
weight = {"kernel": np.full((1, 1, 1, 1), 100, np.int8), "part": np.float32(0.01), "none": np.int8(0)}
convolution = helper.make_node("Conv", ["mean", "weight"], ["y"], kernel_shape=[1, 1])
whole = helper.make_node("DequantizeLinear", ["kernel", "part", "none"], ["weight"])
show("the mean, convolution by 1 in int8", [whole, convolution], weight, square)
show("the mean, convolution by 1 in float", [convolution], {"weight": np.ones((1, 1, 1, 1), np.float32)}, square)
classifier = [helper.make_node("Flatten", ["mean"], ["flat"]), helper.make_node("Gemm", ["flat", "eye"], ["y"])]
show("the mean, Gemm by the unit matrix", classifier, {"eye": np.eye(3, dtype=np.float32)}, [1, 3])
PYTHON

cat > expected <<'TEXT'
the mean, the reference: 0.25 1.75 3.25
the mean, onnxruntime: 0.25 1.75 3.25
the mean, OpenVINO: 0.25 1.75 3.25
the mean, ReLU, the reference: 0.25 1.75 3.25
the mean, ReLU, onnxruntime: 0.25 1.75 3.25
the mean, ReLU, OpenVINO: 0.25 1.75 3.25
the mean, plus 10, the reference: 10.25 11.75 13.25
the mean, plus 10, onnxruntime: 10.25 11.75 13.25
the mean, plus 10, OpenVINO: 10.00 12.00 13.00
the mean, convolution by 1 in int8, the reference: 0.25 1.75 3.25
the mean, convolution by 1 in int8, onnxruntime: 0.25 1.75 3.25
the mean, convolution by 1 in int8, OpenVINO: 0.00 2.00 3.00
the mean, convolution by 1 in float, the reference: 0.25 1.75 3.25
the mean, convolution by 1 in float, onnxruntime: 0.25 1.75 3.25
the mean, convolution by 1 in float, OpenVINO: 0.25 1.75 3.25
the mean, Gemm by the unit matrix, the reference: 0.25 1.75 3.25
the mean, Gemm by the unit matrix, onnxruntime: 0.25 1.75 3.25
the mean, Gemm by the unit matrix, OpenVINO: 0.00 2.00 3.00
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
