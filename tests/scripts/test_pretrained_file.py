"""`pretrained: FILE` outside of training: the file is run as it is, and a classifier that starts fresh is refused."""

import numpy as np
import pytest

from mindcv.build import build_network
from mindcv.config import Config
from mindcv.export.classifier import Classifier
from mindcv.export.source import source_from_config
from mindcv.models import create_model
from mindcv.validate import validate
from mindcv.weights import write_ckpt
from mindcv.weights.outputs import ModelOutputs

KEYS = {"model": "resnet18", "image_resize": 16, "batch_size": 5, "device_target": "CPU", "mode": 1}
KEYS |= {"num_parallel_workers": 1, "normalize_on_device": False}


@pytest.fixture(scope="module")
def arrays():
    network = build_network(Config(**KEYS), 2)
    return {name: parameter.asnumpy() for name, parameter in network.parameters_dict().items()}


@pytest.fixture
def file(tmp_path, arrays):
    path = tmp_path / "trained.ckpt"
    write_ckpt(path, arrays)
    return path


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_validate_runs_the_file(form, file, image_folder):
    by_path = validate(Config(**KEYS, data_dir=str(image_folder), ckpt_path=str(file)))
    assert validate(Config(**KEYS, data_dir=str(image_folder), pretrained=form.format(file))) == by_path


def test_validate_refuses_a_file_of_other_classes_or_without_a_classifier(tmp_path, file, arrays, image_folder):
    keys = {**KEYS, "data_dir": str(image_folder)}
    with pytest.raises(ValueError, match="has 2 classes"):
        validate(Config(**keys, pretrained=str(file), num_classes=3))
    headless = tmp_path / "headless.ckpt"
    write_ckpt(headless, {name: array for name, array in arrays.items() if "classifier" not in name})
    with pytest.raises(ValueError, match=r"missing in the file: classifier\.weight"):
        validate(Config(**keys, pretrained=str(headless)))
    with pytest.raises(FileNotFoundError, match=r"nothing\.ckpt"):
        validate(Config(**keys, pretrained=str(tmp_path / "nothing.ckpt")))


def test_validate_refuses_published_weights_of_other_classes(image_folder):
    with pytest.raises(ValueError, match="the published weights have 1000 classes, not 2: their classifier would be"):
        validate(Config(**KEYS, data_dir=str(image_folder), pretrained=True))


def test_export_and_infer_run_the_file(file, arrays, image_folder):
    source = source_from_config(Config(**KEYS, pretrained=str(file)))
    now = {name: parameter.asnumpy() for name, parameter in source.network.parameters_dict().items()}
    assert all(np.array_equal(now[name], array) for name, array in arrays.items())
    classifier = Classifier("resnet18", pretrained=str(file))
    assert classifier.preprocess.image_size == tuple(create_model("resnet18").default_cfg["input_size"][-2:])
    labels = classifier.predict(str(image_folder / "val/digit3/0.png"))[0].labels
    assert sorted(label.index for label in labels) == [0, 1]
    assert sum(label.probability for label in labels) == pytest.approx(1)
    (file.parent / "config.yaml").write_text("image_resize: 16\ncrop_pct: 1.0\n")
    beside = Classifier("resnet18", pretrained=f"file://{file}").preprocess
    assert (beside.image_size, beside.crop_pct) == ((16, 16), 1.0)
    with pytest.raises(ValueError, match="pretrained gives the weights of a model by name"):
        Classifier(str(file), pretrained=str(file))


@pytest.mark.parametrize(
    ("names", "is_kept"),
    [(("cat", "dog"), True), (None, True), (("cat", "zebra"), False), (("dog", "cat"), False)],
)
def test_a_head_for_as_many_classes_of_other_names_starts_fresh(names, is_kept, tmp_path, arrays):
    """Else the row of one class would go on as that of another."""
    path = tmp_path / "named.ckpt"
    write_ckpt(path, {**arrays, **ModelOutputs.of(2, ("cat", "dog")).entry()})
    network = build_network(Config(**KEYS, pretrained=str(path)), 2, class_names=names)
    now = {name: parameter.asnumpy() for name, parameter in network.parameters_dict().items()}
    changed = {name for name, array in arrays.items() if not np.array_equal(now[name], array)}
    # A fresh bias is 0, as that of the untrained file is.
    assert changed == (set() if is_kept else {"classifier.weight"})


def test_a_head_without_names_is_kept_for_as_many_classes(file, arrays):
    network = build_network(Config(**KEYS, pretrained=str(file)), 2, class_names=("cat", "dog"))
    assert np.array_equal(network.parameters_dict()["classifier.weight"].asnumpy(), arrays["classifier.weight"])
