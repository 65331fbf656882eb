#!/usr/bin/env bash
# onnxslim 0.1.98: a product of a convolution with a row or a column of weights becomes a product with each channel.
#
# A factor for each channel behind a convolution can be multiplied into its weights, and onnxslim does that. It counts
# the numbers of the factor, though, and does not look at its shape: whatever has as many numbers as there are channels
# is taken for one. A window over the columns (shape (W,), as for tapering an image's border) or over the rows, (H, 1),
# is another function, and with as many columns or rows as channels, 64 channels at 64 by 64, it is lost: the slimmed
# file is a single convolution with other outputs. Sums are not touched, other sizes are right, and ConvTranspose is as
# wrong as Conv. onnxslim.slim returns the file without a word; only with model_check=True are the outputs compared.
# Seen with: onnxslim 0.1.98, onnxruntime 1.32.0, onnx 1.23.2, numpy 1.26.4, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check onnxslim==0.1.98 onnxruntime==1.32.0 \
    onnx==1.23.2 numpy==1.26.4

cat > look.py <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import onnxslim
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 3


def run(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.ones([dimension.dim_value for dimension in model.graph.input[0].type.tensor_type.shape.dim], np.float32)
    y = session.run(None, {"x": image})[0][0]
    rows = " / ".join(",".join(f"{value:.0f}" for value in row) for row in y[0])
    return f"channel 0 is {rows}, channel 2 begins with {y[2, 0, 0]:.0f}"


def show(what, operator, factor, size=CHANNELS, convolution="Conv"):
    eye = np.eye(CHANNELS, dtype=np.float32)[..., None, None]
    shape = [1, CHANNELS, size, size]
    graph = helper.make_graph(
        [helper.make_node(convolution, ["x", "eye"], ["a"]), helper.make_node(operator, ["a", "factor"], ["y"])],
        "window",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(eye, "eye"), numpy_helper.from_array(factor, "factor")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    print(f"{what}, the file: {run(model)}")
    slim = onnxslim.slim(model)
    print(f"{what}, slimmed to {'+'.join(node.op_type for node in slim.graph.node)}: {run(slim)}")


numbers = np.float32([1, 2, 3])
show("product with a row", "Mul", numbers)
show("product with a column", "Mul", numbers[:, None])
show("product with each channel", "Mul", numbers[:, None, None])
show("transposed, product with a row", "Mul", numbers, convolution="ConvTranspose")
show("sum with a row", "Add", numbers)
show("product with a row of 4 columns", "Mul", np.float32([1, 2, 3, 4]), size=4)
PYTHON

cat > expected <<'TEXT'
product with a row, the file: channel 0 is 1,2,3 / 1,2,3 / 1,2,3, channel 2 begins with 1
product with a row, slimmed to Conv: channel 0 is 1,1,1 / 1,1,1 / 1,1,1, channel 2 begins with 3
product with a column, the file: channel 0 is 1,1,1 / 2,2,2 / 3,3,3, channel 2 begins with 1
product with a column, slimmed to Conv: channel 0 is 1,1,1 / 1,1,1 / 1,1,1, channel 2 begins with 3
product with each channel, the file: channel 0 is 1,1,1 / 1,1,1 / 1,1,1, channel 2 begins with 3
product with each channel, slimmed to Conv: channel 0 is 1,1,1 / 1,1,1 / 1,1,1, channel 2 begins with 3
transposed, product with a row, the file: channel 0 is 1,2,3 / 1,2,3 / 1,2,3, channel 2 begins with 1
transposed, product with a row, slimmed to ConvTranspose: channel 0 is 1,1,1 / 1,1,1 / 1,1,1, channel 2 begins with 3
sum with a row, the file: channel 0 is 2,3,4 / 2,3,4 / 2,3,4, channel 2 begins with 2
sum with a row, slimmed to Conv+Add: channel 0 is 2,3,4 / 2,3,4 / 2,3,4, channel 2 begins with 2
product with a row of 4 columns, the file: channel 0 is 1,2,3,4 / 1,2,3,4 / 1,2,3,4 / 1,2,3,4, channel 2 begins with 1
product with a row of 4 columns, slimmed to Conv+Mul: channel 0 is 1,2,3,4 / 1,2,3,4 / 1,2,3,4 / 1,2,3,4, channel 2 begins with 1
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
