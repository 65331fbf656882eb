"""What every model promises, read from its class and its row in `families.py`, on small inputs and narrow networks."""

import gzip
import inspect
import json
import re
from collections import Counter
from collections.abc import Collection
from functools import partial
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from families import COMPILED, EAGER, FAMILIES
from mindspore import Parameter, Tensor, nn

from mindcv.data.preprocess import EvalPreprocess
from mindcv.engine import LossWithNetwork, TrainStep, freeze
from mindcv.engine.graph_key import graph_key
from mindcv.export import ExportedModel, export_model
from mindcv.loss import create_loss
from mindcv.models import ImageClassifier, create_model, list_models, model_entrypoint
from mindcv.models.measure import drawing_initializers
from mindcv.models.registry import is_model_in_modules
from mindcv.optim import create_optimizer
from mindcv.optim.param_groups import layer_depths
from mindcv.utils.cells import replace_cells
from mindcv.weights import write_weights

UPSTREAM = Path(__file__).parents[1] / "data" / "upstream" / "parameters.jsonl.gz"
KINDS = [(family, name) for family, row in FAMILIES.items() for name in row.kinds]
MODELS = [name for name in list_models() if is_model_in_modules(name, FAMILIES)]


def _is_classifier(name: str) -> bool:
    return bool(model_entrypoint(name).network.gives_logits)


def _by_kind(families: Collection[str] = FAMILIES, others: bool = False) -> list:
    """The first kind of each of some families is in the fast set, the others in `zoo`.

    With `others` those that are no classifiers are among them.
    """
    return [
        pytest.param(family, name, marks=() if _is_fast(family, name, families) else pytest.mark.zoo, id=name)
        for family, name in KINDS
        if others or _is_classifier(name)
    ]


def _is_fast(family: str, name: str, families: Collection[str]) -> bool:
    return name == FAMILIES[family].kinds[0] and family in families


_kinds = partial(pytest.mark.parametrize, ("family", "name"))
kinds, all_kinds = _kinds(_by_kind()), _kinds(_by_kind(others=True))
eager_kinds, all_eager_kinds = _kinds(_by_kind(EAGER)), _kinds(_by_kind(EAGER, others=True))
compiled_kinds, all_compiled_kinds = _kinds(_by_kind(COMPILED)), _kinds(_by_kind(COMPILED, others=True))


def make(family: str, name: str, **kwargs) -> nn.Cell:
    row = FAMILIES[family]
    arguments = {**row.small, **row.more.get(name, {}), **kwargs}
    if not _is_classifier(name):
        arguments.pop("num_classes", None)
    return create_model(name, **arguments).set_train(False)


def image(family: str, channels: int = 3, batch: int = 2, seed: int = 0) -> Tensor:
    shape = (batch, channels, FAMILIES[family].side, FAMILIES[family].side)
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def excite(network: nn.Cell) -> nn.Cell:
    """Gives scales that start near nothing (LayerScale, last norms) a size at which branches are seen."""
    generator = np.random.default_rng(1)
    for parameter in network.get_parameters():
        if parameter.requires_grad and np.abs(parameter.asnumpy()).max() < 1e-3:
            parameter.set_data(Tensor(generator.uniform(0.2, 0.5, parameter.shape).astype(np.float32)))
    return network


@pytest.fixture(scope="module")
def upstream() -> dict[str, dict]:
    with gzip.open(UPSTREAM, "rt") as file:
        return {line["name"]: line for line in map(json.loads, file)}


@pytest.mark.usefixtures("undrawn_weights")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in dict(KINDS).values() else pytest.mark.zoo) for name in MODELS]
)
def test_parameters_are_mindcvs(name: str, upstream):
    """Names, shapes and order of a checkpoint."""
    if name not in upstream:
        pytest.skip("no model of MindCV")
    model = create_model(name)
    assert [[p.name, list(p.shape)] for p in model.get_parameters()] == upstream[name]["params"]
    tables = {p.name for p in model.get_parameters() if any(re.fullmatch(_glob(c), p.name) for c in model.constants)}
    assert tables == set(upstream[name]["constants"])


