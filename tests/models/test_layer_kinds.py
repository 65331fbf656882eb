"""Layers made by example are those that MindSpore's constructors make: attributes, primitives, parameters, weights."""

import copy
from functools import partial

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops
from mindspore.common.initializer import Initializer
from mindspore.ops import Primitive

from mindcv.models.layers import (
    FAN_IN_UNIFORM,
    HE_NORMAL,
    HE_UNIFORM,
    TRUNC_NORMAL,
    LayerNorm2d,
    batch_norm2d,
    conv2d,
    dense,
    examples,
    group_norm,
    kinds,
    layer_norm,
)

PLAIN = {"stride": 1, "padding": 0, "dilation": 1, "group": 1, "has_bias": False}
NAMED = {"weight_init": HE_NORMAL, "bias_init": "zeros"}
LAST = {"begin_norm_axis": -1, "begin_params_axis": -1, "gamma_init": "ones", "beta_init": "zeros"}
# Ours, and MindSpore's constructor of the same.
CASES = {
    "conv": (
        partial(conv2d, 5, 7, 3, 2, 1),
        partial(nn.Conv2d, 5, 7, 3, **{**PLAIN, "stride": 2, "padding": 1}, pad_mode="pad", **NAMED),
    ),
    "large conv": (
        partial(conv2d, 64, 256, 3, bias=True, weight_init=TRUNC_NORMAL, bias_init=TRUNC_NORMAL),
        partial(
            *(nn.Conv2d, 64, 256, 3),
            **{**PLAIN, "has_bias": True},
            pad_mode="pad",
            weight_init=TRUNC_NORMAL,
            bias_init=TRUNC_NORMAL,
        ),
    ),
    "depthwise conv": (
        partial(conv2d, 8, 16, (3, 5), (2, 1), (1, 1, 2, 2), 8, dilation=2),
        partial(
            *(nn.Conv2d, 8, 16, (3, 5)),
            stride=(2, 1),
            pad_mode="pad",
            padding=(1, 1, 2, 2),
            dilation=2,
            group=8,
            has_bias=False,
            **NAMED,
        ),
    ),
    "same conv": (
        partial(conv2d, 4, 4, 3, 2, "same", weight_init="zeros"),
        partial(nn.Conv2d, 4, 4, 3, **{**PLAIN, "stride": 2}, pad_mode="same", weight_init="zeros", bias_init="zeros"),
    ),
    "dense": (
        partial(dense, 6, 9),
        partial(nn.Dense, 6, 9, weight_init=HE_UNIFORM, bias_init="zeros", has_bias=True),
    ),
    "large dense": (
        partial(dense, 300, 200, False, weight_init=FAN_IN_UNIFORM),
        partial(nn.Dense, 300, 200, weight_init=FAN_IN_UNIFORM, bias_init="zeros", has_bias=False),
    ),
    "named dense": (
        partial(dense, 6, 9, weight_init="xavier_uniform", bias_init="ones"),
        partial(nn.Dense, 6, 9, weight_init="xavier_uniform", bias_init="ones", has_bias=True),
    ),
    "batch norm": (
        partial(batch_norm2d, 6, 1e-3, 0.99, "zeros"),
        partial(nn.BatchNorm2d, 6, eps=1e-3, momentum=0.99, gamma_init="zeros", beta_init="zeros"),
    ),
    "layer norm": (partial(layer_norm, 6, 1e-5), partial(nn.LayerNorm, (6,), **LAST, epsilon=1e-5)),
    "group norm": (
        partial(group_norm, 6, 3),
        partial(nn.GroupNorm, 3, 6, eps=1e-5, affine=True, gamma_init="ones", beta_init="zeros"),
    ),
}


def facts(value: object) -> object:
    """What of an attribute can be compared."""
    if isinstance(value, Primitive):
        return type(value), vars(value), value.get_attr_dict()
    if isinstance(value, Initializer):
        return type(value), value._kwargs
    if isinstance(value, nn.Cell):
        return type(value)
    if isinstance(value, dict):
        return type(value), {name: facts(each) for name, each in value.items()}
    return value


def parameter_facts(parameter: ms.Parameter) -> dict[str, object]:
    """What of a parameter can be compared; `obj` of its information is itself."""
    info = parameter.param_info
    assert info.obj is parameter
    known = {name: getattr(info, name) for name in dir(info) if not name.startswith("_") and name != "obj"}
    own = {name: facts(value) for name, value in vars(parameter).items() if name != "_param_info"}
    names = ("name", "requires_grad", "_requires_grad", "dtype", "shape", "has_init", "is_init", "cache_enable")
    return {
        "info": {name: value for name, value in known.items() if not callable(value)},
        "own": own,
        "type": type(parameter),
        "init_flag": parameter.init_flag,
        **{name: getattr(parameter, name) for name in names},
    }


