#!/usr/bin/env bash
# openvino 2026.4.1: a 1x1 convolution with stride 2 and a border of 1 takes the other pixels when a ReLU stands before it.
#
# Border first, stride second: of six columns such a convolution takes border, 1, 3 and 5. OpenVINO does so when it reads
# the image itself. Behind a ReLU or another function of single values, and behind a convolution with one, a pass that
# saves work (StridesOptimization) moves the stride to the front, as a pooling of 1x1, and leaves the border where it is:
# columns 0, 2 and 4 with a border on either side. So it is another set of pixels, and 5 by 5 of them where the file
# declares 4 by 4. With a border in front only, and an even size, the shape is the declared one and nothing at all shows.
# A mean over the map, as classifiers have it, hides the shape in any case. onnxruntime and ONNX's reference agree with
# the definition. A 3x3 convolution in the place of the 1x1 is right.
# Seen with: openvino 2026.4.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 1.26.4, Python 3.11. Output seen: `expected` below.
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

SIZE = 6
# The value of a pixel is its column, from 10 on, so that the output says which column was taken; 0 is the border.
image = np.tile(np.arange(10, 10 + SIZE, dtype=np.float32), (1, 1, SIZE, 1))


def compare(what, before, pads, kernel=1):
    nodes = [helper.make_node(operator, ["x"], ["a"]) for operator in before]
    attributes = {"kernel_shape": [kernel, kernel], "strides": [2, 2], "pads": pads}
    nodes.append(helper.make_node("Conv", ["a" if before else "x", "weight"], ["b"], **attributes))
    nodes.append(helper.make_node("GlobalAveragePool", ["b"], ["mean"]))
    weight = np.zeros((1, 1, kernel, kernel), np.float32)
    weight[..., kernel // 2, kernel // 2] = 1
    size = (SIZE + pads[0] + pads[2] - kernel) // 2 + 1
    graph = helper.make_graph(
        nodes,
        "strides",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image.shape)],
        [
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 1, size, size]),
            helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, 1, 1, 1]),
        ],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    file = model.SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled({"x": image})
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    outputs = {
        "the reference": ReferenceEvaluator(model).run(None, {"x": image}),
        "onnxruntime": session.run(None, {"x": image}),
        "OpenVINO": [results[0], results[1]],
    }
    for name, (y, mean) in outputs.items():
        row = " ".join(f"{value:.0f}" for value in y[0, 0, 1])
        print(f"{what}, {name}: {y.shape[2]} by {y.shape[3]}, row 1 is {row}, the mean {mean.item():.3f}")


compare("border all round", [], [1, 1, 1, 1])
compare("border all round, after ReLU", ["Relu"], [1, 1, 1, 1])
compare("border all round, after a square root", ["Sqrt"], [1, 1, 1, 1])
compare("border in front, after ReLU", ["Relu"], [1, 1, 0, 0])
compare("no border, after ReLU", ["Relu"], [0, 0, 0, 0])
compare("3x3, border all round, after ReLU", ["Relu"], [1, 1, 1, 1], kernel=3)
PYTHON

cat > expected <<'TEXT'
border all round, the reference: 4 by 4, row 1 is 0 11 13 15, the mean 7.312
border all round, onnxruntime: 4 by 4, row 1 is 0 11 13 15, the mean 7.312
border all round, OpenVINO: 4 by 4, row 1 is 0 11 13 15, the mean 7.312
border all round, after ReLU, the reference: 4 by 4, row 1 is 0 11 13 15, the mean 7.312
border all round, after ReLU, onnxruntime: 4 by 4, row 1 is 0 11 13 15, the mean 7.312
border all round, after ReLU, OpenVINO: 5 by 5, row 1 is 0 10 12 14 0, the mean 4.320
border all round, after a square root, the reference: 4 by 4, row 1 is 0 3 4 4, the mean 2.024
border all round, after a square root, onnxruntime: 4 by 4, row 1 is 0 3 4 4, the mean 2.024
border all round, after a square root, OpenVINO: 5 by 5, row 1 is 0 3 3 4 0, the mean 1.244
border in front, after ReLU, the reference: 4 by 4, row 1 is 0 11 13 15, the mean 7.312
border in front, after ReLU, onnxruntime: 4 by 4, row 1 is 0 11 13 15, the mean 7.312
border in front, after ReLU, OpenVINO: 4 by 4, row 1 is 0 10 12 14, the mean 6.750
no border, after ReLU, the reference: 3 by 3, row 1 is 10 12 14, the mean 12.000
no border, after ReLU, onnxruntime: 3 by 3, row 1 is 10 12 14, the mean 12.000
no border, after ReLU, OpenVINO: 3 by 3, row 1 is 10 12 14, the mean 12.000
3x3, border all round, after ReLU, the reference: 3 by 3, row 1 is 10 12 14, the mean 12.000
3x3, border all round, after ReLU, onnxruntime: 3 by 3, row 1 is 10 12 14, the mean 12.000
3x3, border all round, after ReLU, OpenVINO: 3 by 3, row 1 is 10 12 14, the mean 12.000
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
