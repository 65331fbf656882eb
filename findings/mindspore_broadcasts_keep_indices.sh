#!/usr/bin/env bash
# MindSpore 2.10.0 on the CPU: a product or a sum of two tensors that have to be broadcast keeps 16 bytes for each value of
# its result as long as the graph lives, four times what the result takes.
#
# In graph mode each such operator holds two lists of 64-bit indices, one for either operand, which say which value goes
# with which. They are no part of the memory that MindSpore plans and uses again, so they add up over all operators of a
# network: 77 MB for each product with a layer scale in the first stage of ConvNeXt-T at batch 16. Operands of the same
# shape, and a factor of a single value, keep nothing. Expanding the factor by hand (`broadcast_to`) first costs its own
# size once, and nothing that stays.
# Seen with: mindspore 2.10.0, numpy 1.26.4, Python 3.11, Linux x86-64. Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mindspore==2.10.0 numpy==1.26.4

cat > chain.py <<'PYTHON'
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

SHAPE = (16, 56, 56, 96)
OTHERS = {"the same shape": SHAPE, "each channel": (96,), "each pixel": (16, 56, 56, 1), "a single value": (1,)}


class Products(nn.Cell):
    def __init__(self, count):
        super().__init__()
        self.count = count

    def construct(self, x, other):
        for _ in range(self.count):
            x = x * other
        return x


class Sums(Products):
    def construct(self, x, other):
        for _ in range(self.count):
            x = x + other
        return x


class ExpandedProducts(Products):
    def construct(self, x, other):
        for _ in range(self.count):
            x = x * other.broadcast_to(SHAPE)
        return x


kind, count, other = sys.argv[1:]
chain = {"products": Products, "sums": Sums, "expanded": ExpandedProducts}[kind](int(count))
ms.set_context(mode=ms.GRAPH_MODE)
x, other = Tensor(np.ones(SHAPE, np.float32)), Tensor(np.ones(OTHERS[other], np.float32))
for _ in range(3):
    chain(x, other).asnumpy()
resident = int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) * 1024
print(resident / np.prod(SHAPE))
PYTHON
cat > look.py <<'PYTHON'
import subprocess
import sys


def resident(*arguments):
    done = subprocess.run([sys.executable, "chain.py", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


CASES = [("products", other) for other in ("the same shape", "a single value", "each channel", "each pixel")]
for kind, other in [*CASES, ("sums", "the same shape"), ("sums", "each channel"), ("expanded", "each channel")]:
    kept = (resident(kind, "12", other) - resident(kind, "2", other)) / 10
    print(f"{kind}, {other}: {abs(round(kept))} bytes kept for each value and operator", flush=True)
PYTHON

venv/bin/python look.py 2> errors | tee seen
cat > expected <<'TEXT'
products, the same shape: 0 bytes kept for each value and operator
products, a single value: 0 bytes kept for each value and operator
products, each channel: 16 bytes kept for each value and operator
products, each pixel: 16 bytes kept for each value and operator
sums, the same shape: 0 bytes kept for each value and operator
sums, each channel: 16 bytes kept for each value and operator
expanded, each channel: 0 bytes kept for each value and operator
TEXT
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
