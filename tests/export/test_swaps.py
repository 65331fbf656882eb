"""Layers without an ONNX converter: what takes their place computes the same and can be exported."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindcv.export.swaps import SWAPS, swap_layers
from mindcv.export.writers import write_onnx

LAYERS = {
    "adaptive_avg_pool": lambda: nn.AdaptiveAvgPool2d(1),
    "avg_pool": lambda: nn.AvgPool2d(3, 2, pad_mode="pad", padding=1),
    "conv": lambda: nn.Conv2d(
        *(6, 4, (3, 5), 2), pad_mode="pad", padding=(0, 1, 2, 3), group=2, has_bias=True, bias_init="normal"
    ),
    "elu": lambda: nn.ELU(),
    "gelu": lambda: nn.GELU(approximate=False),
    "group_norm": lambda: nn.GroupNorm(2, 6, gamma_init="normal", beta_init="normal"),
    "hard_sigmoid": lambda: nn.HSigmoid(),
    "hard_swish": lambda: nn.HSwish(),
    "max_pool": lambda: nn.MaxPool2d(3, 2, pad_mode="pad", padding=1),
    "mish": lambda: nn.Mish(),
}


@pytest.mark.parametrize("name", LAYERS)
def test_same_numbers_before_and_after_and_in_onnx(name, tmp_path):
    network = nn.SequentialCell(LAYERS[name](), nn.ReLU()).set_train(False)
    # Values below zero as well, and channels of different size, so that a border of zeros or a mixed group would show.
    images = 3 * np.random.randn(3, 6, 9, 8).astype(np.float32) * np.arange(1, 7, dtype=np.float32).reshape(1, 6, 1, 1)
    images -= 2
    expected = network[0](ms.Tensor(images)).asnumpy()
    assert swap_layers(network) == 1
    np.testing.assert_allclose(network[0](ms.Tensor(images)).asnumpy(), expected, rtol=2e-6, atol=2e-6)

    write_onnx(network, ms.Tensor(shape=[None, 6, 9, 8], dtype=ms.float32), str(tmp_path / "layer.onnx"), "scores")
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(tmp_path / "layer.onnx", providers=["CPUExecutionProvider"])
    for count in (3, 1):
        (scores,) = session.run(None, {"image": images[:count]})
        np.testing.assert_allclose(scores, np.maximum(expected[:count], 0), rtol=1e-5, atol=1e-5)


def test_every_line_of_the_table_is_tested():
    assert {type(build()) for build in LAYERS.values()} == set(SWAPS)


@pytest.mark.parametrize(
    "layer",
    [
        nn.AdaptiveAvgPool2d(2),
        nn.AvgPool2d(3, 2),
        nn.Conv2d(6, 4, 3, 2, pad_mode="pad", padding=1),
        nn.Conv2d(6, 4, 3, 2, pad_mode="pad", padding=(1, 1, 1, 1)),
        nn.Conv2d(6, 4, 3, 2, pad_mode="same"),
        nn.GELU(),
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(3, 2, pad_mode="pad", padding=1, ceil_mode=True),
    ],
)
def test_other_forms_are_left(layer):
    assert swap_layers(nn.SequentialCell(layer)) == 0


def test_a_shared_layer_stays_shared():
    shared = nn.HSwish()
    network = nn.SequentialCell(shared, nn.SequentialCell(nn.ReLU(), shared))
    assert swap_layers(network) == 1
    assert network[0] is network[1][1]
    assert type(network[0]) is not nn.HSwish
