"""Networks of users' own as MindCV's users write them: registered, with `feature_info` and MindCV's two marks."""

import sys
import types

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.models import _registry, create_model
from mindcv.models.features import FeatureExtractWrapper
from mindcv.models.helpers import build_model_with_cfg
from mindcv.models.measure import undrawn_weights
from mindcv.models.registry import register_model
from mindcv.utils.registry import Registry
from mindcv.weights import write_weights

INFO = ({"chs": 6, "reduction": 1}, {"chs": 8, "reduction": 2}, {"chs": 8, "reduction": 4})


class ConvReLU(nn.Cell):
    def __init__(self, in_channels, out_channels, downsample):
        super().__init__()
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2) if downsample else nn.Identity()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, pad_mode="same")
        self.relu = nn.ReLU()

    def construct(self, x):
        return self.relu(self.conv(self.pool(x)))


def blocks(in_channels):
    return [ConvReLU(in_channels, 6, False), ConvReLU(6, 8, True), ConvReLU(8, 8, True)]


class Chain(nn.Cell):
    """Three blocks, then a head; `feature_info` names the blocks."""

    def __init__(self, num_classes=10, in_channels=3):
        super().__init__()
        self.block1, self.block2, self.block3 = blocks(in_channels)
        self.head = nn.Dense(8, num_classes)
        self.feature_info = [{**info, "name": f"block{number}"} for number, info in enumerate(INFO, 1)]

    def maps(self, x):
        first = self.block1(x)
        second = self.block2(first)
        return [first, second, self.block3(second)]

    def construct(self, x):
        return self.head(self.maps(x)[-1].mean((2, 3)))


class Sequential(nn.Cell):
    """The blocks inside of a SequentialCell."""

    def __init__(self, num_classes=10, in_channels=3):
        super().__init__()
        self.feature = nn.SequentialCell(blocks(in_channels))
        self.head = nn.Dense(8, num_classes)
        self.feature_info = [{**info, "name": f"feature.{number}"} for number, info in enumerate(INFO)]
        self.flatten_sequential = True

    def maps(self, x):
        first = self.feature[0](x)
        second = self.feature[1](first)
        return [first, second, self.feature[2](second)]

    def construct(self, x):
        return self.head(self.feature(x).mean((2, 3)))


class Branched(nn.Cell):
    """No chain: what comes out is the sum of two paths. MindCV's HRNet has a class of its own for the maps."""

    def __init__(self, num_classes=10, in_channels=3):
        super().__init__()
        self.block1, self.block2, self.block3 = blocks(in_channels)
        self.head = nn.Dense(8, num_classes)

    def maps(self, x):
        first = self.block1(x)
        second = self.block2(first)
        return [first, second, self.block3(second) + second[:, :, ::2, ::2]]

    def construct(self, x):
        return self.head(self.maps(x)[-1].mean((2, 3)))


class BranchedMaps(Branched):
    def __init__(self, num_classes=10, in_channels=3):
        super().__init__(num_classes, in_channels)
        del self.head
        self.feature_info = [{**info, "name": f"stage{number}"} for number, info in enumerate(INFO)]
        self.is_rewritten = True

    def construct(self, x):
        return self.maps(x)


def images(size=2):
    return Tensor(np.random.default_rng(0).standard_normal((size, 3, 16, 16)), ms.float32)


@pytest.fixture
def registered(monkeypatch):
    """`chain`, `sequential` and `branched`, registered from a module with `default_cfgs` as MindCV writes them."""
    entrypoints = Registry("model")
    for name, function in _registry._entrypoints.items():
        entrypoints.register(name, function)
    monkeypatch.setattr(_registry, "_entrypoints", entrypoints)
    for table in ("_module_of", "_weights"):
        monkeypatch.setattr(_registry, table, dict(getattr(_registry, table)))
    module = types.ModuleType("project.nets")
    module.default_cfgs = {
        name: {"url": "", "num_classes": 10, "first_conv": "block1.conv", "classifier": "head"}
        for name in ("chain", "sequential", "branched")
    }
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def chain(pretrained=False, num_classes=10, in_channels=3, **kwargs):
        return build_model_with_cfg(Chain, pretrained, module.default_cfgs["chain"], num_classes=num_classes,
                                    in_channels=in_channels, **kwargs)  # fmt: skip

    def sequential(pretrained=False, num_classes=10, in_channels=3, **kwargs):
        return build_model_with_cfg(Sequential, pretrained, module.default_cfgs["sequential"], num_classes=num_classes,
                                    in_channels=in_channels, **kwargs)  # fmt: skip

    def branched(pretrained=False, num_classes=10, in_channels=3, **kwargs):
        model_cls = BranchedMaps if kwargs.get("features_only", False) else Branched
        return build_model_with_cfg(model_cls, pretrained, module.default_cfgs["branched"], num_classes=num_classes,
                                    in_channels=in_channels, **kwargs)  # fmt: skip

    for function in (chain, sequential, branched):
        function.__module__ = module.__name__
        register_model(function)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize("network", [Chain, Sequential, BranchedMaps])
