"""`create_optimizer`: groups, layer-wise rates, state from a file and what it refuses."""

import inspect
import logging
import math
import re
from typing import get_args

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindcv.config.effects import WITH_MOMENTS
from mindcv.config.schema import KEYS
from mindcv.config.training_keys import OptimizerKeys
from mindcv.engine import freeze
from mindcv.models import create_model
from mindcv.optim import (
    WEIGHT_DECAY_FILTERS,
    create_optimizer,
    create_param_groups,
    list_optimizers,
    optimizer_arguments,
)
from mindcv.optim.param_groups import layer_depths
from mindcv.weights import read_ckpt, write_ckpt


class _Block(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1, has_bias=True)
        self.bn = nn.BatchNorm2d(2)


class _Model(nn.Cell):
    """Names and methods of a real model, small."""

    def __init__(self):
        super().__init__()
        self.pos_embed = Parameter(Tensor(np.ones((1, 2), np.float32)), name="pos_embed")
        self.conv1 = nn.Conv2d(1, 2, 1)
        self.layer1 = nn.SequentialCell(_Block(), _Block())
        self.layer2 = nn.SequentialCell(_Block())
        self.norm = nn.LayerNorm((2,))
        self.classifier = nn.Dense(2, 3)

    def no_weight_decay(self):
        return {"pos_embed"}

    def group_matcher(self, coarse=False):
        return {
            "stem": r"^conv1|^pos_embed",
            "blocks": [(r"^layer(\d+)\.(\d+)", None), (r"^norm", (99999,))],
        }


NEVER_DECAYED = {
    "disable": set(),
    "auto": {"beta", "gamma"},
    "norm_and_bias": {"beta", "gamma", "bias", "pos_embed"},
}


def _decay_by_name(optimizer):
    return {
        param.name: round(float(decay.asnumpy()), 6)
        for param, decay in zip(optimizer.parameters, optimizer.weight_decay, strict=True)
    }


@pytest.mark.parametrize("weight_decay_filter", NEVER_DECAYED)
def test_weight_decay_filter(weight_decay_filter):
    model = _Model()
    optimizer = create_optimizer(model, "momentum", weight_decay=0.1, weight_decay_filter=weight_decay_filter)
    names = [param.name for param in model.trainable_params()]
    assert [param.name for param in optimizer.parameters] == names
    free = NEVER_DECAYED[weight_decay_filter]
    assert _decay_by_name(optimizer) == {name: 0.0 if name.split(".")[-1] in free else 0.1 for name in names}


@pytest.mark.parametrize(
    ("options", "means"),
    [
        ({"filter_bias_and_bn": True}, "norm_and_bias"),
        ({"filter_bias_and_bn": False}, "disable"),
        ({"filter_bias_and_bn": True, "weight_decay_filter": "auto"}, "auto"),
    ],
)
def test_weight_decay_filter_of_mindcv_before_0_3(options, means):
    model = _Model()
    optimizer = create_optimizer(model.trainable_params(), "adamw", weight_decay=0.1, **options)
    expected = create_optimizer(model.trainable_params(), "adamw", weight_decay=0.1, weight_decay_filter=means)
    assert _decay_by_name(optimizer) == _decay_by_name(expected)
    assert _decay_by_name(optimizer)["classifier.bias"] == (0.0 if means == "norm_and_bias" else 0.1)


def test_one_dimensional_weights_are_not_decayed():
    params = [
        Parameter(Tensor(np.ones(shape, np.float32)), name=name) for name, shape in (("prelu.w", 3), ("a.w", (3, 3)))
    ]
    optimizer = create_optimizer(params, "sgd", weight_decay=0.1, weight_decay_filter="norm_and_bias")
    assert _decay_by_name(optimizer) == {"prelu.w": 0.0, "a.w": 0.1}


def test_frozen_parameters_are_left_out():
    model = _Model()
    model.conv1.weight.requires_grad = False
    assert "conv1.weight" not in [param.name for param in create_optimizer(model, "lion").parameters]


def test_groups_keep_their_own_values_and_are_filtered():
    model = _Model()
    head, rest = list(model.classifier.trainable_params()), []
    rest = [param for param in model.trainable_params() if not param.name.startswith("classifier")]
    groups = create_param_groups(
        [{"params": head, "lr": 0.5, "weight_decay": 0.3}, {"params": rest}], 0.1, 0.1, "norm_and_bias"
    )
    found = {
        param.name: (group.get("lr"), group["weight_decay"]) for group in groups for param in group.get("params", [])
    }
    assert found["classifier.weight"] == (0.5, 0.3)
    assert found["classifier.bias"] == (0.5, 0.0)
    assert found["conv1.weight"] == (None, 0.1)
    assert found["norm.gamma"] == (None, 0.0)


