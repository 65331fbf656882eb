#!/usr/bin/env bash
# onnxsim 0.8.1: two means in a row become one, whose output has another number of axes than the second one's.
#
# ReduceMean over rows and columns with keepdims=1, then over channels with keepdims=0, gives (N, 1, 1): the axes of
# the first stay, that of the second goes. onnxsim makes one ReduceMean of the two and gives it the keepdims of the
# second for all axes: (N,); the other way round it is (N, 1, 1, W) in the place of (N, 1, W). ReduceSum and ReduceMax
# do so as well. Where a layer with a fixed rank follows, the load fails. Where something is broadcast it need not: a
# map of (N, H, W) minus the mean of its columns, (N, 1, W), becomes (N, N, H, W), in which each image has the mean of
# each of the others taken from it. The flag that simplify() returns beside the model is True, and with a comparison
# (check_n=1) False.
# Seen with: onnxsim 0.8.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check onnxsim==0.8.1 onnxruntime==1.32.0 \
    onnx==1.23.2 numpy==2.4.6

cat > look.py <<'PYTHON'
import contextlib
import io

import numpy as np
import onnx
import onnxruntime
import onnxsim
from onnx import TensorProto, helper, numpy_helper

SIZE = 4


def build(operator, first, second, subtract=False):
    nodes = [
        helper.make_node(operator, ["x", "axes1"], ["a"], keepdims=first[1]),
        helper.make_node(operator, ["a", "axes2"], ["m" if subtract else "y"], keepdims=second[1]),
    ]
    if subtract:
        nodes.append(helper.make_node("ReduceMax", ["x", "axes1"], ["map"], keepdims=0))
        nodes.append(helper.make_node("Sub", ["map", "m"], ["y"]))
    axes = [numpy_helper.from_array(np.array(a), name) for a, name in ((first[0], "axes1"), (second[0], "axes2"))]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_empty_tensor_value_info("y")],
        axes,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def images(count):
    return np.repeat(np.arange(count, dtype=np.float32), 3 * SIZE * SIZE).reshape(count, 3, SIZE, SIZE)


def show(operator, first, second):
    model = build(operator, first, second)
    simple, flag = onnxsim.simplify(model)
    before, after = (run(each, images(SIZE)).shape for each in (model, simple))
    told = f"{operator} over {first[0]}, keepdims={first[1]}, then over {second[0]}, keepdims={second[1]}"
    print(f"{told}: {before}; simplified, {len(simple.graph.node)} node, {after}, flag {flag}")


for operator in ("ReduceMean", "ReduceSum", "ReduceMax"):
    show(operator, ([2, 3], 1), ([1], 0))
    show(operator, ([1], 0), ([1], 1))
    show(operator, ([2, 3], 1), ([1], 1))

model = build("ReduceMean", ([1], 0), ([1], 1), subtract=True)
simple, flag = onnxsim.simplify(model)
with contextlib.redirect_stdout(io.StringIO()):
    compared = onnxsim.simplify(model, check_n=1, test_input_shapes={"x": [SIZE, 3, SIZE, SIZE]})[1]
print(f"the largest of the channels minus the means of columns: flag {flag}, with check_n=1 {compared}")
for count in (1, SIZE):
    for name, each in (("as written", model), ("simplified", simple)):
        y = run(each, images(count))
        print(f"    {count} images of one colour, {name}: {y.shape}, from {y.min():.0f} to {y.max():.0f}")
PYTHON

cat > expected <<'TEXT'
ReduceMean over [2, 3], keepdims=1, then over [1], keepdims=0: (4, 1, 1); simplified, 1 node, (4,), flag True
ReduceMean over [1], keepdims=0, then over [1], keepdims=1: (4, 1, 4); simplified, 1 node, (4, 1, 1, 4), flag True
ReduceMean over [2, 3], keepdims=1, then over [1], keepdims=1: (4, 1, 1, 1); simplified, 1 node, (4, 1, 1, 1), flag True
ReduceSum over [2, 3], keepdims=1, then over [1], keepdims=0: (4, 1, 1); simplified, 1 node, (4,), flag True
ReduceSum over [1], keepdims=0, then over [1], keepdims=1: (4, 1, 4); simplified, 1 node, (4, 1, 1, 4), flag True
ReduceSum over [2, 3], keepdims=1, then over [1], keepdims=1: (4, 1, 1, 1); simplified, 1 node, (4, 1, 1, 1), flag True
ReduceMax over [2, 3], keepdims=1, then over [1], keepdims=0: (4, 1, 1); simplified, 1 node, (4,), flag True
ReduceMax over [1], keepdims=0, then over [1], keepdims=1: (4, 1, 4); simplified, 1 node, (4, 1, 1, 4), flag True
ReduceMax over [2, 3], keepdims=1, then over [1], keepdims=1: (4, 1, 1, 1); simplified, 1 node, (4, 1, 1, 1), flag True
the largest of the channels minus the means of columns: flag True, with check_n=1 False
    1 images of one colour, as written: (1, 4, 4), from 0 to 0
    1 images of one colour, simplified: (1, 1, 4, 4), from 0 to 0
    4 images of one colour, as written: (4, 4, 4), from 0 to 0
    4 images of one colour, simplified: (4, 4, 4, 4), from -3 to 3
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
