#!/usr/bin/env bash
# openvino 2026.4.1: Resize of an ONNX file is computed without three of its attributes, and nothing says so.
#
# A file that carries its own preprocessing shrinks the photograph by Resize with antialias=1 (opset 18), which is what
# Pillow and torchvision do. OpenVINO's ONNX frontend reads the node, drops the attribute, and samples four pixels of the
# large image (linear) or sixteen (cubic) for each of the small one. Its own Interpolate has that mode (bilinear_pillow,
# bicubic_pillow), so nothing is missing that would force it. `exclude_outside`, which says what a cubic filter does at
# the border, goes the same way, and so does `keep_aspect_ratio_policy`: the result has another
# shape than the standard's, and the image is stretched. onnxruntime and ONNX's reference agree with each other to 1e-5. Stripes that a filter
# makes nearly grey stay black and white here: the same file has other scores in the other runtime.
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
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

# Stripes of four columns, two black and two white.
image = np.tile(np.float32([0, 0, 1, 1]), (1, 1, 32, 8))
noise = np.random.default_rng(0).standard_normal((1, 1, 32, 32)).astype(np.float32)


def run(size, x, result=None, **attributes):
    """Returns the outputs of ONNX's reference, onnxruntime and OpenVINO."""
    node = helper.make_node(
        "Resize",
        ["x", "", "", "size"],
        ["y"],
        axes=[2, 3],
        coordinate_transformation_mode="half_pixel",
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, *(result or size)])],
        [numpy_helper.from_array(np.int64(size), "size")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    file = model.SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return (
        ReferenceEvaluator(model).run(None, {"x": x})[0],
        session.run(None, {"x": x})[0],
        compiled({"x": x})[0],
    )


for mode in ("linear", "cubic"):
    plain = run((8, 8), noise, mode=mode)
    filtered = run((8, 8), noise, mode=mode, antialias=1)
    print(mode, "the reference and onnxruntime agree:", np.allclose(filtered[0], filtered[1], atol=1e-5))
    print(mode, "antialias changes onnxruntime's pixels:", not np.allclose(plain[1], filtered[1], atol=0.1))
    print(mode, "antialias changes OpenVINO's pixels:", not np.array_equal(plain[2], filtered[2]))
edge = run((64, 64), noise, mode="cubic", exclude_outside=1)
plain = run((64, 64), noise, mode="cubic")
print("exclude_outside changes onnxruntime's pixels:", not np.allclose(plain[1], edge[1], atol=0.01))
print("exclude_outside changes OpenVINO's pixels:", not np.array_equal(plain[2], edge[2]))
names = ("the reference", "onnxruntime", "OpenVINO")
wide = noise[:, :, :16]
for name, values in zip(names, run((8, 8), wide, (4, 8), mode="linear", keep_aspect_ratio_policy="not_larger")):
    print(f"16 by 32 pixels made not larger than 8 by 8, {name}: {values.shape[2]} by {values.shape[3]}")
for name, values in zip(names, run((8, 12), image, mode="linear", antialias=1)):
    print(f"one row of the stripes, {name}:", " ".join(f"{value:.2f}" for value in values[0, 0, 4, :6]))
PYTHON

cat > expected <<'TEXT'
linear the reference and onnxruntime agree: True
linear antialias changes onnxruntime's pixels: True
linear antialias changes OpenVINO's pixels: False
cubic the reference and onnxruntime agree: True
cubic antialias changes onnxruntime's pixels: True
cubic antialias changes OpenVINO's pixels: False
exclude_outside changes onnxruntime's pixels: True
exclude_outside changes OpenVINO's pixels: False
16 by 32 pixels made not larger than 8 by 8, the reference: 4 by 8
16 by 32 pixels made not larger than 8 by 8, onnxruntime: 4 by 8
16 by 32 pixels made not larger than 8 by 8, OpenVINO: 8 by 8
one row of the stripes, the reference: 0.28 0.50 0.60 0.40 0.50 0.60
one row of the stripes, onnxruntime: 0.28 0.50 0.60 0.40 0.50 0.60
one row of the stripes, OpenVINO: 0.00 0.50 1.00 0.00 0.50 1.00
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
