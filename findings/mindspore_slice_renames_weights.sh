#!/usr/bin/env bash
# MindSpore 2.10.0, PyNative mode: a forward pass that takes a slice of a CellList renames the network's parameters.
#
# `self.left[1:]` makes a new CellList of the same cells, and a CellList names the parameters of its cells by their place
# in it. So `left.1.weight` is called `0.weight` from the first forward pass on, and with a second list that is sliced two
# parameters have one name. A checkpoint saved then holds one of the two: here 8 of 12 entries, without a word, and a
# network that loads it keeps 8 of its 12 parameters as they were. In graph mode, where `construct` is compiled, nothing
# is renamed; so a network that trains in the one mode and is saved in the other is not noticed in tests of graph mode.
# PyTorch's ModuleList gives a slice of the same modules and changes no name.
# Seen with: mindspore 2.10.0, numpy 1.26.4, Python 3.11. Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mindspore==2.10.0 numpy==1.26.4

cat > look.py <<'PYTHON'
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn


class Network(nn.Cell):
    def __init__(self):
        super().__init__()
        self.left = nn.CellList([nn.Dense(2, 2) for _ in range(3)])
        self.right = nn.CellList([nn.Dense(2, 2) for _ in range(3)])

    def construct(self, x):
        for cell in self.left[1:]:
            x = cell(x)
        for cell in self.right[1:]:
            x = cell(x)
        return x


def names(network):
    return [parameter.name for parameter in network.get_parameters()]


for mode, title in ((ms.PYNATIVE_MODE, "PyNative"), (ms.GRAPH_MODE, "graph")):
    ms.set_context(mode=mode)
    network = Network()
    print(f"{title}, before: {len(set(names(network)))} names for 12 parameters, the third is {names(network)[2]}")
    network(Tensor(np.ones((1, 2), np.float32)))
    print(f"{title}, after a forward pass: {len(set(names(network)))} names, the third is {names(network)[2]}")
    ms.save_checkpoint(network, "network.ckpt")
    entries = ms.load_checkpoint("network.ckpt")
    missing, _ = ms.load_param_into_net(Network(), entries)
    print(f"{title}, checkpoint: {len(entries)} entries; not loaded from it: {len(missing)}")
PYTHON

venv/bin/python look.py 2> errors | tee seen
cat > expected <<'TEXT'
PyNative, before: 12 names for 12 parameters, the third is left.1.weight
PyNative, after a forward pass: 8 names, the third is 0.weight
PyNative, checkpoint: 8 entries; not loaded from it: 8
graph, before: 12 names for 12 parameters, the third is left.1.weight
graph, after a forward pass: 12 names, the third is left.1.weight
graph, checkpoint: 12 entries; not loaded from it: 0
TEXT
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
