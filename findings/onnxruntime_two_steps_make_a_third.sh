#!/usr/bin/env bash
# onnxruntime 1.32.0: of two quantisations in a row it makes one with a step that is in neither.
#
# Where two quantised networks are joined, the output of the first is rounded to its steps and then to those of the
# second (QuantizeLinear and DequantizeLinear, twice). The pass DoubleQDQPairsRemover, on at every level but
# ORT_DISABLE_ALL, takes the range that both can hold and spreads 256 levels over it anew. Steps of 0.1 from zero point
# 100 and steps of 0.1 from 128 become steps of 0.0890: a 1.0 of the file is 1.0682, and 3 is 3.0267. It stays within
# one step, but what comes after was calibrated on, and maybe trained with, the multiples of 0.1. With another step
# in the second pair the coarse first one is dropped: values that the file has already rounded together are apart again.
# The same pair twice is right, and so is one with an operator between. disabled_optimizers=["DoubleQDQPairsRemover"]
# keeps the file's numbers. (microsoft/onnxruntime issue 25259 names the pass, without numbers or cause; it was closed
# as stale.)
# Seen with: onnxruntime 1.32.0, onnx 1.23.2, numpy 1.26.4, Python 3.11. Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 \
    numpy==1.26.4

cat > look.py <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

x = np.float32([-3, -1.04, 0.04, 0.27, 1.04, 2, 3, 20])


def run(level, first, second, between=(), disabled=()):
    """Returns the outputs and the steps that are left in the graph, for two pairs of (step, zero point)."""
    nodes, values, name = [], {}, "x"
    for index, (step, zero) in enumerate((first, second)):
        values |= {f"step{index}": np.float32(step), f"zero{index}": np.uint8(zero)}
        pair = [f"step{index}", f"zero{index}"]
        nodes.append(helper.make_node("QuantizeLinear", [name, *pair], [f"q{index}"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"q{index}", *pair], [f"f{index}"]))
        name = f"f{index}"
        if index == 0:
            for operator in between:
                nodes.append(helper.make_node(operator, [name], ["between"]))
                name = "between"
    graph = helper.make_graph(
        nodes,
        "pairs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("f1", TensorProto.FLOAT, x.shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = "optimised.onnx"
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled)
    )
    initializers = onnx.load("optimised.onnx").graph.initializer
    steps = sorted({numpy_helper.to_array(i).item() for i in initializers if i.data_type == TensorProto.FLOAT})
    return session.run(None, {"x": x})[0], steps


def show(what, *arguments, **options):
    y, steps = run(*arguments, **options)
    print(f"{what}: steps", *(f"{step:.4f}" for step in steps), "| values", *(f"{value:.4f}" for value in y))


zeros = (0.1, 100), (0.1, 128)
show("0.1 from 100, twice, ORT_ENABLE_ALL", "ORT_ENABLE_ALL", zeros[0], zeros[0])
for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_ALL"):
    show(f"0.1 from 100, then 0.1 from 128, {level}", level, *zeros)
show("the same without the pass, ORT_ENABLE_ALL", "ORT_ENABLE_ALL", *zeros, disabled=["DoubleQDQPairsRemover"])
show("the same with Abs between, ORT_ENABLE_ALL", "ORT_ENABLE_ALL", *zeros, between=["Abs"])
show("0.1 from 128, twice, ORT_ENABLE_ALL", "ORT_ENABLE_ALL", zeros[1], zeros[1])
for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
    show(f"0.1 from 128, then 0.04 from 128, {level}", level, (0.1, 128), (0.04, 128))
PYTHON

cat > expected <<'TEXT'
0.1 from 100, twice, ORT_ENABLE_ALL: steps 0.1000 | values -3.0000 -1.0000 0.0000 0.3000 1.0000 2.0000 3.0000 15.5000
0.1 from 100, then 0.1 from 128, ORT_DISABLE_ALL: steps 0.1000 | values -3.0000 -1.0000 0.0000 0.3000 1.0000 2.0000 3.0000 12.7000
0.1 from 100, then 0.1 from 128, ORT_ENABLE_BASIC: steps 0.0890 | values -3.0267 -1.0682 0.0000 0.2671 1.0682 1.9584 3.0267 12.7298
0.1 from 100, then 0.1 from 128, ORT_ENABLE_ALL: steps 0.0890 | values -3.0267 -1.0682 0.0000 0.2671 1.0682 1.9584 3.0267 12.7298
the same without the pass, ORT_ENABLE_ALL: steps 0.1000 | values -3.0000 -1.0000 0.0000 0.3000 1.0000 2.0000 3.0000 12.7000
the same with Abs between, ORT_ENABLE_ALL: steps 0.1000 | values 3.0000 1.0000 0.0000 0.3000 1.0000 2.0000 3.0000 12.7000
0.1 from 128, twice, ORT_ENABLE_ALL: steps 0.1000 | values -3.0000 -1.0000 0.0000 0.3000 1.0000 2.0000 3.0000 12.7000
0.1 from 128, then 0.04 from 128, ORT_DISABLE_ALL: steps 0.0400 0.1000 | values -3.0000 -1.0000 0.0000 0.3200 1.0000 2.0000 3.0000 5.0800
0.1 from 128, then 0.04 from 128, ORT_ENABLE_ALL: steps 0.0400 | values -3.0000 -1.0400 0.0400 0.2800 1.0400 2.0000 3.0000 5.0800
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
