#!/usr/bin/env bash
# openvino 2026.4.1: whether save_model keeps 100000 or makes 65504 of it depends on the numbers that stand beside it.
#
# openvino.save_model stores constants in float16, unless told not to. What does not fit is cut to 65504, or to 0 if it
# is too small, without a word; but a constant of whose values at least three quarters do not fit stays in float32 as a
# whole, with all of its values exact. So the limits (100000, 200000, 300000, 1) come back as they are, one more 1
# behind them makes 65504 of the three, and one single number is always kept: an exporter's test with one channel finds
# all right. A variance of 16-bit pixels is such a number, and a guard of 1e-8 against division by zero, one for each
# channel, becomes 0 where the channels beside it have larger ones: the quotient is infinity in the saved network and
# finite in the one that was saved. compress_to_fp16=False keeps everything. (The rule came with
# openvinotoolkit/openvino pull request 18988.)
# Seen with: openvino 2026.4.1, numpy 1.26.4, Python 3.11. Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check openvino==2026.4.1 numpy==1.26.4

cat > look.py <<'PYTHON'
import numpy as np
import openvino
from openvino import opset13

core = openvino.Core()


def run(model, x):
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return " ".join(f"{value:g}" for value in compiled(x)[0])


def show(operator, values):
    x = opset13.parameter([len(values)], np.float32)
    model = openvino.Model([operator(x, opset13.constant(np.float32(values)))], [x], "constants")
    ones = np.ones(len(values), np.float32)
    openvino.save_model(model, "half.xml")
    openvino.save_model(model, "whole.xml", compress_to_fp16=False)
    print(f"1 {operator.__name__} ({', '.join(f'{value:g}' for value in values)})")
    print(f"    in memory {run(model, ones)}")
    print(f"    compress_to_fp16=False {run(core.read_model('whole.xml'), ones)}")
    print(f"    saved {run(core.read_model('half.xml'), ones)}")


for values in ([1e5], [1e5, 1], [1e5, 2e5, 3e5, 1], [1e5, 2e5, 3e5, 1, 1], [1e9, -1e9, 2, 3]):
    show(opset13.multiply, values)
for values in ([1e-8], [1e-8, 1], [1e-8, 1e-8, 1e-8, 1], [1e-8, 1e-8, 1, 1]):
    show(opset13.divide, values)
PYTHON

cat > expected <<'TEXT'
1 multiply (100000)
    in memory 100000
    compress_to_fp16=False 100000
    saved 100000
1 multiply (100000, 1)
    in memory 100000 1
    compress_to_fp16=False 100000 1
    saved 65504 1
1 multiply (100000, 200000, 300000, 1)
    in memory 100000 200000 300000 1
    compress_to_fp16=False 100000 200000 300000 1
    saved 100000 200000 300000 1
1 multiply (100000, 200000, 300000, 1, 1)
    in memory 100000 200000 300000 1 1
    compress_to_fp16=False 100000 200000 300000 1 1
    saved 65504 65504 65504 1 1
1 multiply (1e+09, -1e+09, 2, 3)
    in memory 1e+09 -1e+09 2 3
    compress_to_fp16=False 1e+09 -1e+09 2 3
    saved 65504 -65504 2 3
1 divide (1e-08)
    in memory 1e+08
    compress_to_fp16=False 1e+08
    saved 1e+08
1 divide (1e-08, 1)
    in memory 1e+08 1
    compress_to_fp16=False 1e+08 1
    saved inf 1
1 divide (1e-08, 1e-08, 1e-08, 1)
    in memory 1e+08 1e+08 1e+08 1
    compress_to_fp16=False 1e+08 1e+08 1e+08 1
    saved 1e+08 1e+08 1e+08 1
1 divide (1e-08, 1e-08, 1, 1)
    in memory 1e+08 1e+08 1 1
    compress_to_fp16=False 1e+08 1e+08 1 1
    saved inf inf 1 1
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