DEPTHS = {"pos_embed": 0, "conv1": 0, "layer1.0": 1, "layer1.1": 2, "layer2.0": 3, "norm": 3, "classifier": 4}


def _depth(name):
    return next(depth for prefix, depth in DEPTHS.items() if name.startswith(prefix))


def test_layer_depths():
    names = [param.name for param in _Model().trainable_params()]
    assert layer_depths(names, _Model().group_matcher()) == {name: _depth(name) for name in names}


@pytest.mark.parametrize(
    ("matcher", "names", "depths"),
    [
        ({"stem": "^stem", "blocks": r"^b\.(\d+)"}, ["b.10.w", "stem.w", "b.2.w", "head.w"], [2, 0, 1, 3]),
        ({"stem": None, "blocks": r"^b\.(\d+)"}, ["b.0.w", "stem.w"], [0, 1]),
        ({"blocks": [(r"^l\.(\d+)\.pool", 1), (r"^l\.(\d+)", 0)]}, ["l.0.w", "l.0.pool", "l.1.w"], [0, 1, 2]),
        ({"blocks": r"^l(\d+)(?:\.(\d+))?"}, ["l1.w", "l1.0.w", "l2.w"], [0, 1, 2]),
        ({"stem": r"^(conv|bn)1", "blocks": r"^l(\d+)"}, ["conv1.w", "bn1.w", "l1.w"], [0, 0, 1]),
    ],
    ids=["numeric", "no_stem", "orders", "optional", "alternatives"],
)
def test_layer_depths_of_other_matchers(matcher, names, depths):
    assert list(layer_depths(names, matcher).values()) == depths


@pytest.mark.parametrize("name", ["resnet18", "seresnet18"])
def test_layer_depths_of_real_models(name):
    """A stem, 8 blocks in the order of the network, a head."""
    model = create_model(name, num_classes=3)
    depths = layer_depths([param.name for param in model.trainable_params()], model.group_matcher())
    assert list(dict.fromkeys(depths.values())) == list(range(10))


@pytest.mark.parametrize("lr", [0.2, [0.2, 0.4]], ids=["fixed", "list"])
def test_layer_decay(lr):
    optimizer = create_optimizer(_Model(), "adamw", lr=lr, weight_decay=0.1, layer_decay=0.5)
    rates = [rate.asnumpy() for rate in optimizer.get_lr_parameter(list(optimizer.parameters))]
    for param, rate in zip(optimizer.parameters, rates, strict=True):
        np.testing.assert_allclose(rate, np.array(lr) * 0.5 ** (4 - _depth(param.name)), rtol=1e-6)
    decays = _decay_by_name(optimizer)
    assert decays["conv1.weight"] == 0.1
    assert decays["layer1.0.bn.gamma"] == decays["classifier.bias"] == decays["pos_embed"] == 0.0


def _rates(model):
    optimizer = create_optimizer(model, "sgd", lr=0.2, layer_decay=0.5)
    params = list(optimizer.parameters)
    rates = optimizer.get_lr_parameter(params)
    return {param.name: float(rate.asnumpy()) for param, rate in zip(params, rates, strict=True)}


@pytest.mark.parametrize("patterns", ["conv1,pos_embed", "layer1.1", "layer2*", "classifier"])
def test_layer_decay_of_a_partly_frozen_model(patterns):
    """Freezing layers leaves the rates of the others as they were."""
    before, model = _rates(_Model()), _Model()
    freeze(model, patterns)
    after = _rates(model)
    assert 0 < len(after) < len(before)
    assert after == {name: before[name] for name in after}


def test_layer_decay_of_a_resnet_without_layer3():
    before, model = _rates(create_model("resnet18", num_classes=3)), create_model("resnet18", num_classes=3)
    freeze(model, "layer3*")
    after = _rates(model)
    assert after["layer1.0.conv1.weight"] == before["layer1.0.conv1.weight"] == pytest.approx(0.2 * 0.5**8)
    assert after == {name: rate for name, rate in before.items() if not name.startswith("layer3")}


