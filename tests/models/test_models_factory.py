"""`create_model`, what it passes on, and what it refuses."""

import inspect

import numpy as np
import pytest
from mindspore import Tensor

import mindcv
from mindcv.models import create_model, helpers, resnet
from mindcv.models._create import create_model as factory
from mindcv.models.model_factory import create_model as upstream_path
from mindcv.models.resnet import ResNet, resnet18
from mindcv.weights import write_weights

TINY = {"channels": (8, 8, 16, 16), "layers": (1, 1, 1, 1)}


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("resnet5", {}, "unknown model 'resnet5'; did you mean 'resnet50'"),
        ("resnext50", {}, "use create_model\\('resnext50_32x4d'\\)"),
        ("resnet18.none", {}, "'resnet18' has no weights 'none'"),
        ("resnet18", {"drop_pathrate": 0.1}, "ResNet has no argument 'drop_pathrate'; did you mean 'drop_path_rate'"),
        ("resnet18", {"zzz": 0.1}, "ResNet has no argument 'zzz'. It has: block, layers"),
        ("resnet18", {"num_classes": -1}, "num_classes is -1; give an integer"),
        ("resnet18", {"num_classes": 2.5}, "num_classes is 2.5; give an integer"),
        ("resnet18", {"in_channels": 0}, "in_channels is 0; give an integer from 1"),
        ("vit_b_32_224", {"in_channels": -3}, "in_channels is -3; give an integer from 1"),
        ("resnet18", {"in_channels": 1.0}, "in_channels is 1.0; give an integer from 1"),
        ("resnet18", {"drop_rate": "0.1"}, "drop_rate is '0.1'; give a number from 0"),
        (
            "resnet18",
            {"out_indices": (0, 1)},
            "out_indices are \\(0, 1\\), which choose feature maps; give ",
        ),
        ("resnet18", {"drop_rate": 1.0}, "drop_rate is 1.0; give a number from 0"),
        ("resnet18", {"drop_path_rate": -0.1}, "drop_path_rate is -0.1; give a number from 0"),
        ("resnet18", {"stem_pool_pad": "left"}, "stem_pool_pad is 'left'; give 'same'"),
        ("resnet18", {"layers": (1, 1)}, "four stages; got layers \\[1, 1\\]"),
        ("seresnet18", {"channels": (8,)}, "four stages; got .* channels \\[8\\]"),
        ("resnet18", {"groups": 2}, "BasicBlock has groups 1 and base_width 64 only, got 2 and 64"),
        (
            "resnet18",
            {"features_only": True, "out_indices": [5]},
            "out_indices are \\[5\\]; ResNet has 5 feature maps, choose from 0 to 4",
        ),
        (
            "resnet18",
            {"features_only": True, "out_indices": []},
            "out_indices are \\[\\]; ResNet has 5 feature maps, choose from 0 to 4",
        ),
        ("resnet18", {"features_only": True, "out_indices": 2}, "out_indices is 2; give whole numbers, such as"),
        ("resnet18", {"features_only": True, "out_indices": ("1",)}, "out_indices is \\('1',\\); give whole numbers"),
        ("vit_b_32_224", {"image_size": 230}, "image_size is 230x230; give multiples of the patch's side, 32"),
        ("vit_b_32_224", {"image_size": 64, "img_size": 96}, "image_size and img_size are one argument; give image_"),
        ("vit_b_32_224", {"image_size": (224,)}, "\\(224,\\) is no size; give a whole number of pixels, or two"),
        ("vit_b_32_224", {"image_size": 224.5}, "224.5 is no size; give a whole number of pixels, or two"),
        ("seresnet152", {"pretrained": True}, "no weights are published for 'seresnet152'"),
        ("resnet18", {"pretrained": "tv2_in1k"}, "'resnet18' has no weights 'tv2_in1k'; did you mean 'tv_in1k'"),
        ("resnet18.tv_in1k", {"pretrained": "a1_in1k"}, "'resnet18.tv_in1k' has a tag and pretrained='a1_in1k' is an"),
        ("resnet18", {"pretrained": True, "checkpoint_path": "a.ckpt"}, "pretrained and checkpoint_path .* exclude"),
    ],
)
def test_refused(name: str, kwargs: dict, message: str):
    with pytest.raises(ValueError, match=message) as error:
        create_model(name, **kwargs)
    assert "\n" not in str(error.value)


