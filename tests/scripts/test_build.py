"""How a run's parts follow from the config, where two keys meet."""

import pytest

from mindcv.build import build_network, build_step
from mindcv.config import Config
from mindcv.weights import write_ckpt


@pytest.mark.parametrize(("pretrained", "padding"), [(True, "both"), (False, "same")])
def test_a_run_from_published_weights_keeps_their_padding_in_its_checkpoints(pretrained, padding, tmp_path):
    trained = build_network(Config(model="seresnext101_32x4d"), 2)
    path = tmp_path / "a.ckpt"
    write_ckpt(path, {name: parameter.asnumpy() for name, parameter in trained.parameters_dict().items()})
    network = build_network(Config(model="seresnext101_32x4d", pretrained=pretrained, ckpt_path=str(path)), 2)
    assert network.stem_pool_pad == padding


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, (1.0, False, False)),
        ({"loss_scale": 128, "drop_overflow_update": True}, (128.0, False, True)),
        ({"loss_scale_type": "dynamic", "loss_scale": 1024}, (1024.0, True, True)),
        ({"loss_scale_type": "auto", "loss_scale": 64}, (1.0, False, False)),
        ({"loss_scale_type": "auto", "amp_level": "O2"}, (2.0**24, True, True)),
    ],
)
def test_loss_scale_follows_from_four_keys(values, expected):
    cfg = Config(model="resnet18", **values)
    step = build_step(cfg, build_network(cfg, 2), 2, [0.1])
    assert (step.scale.value, step.scale.dynamic, step.scale.drop_overflow) == expected
