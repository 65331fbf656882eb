#!/usr/bin/env bash
# MindSpore 2.10.0: a convolution with unequal borders is written to ONNX with two of its four borders exchanged.
#
# nn.Conv2d takes `padding` as (top, bottom, left, right); ONNX wants `pads` as (top, left, bottom, right). The exporter
# writes the four numbers as they come. So (0, 1, 0, 1), a row below and a column on the right, which is TensorFlow's
# "SAME" at stride 2 and an even size, becomes a column on the left and one on the right. The file is a valid one: behind
# a mean over the picture, as most networks have it, every shape fits and only the numbers are wrong. Equal borders, and
# those where bottom equals left, are right, so that tests of the usual networks see nothing. onnxruntime warns that the
# inferred shape of the convolution's output is not the one written, and goes on.
# Seen with: mindspore 2.10.0, onnx 1.23.2, onnxruntime 1.32.0, numpy 1.26.4, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mindspore==2.10.0 numpy==1.26.4 onnx==1.23.2 onnxruntime==1.32.0

cat > look.py <<'PYTHON'
import mindspore as ms
import numpy as np
import onnx
import onnxruntime
from mindspore import Tensor, nn


class Network(nn.Cell):
    def __init__(self, padding):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, pad_mode="pad", padding=padding, has_bias=False)
        self.conv.weight.set_data(Tensor(np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)))

    def construct(self, x):
        return self.conv(x).mean((2, 3))


image = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)
for padding in ((1, 1, 1, 1), (1, 0, 0, 1), (0, 1, 0, 1), (1, 1, 0, 0)):
    network = Network(padding)
    value = float(network(Tensor(image)).asnumpy()[0, 0])
    ms.export(network, Tensor(image), file_name="network", file_format="ONNX")
    graph = onnx.load("network.onnx").graph
    pads = [list(entry.ints) for node in graph.node for entry in node.attribute if entry.name == "pads"][0]
    session = onnxruntime.InferenceSession("network.onnx", providers=["CPUExecutionProvider"])
    other = float(session.run(None, {graph.input[0].name: image})[0][0, 0])
    print(f"(top, bottom, left, right) = {padding}: pads {pads}, MindSpore {value:.2f}, onnxruntime {other:.2f}")
PYTHON

venv/bin/python look.py 2> errors | tee seen
cat > expected <<'TEXT'
(top, bottom, left, right) = (1, 1, 1, 1): pads [1, 1, 1, 1], MindSpore 357.76, onnxruntime 357.76
(top, bottom, left, right) = (1, 0, 0, 1): pads [1, 0, 0, 1], MindSpore 403.00, onnxruntime 403.00
(top, bottom, left, right) = (0, 1, 0, 1): pads [0, 1, 0, 1], MindSpore 433.00, onnxruntime 454.80
(top, bottom, left, right) = (1, 1, 0, 0): pads [1, 1, 0, 0], MindSpore 415.60, onnxruntime 400.00
TEXT
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
