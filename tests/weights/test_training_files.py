"""Files that trainings leave: the model's parameters are found in them, whatever the optimizer was."""

from pathlib import Path

import numpy as np
import pytest
from mindspore import nn

from mindcv.engine import LossScale, LossWithNetwork, TrainStep
from mindcv.engine.checkpoint import save_cell
from mindcv.optim import create_optimizer
from mindcv.optim.optim_factory import list_optimizers
from mindcv.weights import read_weights, write_ckpt


@pytest.mark.parametrize("name", list_optimizers())
def test_slots_of_every_optimizer_are_left_out(tmp_path: Path, name: str) -> None:
    net = nn.SequentialCell(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    optimizer = create_optimizer(net, name, lr=[0.1, 0.2], momentum=0.9)
    weights = {parameter.name: parameter.asnumpy() for parameter in net.get_parameters()}
    slots = {parameter.name: parameter.asnumpy() for parameter in optimizer.get_parameters()}
    averaged = {f"ema.{key}": np.zeros_like(array) for key, array in weights.items() if "moving" not in key}
    write_ckpt(tmp_path / "a.ckpt", {**slots, **weights, **averaged})
    raw, ema = read_weights(tmp_path / "a.ckpt"), read_weights(tmp_path / "a.ckpt", ema=True)
    assert set(raw) == set(ema) == set(weights)
    for key, array in weights.items():
        np.testing.assert_array_equal(raw[key], array)
        assert ema[key].any() == (key.endswith("moving_variance"))


def test_all_that_the_training_step_adds_is_left_out(tmp_path: Path) -> None:
    net = nn.SequentialCell(nn.Dense(3, 2), nn.BatchNorm1d(2), nn.Dropout(p=0.5))
    weights = set(net.parameters_dict())
    options = {"ema": True, "gradient_accumulation_steps": 2}
    loss = LossWithNetwork(net, nn.CrossEntropyLoss())
    step = TrainStep(loss, create_optimizer(net, "adamw"), LossScale(8.0, dynamic=True), **options)
    assert "dropout_step" in step.parameters_dict()
    save_cell(step, tmp_path / "a.ckpt")
    assert set(read_weights(tmp_path / "a.ckpt")) == weights
    assert set(read_weights(tmp_path / "a.ckpt", ema=True)) == weights