def attributes_of(cell: nn.Cell) -> dict[str, object]:
    own = {"_params", "_primitives", "_create_time", "_compile_cache", "_id"}
    return {name: facts(value) for name, value in vars(cell).items() if name not in own}


@pytest.mark.parametrize("name", CASES)
def test_layer_is_what_mindspores_constructor_makes(name: str):
    ours, mindspores = CASES[name]
    kinds._is_known.cache_clear()
    kinds._kind_of.cache_clear()
    ms.set_seed(3)
    made = [ours(), ours()]  # with the first, the examples of the kind are made, which must draw nothing
    ms.set_seed(3)
    for layer, wanted in zip(made, [mindspores(), mindspores()], strict=True):
        assert type(layer) is type(wanted)
        assert attributes_of(layer) == attributes_of(wanted)
        assert list(layer._primitives) == list(wanted._primitives)
        assert list(layer._params) == list(wanted._params)
        for ours_parameter, parameter in zip(layer.get_parameters(), wanted.get_parameters(), strict=True):
            assert parameter_facts(ours_parameter) == parameter_facts(parameter)
            assert np.array_equal(ours_parameter.asnumpy(), parameter.asnumpy())


@pytest.mark.parametrize("layer", kinds._CLASSES)
def test_sizes_show_only_where_they_are_known_to(layer: type[nn.Cell]):
    assert kinds._is_known(layer)


def test_layers_share_no_primitive_that_computes():
    first, second = (conv2d(4, 4, 3, bias=True) for _ in range(2))
    first.conv2d.recompute()
    first.bias_add.add_prim_attr("mark", 1)
    assert "recompute" in first.conv2d.attrs
    assert "recompute" not in second.conv2d.attrs
    assert "mark" not in second.bias_add.attrs
    assert first.conv2d.input_names is not second.conv2d.input_names
    first, second = (batch_norm2d(4) for _ in range(2))
    assert first.bn_train is not second.bn_train
    assert first.bn_infer is not second.bn_infer
    assert first.gamma is not second.gamma


def test_a_sibling_has_the_primitives_of_the_first_and_weights_of_its_own():
    make = partial(conv2d, 4, 6, 3, 2, 1, bias=True)
    ms.set_seed(3)
    first = make()
    sibling = make(sibling=first)
    ms.set_seed(3)
    for layer, wanted in ((first, make()), (sibling, make())):
        assert attributes_of(layer) == attributes_of(wanted)
        assert list(layer._primitives) == list(wanted._primitives)
        assert np.array_equal(layer.weight.asnumpy(), wanted.weight.asnumpy())
        assert layer.weight.param_info.obj is layer.weight
    assert sibling.conv2d is first.conv2d
    assert sibling.weight is not first.weight
    x = ms.Tensor(np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32))
    first.weight.set_data(sibling.weight.value())
    np.testing.assert_array_equal(first(x).asnumpy(), sibling(x).asnumpy())


