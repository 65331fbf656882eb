"""What every registered model promises, on small inputs and narrow networks."""

import re

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn
from mindspore.common.initializer import HeNormal, HeUniform

from mindcv.models import create_model, list_models
from mindcv.models.registry import is_model_in_modules
from mindcv.weights import write_weights

# Arguments that make a family's networks small without leaving out a kind of layer.
REDUCED = {
    "resnet": {"channels": (32, 32, 64, 64), "layers": (1, 2, 1, 1)},
    "senet": {"channels": (32, 32, 64, 64), "layers": (1, 2, 1, 1)},
}
# One model for each kind of block.
BLOCKS = ["resnet18", "resnet50", "resnext50_32x4d", "seresnet18", "seresnet50", "seresnext26_32x4d", "senet154"]
MODELS = list_models()
SIDE = 64


def make(name: str, **kwargs) -> nn.Cell:
    (family,) = (family for family in REDUCED if is_model_in_modules(name, [family]))
    return create_model(name, **{**REDUCED[family], **kwargs}).set_train(False)


def image(channels: int = 3, batch: int = 2) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal((batch, channels, SIDE, SIDE)).astype(np.float32))


@pytest.mark.parametrize("name", MODELS)
def test_shapes(name: str):
    model = make(name, num_classes=10)
    features = model.forward_features(image())
    assert features.shape == (2, model.num_features, SIDE // 32, SIDE // 32)
    assert model.forward_head(features).shape == model(image()).shape == (2, 10)
    assert model.num_classes == 10
    assert model.default_cfg.classifier + ".weight" in {parameter.name for parameter in model.get_parameters()}
    assert model.default_cfg.first_conv + ".weight" == next(model.get_parameters()).name


@pytest.mark.parametrize("in_channels", [1, 4])
@pytest.mark.parametrize("name", BLOCKS)
def test_in_channels(name: str, in_channels: int):
    assert make(name, num_classes=3, in_channels=in_channels)(image(in_channels)).shape == (2, 3)


@pytest.mark.parametrize("name", MODELS)
def test_features(name: str):
    whole = make(name, num_classes=0)
    wrapper = make(name, features_only=True)
    expected = [(2, info["chs"], SIDE // info["reduction"], SIDE // info["reduction"]) for info in whole.feature_info]
    assert [feature.shape for feature in wrapper(image())] == expected
    assert wrapper.out_channels == [shape[1] for shape in expected]
    some = make(name, features_only=True, out_indices=(3, 1))
    assert [feature.shape for feature in some(image())] == [expected[1], expected[3]]
    assert {parameter.name for parameter in some.get_parameters()} < {p.name for p in whole.get_parameters()}


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
@pytest.mark.parametrize("name", ["resnet18", "seresnet18"])
def test_reset_classifier(name: str, mode: int):
    ms.set_context(mode=mode)
    model = make(name, num_classes=4, layers=(1, 1, 1, 1))
    assert model(image()).shape == (2, 4)
    model.reset_classifier(7)
    assert model(image()).shape == (2, 7)
    assert model.num_classes == 7
    assert model.get_classifier().weight.name == "classifier.weight"
    assert [p.name for p in model.trainable_params()][-2:] == ["classifier.weight", "classifier.bias"]
    model.reset_classifier(0)
    assert model(image()).shape == (2, model.num_features)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_group_matcher_covers_everything_but_the_head(name: str, coarse: bool):
    model = make(name)
    groups = model.group_matcher(coarse=coarse)
    head = {parameter.name for parameter in model.get_classifier().get_parameters()}
    for parameter in model.get_parameters():
        matches = [key for key, pattern in groups.items() if re.match(pattern, parameter.name)]
        assert matches == ([] if parameter.name in head else matches[:1]), parameter.name
        assert matches or parameter.name in head
    depths = {m.groups() for p in model.get_parameters() if (m := re.match(groups["blocks"], p.name))}
    assert len(depths) == (4 if coarse else 5)
    assert model.no_weight_decay() == set()


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors", ".npz"])
@pytest.mark.parametrize("name", BLOCKS)
def test_round_trip(name: str, suffix: str, tmp_path):
    model = make(name, num_classes=5)
    write_weights(tmp_path / f"w{suffix}", {p.name: p.asnumpy() for p in model.get_parameters()})
    other = make(name, num_classes=5, checkpoint_path=str(tmp_path / f"w{suffix}"))
    for mine, theirs in zip(model.get_parameters(), other.get_parameters(), strict=True):
        assert mine.name == theirs.name
        np.testing.assert_array_equal(mine.asnumpy(), theirs.asnumpy())


@pytest.mark.parametrize(
    ("name", "pad"), [*((name, "same") for name in BLOCKS), ("resnet18", "both"), ("seresnet18", "both")]
)
def test_graph_mode_equals_pynative(name: str, pad: str):
    model = make(name, num_classes=10, stem_pool_pad=pad)
    eager = model(image()).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(model(image()).asnumpy(), eager, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "seresnet18"])
def test_features_in_graph_mode(name: str):
    model = make(name, features_only=True, out_indices=(0, 2))
    eager = model(image())
    ms.set_context(mode=ms.GRAPH_MODE)
    for feature, expected in zip(model(image()), eager, strict=True):
        np.testing.assert_allclose(feature.asnumpy(), expected.asnumpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "seresnext26_32x4d"])
def test_every_parameter_gets_a_gradient(name: str):
    model = make(name, num_classes=10, drop_rate=0.1).set_train()
    weight = Tensor(np.random.default_rng(1).standard_normal((4, 10)).astype(np.float32))

    def loss(x: Tensor) -> Tensor:
        return (model(x) * weight).sum()

    _, gradients = ms.value_and_grad(loss, None, model.trainable_params())(image(batch=4))
    silent = [p.name for p, g in zip(model.trainable_params(), gradients, strict=True) if not g.abs().sum() > 0]
    assert not silent


@pytest.mark.parametrize("name", ["resnet18", "seresnet18"])
def test_drop_rates_act_in_training_only(name: str):
    model = make(name, num_classes=10, drop_rate=0.5, drop_path_rate=0.5)
    np.testing.assert_array_equal(model(image()).asnumpy(), model(image()).asnumpy())
    model.set_train()
    assert np.abs(model(image()).asnumpy() - model(image()).asnumpy()).max() > 1e-3


@pytest.mark.parametrize("name", ["resnet50", "seresnet50"])
def test_each_weight_is_initialised_once(name: str, monkeypatch):
    drawn, replaced = [], []
    for kind in (HeNormal, HeUniform):
        draw = kind._initialize
        monkeypatch.setattr(
            kind, "_initialize", lambda self, arr, draw=draw: drawn.append(arr.shape) or draw(self, arr)
        )
    set_data = Parameter.set_data
    monkeypatch.setattr(
        Parameter,
        "set_data",
        lambda self, *args, **kwargs: replaced.append(self.name) or set_data(self, *args, **kwargs),
    )
    model = create_model(name)
    assert sorted(drawn) == sorted(tuple(p.shape) for p in model.get_parameters() if len(p.shape) > 1)
    assert not replaced


@pytest.mark.parametrize("name", ["resnet18", "seresnet18"])
def test_initial_weights(name: str):
    ms.set_seed(3)
    first = {p.name: p.asnumpy() for p in make(name).get_parameters()}
    ms.set_seed(3)
    again = {p.name: p.asnumpy() for p in make(name).get_parameters()}
    ms.set_seed(4)
    other = {p.name: p.asnumpy() for p in make(name).get_parameters()}
    assert all(np.array_equal(first[key], again[key]) for key in first)
    for key, array in first.items():
        kind = key.rpartition(".")[2]
        if array.ndim == 4:  # He normal, fan out
            expected = np.sqrt(2 / (array.shape[0] * array.shape[2] * array.shape[3]))
            np.testing.assert_allclose(array.std(), expected, rtol=0.15)
        elif array.ndim == 2:  # uniform within sqrt(3 / fan in)
            assert np.abs(array).max() <= np.sqrt(3 / array.shape[1])
            np.testing.assert_allclose(array.std(), np.sqrt(1 / array.shape[1]), rtol=0.25)
        else:
            assert np.all(array == (1 if kind in ("gamma", "moving_variance") else 0))
        assert array.ndim == 1 or not np.array_equal(array, other[key])


# Trainable parameters as published: torchvision's `num_params` of the weights' metadata, timm's results table
# (results/model_benchmark_amp_nchw_rtx3090.csv, `param_count`, in millions).
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet34", 21.797672),  # torchvision ResNet34_Weights
        ("resnet152", 60.192808),  # torchvision ResNet152_Weights
        ("resnext101_64x4d", 83.455272),  # torchvision ResNeXt101_64X4D_Weights
        ("seresnet152", 66.82),  # timm legacy_seresnet152
        ("seresnext26_32x4d", 16.79),  # timm legacy_seresnext26_32x4d
    ],
)
@pytest.mark.usefixtures("undrawn_weights")
def test_published_parameter_counts(name: str, millions: float):
    model = create_model(name)
    digits = len(str(millions).partition(".")[2])
    assert round(sum(p.size for p in model.trainable_params()) / 1e6, digits) == millions
    assert [p.name for p in model.get_parameters()] == expected_names(name)