def test_layer_decay_updates():
    """One step of gradient 1 moves each parameter by its own rate."""
    model = _Model()
    before = {param.name: param.asnumpy().copy() for param in model.trainable_params()}
    optimizer = create_optimizer(model, "sgd", lr=[0.2, 0.4], momentum=0.0, layer_decay=0.5)
    optimizer(tuple(Tensor(np.ones(param.shape, np.float32)) for param in optimizer.parameters))
    for param in model.trainable_params():
        moved = before[param.name] - param.asnumpy()
        np.testing.assert_allclose(moved, 0.2 * 0.5 ** (4 - _depth(param.name)), rtol=1e-5, atol=1e-7)


def test_gradient_centralization_of_a_group():
    weight = Parameter(Tensor(np.zeros((2, 3), np.float32)), name="w")
    gradient = np.arange(6, dtype=np.float32).reshape(2, 3)
    optimizer = create_optimizer([{"params": [weight], "grad_centralization": True}], "sgd", lr=1.0, momentum=0.0)
    optimizer((Tensor(gradient),))
    np.testing.assert_allclose(weight.asnumpy(), gradient.mean(1, keepdims=True) - gradient, atol=1e-6)


def _param(name="w"):
    return Parameter(Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)), name=name)


def _steps(optimizer, count):
    for step in range(count):
        optimizer((Tensor(np.full((2, 3), 0.1 * (step + 1), np.float32)),))


@pytest.mark.parametrize("name", list_optimizers())
def test_state_goes_on_where_it_was_saved(name, tmp_path):
    """4 steps, or 2 and, from the file, as many again: the same numbers to the last bit."""
    first = create_optimizer([_param()], name, lr=[0.1, 0.2, 0.3, 0.4], weight_decay=0.1)
    _steps(first, 2)
    ms.save_checkpoint(first, str(tmp_path / "optim_model.ckpt"))

    weight = _param()
    weight.set_data(Tensor(first.parameters[0].asnumpy()))
    second = create_optimizer(
        [weight], name, lr=[0.1, 0.2, 0.3, 0.4], weight_decay=0.1, checkpoint_path=tmp_path / "optim_model.ckpt"
    )
    assert second.global_step.asnumpy() == [2]
    _steps(first, 2)
    _steps(second, 2)
    np.testing.assert_array_equal(second.parameters[0].asnumpy(), first.parameters[0].asnumpy())


def test_state_leaves_parameters_and_schedule_alone(tmp_path):
    saved = create_optimizer([_param()], "momentum", lr=0.1)
    _steps(saved, 1)
    ms.save_checkpoint(saved, str(tmp_path / "o.ckpt"))
    optimizer = create_optimizer([_param()], "momentum", lr=[0.5, 0.6], checkpoint_path=str(tmp_path / "o.ckpt"))
    np.testing.assert_array_equal(optimizer.parameters[0].asnumpy(), _param().asnumpy())
    np.testing.assert_allclose(optimizer.get_lr().asnumpy(), 0.6, rtol=1e-6)


