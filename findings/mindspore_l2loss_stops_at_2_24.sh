#!/usr/bin/env bash
# MindSpore 2.10.0 on the CPU: ops.L2Loss sums squares one by one in float32 and stops growing; ReduceSum does not.
#
# The operator is half the sum of squares, which people take for the norm of a weight or a gradient. 25 million ones give
# 16777216 / 2, which is 2 ** 24 / 2: from there on adding 1 to a float32 changes nothing. Normal numbers fall short long
# before that: by 1.9 parts in a thousand at 2.4 million values, by 5.8 in a hundred at 25 million, the size of a large
# embedding or of a classifier of 21,841 classes. The sum of `ops.square` beside it is right to the last digits, in the
# same process and on the same values.
# Seen with: mindspore 2.10.0, numpy 1.26.4, Python 3.11, Linux x86-64. Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mindspore==2.10.0 numpy==1.26.4

cat > look.py <<'PYTHON'
import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

ms.set_context(mode=ms.PYNATIVE_MODE)
for count in (1_000_000, 16_777_216, 25_000_000):
    ones = Tensor(np.ones(count, np.float32))
    loss, total = (float(value.asnumpy()) for value in (ops.L2Loss()(ones), ops.square(ones).sum()))
    print(f"{count} ones: 2 * L2Loss = {2 * loss:.0f}, sum of squares = {total:.0f}")
normal = np.random.RandomState(0).standard_normal(25_000_000).astype(np.float32)
exact = float(np.square(normal.astype(np.float64)).sum())
loss, total = (float(value.asnumpy()) for value in (ops.L2Loss()(Tensor(normal)), ops.square(Tensor(normal)).sum()))
print(f"normal numbers: L2Loss is short by more than 1 %: {2 * loss < 0.99 * exact}")
print(f"normal numbers: the sum of squares is right to 1e-5: {abs(total - exact) < 1e-5 * exact}")
PYTHON

venv/bin/python look.py 2> errors | tee seen
cat > expected <<'TEXT'
1000000 ones: 2 * L2Loss = 1000000, sum of squares = 1000000
16777216 ones: 2 * L2Loss = 16777216, sum of squares = 16777216
25000000 ones: 2 * L2Loss = 16777216, sum of squares = 25000000
normal numbers: L2Loss is short by more than 1 %: True
normal numbers: the sum of squares is right to 1e-5: True
TEXT
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
