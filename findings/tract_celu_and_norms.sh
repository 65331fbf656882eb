#!/usr/bin/env bash
# tract 0.23.9: Celu divides by its alpha and never multiplies, and GlobalLpPool is a mean that keeps signs.
#
# tract runs ONNX files in Rust and, by its wheel, in Python. Two of its operators are others than the standard's. Celu
# is max(x, 0) + min(0, alpha * (exp(x / alpha) - 1)); tract leaves the factor before the bracket out, so that all
# negative values are wrong by a factor of alpha, except with alpha 1, the default, which is what a test takes. Elu
# beside it is right. GlobalLpPool, the L2 norm over a feature map or GeM without its mean, is (sum of |x| ** p) ** (1 /
# p); tract takes the mean in the place of the sum, and no magnitudes, so that p = 1 is the average pooling and p = 3 is
# NaN where the sum is negative. Behind a ReLU, where nothing is negative, only the scale is lost, and it depends on the
# size of the image.
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
from onnx import TensorProto, helper

X = np.float32([3, -4, 0, 0]).reshape(1, 1, 2, 2)


def run(model):
    network = tract.onnx().load("m.onnx").into_model().into_runnable()
    return network.run([X])[0].to_numpy()


def numbers(y):
    return ", ".join(f"{value:.4f}" for value in y.ravel())


def show(operator, shape, formula, **attributes):
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    right = session.run(None, {"x": X})[0]
    assert np.allclose(right, formula)
    print(f"{operator} {attributes}: the formula and onnxruntime {numbers(right)}; tract {numbers(run(model))}")


for alpha in (0.25, 0.5, 1.0, 2.0):
    show("Celu", X.shape, np.maximum(X, 0) + np.minimum(0, alpha * (np.exp(X / alpha) - 1)), alpha=alpha)
for p in (1, 2, 3):
    show("GlobalLpPool", (1, 1, 1, 1), (np.abs(X) ** p).sum() ** (1 / p), p=p)
show("GlobalAveragePool", (1, 1, 1, 1), X.mean())
show("Elu", X.shape, np.where(X > 0, X, 0.5 * (np.exp(X) - 1)), alpha=0.5)
PYTHON

cat > expected <<'TEXT'
Celu {'alpha': 0.25}: the formula and onnxruntime 3.0000, -0.2500, 0.0000, 0.0000; tract 3.0000, -1.0000, 0.0000, 0.0000
Celu {'alpha': 0.5}: the formula and onnxruntime 3.0000, -0.4998, 0.0000, 0.0000; tract 3.0000, -0.9997, 0.0000, 0.0000
Celu {'alpha': 1.0}: the formula and onnxruntime 3.0000, -0.9817, 0.0000, 0.0000; tract 3.0000, -0.9817, 0.0000, 0.0000
Celu {'alpha': 2.0}: the formula and onnxruntime 3.0000, -1.7293, 0.0000, 0.0000; tract 3.0000, -0.8647, 0.0000, 0.0000
GlobalLpPool {'p': 1}: the formula and onnxruntime 7.0000; tract -0.2500
GlobalLpPool {'p': 2}: the formula and onnxruntime 5.0000; tract 2.5000
GlobalLpPool {'p': 3}: the formula and onnxruntime 4.4979; tract nan
GlobalAveragePool {}: the formula and onnxruntime -0.2500; tract -0.2500
Elu {'alpha': 0.5}: the formula and onnxruntime 3.0000, -0.4908, 0.0000, 0.0000; tract 3.0000, -0.4908, 0.0000, 0.0000
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
