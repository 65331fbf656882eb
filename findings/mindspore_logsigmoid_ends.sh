#!/usr/bin/env bash
# MindSpore 2.10.0 on the CPU: logsigmoid is minus infinity below -88, in half precision below -11, its gradient NaN.
#
# log(sigmoid(x)) is nearly x for negative x, and there is a function of that name so that nobody takes the logarithm of
# a sigmoid that has become 0. MindSpore's does: ops.logsigmoid and nn.LogSigmoid are exact down to where exp(-x)
# overflows and infinite from there on, with a gradient of NaN; nn.LogSigmoid's gradient is 0 before that, where it
# should be 1. In float16, as in mixed precision, the end is between -11 and -12, which is a usual logit of a confident
# network: a focal loss or a sigmoid loss of many classes that is written with it becomes infinite at its first sure
# mistake. -softplus(-x), the same function, is right in both types, and so is PyTorch's logsigmoid.
# Seen with: mindspore 2.10.0, numpy 1.26.4, Python 3.11, Linux x86-64. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check mindspore==2.10.0 numpy==1.26.4

cat > look.py <<'PYTHON'
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

NUMBERS = [-5.0, -11.0, -12.0, -20.0, -80.0, -90.0]
FUNCTIONS = {
    "ops.logsigmoid": ops.logsigmoid,
    "nn.LogSigmoid": nn.LogSigmoid(),
    "-softplus(-x)": lambda x: -ops.softplus(-x),
}


def text(y):
    return " ".join(f"{value:.3f}".rstrip("0").rstrip(".") for value in y.asnumpy().astype(np.float64))


for name, mode in {"PyNative": ms.PYNATIVE_MODE, "graph": ms.GRAPH_MODE}.items():
    ms.set_context(mode=mode)
    for dtype in (np.float32, np.float16):
        x = Tensor(np.array(NUMBERS, dtype))
        print(f"{name}, {np.dtype(dtype).name} of {text(x)}:")
        for what, function in FUNCTIONS.items():
            print(f"    {what}: {text(function(x))}")
            if mode == ms.PYNATIVE_MODE:
                print(f"        gradient: {text(ms.grad(lambda x, function=function: function(x).sum())(x))}")
PYTHON

cat > expected <<'TEXT'
PyNative, float32 of -5 -11 -12 -20 -80 -90:
    ops.logsigmoid: -5.007 -11 -12 -20 -80 -inf
        gradient: 0.993 1 1 1 1 nan
    nn.LogSigmoid: -5.007 -11 -12 -20 -80 -inf
        gradient: 0.993 1 1 1 0 nan
    -softplus(-x): -5.007 -11 -12 -20 -80 -90
        gradient: 0.993 1 1 1 1 1
PyNative, float16 of -5 -11 -12 -20 -80 -90:
    ops.logsigmoid: -5.008 -11 -inf -inf -inf -inf
        gradient: 0.993 1 nan nan nan nan
    nn.LogSigmoid: -5.008 -11 -inf -inf -inf -inf
        gradient: 0.993 0 nan nan nan nan
    -softplus(-x): -5.008 -11 -12 -20 -80 -90
        gradient: 0.993 1 1 1 1 1
graph, float32 of -5 -11 -12 -20 -80 -90:
    ops.logsigmoid: -5.007 -11 -12 -20 -80 -inf
    nn.LogSigmoid: -5.007 -11 -12 -20 -80 -inf
    -softplus(-x): -5.007 -11 -12 -20 -80 -90
graph, float16 of -5 -11 -12 -20 -80 -90:
    ops.logsigmoid: -5.008 -11 -inf -inf -inf -inf
    nn.LogSigmoid: -5.008 -11 -inf -inf -inf -inf
    -softplus(-x): -5.008 -11 -12 -20 -80 -90
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
