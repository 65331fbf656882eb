"""`mindcv push`: what is written reads back with equal logits, from a folder, a store and a hub on the loopback."""

import json
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from hub_server import COMMIT, Hub

from mindcv.cli import main
from mindcv.cli.push import _what_timm_does
from mindcv.config import dataset_text, read_config
from mindcv.data import EvalPreprocess
from mindcv.export import Classifier
from mindcv.export.runtime import live_run
from mindcv.export.share import FILES, ModelCard, model_folder, publish
from mindcv.export.source import Source
from mindcv.models import create_model, name_at_timm, to_timm_names
from mindcv.utils.errors import RunError
from mindcv.weights import ModelOutputs, read_weights, write_weights

PREPROCESS = EvalPreprocess(64, 0.9, "antialias", (120.0, 110.0, 100.0), (60.0, 58.0, 57.0), resize_rounding="round")
PETS = ("cat", "dog", "fish")


def source_of(name: str, num_classes: int = 3, preprocess: EvalPreprocess = PREPROCESS, head: str = "single", **kwargs):
    ms.set_seed(1)
    model = create_model(name, num_classes=num_classes, in_channels=len(preprocess.mean), **kwargs).set_train(False)
    return Source(model, name, preprocess, PETS[:num_classes] if num_classes <= 3 else None, "pets", head)


@pytest.fixture(scope="module")
def source() -> Source:
    return source_of("seresnet18", stem_pool_pad="both")


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory) -> Path:
    with model_folder(source, ModelCard()) as written:
        return Path(publish(written, str(tmp_path_factory.mktemp("pushed") / "pets")).removeprefix("local-dir:"))


def logits(network, channels: int = 3) -> np.ndarray:
    images = np.random.default_rng(0).standard_normal((2, channels, 64, 64)).astype(np.float32)
    return live_run(network)(images)


def test_as_timm_writes_it(folder, source):
    config = json.loads((folder / "config.json").read_text())
    cfg = config["pretrained_cfg"]
    assert (config["architecture"], config["num_classes"], config["label_names"]) == ("seresnet18", 3, list(PETS))
    assert (cfg["first_conv"], cfg["classifier"], cfg["input_size"]) == ("conv1", "fc", [3, 64, 64])
    assert (cfg["interpolation"], cfg["crop_pct"], cfg["crop_mode"]) == ("lanczos", 0.9, "center")
    np.testing.assert_allclose(cfg["mean"], np.array(PREPROCESS.mean) / 255)
    assert "license" not in cfg
    expected = to_timm_names(source.network, {p.name: p.asnumpy() for p in source.network.get_parameters()})
    assert read_weights(folder / "model.safetensors").keys() == expected.keys()


def test_reads_back(folder, source):
    classifier = Classifier(f"local-dir:{folder}")
    assert (classifier.preprocess, classifier.class_names) == (PREPROCESS, PETS)
    network = create_model(f"local-dir:{folder}", pretrained=True)
    assert network.stem_pool_pad == "both"
    np.testing.assert_allclose(logits(network), logits(source.network), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "channels", "arguments", "architecture", "model_args"),
    [
        ("seresnet18", 3, {}, "mindcv.seresnet18", {}),  # the stem's padding is MindCV's
        ("seresnet18", 1, {"stem_pool_pad": "both"}, "seresnet18", {"in_chans": 1}),
        ("pit_ti", 3, {"image_size": 64, "act": "gelu"}, "pit_ti_224", {"img_size": [64, 64]}),
    ],
)
def test_either_network(name, channels, arguments, architecture, model_args, tmp_path):
    grey = EvalPreprocess(64, 0.9, "bicubic", (120.0,), (60.0,))
    one = source_of(name, preprocess=grey if channels == 1 else PREPROCESS, head="multiple", **arguments)
    with model_folder(one, ModelCard()) as written:
        config = json.loads((written / "config.json").read_text())
        address = publish(written, str(tmp_path / "a"))
    assert (config["architecture"], config["model_args"]) == (architecture, model_args)
    network = create_model(address, pretrained=True)
    np.testing.assert_allclose(logits(network, channels), logits(one.network, channels), atol=1e-6)
    classifier = Classifier(address)
    assert classifier.preprocess == one.preprocess
    pixels = np.random.default_rng(1).integers(0, 256, (80, 70, 3), dtype=np.uint8)
    found = Classifier(one.network, preprocess=one.preprocess, head="multiple").predict(pixels)[0].labels
    got = classifier.predict(pixels)[0].labels
    np.testing.assert_allclose([label.probability for label in got], [label.probability for label in found], atol=1e-6)
    assert [label.name for label in got] == [PETS[label.index] for label in got]


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("resnet50", {"stem_pool_pad": "both"}, "resnet50"),
        ("resnet50", {}, None),
        ("efficientnet_b0", {"conv_pad": "both", "norm_eps": 1e-5}, "efficientnet_b0"),
        ("efficientnet_b0", {"conv_pad": "same", "norm_eps": 1e-3}, "tf_efficientnet_b0"),
        ("mobilenet_v2_100_128", {}, None),
        ("vgg11", {}, None),
        ("vgg11", {"conv_bias": True}, "vgg11"),
    ],
)
def test_name_at_timm(name, arguments, expected):
    model = create_model(name, **arguments)
    arrays = to_timm_names(model, {p.name: p.asnumpy() for p in model.get_parameters()})
    assert name_at_timm(model, arrays) == expected


