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
from mindcv.models.resnet import Bottleneck, ResNet
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
        self.feature_info = [{**info, "name": f"block{index}"} for index, info in enumerate(INFO, 1)]

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
        self.feature_info = [{**info, "name": f"feature.{index}"} for index, info in enumerate(INFO)]
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
        self.feature_info = [{**info, "name": f"stage{index}"} for index, info in enumerate(INFO)]
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
    for index in range(7):
        setattr(net, f"block{index}", nn.Identity())
    net.feature_info = [{"chs": index, "reduction": 1, "name": f"block{index}"} for index in range(7)]
    assert FeatureExtractWrapper(net).out_channels == [0, 1, 2, 3, 4]
    assert FeatureExtractWrapper(net, range(7)).out_channels == list(range(7))


class DilatedBottleneck(Bottleneck):
    """A block as in MindCV's DeepLabV3 example: it makes its own cells, takes the shortcut, and has no drop path."""

    def __init__(self, in_channels, channels, stride=1, groups=1, dilation=1, base_width=64, norm=None,
                 down_sample=None):  # fmt: skip
        nn.Cell.__init__(self)
        norm = norm or nn.BatchNorm2d
        width = int(channels * (base_width / 64.0)) * groups
        self.conv1, self.bn1 = nn.Conv2d(in_channels, width, 1), norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, pad_mode="pad", padding=dilation, dilation=dilation)
        self.bn2 = norm(width)
        self.conv3, self.bn3 = nn.Conv2d(width, channels * self.expansion, 1), norm(channels * self.expansion)
        self.relu = nn.ReLU()
        self.down_sample = down_sample


class DilatedResNet(ResNet):
    """The example's network: stages of its own in the place of ResNet's, the last one dilated (output stride 16)."""

    def __init__(self, block, layers, num_classes=1000, in_channels=3):
        super().__init__(block=block, layers=layers, num_classes=num_classes, in_channels=in_channels)
        self.input_channels = 64
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, pad_mode="pad", padding=3)
        self.bn1, self.relu = nn.BatchNorm2d(64), nn.ReLU()
        self.max_pool = nn.MaxPool2d(kernel_size=3, stride=2, pad_mode="same")
        self.feature_info = [{"chs": 64, "reduction": 2, "name": "relu"}]
        for index, (channels, stride, dilation, reduction) in enumerate(
            [(64, 1, 1, 4), (128, 2, 1, 8), (256, 2, 1, 16), (512, 1, 2, 16)], 1
        ):
            setattr(self, f"layer{index}", self._make_layer(block, channels, layers[index - 1], stride, dilation))
            self.feature_info.append({"chs": channels * 4, "reduction": reduction, "name": f"layer{index}"})

    def _make_layer(self, block, channels, block_nums, stride, dilation):
        down_sample = nn.SequentialCell(
            [nn.Conv2d(self.input_channels, channels * 4, 1, stride), nn.BatchNorm2d(channels * 4)]
        )
        cells = [block(self.input_channels, channels, stride=stride, down_sample=down_sample, dilation=dilation)]
        self.input_channels = channels * 4
        cells += [block(self.input_channels, channels, dilation=dilation) for _ in range(1, block_nums)]
        return nn.SequentialCell(cells)


@pytest.mark.parametrize("has_shortcut", [False, True])
def test_a_block_on_mindcvs_bottleneck(has_shortcut):
    down_sample = nn.Conv2d(8, 8, 1) if has_shortcut else None
    block = DilatedBottleneck(8, 2, dilation=2, down_sample=down_sample).set_train(False)
    x = Tensor(np.random.default_rng(0).standard_normal((1, 8, 6, 6)), ms.float32)
    eager = block(x).asnumpy()
    out = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    out = block.bn3(block.conv3(block.relu(out))) + (down_sample(x) if has_shortcut else x)
    np.testing.assert_allclose(eager, np.maximum(out.asnumpy(), 0), atol=1e-5)
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(block(x).asnumpy(), eager, atol=1e-5)


def test_a_network_on_mindcvs_resnet():
    cfg = {"url": "", "num_classes": 1000, "first_conv": "conv1", "classifier": "classifier"}
    model = build_model_with_cfg(DilatedResNet, False, cfg, block=DilatedBottleneck, layers=[1, 2, 1, 1], num_classes=5)
    x = Tensor(np.random.default_rng(0).standard_normal((1, 3, 64, 64)), ms.float32)
    model.set_train(False)
    assert model(x).shape == (1, 5)
    stem = model.relu(model.bn1(model.conv1(x)))
    expected = [stem, model.layer1(model.max_pool(stem))]
    for layer in (model.layer2, model.layer3, model.layer4):
        expected.append(layer(expected[-1]))
    wrapper = FeatureExtractWrapper(model, [1, 2, 3, 4])
    assert wrapper.out_channels == [256, 512, 1024, 2048]
    maps = wrapper(x)
    assert [map_.shape[2] for map_ in maps] == [16, 8, 4, 4]
    for got, map_ in zip(maps, expected[1:], strict=True):
        np.testing.assert_allclose(got.asnumpy(), map_.asnumpy(), rtol=1e-4, atol=1e-4)
    first, second = model.layer2[0], model.layer2[1]
    assert isinstance(first.down_sample, nn.SequentialCell)
    assert second.down_sample is None
