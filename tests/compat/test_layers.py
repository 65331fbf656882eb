"""MindCV's modules of cells, `mindcv.models.layers.*`: their names, their arguments, and what they compute."""

import importlib

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.engine import LossWithNetwork, TrainStep
from mindcv.models import layers
from mindcv.models.layers.compatibility import Dropout, Interpolate, ResizeBilinear, Split
from mindcv.models.layers.conv_norm_act import Conv2dNormActivation
from mindcv.models.layers.drop_path import DropPath
from mindcv.models.layers.format import Format, nchw_to, nhwc_to
from mindcv.models.layers.helpers import to_2tuple, to_ntuple
from mindcv.models.layers.identity import Identity
from mindcv.models.layers.mlp import Mlp
from mindcv.models.layers.patch_dropout import PatchDropout
from mindcv.models.layers.patch_embed import PatchEmbed
from mindcv.models.layers.pooling import GlobalAvgPooling
from mindcv.models.layers.pos_embed import RelativePositionBiasWithCLS, resample_abs_pos_embed
from mindcv.models.layers.selective_kernel import SelectiveKernel, SelectiveKernelAttn
from mindcv.models.layers.squeeze_excite import SqueezeExcite, SqueezeExciteV2
from mindcv.optim import create_optimizer

MODES = pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def values(cell):
    """The cell's parameters, drawn anew, by name."""
    drawn = {}
    for index, parameter in enumerate(cell.get_parameters()):
        drawn[parameter.name] = np.abs(random(*parameter.shape, seed=index)) / 2
        parameter.set_data(Tensor(drawn[parameter.name]))
    return drawn


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def run(cell, *arrays):
    return cell(*(Tensor(array) for array in arrays)).asnumpy()


def test_package_has_mindcvs_names():
    names = ["Conv2dNormActivation", "DropPath", "GlobalAvgPooling", "SelectiveKernel", "SelectiveKernelAttn", "Swish"]
    for name in names:
        assert getattr(layers, name) is not None
    assert importlib.import_module("mindcv.models.layers.activation").Swish is layers.Swish
    assert (DropPath, SqueezeExcite) == (layers.DropPath, layers.SqueezeExcite)


