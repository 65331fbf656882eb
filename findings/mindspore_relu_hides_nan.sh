#!/usr/bin/env bash
# MindSpore 2.10.0 on the CPU: ReLU makes zeros of NaN, Softplus infinity, and ReLU6 keeps one NaN but not 64 of them.
#
# numpy and PyTorch pass NaN on, as MindSpore's SiLU, GELU, Sigmoid and LeakyReLU do, so that a network that has gone
# wrong says so in its output. Here a network with a NaN among its weights answers with finite logits and has finite
# gradients, since the next ReLU writes zeros: whoever watches outputs or the loss sees nothing, and the same is true of
# half-precision sums that became infinity minus infinity. `ops.maximum(x, 0)` does it too. ReLU6 differs by length: what
# fills a vector register becomes zero and the rest of the array stays NaN. PyNative and graph mode do the same.
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
from mindspore import Tensor, nn, ops

NAN = Tensor(np.full(1, np.nan, np.float32))
MANY = Tensor(np.full(64, np.nan, np.float32))


class Network(nn.Cell):
    """A convolution with a NaN among its weights, the activation, a mean, a dense layer."""

    def __init__(self, activation):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1, has_bias=False)
        self.activation = activation
        self.dense = nn.Dense(4, 2)
        weight = np.ones(self.conv.weight.shape, np.float32)
        weight[0, 0] = np.nan
        self.conv.weight.set_data(Tensor(weight))

    def construct(self, x):
        return self.dense(self.activation(self.conv(x)).mean((2, 3)))


def rows():
    yield "ReLU", nn.ReLU()(NAN)
    yield "maximum with 0", ops.maximum(NAN, ops.zeros_like(NAN))
    yield "Softplus", ops.softplus(NAN)
    for name, activation in (("LeakyReLU", nn.LeakyReLU(0.1)), ("SiLU", nn.SiLU()), ("GELU", nn.GELU())):
        yield name, activation(NAN)
    yield "ReLU6", nn.ReLU6()(NAN)
    yield "ReLU6 of 64, NaNs left", ops.isnan(nn.ReLU6()(MANY)).astype(ms.float32).sum()
    image = Tensor(np.ones((1, 3, 2, 2), np.float32))
    for name, activation in (("ReLU", nn.ReLU()), ("SiLU", nn.SiLU())):
        network = Network(activation)
        yield f"network with {name}, finite logits", ops.isfinite(network(image)).all()
        gradients = ms.grad(network, None, network.trainable_params())(image)
        yield f"network with {name}, finite gradient of the dense layer", ops.isfinite(gradients[1]).all()


for mode, name in ((ms.PYNATIVE_MODE, "PyNative"), (ms.GRAPH_MODE, "graph")):
    ms.set_context(mode=mode)
    for what, value in rows():
        print(f"{name}: {what} = {value.asnumpy().reshape(-1)[0]}")
PYTHON

venv/bin/python look.py 2> errors | tee seen
cat > expected <<'TEXT'
PyNative: ReLU = 0.0
PyNative: maximum with 0 = 0.0
PyNative: Softplus = inf
PyNative: LeakyReLU = nan
PyNative: SiLU = nan
PyNative: GELU = nan
PyNative: ReLU6 = nan
PyNative: ReLU6 of 64, NaNs left = 0.0
PyNative: network with ReLU, finite logits = True
PyNative: network with ReLU, finite gradient of the dense layer = True
PyNative: network with SiLU, finite logits = False
PyNative: network with SiLU, finite gradient of the dense layer = False
TEXT
sed 's/^PyNative/graph/' expected > graph && cat graph >> expected
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