def test_missing_checkpoint():
    for arguments in ({"checkpoint_path": "nowhere.ckpt"}, {"pretrained": "nowhere.ckpt"}, {"pretrained": "no/where"}):
        with pytest.raises(
            FileNotFoundError, match=r"no/?where.*there is no such weight file|there is no file no/?where"
        ):
            create_model("resnet18", **arguments, **TINY)


def test_signature_is_upstreams():
    parameters = inspect.signature(create_model).parameters
    by_place = [(name, p.default) for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    defaults = by_place[1:]
    assert next(iter(parameters)) == "model_name"
    assert defaults == [
        *(("num_classes", 1000), ("pretrained", False), ("in_channels", 3)),
        *(("checkpoint_path", ""), ("ema", False), ("auto_mapping", False)),
    ]


def test_import_paths():
    assert mindcv.create_model is create_model is factory is upstream_path
    assert mindcv.models.ResNet is ResNet
    assert mindcv.models.resnet18 is resnet18
    assert mindcv.models.layers.Swish


def test_none_is_the_models_default():
    model = create_model("resnet18", num_classes=None, in_channels=None, drop_rate=None, drop_path_rate=None, **TINY)
    assert model.num_classes == 1000
    assert model.conv1.in_channels == 3


def test_positional_arguments():
    model = create_model("resnet18", 7, False, 1, **TINY)
    assert (model.num_classes, model.conv1.in_channels) == (7, 1)


def test_a_tag_brings_its_network():
    assert create_model("resnet18.tv_in1k", **TINY).stem_pool_pad == "both"
    assert create_model("resnet18.tv_in1k", stem_pool_pad="same", **TINY).stem_pool_pad == "same"
    assert create_model("resnet18", **TINY).stem_pool_pad == "same"


def test_entry_points_build_feature_extractors():
    features = resnet18(features_only=True, out_indices=[0, 4], **TINY)(Tensor(np.zeros((1, 3, 32, 32), np.float32)))
    assert [feature.shape for feature in features] == [(1, 8, 16, 16), (1, 16, 1, 1)]


def test_features_of_a_checkpoint(tmp_path):
    whole = create_model("resnet18", **TINY).set_train(False)
    path = str(tmp_path / "w.ckpt")
    write_weights(path, {p.name: p.asnumpy() for p in whole.get_parameters()})
    wrapper = create_model("resnet18", checkpoint_path=path, features_only=True, **TINY).set_train(False)
    x = Tensor(np.random.randn(1, 3, 32, 32).astype(np.float32))
    np.testing.assert_array_equal(wrapper(x)[-1].asnumpy(), whole.forward_features(x).asnumpy())


def test_own_entry_point_as_in_mindcv(monkeypatch):
    """What a user of MindCV has: a class, a dictionary and `build_model_with_cfg`."""

    class OwnNet(ResNet):
        pass

    def own(pretrained=False, num_classes=1000, in_channels=3, **kwargs):
        arguments = {
            "block": resnet.BasicBlock,
            **TINY,
            "num_classes": num_classes,
            "in_channels": in_channels,
            **kwargs,
        }
        return helpers.build_model_with_cfg(OwnNet, pretrained, {"url": "", "num_classes": 10}, **arguments)

    model = own(num_classes=10)
    assert isinstance(model, OwnNet)
    assert model.default_cfg["num_classes"] == 10
    with pytest.raises(ValueError, match="no weights are published for OwnNet"):
        own(pretrained=True)


def test_helpers_has_upstreams_names(monkeypatch):
    assert helpers.make_divisible(30, 8) == 32
    config = helpers.ConfigDict(a=1)
    config.b = 2
    assert (config.a, config["b"], config.c) == (1, 2, None)
    del config.a
    assert config == {"b": 2}
    monkeypatch.setattr(mindcv.utils, "DownLoad", object, raising=False)
    assert helpers.DownLoad is object
    monkeypatch.setenv("MINDCV_HOME", "/somewhere")
    assert helpers.get_default_download_root() == "/somewhere"
    assert helpers.get_checkpoint_download_root() == "/somewhere/models"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        helpers.nothing  # noqa: B018