def _glob(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", ".*")


@kinds
def test_shapes(family: str, name: str):
    model = make(family, name, num_classes=10)
    features = model.forward_features(image(family))
    assert features.shape[0] == 2
    assert model.num_features in features.shape
    assert model.forward_head(features).shape == model(image(family)).shape == (2, 10)
    assert model.num_classes == 10
    names = {parameter.name for parameter in model.get_parameters()}
    assert {f"{model.default_cfg.classifier}.weight", f"{model.default_cfg.first_conv}.weight"} <= names
    assert make(family, name, num_classes=0)(image(family)).shape == (2, model.head_hidden_size)


@kinds
def test_the_compile_cache_knows_its_training_step(family: str, name: str):
    """Everything that its `construct` reaches has a digest; networks alike share a key, others do not."""
    images, labels = image(family), Tensor(np.zeros(2, np.int32))

    def key(num_classes: int) -> str:
        ms.set_seed(1)
        network = make(family, name, num_classes=num_classes)
        optimizer = create_optimizer(network, opt="momentum", lr=0.1)
        return graph_key(TrainStep(LossWithNetwork(network, create_loss("CE")), optimizer), (images, labels))[0]

    assert key(10) == key(10) != key(9)


@eager_kinds
def test_in_channels(family: str, name: str):
    for channels in (1, 4):
        model = make(family, name, num_classes=3, in_channels=channels)
        assert model(image(family, channels)).shape == (2, 3)
        for cell in model.reads_image:
            (weight,) = (p for path, p in model.parameters_and_names() if path == f"{cell}.weight")
            assert weight.shape[1] == channels


@all_eager_kinds
def test_features(family: str, name: str):
    """Any maps in any order; what lies behind the last is gone, and the maps stay what they are."""
    side = FAMILIES[family].side
    ms.set_seed(0)
    every = range(len(make(family, name).feature_info))
    whole = excite(make(family, name, features_only=True, out_indices=every))
    maps = whole(image(family))
    sides = [-(-side // info["reduction"]) for info in whole.feature_info]
    assert [m.shape[:2] for m in maps] == [(2, info["chs"]) for info in whole.feature_info]
    lost = [expected - m.shape[axis] for m, expected in zip(maps, sides, strict=True) for axis in (2, 3)]
    assert 0 <= min(lost) <= max(lost) <= FAMILIES[family].lost_pixels
    assert whole.out_channels == [m.shape[1] for m in maps]
    assert not any(
        p.name.startswith(tuple(f"{cell}." for cell in whole.net.gives_logits)) for p in whole.get_parameters()
    )
    last = len(maps) - 2
    ours = {p.name: p for p in whole.get_parameters()}
    for asked, given in (((0,), (0,)), ((last, 0, -2), (last, 0, last))):
        some = make(family, name, features_only=True, out_indices=asked)
        for parameter in some.get_parameters():
            parameter.set_data(ours[parameter.name].value())
        for got, index in zip(some(image(family)), given, strict=True):
            np.testing.assert_allclose(got.asnumpy(), maps[index].asnumpy(), rtol=1e-5, atol=1e-5)
    if whole.net.map_cells[-1] != whole.net.map_cells[-2]:  # the last maps are not of the same cells
        assert {p.name for p in some.get_parameters()} < set(ours)


@all_eager_kinds
def test_maps_that_are_not_there(family: str, name: str):
    count = len(make(family, name).feature_info)
    with pytest.raises(
        ValueError, match=rf"out_indices are \[{count}\]; \w+ has {count} feature maps, choose from 0 to"
    ):
        make(family, name, features_only=True, out_indices=(count,))


@eager_kinds
def test_reset_classifier(family: str, name: str):
    model = make(family, name, num_classes=4)
    names = [p.name for p in model.get_parameters()]
    assert model(image(family)).shape == (2, 4)
    model.reset_classifier(7)
    assert model(image(family)).shape == (2, 7)
    assert model.num_classes == 7
    assert [p.name for p in model.get_parameters()] == names
    model.reset_classifier(0)
    assert model(image(family)).shape == (2, model.head_hidden_size)


@all_kinds
def test_depth(family: str, name: str):
    """Every parameter has one depth: the stem 0, each block its own, the head, where there is one, the last."""
    model = make(family, name)
    names = [parameter.name for parameter in model.get_parameters()]
    groups = model.group_matcher()
    patterns = [groups["stem"], *(pattern for pattern, _ in groups["blocks"])]
    head = {name for name in names if not any(re.match(pattern, name) for pattern in patterns)}
    paths = {p.name: path for path, p in model.parameters_and_names()}
    cells = tuple(f"{cell}." for cell in model.gives_logits)
    assert head == {name for name in names if paths[name].startswith(cells)}
    assert all(sum(bool(re.match(pattern, name)) for pattern in patterns) == 1 for name in set(names) - head)
    depths = layer_depths(names, groups)
    blocks = len(model.blocks_in_order)
    assert {depths[name] for name in head} == ({blocks + 1} if cells else set())
    stems = [f"{cell}.weight" for cell in model.reads_image]
    assert all(depths[name] == 0 for name in names if paths[name] in stems or paths[name] in model.not_decayed)
    assert set(Counter(depths.values())) == set(range(blocks + 1 + bool(cells)))
    # A pattern that matches nothing would decay tokens, or leave a table unfitted, in silence.
    for pattern in (*model.not_decayed, *model.resized):
        assert any(re.fullmatch(_glob(pattern), path) for path in paths.values()), pattern
    coarse = layer_depths(names, model.group_matcher(coarse=True))
    assert max(coarse.values()) <= len(model.feature_info) + 1
    assert model.no_weight_decay() <= set(names)


@all_eager_kinds
def test_freeze(family: str, name: str):
    model = make(family, name, num_classes=3)
    before = len(model.trainable_params())
    block = model.blocks_in_order[0][0]
    freeze(model, f"{block}.*")
    frozen = [path for path, p in model.parameters_and_names() if not p.requires_grad and path.startswith(f"{block}.")]
    assert len(frozen) >= 1
    assert 0 < len(model.trainable_params()) < before


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors", ".npz"])
@all_eager_kinds
def test_round_trip(family: str, name: str, suffix: str, tmp_path):
    model = make(family, name, num_classes=5)
    write_weights(tmp_path / f"w{suffix}", {p.name: p.asnumpy() for p in model.get_parameters()})
    other = make(family, name, num_classes=5, checkpoint_path=str(tmp_path / f"w{suffix}"))
    for mine, theirs in zip(model.get_parameters(), other.get_parameters(), strict=True):
        assert mine.name == theirs.name
        np.testing.assert_array_equal(mine.asnumpy(), theirs.asnumpy())


@eager_kinds
def test_fine_tuning(family: str, name: str, tmp_path):
    """Another number of classes and of channels: all else is loaded, heads start fresh."""
    model = make(family, name, num_classes=5)
    write_weights(tmp_path / "w.ckpt", {p.name: p.asnumpy() for p in model.get_parameters()})
    other = make(family, name, num_classes=3, in_channels=1, pretrained=str(tmp_path / "w.ckpt"))
    assert other(image(family, 1)).shape == (2, 3)
    ours = {p.name: p.asnumpy() for p in model.get_parameters()}
    paths = {p.name: path for path, p in other.parameters_and_names()}
    heads, stems = tuple(f"{c}." for c in model.gives_logits), tuple(f"{c}.weight" for c in model.reads_image)
    for parameter in other.get_parameters():
        if paths[parameter.name] in stems:
            expected = ours[parameter.name].sum(1, keepdims=True)
            np.testing.assert_allclose(parameter.asnumpy(), expected, rtol=1e-5, atol=1e-6)
        elif not paths[parameter.name].startswith(heads):
            np.testing.assert_array_equal(parameter.asnumpy(), ours[parameter.name])


@eager_kinds
def test_timm_names_and_back(family: str, name: str):
    """What is written under timm's names is read as what it was."""
    model = make(family, name)
    arrays = {path: p.asnumpy() for path, p in model.parameters_and_names() if not _is_constant(model, p.name)}
    try:
        theirs = model.to_torch(arrays)
    except ValueError as error:
        pytest.skip(str(error))
    back = model.from_torch(theirs)
    assert set(back) == set(arrays)
    for path, array in arrays.items():
        np.testing.assert_array_equal(back[path], array)


def _is_constant(model: ImageClassifier, name: str) -> bool:
    return any(re.fullmatch(_glob(pattern), name) for pattern in model.constants)


@compiled_kinds
def test_graph_mode_equals_pynative(family: str, name: str):
    model = excite(make(family, name, num_classes=10))
    eager = model(image(family)).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(model(image(family)).asnumpy(), eager, rtol=1e-4, atol=1e-4)


@all_compiled_kinds
def test_features_in_graph_mode(family: str, name: str):
    model = excite(make(family, name, features_only=True, out_indices=(1, 0)))
    eager = model(image(family))
    ms.set_context(mode=ms.GRAPH_MODE)
    for feature, expected in zip(model(image(family)), eager, strict=True):
        np.testing.assert_allclose(feature.asnumpy(), expected.asnumpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.zoo
@kinds
@pytest.mark.parametrize("file_format", ["onnx", "mindir"])
def test_exports(family: str, name: str, file_format: str, tmp_path):
    """An exported file answers as the network does, in batches of any size."""
    model = excite(make(family, name, num_classes=10))
    preprocess = EvalPreprocess(FAMILIES[family].side)
    export_model(model, tmp_path / "m", file_format, "dynamic", preprocess=preprocess)
    exported = ExportedModel(tmp_path / f"m.{file_format}")
    images = image(family, batch=3)
    expected = model(images).asnumpy()
    np.testing.assert_allclose(exported(images.asnumpy()), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@compiled_kinds
def test_every_parameter_gets_a_gradient(family: str, name: str):
    """One training step in graph mode: finite gradients that are not nothing."""
    ms.set_context(mode=ms.GRAPH_MODE)
    model = excite(make(family, name, num_classes=10, drop_rate=0.1)).set_train()
    weight = Tensor(np.random.default_rng(1).standard_normal((4, 10)).astype(np.float32))
    step = _Loss(model, weight)
    gradients = ms.grad(step, None, model.trainable_params())(image(family, batch=4))
    for parameter, gradient in zip(model.trainable_params(), gradients, strict=True):
        total = float(gradient.abs().sum())
        assert np.isfinite(total), parameter.name
        is_idle = any(re.fullmatch(_glob(pattern), parameter.name) for pattern in FAMILIES[family].idle)
        assert (total > 0) != is_idle, parameter.name


class _Loss(nn.Cell):
    def __init__(self, network: nn.Cell, weight: Tensor) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.weight = network, weight

    def construct(self, x: Tensor) -> Tensor:
        logits = self.network(x)
        if isinstance(logits, tuple):
            total = 0.0
            for output in logits:
                total = total + (output * self.weight).sum()
            return total
        return (logits * self.weight).sum()


@eager_kinds
def test_drop_rates_act_in_training_only(family: str, name: str):
    rates = {"drop_rate": 0.5}
    if "drop_path_rate" in inspect.signature(model_entrypoint(name).network.__init__).parameters:
        rates["drop_path_rate"] = 0.5
    for argument, rate in rates.items():
        model = excite(make(family, name, num_classes=10, **{argument: rate}))
        np.testing.assert_array_equal(model(image(family)).asnumpy(), model(image(family)).asnumpy())
        freeze_norms(model.set_train())
        first, second = (_main(model(image(family, batch=8))).asnumpy() for _ in range(2))
        assert np.abs(first - second).max() > 1e-4, argument


def freeze_norms(model: nn.Cell) -> None:
    """BatchNorm with batch statistics would be no reason for two results to differ; its running ones are."""
    for _, cell in model.cells_and_names():
        if isinstance(cell, nn.BatchNorm2d):
            cell.use_batch_statistics = False


def _main(logits):
    return logits[0] if isinstance(logits, tuple) else logits


@all_eager_kinds
def test_each_weight_is_initialised_once(family: str, name: str, monkeypatch):
    drawn, replaced = [], []
    for kind in drawing_initializers():
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
    model = make(family, name)
    shapes = Counter(tuple(p.shape) for p in model.get_parameters())
    assert drawn
    assert not Counter(drawn) - shapes
    assert not replaced


@all_eager_kinds
def test_initial_weights_follow_the_seed(family: str, name: str):
    ms.set_seed(3)
    first = {p.name: p.asnumpy() for p in make(family, name).get_parameters()}
    ms.set_seed(3)
    again = {p.name: p.asnumpy() for p in make(family, name).get_parameters()}
    ms.set_seed(4)
    other = {p.name: p.asnumpy() for p in make(family, name).get_parameters()}
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)
    assert all(np.isfinite(array).all() for array in first.values())


@eager_kinds
def test_fused_blocks(family: str, name: str):
    model = excite(make(family, name, num_classes=10))
    expected = model(image(family)).asnumpy()
    count = replace_cells(model, lambda cell: cell.fused() if hasattr(cell, "fused") else None)
    assert bool(count) == FAMILIES[family].fuses
    np.testing.assert_allclose(model.set_train(False)(image(family)).asnumpy(), expected, rtol=1e-4, atol=1e-5)


@eager_kinds
def test_image_size(family: str, name: str, tmp_path):
    """A network of one size takes another by argument, and a file of the one is fitted to the other."""
    if not model_entrypoint(name).takes_image_size:
        with pytest.raises(ValueError, match=f"image_size: {name} takes images of any size"):
            make(family, name, image_size=96)
        return
    model = make(family, name, num_classes=3)
    assert model(image(family)).shape == (2, 3)
    if not model.resized:
        return
    write_weights(tmp_path / "w.ckpt", {p.name: p.asnumpy() for p in model.get_parameters()})
    side = 2 * FAMILIES[family].side
    other = make(family, name, num_classes=3, image_size=side, checkpoint_path=str(tmp_path / "w.ckpt"))
    assert other.default_cfg.input_size[1:] == (side, side)
    assert other(Tensor(np.zeros((1, 3, side, side), np.float32))).shape == (1, 3)
    shapes = {p.name: p.shape for p in model.get_parameters()}
    learnt = [(path, p) for path, p in other.parameters_and_names() if not _is_constant(model, p.name)]
    fitted = {path for path, p in learnt if p.shape != shapes[p.name]}
    assert fitted
    assert all(any(re.fullmatch(_glob(pattern), path) for pattern in model.resized) for path in fitted)


def test_initial_weights_of_resnet():
    """He normal (fan out) for convolutions, uniform within sqrt(3 / fan in) for the head, norms as the identity."""
    for parameter in make("resnet", "resnet18").get_parameters():
        array, kind = parameter.asnumpy(), parameter.name.rpartition(".")[2]
        if array.ndim == 4:
            expected = np.sqrt(2 / (array.shape[0] * array.shape[2] * array.shape[3]))
            np.testing.assert_allclose(array.std(), expected, rtol=0.15)
        elif array.ndim == 2:
            assert np.abs(array).max() <= np.sqrt(3 / array.shape[1])
            np.testing.assert_allclose(array.std(), np.sqrt(1 / array.shape[1]), rtol=0.25)
        else:
            assert np.all(array == (1 if kind in ("gamma", "moving_variance") else 0))


# Layers that no norm follows start as MindCV's and the paper's code do: a depthwise weight of He's fan out is nothing.
@pytest.mark.parametrize(
    ("name", "weight", "std"),
    [
        ("coat_tiny", "serial_blocks1.0.cpe.proj", 3**-0.5 / 3),  # uniform within sqrt(1 / fan in)
        ("coat_lite_tiny", "serial_blocks4.0.factoratt_crpe.crpe.conv_list.2", 3**-0.5 / 7),
        ("ghostnet_050", "blocks.8.3.ghost2.cheap_operation.0", (2 / 9) ** 0.5),  # HeUniform()
        ("ghostnet_050", "conv_head", (2 / 480) ** 0.5),
        ("mlp_mixer_s_p32", "to_patch_embedding.0", (2 / (3 * 32**2 + 512)) ** 0.5),  # Xavier's, as a dense layer
        ("poolformer_s12", "patch_embed.proj", (3 * 3 * 7**2) ** -0.5),
        ("volo_d1", "network.1.proj", (3 * 192 * 2**2) ** -0.5),
        ("xcit_tiny_12_p16_224", "blocks.11.local_mp.conv2", 3**-0.5 / 3),
        ("xcit_tiny_12_p16_224", "pos_embeder.token_projection", (3 * 64) ** -0.5),
    ],
)
def test_initial_size_of_convolutions(name: str, weight: str, std: float):
    parameters = {parameter.name: parameter for parameter in create_model(name).get_parameters()}
    array = parameters[f"{weight}.weight"].asnumpy()
    assert array.std() == pytest.approx(std, rel=3 / array.size**0.5)
    assert np.abs(array).max() <= 3**0.5 * std * 1.001


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