def test_subclass_keeps_its_class_and_computes():
    norm = LayerNorm2d(4)
    assert type(norm) is LayerNorm2d
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 3)).astype(np.float32)
    wanted = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(norm(ms.Tensor(x)).asnumpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("arguments", [(0, 4, 3), (4, -1, 3), (4, 6, 3, 1, 0, 4), (4.0, 4, 3)])
def test_sizes_that_cannot_be_are_refused_as_mindspore_refuses_them(arguments: tuple):
    with pytest.raises((TypeError, ValueError)):
        conv2d(*arguments)


def test_modes_that_leave_weights_undrawn_get_mindspores_constructor(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ms.Parameter, "init_param", False, raising=False)
    assert conv2d(4, 4, 3).weight.has_init
    monkeypatch.undo()
    assert not conv2d(4, 4, 3).weight.has_init


@pytest.mark.skipif(not hasattr(ms, "DeviceCtx"), reason="this MindSpore has no device without memory")
def test_layers_on_the_device_without_memory_get_mindspores_constructor():
    with ms.DeviceCtx("meta"):
        assert conv2d(4, 4, 3).weight.is_meta
    assert not conv2d(4, 4, 3).weight.is_meta


class SumOfSquares(nn.Cell):
    def __init__(self, layer: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.layer = layer

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        return (self.layer(x) ** 2).sum()


def outputs_of(layer: nn.Cell, mode: int) -> list[np.ndarray]:
    """What a layer gives, and the gradients of its parameters."""
    shape = (4, layer.in_channels) if isinstance(layer, nn.Dense) else (2, 64 if "large" in layer.case else 8, 6, 6)
    x = ms.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    ms.set_context(mode=mode)
    try:
        gradients = ops.value_and_grad(SumOfSquares(layer), None, tuple(layer.trainable_params()))
        value, grads = gradients(x)
        return [each.asnumpy() for each in (layer(x), value, *grads)]
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
@pytest.mark.parametrize("change", ["none", "recompute", "to_float", "deepcopy", "set_grad"])
@pytest.mark.parametrize("name", ["large conv", "depthwise conv", "large dense"])
def test_layer_computes_as_mindspores_and_takes_the_same_changes(name: str, change: str, mode: int):
    layers = []
    for make in CASES[name]:
        ms.set_seed(3)
        layer = make()
        layer.case = name
        if change == "recompute":
            layer.recompute()
        elif change == "to_float":
            layer.to_float(ms.float16)
        elif change == "deepcopy":
            layer = copy.deepcopy(layer)
        elif change == "set_grad":
            layer.set_train()
            layer.weight.requires_grad = False
            layer.weight.requires_grad = True
        layers.append(layer)
    ours, wanted = layers
    assert attributes_of(ours) == attributes_of(wanted)
    for pair in zip(outputs_of(ours, mode), outputs_of(wanted, mode), strict=True):
        np.testing.assert_array_equal(*pair)


def test_parameter_is_saved_loaded_copied_and_set_as_mindspores(tmp_path):
    made = [make() for make in CASES["large conv"]]
    path = str(tmp_path / "layer.ckpt")
    ms.save_checkpoint(made[0], path)
    for layer in made:
        assert ms.load_param_into_net(layer, ms.load_checkpoint(path)) == ([], [])
        layer.weight.set_data(layer.weight * 2)
    np.testing.assert_array_equal(made[0].weight.asnumpy(), made[1].weight.asnumpy())
    ours, wanted = (
        [copy.deepcopy(layer.weight), layer.weight.clone(), layer.weight.clone("zeros"), ms.Tensor(layer.weight)]
        for layer in made
    )
    for one, other in zip(ours, wanted, strict=True):
        assert str(one) == str(other)
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())
    assert parameter_facts(ours[0]) == parameter_facts(wanted[0])
    np.testing.assert_array_equal(made[0].weight.value().asnumpy(), made[1].weight.value().asnumpy())


def test_constructors_that_do_what_is_not_known_run_themselves(monkeypatch: pytest.MonkeyPatch):
    counts = dict.fromkeys(("cell", "parameter", "primitive"), 0)
    classes = (("cell", nn.Cell), ("parameter", ms.Parameter), ("primitive", Primitive))

    def counting(name: str, init):
        def counted(self, *args, **kwargs) -> None:
            counts[name] += 1
            init(self, *args, **kwargs)

        return counted

    def made() -> dict[str, int]:
        counts.update(dict.fromkeys(counts, 0))
        conv2d(4, 4, 3)
        return dict(counts)

    caches = (examples._cell_example, examples._parameter_example, kinds._kind_of)
    with monkeypatch.context() as changed:
        for name, cls in classes:
            changed.setattr(cls, "__init__", counting(name, cls.__init__))
        for cache in caches:
            cache.cache_clear()
        made()  # with the examples
        assert made() == {"cell": 1, "parameter": 1, "primitive": 2}  # the convolution, and Load of the parameter
    for cache in caches:
        cache.cache_clear()
    made()
    assert made() == {"cell": 0, "parameter": 0, "primitive": 0}


class Doubled(Primitive):
    """A primitive whose size shows as something else too."""

    @ms.ops.prim_attr_register
    def __init__(self, size: int = 1) -> None:
        self.add_prim_attr("twice", 2 * size)


def test_primitive_whose_size_shows_as_something_else_comes_from_its_constructor():
    maker = examples.PrimitiveMaker(Doubled(), "doubled", ("size",))
    primitives = [maker({"size": size}) for size in (3, 5)]
    assert [primitive.twice for primitive in primitives] == [6, 10]
    assert facts(primitives[0]) == facts(Doubled(3).set_prim_instance_name("doubled"))
