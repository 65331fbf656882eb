#!/usr/bin/env bash
# openvino 2026.4.1: PRelu behind a MatMul takes its slopes along the last axis, if they happen to fit there.
#
# A linear layer over the last axis of (N, C, H, W), as in networks that mix rows and columns, followed by PReLU, which
# in PyTorch has a slope for each channel, the second axis: ONNX has them as a slope of (C, 1, 1). The CPU plugin
# computes PRelu as a part of the multiplication, and takes a list of slopes there for one along its outputs, the last
# axis. If C is not the number of outputs, the compilation ends with "data.size() == OC"; if it is, as where all layers
# have one width, negative values get the slopes of other channels. A Tanh between the two is drawn in as well, and
# nothing is better. With three dimensions (slope (C, 1)) it is right, and so is Mul in the place of PRelu.
# (openvinotoolkit/openvino issue 35958 is about slopes of shape (C,), which are ambiguous; here the shape says what is
# meant.)
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


def show(what, x, outputs, nodes, slopes):
    """Prints the output's first row of each channel."""
    values = {"weight": np.zeros((x.shape[-1], outputs), np.float32), "slope": slopes}
    values["weight"][0] = 1
    try:
        for name, y in run(nodes, values, x, [*x.shape[:-1], outputs]).items():
            rows = y[0, :, 0] if y.ndim == 4 else y[0]
            print(f"{what}, {name}:", *(" ".join(f"{value:.3g}" for value in row) for row in rows), sep=" | ")
    except RuntimeError as error:
        print(f"{what}: RuntimeError, data.size() == OC: {'data.size() == OC' in str(error)}")


channels = 3
slopes = np.float32([1, 2, 3])
matmul, prelu = helper.make_node("MatMul", ["x", "weight"], ["a"]), helper.make_node("PRelu", ["a", "slope"], ["y"])
image, tokens = -np.ones((1, channels, 2, 5), np.float32), -np.ones((1, channels, 5), np.float32)
show("four dimensions, 3 channels and 3 outputs", image, 3, [matmul, prelu], slopes.reshape(3, 1, 1))
show("four dimensions, 3 channels and 4 outputs", image, 4, [matmul, prelu], slopes.reshape(3, 1, 1))
show("three dimensions, 3 channels and 3 outputs", tokens, 3, [matmul, prelu], slopes.reshape(3, 1))
product = helper.make_node("Mul", ["a", "slope"], ["y"])
show("four dimensions, Mul", image, 3, [matmul, product], slopes.reshape(3, 1, 1))
apart = [matmul, helper.make_node("Tanh", ["a"], ["b"]), helper.make_node("PRelu", ["b", "slope"], ["y"])]
show("four dimensions, Tanh between", image, 3, apart, slopes.reshape(3, 1, 1))
PYTHON

cat > expected <<'TEXT'
four dimensions, 3 channels and 3 outputs, the reference: | -1 -1 -1 | -2 -2 -2 | -3 -3 -3
four dimensions, 3 channels and 3 outputs, onnxruntime: | -1 -1 -1 | -2 -2 -2 | -3 -3 -3
four dimensions, 3 channels and 3 outputs, OpenVINO: | -1 -2 -3 | -1 -2 -3 | -1 -2 -3
four dimensions, 3 channels and 4 outputs: RuntimeError, data.size() == OC: True
three dimensions, 3 channels and 3 outputs, the reference: | -1 -1 -1 | -2 -2 -2 | -3 -3 -3
three dimensions, 3 channels and 3 outputs, onnxruntime: | -1 -1 -1 | -2 -2 -2 | -3 -3 -3
three dimensions, 3 channels and 3 outputs, OpenVINO: | -1 -1 -1 | -2 -2 -2 | -3 -3 -3
four dimensions, Mul, the reference: | -1 -1 -1 | -2 -2 -2 | -3 -3 -3
four dimensions, Mul, onnxruntime: | -1 -1 -1 | -2 -2 -2 | -3 -3 -3
four dimensions, Mul, OpenVINO: | -1 -1 -1 | -2 -2 -2 | -3 -3 -3
four dimensions, Tanh between, the reference: | -0.762 -0.762 -0.762 | -1.52 -1.52 -1.52 | -2.28 -2.28 -2.28
four dimensions, Tanh between, onnxruntime: | -0.762 -0.762 -0.762 | -1.52 -1.52 -1.52 | -2.28 -2.28 -2.28
four dimensions, Tanh between, OpenVINO: | -0.762 -1.52 -2.28 | -0.762 -1.52 -2.28 | -0.762 -1.52 -2.28
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