def test_timm_reads_it(folder, source):
    """Proven with timm where it is installed."""
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        theirs = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(theirs, logits(source.network), atol=1e-4)
    assert network.pretrained_cfg["label_names"] == list(PETS)
    assert timm.data.resolve_data_config({}, model=network)["crop_pct"] == 0.9


def test_card(source):
    recipe = read_config(["--model=seresnet18", "--lr=0.1", "--data_dir=/home/me/pets", "--epoch_size=3"])
    card = ModelCard({"top1": 0.9712}, "pets_[test]", "apache-2.0", recipe)
    with model_folder(source, card) as written:
        text = (written / "README.md").read_text()
        assert json.loads((written / "config.json").read_text())["pretrained_cfg"]["license"] == "apache-2.0"
    assert text.startswith("---\nlibrary_name: timm\n")
    assert "\nlicense: apache-2.0\n" in text
    assert "\n\n* network: seresnet18" in text  # a list of Markdown: its signs are not escaped
    assert "\n* licence: apache-2.0\n" in text
    assert "| top1 | 0.9712 |" in text
    assert "pets\\_\\[test\\]" in text
    assert "lr: 0.1" in text
    assert "epoch_size: 3" in text
    assert "/home/me" not in text


def test_dataset_of_a_card():
    assert dataset_text("imagenet", 3) == "a folder of classes"  # what the key `dataset` calls any such folder
    assert dataset_text("imagenet", 1000) == "imagenet"
    assert dataset_text("digits", 10) == "digits"


def test_weights_that_are_not_finite(tmp_path):
    one = source_of("seresnet18")
    weight = one.network.get_classifier().weight
    weight.set_data(weight * float("nan"))
    with (
        pytest.raises(ValueError, match=r"1 weights are not finite, such as classifier.weight"),
        model_folder(one, ModelCard()),
    ):
        pass


def test_a_folder_that_holds_a_model(folder, tmp_path):
    (tmp_path / "config.json").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds a model already \(config.json\); give --overwrite"):
        publish(folder, str(tmp_path))
    assert (tmp_path / "config.json").read_text() == "mine"
    publish(folder, str(tmp_path), overwrite=True)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == {
        name: (folder / name).read_bytes() for name in FILES
    }


