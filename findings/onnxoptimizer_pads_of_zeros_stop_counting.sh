#!/usr/bin/env bash
# onnxoptimizer 0.4.2: a border of zeros before a MaxPool becomes one of nothing, and an average counts other pixels.
#
# Networks of TensorFlow and Keras pad the image by a Pad of its own and pool without a border. The pass
# fuse_pad_into_pool, which optimize() runs unless told otherwise, moves the border into the pooling's own `pads`.
# ONNX's MaxPool leaves those out, though, where the Pad had zeros: of negative pixels the largest was 0, and is now a
# negative one. Behind a ReLU nothing changes, so that ResNet is right and a network that pools before its activation
# is not. An AveragePool that already has a border of its own is given count_include_pad=1, for the zeros of the Pad,
# and from then on counts its own border too. One with auto_pad SAME is given `pads` beside it, which the standard
# forbids; onnxruntime takes auto_pad, and the picture is smaller by the border. Every model that comes out passes a
# load by onnxruntime.
# Seen with: onnxoptimizer 0.4.2, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, Python 3.11. Output seen: `expected`
# below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check onnxoptimizer==0.4.2 onnxruntime==1.32.0 \
    onnx==1.23.2 numpy==2.4.6

cat > look.py <<'PYTHON'
import numpy as np
import onnx
import onnxoptimizer
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

X = np.arange(-8, 8, dtype=np.float32).reshape(1, 1, 4, 4)
BORDER = np.array([0, 0, 1, 1, 0, 0, 1, 1])


def build(operator, relu, attributes):
    nodes = [helper.make_node("Relu", ["x"], ["a"])] if relu else []
    nodes.append(helper.make_node("Pad", ["a" if relu else "x", "border"], ["b"]))
    nodes.append(helper.make_node(operator, ["b"], ["y"], **attributes))
    graph = helper.make_graph(
        nodes,
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "h", "w"])],
        [numpy_helper.from_array(BORDER, "border")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]


def show(operator, relu=False, **attributes):
    model = build(operator, relu, attributes)
    optimised = onnxoptimizer.optimize(model)
    before, after = run(model), run(optimised)
    pool = optimised.graph.node[-1]
    kept = {a.name: helper.get_attribute_value(a) for a in pool.attribute if a.name in ("pads", "count_include_pad")}
    print(f"{'Relu, ' if relu else ''}Pad, {operator} {attributes}")
    print(f"    becomes {', '.join(node.op_type for node in optimised.graph.node)} with {kept}")
    for name, y in (("as written", before), ("optimised", after)):
        print(f"    {name}: {y.shape[2]} by {y.shape[3]}, first row " + " ".join(f"{v:.3f}" for v in y[0, 0, 0]))


show("MaxPool", kernel_shape=[3, 3], strides=[2, 2])
show("MaxPool", relu=True, kernel_shape=[3, 3], strides=[2, 2])
show("AveragePool", kernel_shape=[3, 3], strides=[1, 1])
show("AveragePool", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
show("AveragePool", kernel_shape=[3, 3], strides=[1, 1], auto_pad="SAME_UPPER")
PYTHON

cat > expected <<'TEXT'
Pad, MaxPool {'kernel_shape': [3, 3], 'strides': [2, 2]}
    becomes MaxPool with {'pads': [1, 1, 1, 1]}
    as written: 2 by 2, first row 0.000 0.000
    optimised: 2 by 2, first row -3.000 -1.000
Relu, Pad, MaxPool {'kernel_shape': [3, 3], 'strides': [2, 2]}
    becomes Relu, MaxPool with {'pads': [1, 1, 1, 1]}
    as written: 2 by 2, first row 0.000 0.000
    optimised: 2 by 2, first row 0.000 0.000
Pad, AveragePool {'kernel_shape': [3, 3], 'strides': [1, 1]}
    becomes AveragePool with {'count_include_pad': 1, 'pads': [1, 1, 1, 1]}
    as written: 4 by 4, first row -2.444 -3.333 -2.667 -1.556
    optimised: 4 by 4, first row -2.444 -3.333 -2.667 -1.556
Pad, AveragePool {'kernel_shape': [3, 3], 'strides': [1, 1], 'pads': [1, 1, 1, 1]}
    becomes AveragePool with {'pads': [2, 2, 2, 2], 'count_include_pad': 1}
    as written: 6 by 6, first row -2.000 -2.500 -3.500 -3.000 -1.833 -1.250
    optimised: 6 by 6, first row -0.889 -1.667 -2.333 -2.000 -1.222 -0.556
Pad, AveragePool {'kernel_shape': [3, 3], 'strides': [1, 1], 'auto_pad': 'SAME_UPPER'}
    becomes AveragePool with {'count_include_pad': 1, 'pads': [1, 1, 1, 1]}
    as written: 6 by 6, first row -2.000 -2.500 -3.500 -3.000 -1.833 -1.250
    optimised: 4 by 4, first row -2.444 -3.333 -2.667 -1.556
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