def expected_names(name: str) -> list[str]:
    """Parameter names by the rule of COMPAT section 3, for models without golden data."""
    depths = {"26": (2, 2, 2, 2), "34": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3)}
    is_se, convs = name.startswith("se"), 2 if name.endswith("34") else 3
    norm = ["moving_mean", "moving_variance", "gamma", "beta"]

    def conv_norm(conv: str, bn: str) -> list[str]:
        return [f"{conv}.weight", *(f"{bn}.{kind}" for kind in norm)]

    names = conv_norm("layer0.0", "layer0.1") if is_se else conv_norm("conv1", "bn1")
    for stage, depth in enumerate(depths[re.search(r"\d+", name).group()], start=1):
        for block in range(depth):
            prefix = f"layer{stage}.{block}"
            for index in range(1, convs + 1):
                names += conv_norm(f"{prefix}.conv{index}", f"{prefix}.bn{index}")
            if is_se:
                names += [f"{prefix}.se_module.conv_{k}.{p}" for k in ("reduce", "expand") for p in ("weight", "bias")]
            if block == 0 and (convs == 3 or stage > 1):
                down = f"{prefix}.{'downsample' if is_se else 'down_sample'}"
                names += conv_norm(f"{down}.0", f"{down}.1")
    return [*names, "classifier.weight", "classifier.bias"]