def test_to_a_store(folder, source):
    address = publish(folder, "memory://bucket/pets")
    assert address == "memory://bucket/pets/model.safetensors"
    with pytest.raises(FileExistsError, match=r"is there already; give --overwrite"):
        publish(folder, "memory://bucket/pets/")
    publish(folder, "memory://bucket/pets", overwrite=True)
    import fsspec

    assert fsspec.filesystem("memory").cat("/bucket/pets/config.json") == (folder / "config.json").read_bytes()
    with pytest.raises(ValueError, match="--private is for the hub"):
        publish(folder, "memory://bucket/pets", overwrite=True, private=True)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    # Its other protocol, xet, is not what a plain server speaks.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    for variable in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "MINDCV_OFFLINE", "MINDCV_MIRROR"):
        monkeypatch.delenv(variable, raising=False)
    with Hub().serving() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_to_the_hub_and_back(hub, folder, source):
    assert publish(folder, "hf://somebody/pets", private=True) == "hf-hub:somebody/pets"
    assert hub.created == [{"name": "pets", "organization": "somebody", "visibility": "private"}]
    assert hub.files == {name: (folder / name).read_bytes() for name in FILES}
    network = create_model("hf-hub:somebody/pets", pretrained=True)
    np.testing.assert_array_equal(logits(network), logits(source.network))
    assert Classifier(f"hf-hub:somebody/pets@{COMMIT}").class_names == PETS


def test_a_hub_that_refuses(hub, folder):
    hub.refuses = 403
    with pytest.raises(RunError, match=r"hf://somebody/pets: the hub refuses \(HTTP 403: .*set HF_TOKEN"):
        publish(folder, "hf://somebody/pets")
    with pytest.raises(ValueError, match=r"'pets' names no model of the hub; write OWNER/NAME"):
        publish(folder, "hf://pets")


def test_without_the_package(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'mindcv\[remote\]'"):
        publish(folder, "hf://somebody/pets")


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"model": "nonet"}, "unknown model 'nonet'"),
        ({"head": "single"}, "without a model's name"),
        ({"model": "seresnet18", "head": "both"}, "head is 'both', not single or multiple"),
        ({"model": "seresnet18", "resize_rounding": "up"}, "resize_rounding is 'up', not floor or round"),
        ("seresnet18", "entries of another form"),
    ],
)
def test_a_description_that_is_wrong(own, message, folder, tmp_path):
    config = {**json.loads((folder / "config.json").read_text()), "mindcv": own}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        create_model(f"local-dir:{tmp_path}")


@pytest.fixture
def run(source, tmp_path) -> Path:
    """What a training leaves: checkpoints with the outputs' meaning, and the recipe beside them."""
    folder = tmp_path / "run"
    folder.mkdir()
    arrays = {parameter.name: parameter.asnumpy() for parameter in create_model("seresnet18", 3).get_parameters()}
    write_weights(folder / "seresnet18_best.ckpt", {**arrays, **ModelOutputs(3, PETS).entry()})
    (folder / "config.yaml").write_text("model: seresnet18\nimage_resize: 64\nnum_classes: 3\ndata_dir: /home/me\n")
    return folder


def test_the_command(run, tmp_path, capsys):
    target = str(tmp_path / "out")
    assert main(["push", str(run), target, "--licence", "mit"]) == 0
    out = capsys.readouterr().out
    assert "reads back with equal logits" in out
    assert f'create_model("local-dir:{target}", pretrained=True)' in out
    assert out.endswith("timm has no network that computes the same as this seresnet18, and refuses it\n")
    assert _what_timm_does("seresnet18") == "timm reads it as seresnet18"
    text = (tmp_path / "out" / "README.md").read_text()
    assert "license: mit" in text
    assert "## Evaluation" not in text
    assert "/home/me" not in text
    assert Classifier(f"local-dir:{target}").class_names == PETS
    assert main(["push", str(run), target]) != 0
    assert "holds a model already" in capsys.readouterr().err


def test_bad_input(run, tmp_path, capsys):
    for words, message in [
        ([str(tmp_path / "none"), "x"], "there is no such run or checkpoint"),
        ([str(tmp_path), "x"], "the folder holds no checkpoint of a training"),
        ([str(run / "config.yaml"), str(tmp_path / "x")], "config.yaml"),
        ([str(run), "hf://a"], "'a' names no model of the hub"),
        ([str(run), str(tmp_path / "x"), "--report", str(tmp_path)], "holds no evaluation; `mindcv validate --report"),
    ]:
        assert main(["push", *words]) != 0
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
    (run / "other_best.ckpt").write_bytes((run / "seresnet18_best.ckpt").read_bytes())
    assert main(["push", str(run), str(tmp_path / "x")]) != 0
    assert "has 2 best checkpoints; name one" in capsys.readouterr().err
