"""`mindspore_hub_conf.py`, as MindSpore Hub's loader uses it: from the file, outside of any package."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "mindspore_hub_conf.py"


@pytest.fixture(scope="module")
def hub():
    spec = importlib.util.spec_from_file_location("mindspore_hub_conf", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "classes", "features", "cells"),
    [
        ("SE_ResNeXt50", 1000, 2048, "SENet"),
        ("resnext50", 10, 2048, "ResNet"),
        ("seresnet18", 7, 512, "SENet"),
    ],
)
def test_create_network(hub, name, classes, features, cells):
    network = hub.create_network(name, num_classes=classes)
    assert type(network).__name__ == cells
    assert network.get_classifier().weight.shape == (classes, features)
    assert any("se_module" in parameter.name for parameter in network.get_parameters()) == (cells == "SENet")


def test_weights(hub, tmp_path):
    from mindcv.weights import write_weights

    network = hub.create_network("resnet18", num_classes=3)
    arrays = {parameter.name: parameter.asnumpy() + 1 for parameter in network.get_parameters()}
    write_weights(tmp_path / "a.ckpt", arrays)
    loaded = hub.create_network("resnet18", num_classes=3, checkpoint_path=str(tmp_path / "a.ckpt"))
    assert all((parameter.asnumpy() == arrays[parameter.name]).all() for parameter in loaded.get_parameters())


def test_unknown_name(hub):
    with pytest.raises(ValueError, match="did you mean 'seresnext50_32x4d'"):
        hub.create_network("seresnext50_32x4")