def test_wrapper_gives_the_maps(mode, network):
    ms.set_context(mode=mode)
    net, x = network(), images()
    expected = net.maps(x)
    wrapper = FeatureExtractWrapper(net, [0, 1, 2])
    assert wrapper.out_channels == [6, 8, 8]
    for got, map_ in zip(wrapper(x), expected, strict=True):
        np.testing.assert_allclose(got.asnumpy(), map_.asnumpy(), atol=1e-6)
    some = FeatureExtractWrapper(net, [1])
    assert some.out_channels == [8]
    (got,) = some(x)
    np.testing.assert_allclose(got.asnumpy(), expected[1].asnumpy(), atol=1e-6)


@pytest.mark.parametrize("name", ["chain", "sequential", "branched"])
def test_features_of_a_registered_network(registered, name, tmp_path):
    """With the weights of a file of the whole network, whose head the maps do not need."""
    whole = create_model(name, 10)
    assert whole(images()).shape == (2, 10)
    path = tmp_path / "whole.ckpt"
    write_weights(path, {parameter.name: parameter.asnumpy() for parameter in whole.get_parameters()})
    expected = whole.maps(images())
    maps = create_model(name, 10, checkpoint_path=str(path), features_only=True)
    assert isinstance(maps, FeatureExtractWrapper)
    for got, map_ in zip(maps(images()), expected, strict=True):
        np.testing.assert_allclose(got.asnumpy(), map_.asnumpy(), atol=1e-6)
    last = create_model(name, 10, pretrained=str(path), features_only=True, out_indices=[2])
    (got,) = last(images())
    np.testing.assert_allclose(got.asnumpy(), expected[2].asnumpy(), atol=1e-6)
    assert last.out_channels == [8]


def test_maps_need_all_their_weights(registered, tmp_path):
    whole = create_model("branched", 10)
    arrays = {p.name: p.asnumpy() for p in whole.get_parameters() if p.name != "block2.conv.weight"}
    write_weights(tmp_path / "less.ckpt", arrays)
    with pytest.raises(ValueError, match=r"block2\.conv\.weight"):
        create_model("branched", 10, checkpoint_path=str(tmp_path / "less.ckpt"), features_only=True)


def test_a_network_without_maps_is_refused():
    with pytest.raises(ValueError, match="Branched has no feature_info"):
        FeatureExtractWrapper(Branched(), [0])


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", [64, 64, 128, 256, 512]),
        ("resnet50", [64, 256, 512, 1024, 2048]),
        ("mobilenet_v2_100", [32, 16, 24, 24, 32]),
        ("mobilenet_v3_small_100", [16, 16, 24, 24, 40]),
        ("efficientnet_b0", [32, 16, 24, 40, 80]),
        ("convnext_tiny", [96, 192, 384, 768]),
        ("resnest50", [64, 256, 512, 1024, 2048]),
        ("repvgg_a0", [48, 48, 96, 192, 1280]),
        ("hrnet_w32", [64, 128, 256, 512, 1024]),
        ("rexnet_10", [16, 38, 61, 128, 185]),
    ],
)
def test_maps_are_mindcvs(name, channels):
    """Channels of the maps that MindCV gives by default, for each of its families that has any."""
    with undrawn_weights():
        assert create_model(name, features_only=True).out_channels == channels


def test_a_long_chain_gives_five_maps():
    net = nn.Cell()
    for number in range(7):
        setattr(net, f"block{number}", nn.Identity())
    net.feature_info = [{"chs": number, "reduction": 1, "name": f"block{number}"} for number in range(7)]
    assert FeatureExtractWrapper(net).out_channels == [0, 1, 2, 3, 4]
    assert FeatureExtractWrapper(net, range(7)).out_channels == list(range(7))
