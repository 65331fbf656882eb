"""Grad-CAM against numpy: a network of convolutions as a whole, a transformer from its last map on."""

from collections.abc import Callable

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.models import create_model
from mindcv.report.grad_cam import explain, grad_cam, overlay

SIDE, CLASSES = 16, 5


class TwoConvolutions(nn.Cell):
    """A network of a user's own: its second map has side 8 and goes through an MLP, so gradients differ by position."""

    num_classes = CLASSES
    feature_info = [{"name": "conv1", "chs": 4, "reduction": 1}, {"name": "relu2", "chs": 6, "reduction": 2}]

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, pad_mode="pad", padding=1, has_bias=True)
        self.conv2 = nn.Conv2d(4, 6, 3, 2, pad_mode="pad", padding=1, has_bias=True)
        self.relu2 = nn.ReLU()
        self.fc = nn.Dense(6 * 64, CLASSES)

    def construct(self, x: Tensor) -> Tensor:
        x = self.relu2(self.conv2(ops.relu(self.conv1(x))))
        return self.fc((x * x).reshape((-1, 6 * 64)))


def drawn(network: nn.Cell, seed: int = 0) -> nn.Cell:
    generator = np.random.default_rng(seed)
    for parameter in network.get_parameters():
        parameter.set_data(Tensor(generator.normal(0.1, 0.3, parameter.shape).astype(np.float32)))
    return network


def images(count: int = 2, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 3, side, side)).astype(np.float32)


def array(parameter: Tensor) -> np.ndarray:
    return parameter.asnumpy().astype(np.float64)


