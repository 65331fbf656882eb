#!/usr/bin/env bash
# MindSpore 2.10.0 on the CPU: the mean of an image of bytes is 0.
#
# The mean of integers is summed and divided in their own type. 256 bytes around 100 sum up to 25728, which wraps to 128
# in eight bits; divided by 256 that is 0. Of uint16 around 10000 it is 16. A larger or another image gives another
# number, with no relation to its brightness, and where nothing wraps (int32) the fraction is cut off. Tensor.mean,
# ops.mean, ReduceMean, mint.mean and mindspore.numpy.mean are all so, in both modes, whatever numpy's namesake does;
# PyTorch refuses integers. The sum beside it is made in int64 and right, of uint8, int8 and int16; of uint16 it wraps
# as well. So statistics of a data set, a brightness threshold or the share of correct answers that is a mean of
# integers are wrong without a word. mint.mean with dtype=float32, or a cast first, is right. (The documentation takes a
# tensor of any numbers.)
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
from mindspore import Tensor, mint, ops

MEANS = {
    "Tensor.mean": lambda x: x.mean(),
    "ops.mean": ops.mean,
    "ReduceMean": ops.ReduceMean(),
    "mint.mean": mint.mean,
    "numpy.mean": ms.numpy.mean,
}
IMAGES = {"uint8": 100, "int8": 100, "uint16": 10000, "int16": 10000, "int32": 100, "float16": 100}


def result(function, image):
    y = function(Tensor(image))
    return f"{y.asnumpy().item():.10g} ({str(y.dtype).lower()})"


for name, mode in {"PyNative": ms.PYNATIVE_MODE, "graph": ms.GRAPH_MODE}.items():
    ms.set_context(mode=mode)
    for dtype, value in IMAGES.items():
        image = np.full((16, 16), value, dtype)
        image[:, ::2] += 1
        means = {result(function, image) for function in MEANS.values()}
        total = result(lambda x: x.sum(), image)
        in_float = result(lambda x: mint.mean(x, dtype=ms.float32), image)
        print(f"{name}, {dtype}: numpy's mean {image.mean():.10g}, sum {image.sum(dtype=np.float64):.10g}")
        print(f"    all {len(MEANS)} means {', '.join(means)}; mint.mean, dtype=float32 {in_float}; sum {total}")
PYTHON

cat > expected <<'TEXT'
PyNative, uint8: numpy's mean 100.5, sum 25728
    all 5 means 0 (uint8); mint.mean, dtype=float32 100.5 (float32); sum 25728 (int64)
PyNative, int8: numpy's mean 100.5, sum 25728
    all 5 means 0 (int8); mint.mean, dtype=float32 100.5 (float32); sum 25728 (int64)
PyNative, uint16: numpy's mean 10000.5, sum 2560128
    all 5 means 16 (uint16); mint.mean, dtype=float32 10000.5 (float32); sum 4224 (uint16)
PyNative, int16: numpy's mean 10000.5, sum 2560128
    all 5 means 16 (int16); mint.mean, dtype=float32 10000.5 (float32); sum 2560128 (int64)
PyNative, int32: numpy's mean 100.5, sum 25728
    all 5 means 100 (int32); mint.mean, dtype=float32 100.5 (float32); sum 25728 (int64)
PyNative, float16: numpy's mean 100.5, sum 25728
    all 5 means 100.5 (float16); mint.mean, dtype=float32 100.5 (float32); sum 25728 (float16)
graph, uint8: numpy's mean 100.5, sum 25728
    all 5 means 0 (uint8); mint.mean, dtype=float32 100.5 (float32); sum 25728 (int64)
graph, int8: numpy's mean 100.5, sum 25728
    all 5 means 0 (int8); mint.mean, dtype=float32 100.5 (float32); sum 25728 (int64)
graph, uint16: numpy's mean 10000.5, sum 2560128
    all 5 means 16 (uint16); mint.mean, dtype=float32 10000.5 (float32); sum 4224 (uint16)
graph, int16: numpy's mean 10000.5, sum 2560128
    all 5 means 16 (int16); mint.mean, dtype=float32 10000.5 (float32); sum 2560128 (int64)
graph, int32: numpy's mean 100.5, sum 25728
    all 5 means 100 (int32); mint.mean, dtype=float32 100.5 (float32); sum 25728 (int64)
graph, float16: numpy's mean 100.5, sum 25728
    all 5 means 100.5 (float16); mint.mean, dtype=float32 100.5 (float32); sum 25728 (float16)
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