def test_identity_and_pooling():
    x = random(2, 3, 4, 5)
    np.testing.assert_array_equal(run(Identity(), x), x)
    np.testing.assert_allclose(run(GlobalAvgPooling(), x), x.mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(run(GlobalAvgPooling(keep_dims=True), x), x.mean((2, 3), keepdims=True), atol=1e-6)


@pytest.mark.parametrize(("scale_by_keep", "kept"), [(True, 4 / 3), (False, 1.0)])
def test_drop_path(scale_by_keep, kept):
    cell = DropPath(drop_prob=0.25, scale_by_keep=scale_by_keep).set_train()
    found = run(cell, np.ones((2000, 2, 1), np.float32))
    shares = found[:, 0, 0]
    np.testing.assert_allclose(np.unique(shares), [0.0, kept], rtol=1e-6)
    assert abs((shares > 0).mean() - 0.75) < 0.04
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    np.testing.assert_array_equal(run(DropPath(), np.ones((3, 2), np.float32)), 1)
    np.testing.assert_array_equal(run(cell.set_train(False), np.ones((3, 2), np.float32)), 1)


def test_mlp():
    cell = Mlp(6, hidden_features=5, out_features=4, drop=0.1).set_train(False)
    p, x = values(cell), random(2, 3, 6)
    hidden = x @ p["fc1.weight"].T + p["fc1.bias"]
    hidden = 0.5 * hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
    np.testing.assert_allclose(run(cell, x), hidden @ p["fc2.weight"].T + p["fc2.bias"], rtol=1e-4, atol=1e-5)
    assert [parameter.shape for parameter in Mlp(6).get_parameters()] == [(6, 6), (6,), (6, 6), (6,)]
    other = Mlp(6, 5, act_layer=nn.ReLU)
    p = values(other)
    expected = np.maximum(x @ p["fc1.weight"].T + p["fc1.bias"], 0) @ p["fc2.weight"].T + p["fc2.bias"]
    np.testing.assert_allclose(run(other, x), expected, rtol=1e-4, atol=1e-5)


def patches_of(x, side):
    n, c, height, width = x.shape
    blocks = x.reshape(n, c, height // side, side, width // side, side)
    return blocks.transpose(0, 2, 4, 1, 3, 5).reshape(n, height // side, width // side, c * side * side)


@pytest.mark.parametrize("output_fmt", [None, "NCHW", "NHWC", "NCL", "NLC"])
@pytest.mark.parametrize("bias", [True, False])
def test_patch_embed(output_fmt, bias):
    cell = PatchEmbed(8, 4, in_chans=3, embed_dim=5, output_fmt=output_fmt, bias=bias)
    assert (cell.num_patches, cell.patches_resolution, cell.image_size) == (4, (2, 2), (8, 8))
    p, x = values(cell), random(2, 3, 8, 8)
    expected = patches_of(x, 4) @ p["proj.weight"].reshape(5, -1).T + p.get("proj.bias", 0)  # (N, rows, columns, D)
    expected = {
        None: expected.reshape(2, 4, 5),
        "NLC": expected.reshape(2, 4, 5),
        "NHWC": expected,
        "NCHW": expected.transpose(0, 3, 1, 2),
        "NCL": expected.reshape(2, 4, 5).transpose(0, 2, 1),
    }[output_fmt]
    np.testing.assert_allclose(run(cell, x), expected, rtol=1e-4, atol=1e-5)


def test_patch_embed_at_other_sizes():
    x = random(1, 3, 10, 9)
    padded = np.pad(x, ((0, 0), (0, 0), (0, 2), (0, 3)))
    cell = PatchEmbed(8, 4, 3, 5, strict_img_size=False, dynamic_img_pad=True)
    p = values(cell)
    expected = patches_of(padded, 4) @ p["proj.weight"].reshape(5, -1).T + p["proj.bias"]
    np.testing.assert_allclose(run(cell, x), expected.reshape(1, 9, 5), rtol=1e-4, atol=1e-5)
    assert run(PatchEmbed(None, 4), random(1, 3, 16, 12)).shape == (1, 12, 96)
    for kwargs, shape, message in (
        ({}, (1, 3, 12, 8), "images are 12x8, and PatchEmbed is made for"),
        ({"strict_img_size": False}, (1, 3, 10, 8), "images are 10x8; give multiples of the patch"),
    ):
        with pytest.raises(ValueError, match=message):
            run(PatchEmbed(8, 4, **kwargs), random(*shape))


def test_patch_embed_with_a_norm():
    cell = PatchEmbed(8, 4, 3, 6, norm_layer=nn.LayerNorm)
    assert cell.norm.epsilon == 1e-5
    tokens = run(cell, random(2, 3, 8, 8))
    np.testing.assert_allclose(tokens.mean(-1), 0, atol=1e-6)
    np.testing.assert_allclose(tokens.std(-1), 1, atol=0.1)


@pytest.mark.parametrize("cls", [SqueezeExcite, SqueezeExciteV2])
def test_squeeze_excite(cls):
    cell = cls(32, rd_ratio=1 / 4)
    p, x = values(cell), random(2, 32, 3, 3)
    assert list(p) == ["conv_reduce.weight", "conv_reduce.bias", "conv_expand.weight", "conv_expand.bias"]
    assert p["conv_reduce.weight"].shape == ((8, 32, 1, 1) if cls is SqueezeExcite else (8, 32))
    hidden = np.maximum(x.mean((2, 3)) @ p["conv_reduce.weight"].reshape(8, 32).T + p["conv_reduce.bias"], 0)
    gate = sigmoid(hidden @ p["conv_expand.weight"].reshape(32, 8).T + p["conv_expand.bias"])
    np.testing.assert_allclose(run(cell, x), x * gate[:, :, None, None], rtol=1e-4, atol=1e-5)


def test_squeeze_excite_by_arguments():
    norm = nn.BatchNorm2d
    cell = SqueezeExcite(32, rd_channels=6, norm=norm, act_layer=nn.SiLU, gate_layer=nn.HSigmoid).set_train(False)
    p, x = values(cell), random(2, 32, 3, 3)
    assert [name for name in p if "bn" in name] == [f"bn.{part}" for part in ("moving_mean", "moving_variance", "gamma",
                                                                             "beta")]  # fmt: skip
    hidden = x.mean((2, 3)) @ p["conv_reduce.weight"].reshape(6, 32).T + p["conv_reduce.bias"]
    hidden = (hidden - p["bn.moving_mean"]) / np.sqrt(p["bn.moving_variance"] + 1e-5) * p["bn.gamma"] + p["bn.beta"]
    hidden = hidden * sigmoid(hidden)
    gate = np.clip((hidden @ p["conv_expand.weight"].reshape(32, 6).T + p["conv_expand.bias"] + 3) / 6, 0, 1)
    np.testing.assert_allclose(run(cell, x), x * gate[:, :, None, None], rtol=1e-4, atol=1e-5)
    assert SqueezeExcite(64).conv_reduce.out_channels == 8  # 64 / 16, to a multiple of 8
    with pytest.raises(ValueError, match="rd_ratio is 16"):
        SqueezeExcite(64, 16)


@pytest.mark.parametrize(
    ("kwargs", "names", "side"),
    [
        ({}, ["0.weight", "1.moving_mean", "1.moving_variance", "1.gamma", "1.beta"], 9),
        ({"kernel_size": 5, "stride": 2, "dilation": 2, "groups": 4, "norm": None}, ["0.weight", "0.bias"], 5),
        ({"pad_mode": "same", "stride": 2, "norm": None, "has_bias": False}, ["0.weight"], 5),
        ({"padding": 0, "norm": None, "has_bias": True}, ["0.weight", "0.bias"], 7),
    ],
)
@pytest.mark.parametrize("activation", [nn.ReLU, None])
def test_conv_norm_act(kwargs, names, side, activation):
    cell = Conv2dNormActivation(8, 4, activation=activation, **kwargs).set_train(False)
    assert [parameter.name for parameter in cell.get_parameters()] == [f"features.{name}" for name in names]
    found = run(cell, random(2, 8, 9, 9))
    assert found.shape == (2, 4, side, side)
    assert (found.min() >= 0) == (activation is nn.ReLU)


@MODES
@pytest.mark.parametrize("num_paths", [2, 3])
def test_selective_kernel_attention_adds_up_to_one(mode, num_paths):
    ms.set_context(mode=mode)
    cell = SelectiveKernelAttn(8, num_paths, attn_channels=4).set_train(False)
    values(cell)
    weights = run(cell, random(2, num_paths, 8, 5, 5))
    assert weights.shape == (2, num_paths, 8, 1, 1)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert weights.std() > 0.01


@pytest.mark.parametrize(
    ("kwargs", "kernels"),
    [
        ({}, [(3, 1), (3, 2)]),
        ({"kernel_size": 5, "keep_3x3": False, "split_input": False}, [(5, 1), (5, 1)]),
        ({"kernel_size": [3, 5, 7, 3], "out_channels": 16, "stride": 2, "groups": 4}, [(3, 1), (3, 2), (3, 3), (3, 1)]),
    ],
)
def test_selective_kernel_mixes_its_paths(kwargs, kernels):
    cell = SelectiveKernel(32, **kwargs).set_train(False)
    values(cell)
    convolutions = [path.features[0] for path in cell.paths]
    assert [(one.kernel_size[0], one.dilation[0]) for one in convolutions] == kernels
    x = random(2, 32, 9, 9)
    count = len(kernels)
    parts = np.split(x, count, 1) if kwargs.get("split_input", True) else [x] * count
    maps = np.stack([run(path, np.ascontiguousarray(part)) for path, part in zip(cell.paths, parts, strict=True)], 1)
    expected = (maps * run(cell.attn, maps)).sum(1)
    np.testing.assert_allclose(run(cell, x), expected, rtol=1e-4, atol=1e-4)
    assert expected.shape == (2, kwargs.get("out_channels", 32), *((5, 5) if "stride" in kwargs else (9, 9)))


@pytest.mark.parametrize("kwargs", [{"kernel_size": 4}, {"kernel_size": [3, 1]}, {"kernel_size": [3, 3, 3]}])
def test_selective_kernel_refuses(kwargs):
    with pytest.raises(ValueError, match=r"give odd sides|are no multiple of 3 paths"):
        SelectiveKernel(32, **kwargs)


def test_formats():
    x = random(2, 3, 4, 5)
    forms = {
        "NCHW": x,
        "NHWC": x.transpose(0, 2, 3, 1),
        "NCL": x.reshape(2, 3, 20),
        "NLC": x.reshape(2, 3, 20).transpose(0, 2, 1),
    }
    for name, expected in forms.items():
        for fmt in (name, Format(name)):
            np.testing.assert_array_equal(nchw_to(Tensor(x), fmt).asnumpy(), expected)
            np.testing.assert_array_equal(nhwc_to(Tensor(forms["NHWC"]), fmt).asnumpy(), expected)
    assert Format.NHWC == "NHWC"


@MODES
@pytest.mark.parametrize("prefix", [0, 1])
def test_patch_dropout(mode, prefix):
    ms.set_context(mode=mode)
    tokens = np.broadcast_to(np.arange(9 + prefix, dtype=np.float32)[None, :, None], (64, 9 + prefix, 2)).copy()
    kwargs = {"num_prefix_tokens": prefix, "ordered": True, "return_indices": True}
    left, indices = PatchDropout(0.4, **kwargs)(Tensor(tokens))
    np.testing.assert_array_equal(left.asnumpy(), tokens)
    assert indices is None
    cell = PatchDropout(0.4, **kwargs).set_train()
    left, indices = (found.asnumpy() for found in cell(Tensor(tokens)))
    assert (left.shape, indices.shape) == ((64, 5 + prefix, 2), (64, 5))
    np.testing.assert_array_equal(left[:, :prefix], tokens[:, :prefix])
    np.testing.assert_array_equal(left[:, prefix:, 0], indices + prefix)
    assert (np.diff(indices, axis=1) > 0).all()  # in order, and none twice
    counts = np.bincount(indices.reshape(-1), minlength=9)
    assert np.abs(counts / 64 - 5 / 9).max() < 0.25
    again = cell(Tensor(tokens))[1].asnumpy()
    assert (again != indices).any()
    assert len({tuple(row) for row in indices}) > 10


class _Tokens(nn.Cell):
    def __init__(self):
        super().__init__()
        self.drop, self.fc = PatchDropout(0.5, 0), nn.Dense(3, 2)

    def construct(self, x):
        return self.fc(self.drop(x)).mean(1)


def test_patch_dropout_follows_the_seed_of_the_step():
    """In a training step it drops what the seed and the number of the step say, as all dropout does."""

    def losses():
        ms.set_seed(5)
        np.random.seed(5)
        network = _Tokens()
        for parameter in network.trainable_params():
            parameter.set_data(Tensor(random(*parameter.shape, seed=3)))
        optimizer = create_optimizer(network.trainable_params(), "sgd", lr=0.0)
        step = TrainStep(LossWithNetwork(network, nn.MSELoss()), optimizer).set_train()
        x, y = Tensor(random(4, 8, 3)), Tensor(np.zeros((4, 2), np.float32))
        return [float(step(x, y).asnumpy()) for _ in range(3)]

    first = losses()
    assert len(set(first)) == 3
    assert losses() == first


def test_compatibility_dropout():
    found = run(Dropout(p=0.25).set_train(), np.ones(4000, np.float32))
    np.testing.assert_allclose(np.unique(found), [0.0, 4 / 3], rtol=1e-6)
    assert abs((found == 0).mean() - 0.25) < 0.03
    np.testing.assert_array_equal(run(Dropout(0.0).set_train(), np.ones(5, np.float32)), 1)


def test_split():
    x = random(2, 6)
    parts = Split(split_size_or_sections=2, output_num=3, axis=1)(Tensor(x))
    for part, expected in zip(parts, np.split(x, 3, 1), strict=True):
        np.testing.assert_array_equal(part.asnumpy(), expected)


def cubic(distance, a=-0.75):
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def resized(row, new, mode, align_corners):
    """One row in one pixel after the other, from the definitions."""
    old, out = len(row), []
    for i in range(new):
        position = i * (old - 1) / (new - 1) if align_corners else (i + 0.5) * old / new - 0.5
        if mode == "nearest":
            out.append(row[i * old // new])
            continue
        low = int(np.floor(position))
        if mode == "bilinear":
            low, position = max(low, 0), min(max(position, 0), old - 1)
            out.append(row[low] * (1 - position + low) + row[min(low + 1, old - 1)] * (position - low))
        else:
            near = [(min(max(k, 0), old - 1), cubic(position - k)) for k in range(low - 1, low + 3)]
            out.append(sum(row[k] * weight for k, weight in near))
    return np.array(out)


def resized_map(x, size, mode, align_corners):
    columns = np.apply_along_axis(resized, 3, x.astype(np.float64), size[1], mode, align_corners)
    return np.apply_along_axis(resized, 2, columns, size[0], mode, align_corners)


@pytest.mark.parametrize(
    ("mode", "align_corners"),
    [("nearest", None), ("bilinear", True), ("bilinear", False), ("bicubic", True), ("bicubic", False)],
)
@pytest.mark.parametrize("size", [(8, 9), (3, 4)])
def test_interpolate(mode, align_corners, size):
    x = random(1, 2, 5, 7)
    found = Interpolate(mode=mode, align_corners=align_corners)(Tensor(x), size=size).asnumpy()
    np.testing.assert_allclose(found, resized_map(x, size, mode, align_corners), atol=1e-5)


@MODES
def test_interpolate_by_a_factor(mode):
    ms.set_context(mode=mode)
    x = random(1, 2, 5, 7)
    found = Interpolate(scale_factor=2.0, mode="bicubic", align_corners=False)(Tensor(x)).asnumpy()
    np.testing.assert_allclose(found, resized_map(x, (10, 14), "bicubic", False), atol=1e-5)
    found = Interpolate(scale_factor=2.0, recompute_scale_factor=True)(Tensor(x)).asnumpy()
    np.testing.assert_array_equal(found, x.repeat(2, 2).repeat(2, 3))


@pytest.mark.parametrize(("kwargs", "align"), [({"align_corners": True}, True), ({"half_pixel_centers": True}, False)])
def test_resize_bilinear(kwargs, align):
    x = random(1, 2, 5, 7)
    np.testing.assert_allclose(
        run(ResizeBilinear((8, 9), **kwargs), x), resized_map(x, (8, 9), "bilinear", align), atol=1e-5
    )
    assert run(ResizeBilinear((4, 4)), x).shape == (1, 2, 4, 4)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_resample_abs_pos_embed(interpolation, prefix):
    table = random(1, prefix + 12, 4)
    found = resample_abs_pos_embed(Tensor(table), [5, 6], [3, 4], prefix, interpolation).asnumpy()
    planes = table[:, prefix:].reshape(1, 3, 4, 4).transpose(0, 3, 1, 2)
    expected = resized_map(planes, (5, 6), interpolation, interpolation != "nearest").reshape(1, 4, 30)
    np.testing.assert_allclose(found[:, prefix:], expected.transpose(0, 2, 1), atol=1e-5)
    np.testing.assert_array_equal(found[:, :prefix], table[:, :prefix])
    square = Tensor(random(1, 1 + 9, 4))
    assert resample_abs_pos_embed(square, [3, 3]) is square
    assert resample_abs_pos_embed(square, [6, 6]).shape == (1, 37, 4)


@MODES
def test_relative_position_bias_with_cls(mode):
    ms.set_context(mode=mode)
    cell = RelativePositionBiasWithCLS((3, 4), num_heads=2)
    assert cell.relative_position_bias_table.shape == (5 * 7 + 3, 2)
    assert not cell.relative_position_index.requires_grad
    table = random(38, 2)
    cell.relative_position_bias_table.set_data(Tensor(table))
    bias = cell().asnumpy()
    assert bias.shape == (1, 2, 13, 13)
    for one in range(12):
        for other in range(12):
            rows, columns = one // 4 - other // 4 + 2, one % 4 - other % 4 + 3
            np.testing.assert_allclose(bias[0, :, 1 + one, 1 + other], table[rows * 7 + columns], atol=1e-6)
    np.testing.assert_allclose(bias[0, :, 0, 1:], table[[35] * 12].T, atol=1e-6)
    np.testing.assert_allclose(bias[0, :, 1:, 0], table[[36] * 12].T, atol=1e-6)
    np.testing.assert_allclose(bias[0, :, 0, 0], table[37], atol=1e-6)


def test_gradients_reach_what_learns():
    """One step of a network that is written of these cells."""

    class Network(nn.Cell):
        def __init__(self):
            super().__init__()
            self.stem = Conv2dNormActivation(3, 8)
            self.sk, self.se, self.sv = SelectiveKernel(8), SqueezeExcite(8), SqueezeExciteV2(8)
            self.embed, self.drop = PatchEmbed(8, 4, 8, 6), PatchDropout(0.5, 0)
            self.mlp, self.path = Mlp(6, 4), DropPath(0.1)
            self.fc = nn.Dense(6, 2)

        def construct(self, x):
            x = self.drop(self.embed(self.sv(self.se(self.sk(self.stem(x))))))
            return self.fc((x + self.path(self.mlp(x))).mean(1))

    network = Network()
    before = {parameter.name: parameter.asnumpy().copy() for parameter in network.trainable_params()}
    optimizer = create_optimizer(network.trainable_params(), "sgd", lr=0.1, momentum=0.0)
    step = TrainStep(LossWithNetwork(network, nn.MSELoss()), optimizer).set_train()
    step(Tensor(random(4, 3, 8, 8)), Tensor(np.ones((4, 2), np.float32)))
    for parameter in network.trainable_params():
        assert np.isfinite(parameter.asnumpy()).all()
        assert (parameter.asnumpy() != before[parameter.name]).any(), parameter.name


def test_tuples():
    assert to_2tuple(3) == (3, 3)
    assert to_2tuple((3, 4)) == (3, 4)
    assert to_ntuple(3)("ab") == "ab"
    assert to_ntuple(3)(1) == (1, 1, 1)