def convolved(x: np.ndarray, conv: nn.Conv2d, stride: int) -> np.ndarray:
    weight, padded = array(conv.weight), np.pad(x, ((0, 0), (1, 1), (1, 1)))
    height, width = (side // stride for side in x.shape[1:])
    out = np.zeros((len(weight), height, width)) + array(conv.bias)[:, None, None]
    for row in range(height):
        for column in range(width):
            top, left = row * stride, column * stride
            window = padded[:, top : top + 3, left : left + 3]
            out[:, row, column] += (weight * window).sum((1, 2, 3))
    return out


def enlarged(heat: np.ndarray, side: int) -> np.ndarray:
    """Bilinear, pixels as areas, the border repeated."""
    positions = np.clip((np.arange(side) + 0.5) * len(heat) / side - 0.5, 0, len(heat) - 1)
    rows = np.array([np.interp(positions, np.arange(len(heat)), column) for column in heat.T]).T
    return np.array([np.interp(positions, np.arange(len(heat)), row) for row in rows])


def heat_of(activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Equations 1 and 2 of the paper, divided by the maximum."""
    heat = np.maximum((gradient.mean((1, 2))[:, None, None] * activation).sum(0), 0)
    return heat / heat.max()


def test_equals_numpy():
    network = drawn(TwoConvolutions())
    network.set_train(True)
    batch = images()
    found = explain(network, batch, [3, 1])
    assert network.training
    assert found.cell == "relu2"
    for image, target, heat, logits in zip(batch, (3, 1), found.maps, found.logits, strict=True):
        x = np.maximum(convolved(image.astype(np.float64), network.conv1, 1), 0)
        activation = np.maximum(convolved(x, network.conv2, 2), 0)
        weight = array(network.fc.weight).reshape(CLASSES, *activation.shape)
        np.testing.assert_allclose(logits, (weight * activation**2).sum((1, 2, 3)) + array(network.fc.bias), rtol=1e-4)
        expected = enlarged(heat_of(activation, 2 * weight[target] * activation), SIDE)
        np.testing.assert_allclose(heat, expected, atol=2e-5)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_of_pooled_maps_is_the_classifiers_weights(mode: int):
    """Behind global pooling a channel's weight is the classifier's."""
    ms.set_context(mode=mode)
    network = drawn(create_model("resnet18", channels=(8, 8, 8, 16), num_classes=CLASSES)).set_train(False)
    image = images(1, 64)[0]
    logits = network(Tensor(image[None])).asnumpy()[0]
    activation = array(network.forward_stages(Tensor(image[None]))[-1])[0]
    weight = array(network.classifier.weight)
    for target in (None, int(logits.argmin())):
        index = int(logits.argmax()) if target is None else target
        heat = np.maximum(np.tensordot(weight[index], activation, 1), 0)
        expected = enlarged(heat / max(heat.max(), 1e-30), 64)
        np.testing.assert_allclose(grad_cam(network, image, target), expected, atol=1e-5)
    assert ms.get_context("mode") == mode
    np.testing.assert_array_equal(network(Tensor(image[None])).asnumpy()[0], logits)


def test_of_tokens_equals_numpy():
    """Of a ViT the map is what its last block gets: behind it only the class token is read."""
    heads, dim, side = 2, 16, 48
    network = create_model(
        "vit_b_16_224", image_size=side, embed_dim=dim, depth=3, num_heads=heads, mlp_ratio=2.0, num_classes=CLASSES
    )
    network = drawn(network).set_train(False)
    image, target = images(1, side)[0], 2
    found = explain(network, image[None], [target])
    assert found.cell == "blocks.1"
    tokens = array(network.forward_stages(Tensor(image[None]))[1])[0]
    values = {path: array(parameter) for path, parameter in network.parameters_and_names()}
    score = _last_block(values, heads, target)
    np.testing.assert_allclose(score(tokens), found.logits[0, target], rtol=1e-4)
    gradient = np.zeros_like(tokens)
    for index in np.ndindex(*tokens.shape):
        step = np.zeros_like(tokens)
        step[index] = 1e-5
        gradient[index] = (score(tokens + step) - score(tokens - step)) / 2e-5
    as_map = [values_[1:].T.reshape(dim, 3, 3) for values_ in (tokens, gradient)]
    np.testing.assert_allclose(found.maps[0], enlarged(heat_of(*as_map), side), atol=1e-3)


def _last_block(values: dict[str, np.ndarray], heads: int, target: int) -> Callable[[np.ndarray], float]:
    """The score of a class as a function of what the last of three blocks gets, (L, D)."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-7)
        return x * values[f"{name}.gamma"] + values[f"{name}.beta"]

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ values[f"{name}.weight"].T + values[f"{name}.bias"]

    def score(x: np.ndarray) -> float:
        length, dim = x.shape
        qkv = dense(norm(x, "blocks.2.norm1"), "blocks.2.attn.qkv").reshape(length, 3, heads, dim // heads)
        query, key, value = qkv.transpose(1, 2, 0, 3)
        weights = np.exp(query @ key.transpose(0, 2, 1) / np.sqrt(dim // heads))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ value
        x = x + dense(mixed.transpose(1, 0, 2).reshape(length, dim), "blocks.2.attn.proj")
        y = dense(norm(x, "blocks.2.norm2"), "blocks.2.mlp.fc1")
        y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        x = x + dense(y, "blocks.2.mlp.fc2")
        return dense(norm(x, "norm")[0], "head")[target]

    return score


def test_nothing_speaks_for_a_class():
    network = drawn(TwoConvolutions())
    network.fc.weight.set_data(Tensor(np.full((CLASSES, 6 * 64), -1, np.float32)))
    assert not explain(network, images()).maps.any()


def test_what_cannot_be_explained():
    network = drawn(TwoConvolutions())
    with pytest.raises(ValueError, match="got class 5; give a class from 0 to 4 for each image"):
        explain(network, images(), [0, 5])
    with pytest.raises(ValueError, match="got 1 targets for 2 images; give a class from 0 to 4"):
        explain(network, images(), [0])
    with pytest.raises(ValueError, match="ReLU has no feature_info, which says where its maps are"):
        explain(nn.ReLU(), images())
    with pytest.raises(ValueError, match="ResNet has no classes, so there is nothing to explain"):
        explain(create_model("resnet18", channels=(4, 4, 4, 4), num_classes=0), images())
    network.fc.bias.set_data(Tensor(np.full(CLASSES, np.nan, np.float32)))
    with pytest.raises(ValueError, match="the network's output is not finite, so there is nothing to explain"):
        explain(network, images())


def test_overlay():
    pixels = np.full((2, 2, 3), 101, np.uint8)
    drawn_over = overlay(pixels, np.array([[0.0, 1.0], [0.5, 0.0]]))
    np.testing.assert_array_equal(drawn_over[[0, 1], [0, 1]], pixels[[0, 1], [0, 1]])
    # 0.3 of the picture and 0.7 of violet; 0.65 and 0.35 of red.
    np.testing.assert_array_equal(drawn_over[[0, 1], [1, 0]], [[149, 30, 170], [155, 87, 97]])