# What MindSpore's and upstream's classes save, beside the parameters (COMPAT.md section 3).
FOREIGN = {
    "momentum": {"moments.w": (2, 3), "global_step": (1,), "learning_rate": (5,), "momentum": ()},
    "sgd": {"accum.w": (2, 3), "stat.w": (2, 3), "global_step": (1,), "learning_rate": (), "momentum": ()},
    "adam": {"moment1.w": (2, 3), "moment2.w": (2, 3), "beta1_power": (1,), "beta2_power": (1,), "global_step": (1,)},
    "adamw": {"adam_m.w": (2, 3), "adam_v.w": (2, 3), "beta1_power": (1,), "beta2_power": (1,), "global_step": (1,)},
    "lion": {"lion_m.w": (2, 3), "beta1_power": (1,), "beta2_power": (1,), "global_step": (1,)},
    "nadam": {"nadam_m.w": (2, 3), "nadam_v.w": (2, 3), "mu_schedule": (1,), "beta2_power": (1,), "global_step": (1,)},
    "rmsprop": {"mean_square.w": (2, 3), "moment.w": (2, 3), "global_step": (1,)},
    "adagrad": {"accum.w": (2, 3), "global_step": (1,)},
    "lamb": {"lamb_m.w": (2, 3), "lamb_v.w": (2, 3), "global_step": (1,)},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_upstreams_file_is_recognised(name, tmp_path, caplog):
    arrays = {key: np.full(shape, 3, np.float32) for key, shape in FOREIGN[name].items()}
    arrays["global_step"] = np.array([3], np.int32)
    write_ckpt(tmp_path / "optim_m.ckpt", {"w": np.zeros((2, 3), np.float32), **arrays})
    with caplog.at_level(logging.WARNING, logger="mindcv"):
        optimizer = create_optimizer([_param()], name, checkpoint_path=tmp_path / "optim_m.ckpt")
    assert "mindcv" not in [record.name.split(".")[0] for record in caplog.records]
    for param in optimizer.get_parameters():
        if param.name.endswith(".w") or param.name in ("global_step", "mu_schedule"):
            np.testing.assert_array_equal(param.asnumpy(), np.full(param.shape, 3), err_msg=param.name)


def _file(tmp_path, **arrays):
    write_ckpt(tmp_path / "o.ckpt", arrays)
    return tmp_path / "o.ckpt"


def test_state_of_another_optimizer_is_an_error(tmp_path):
    path = _file(tmp_path, **{"global_step": np.zeros(1, np.int32), "moments.w": np.zeros((2, 3), np.float32)})
    with pytest.raises(ValueError, match=r"2 of 3 entries of the state of Adam .*'moment1\.w'") as error:
        create_optimizer([_param()], "adam", checkpoint_path=path)
    assert "\n" not in str(error.value)


def test_state_of_another_shape_is_an_error(tmp_path):
    path = _file(tmp_path, **{"global_step": np.zeros(1, np.int32), "moments.w": np.zeros((3, 2), np.float32)})
    with pytest.raises(ValueError, match=r"'moments\.w' has the shape \(3, 2\), but the model needs \(2, 3\)"):
        create_optimizer([_param()], "momentum", checkpoint_path=path)


def test_state_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        create_optimizer([_param()], "momentum", checkpoint_path=tmp_path / "none.ckpt")


def test_unused_entries_are_warned_of(tmp_path, caplog):
    arrays = {"global_step": np.zeros(1, np.int32), "moments.w": np.zeros((2, 3), np.float32), "other": np.zeros(1)}
    with caplog.at_level(logging.WARNING, logger="mindcv"):
        create_optimizer([_param()], "momentum", checkpoint_path=_file(tmp_path, **arrays))
    assert "1 entries were not used, the first is 'other'" in caplog.text


def test_saved_names_are_plain(tmp_path):
    ms.save_checkpoint(create_optimizer([_param()], "adam"), str(tmp_path / "o.ckpt"))
    assert set(read_ckpt(tmp_path / "o.ckpt")) == {"global_step", "w", "moment1.w", "moment2.w", "learning_rate"}


def test_names_and_signature_are_upstreams():
    assert list_optimizers() == (
        "sgd", "momentum", "nesterov", "adam", "adamw", "lion", "nadam", "adan", "rmsprop", "adagrad", "lamb",
    )  # fmt: skip
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(create_optimizer).parameters.items()
        if parameter.default is not parameter.empty
    }
    assert list(defaults.items()) == [
        ("opt", "adam"),
        ("lr", 1e-3),
        ("weight_decay", 0),
        ("momentum", 0.9),
        ("nesterov", False),
        ("weight_decay_filter", "disable"),
        ("layer_decay", None),
        ("loss_scale", 1.0),
        ("schedule_decay", 4e-3),
        ("checkpoint_path", ""),
        ("eps", 1e-10),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"opt": "adamW2"}, "unknown optimizer 'adamW2'; did you mean 'adamw'? Allowed: adagrad, adam, adamw"),
        ({"lr": -0.1}, "lr must be a finite number from 0 on, but got -0.1"),
        ({"lr": math.nan}, "lr must be a finite number from 0 on, but got nan"),
        ({"lr": [0.1, 0.2, math.nan]}, "but got nan at step 2"),
        ({"lr": []}, "lr must be a number or a list"),
        ({"lr": None}, "lr is missing"),
        ({"weight_decay": -1e-4}, "weight_decay must be a finite number from 0 on, but got -0.0001"),
        ({"weight_decay": math.nan}, "weight_decay must be a finite number from 0 on, but got nan"),
        ({"eps": -1e-8}, "eps must be a finite number above 0, but got -1e-08"),
        ({"eps": math.nan}, "eps must be a finite number above 0"),
        ({"eps": 0.0, "opt": "momentum"}, "eps must be a finite number above 0"),
        ({"momentum": math.inf}, "momentum must be a finite number from 0 on"),
        ({"loss_scale": 0.0}, "loss_scale must be a finite number above 0"),
        ({"beta1": 1.0}, "beta1 must be in [0, 1), but got 1.0"),
        ({"opt": "lion", "beta2": math.nan}, "beta2 must be in [0, 1), but got nan"),
        ({"beta3": 0.9}, "unknown argument of the optimizer 'adam' 'beta3'; did you mean 'beta2'?"),
        ({"weight_decay_filter": "norm"}, "unknown weight_decay_filter 'norm'"),
        ({"layer_decay": 0.5}, "layer_decay needs a model with a group_matcher(), but got a list of parameters"),
    ],
)
def test_impossible_values(arguments, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        create_optimizer([_param()], **arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layer_decay", [0.0, 1.5, math.nan])
def test_layer_decay_out_of_range(layer_decay):
    with pytest.raises(ValueError, match=r"layer_decay must be in \(0, 1\]"):
        create_optimizer(_Model(), layer_decay=layer_decay)


def test_layer_decay_needs_a_matcher():
    with pytest.raises(ValueError, match=r"but got Dense; leave layer_decay out"):
        create_optimizer(nn.Dense(2, 2), layer_decay=0.5)


def test_a_model_without_trainable_parameters():
    model = nn.Dense(2, 2)
    model.weight.requires_grad = model.bias.requires_grad = False
    with pytest.raises(ValueError, match="no parameters"):
        create_optimizer(model)


def test_config_has_the_same_choices():
    choices = get_args(OptimizerKeys.model_fields["opt"].annotation)
    assert {choice.lower() for choice in choices} == set(list_optimizers())


def test_config_has_the_same_weight_decay_filters():
    assert get_args(OptimizerKeys.model_fields["weight_decay_filter"].annotation) == WEIGHT_DECAY_FILTERS


@pytest.mark.parametrize("key", ["momentum", "use_nesterov", "eps", "beta1", "beta2"])
def test_help_names_the_optimizers_that_use_a_key(key):
    named = {name for name in list_optimizers() if re.search(rf"\b{name}\b", KEYS[key].help)}
    assert named == {name for name in list_optimizers() if KEYS[key].keyword in optimizer_arguments(name)}


@pytest.mark.parametrize("argument", ["momentum", "nesterov", "eps", "schedule_decay"])
@pytest.mark.parametrize("name", list_optimizers())
def test_arguments_that_an_optimizer_uses(name, argument):
    """Two steps with another value end elsewhere exactly where `optimizer_arguments` names it."""
    other = {"momentum": 0.5, "nesterov": True, "eps": 0.5, "schedule_decay": 0.5}[argument]
    ends = []
    for arguments in ({}, {argument: other}):
        parameter = Parameter(Tensor(np.array([1.0, -2.0], np.float32)), name="p")
        optimizer = create_optimizer([parameter], name, lr=0.1, **arguments)
        for _ in range(2):
            optimizer((Tensor(np.array([0.3, 0.2], np.float32)),))
        ends.append(parameter.asnumpy())
    assert (not np.array_equal(*ends)) == (argument in optimizer_arguments(name))


@pytest.mark.parametrize("argument", ["beta1", "beta2"])
@pytest.mark.parametrize("name", list_optimizers())
def test_betas(name, argument):
    """Two steps with another value end elsewhere; None is the class's own; who has none refuses."""
    assert (argument in optimizer_arguments(name)) == (name in WITH_MOMENTS)
    ends = []
    for value in (None, None, 0.5):
        parameter = Parameter(Tensor(np.array([1.0, -2.0], np.float32)), name="p")
        if value is not None and name not in WITH_MOMENTS:
            with pytest.raises(ValueError, match=f"unknown argument of the optimizer '{name}' '{argument}'"):
                create_optimizer([parameter], name, lr=0.1, **{argument: value})
            return
        optimizer = create_optimizer([parameter], name, lr=0.1, **{argument: value})
        for gradient in ([0.3, 0.2], [-0.02, 0.4]):
            optimizer((Tensor(np.array(gradient, np.float32)),))
        state = {p.name: p.asnumpy() for p in optimizer.get_parameters()}
        ends.append(
            np.concatenate([parameter.asnumpy(), *(state[slot] for slot in sorted(state) if slot.endswith(".p"))])
        )
    assert np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])
