#!/usr/bin/env bash
# mindspore 2.10.0: in PyNative mode the gradient of BCEWithLogitsLoss is divided by the size of the first batch for ever.
#
# The mean of binary cross entropy with logits divides its gradient by the number of its elements. In PyNative mode on the
# CPU that number is taken at the first call of the process and kept. A later, smaller batch (the last of an epoch, another
# accumulation, a second network in the same notebook) has too small a gradient, a larger one too large a gradient, by the
# ratio of the sizes; the loss itself is right, so nothing shows. nn.BCEWithLogitsLoss, the function of ops and the one of
# mint share it. reduction="none" followed by a mean is right, and so are graph mode, binary_cross_entropy without logits
# and the other losses (mean squared error stands for them here).
# Seen with: mindspore 2.10.0, numpy 1.26.4, Python 3.11. Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mindspore==2.10.0 numpy==1.26.4 setuptools==80.9.0

cat > look.py <<'PYTHON'
import sys

import mindspore as ms
import numpy as np
from mindspore import Tensor, mint, nn, ops


def none_then_mean(x, y):
    return ops.binary_cross_entropy_with_logits(x, y, ops.ones_like(x), ops.ones_like(x), "none").mean()


losses = {
    "nn.BCEWithLogitsLoss": nn.BCEWithLogitsLoss(),
    "mint": mint.nn.functional.binary_cross_entropy_with_logits,
    "none, then mean": none_then_mean,
    "after a sigmoid": lambda x, y: ops.binary_cross_entropy(ops.sigmoid(x), y, ops.ones_like(x), "mean"),
    "nn.MSELoss": nn.MSELoss(),
}
mode, name = sys.argv[1:]
ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
loss = losses[name]
gradient = ms.grad(loss)
for size in (8, 2, 32):
    x = np.linspace(-2, 2, size * 4).reshape(size, 4).astype(np.float32)
    y = np.tile(np.float32([0, 1, 1, 0]), (size, 1))
    if name == "nn.MSELoss":
        right = 2 * (x - y) / x.size
    else:
        right = (1 / (1 + np.exp(-x)) - y) / x.size
    seen = gradient(Tensor(x), Tensor(y)).asnumpy()
    print(f"{mode}, {name}, batch of {size}: {np.median(seen / right):.2f} of the gradient")
PYTHON

cat > expected <<'TEXT'
PyNative, nn.BCEWithLogitsLoss, batch of 8: 1.00 of the gradient
PyNative, nn.BCEWithLogitsLoss, batch of 2: 0.25 of the gradient
PyNative, nn.BCEWithLogitsLoss, batch of 32: 4.00 of the gradient
PyNative, mint, batch of 8: 1.00 of the gradient
PyNative, mint, batch of 2: 0.25 of the gradient
PyNative, mint, batch of 32: 4.00 of the gradient
PyNative, none, then mean, batch of 8: 1.00 of the gradient
PyNative, none, then mean, batch of 2: 1.00 of the gradient
PyNative, none, then mean, batch of 32: 1.00 of the gradient
PyNative, after a sigmoid, batch of 8: 1.00 of the gradient
PyNative, after a sigmoid, batch of 2: 1.00 of the gradient
PyNative, after a sigmoid, batch of 32: 1.00 of the gradient
PyNative, nn.MSELoss, batch of 8: 1.00 of the gradient
PyNative, nn.MSELoss, batch of 2: 1.00 of the gradient
PyNative, nn.MSELoss, batch of 32: 1.00 of the gradient
graph, nn.BCEWithLogitsLoss, batch of 8: 1.00 of the gradient
graph, nn.BCEWithLogitsLoss, batch of 2: 1.00 of the gradient
graph, nn.BCEWithLogitsLoss, batch of 32: 1.00 of the gradient
TEXT

# A process each: what is kept is kept for the process.
for name in "nn.BCEWithLogitsLoss" "mint" "none, then mean" "after a sigmoid" "nn.MSELoss"; do
    venv/bin/python look.py PyNative "$name" 2>> errors
done | tee seen
venv/bin/python look.py graph "nn.BCEWithLogitsLoss" 2>> errors | tee -a seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
