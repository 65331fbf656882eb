"""Frozen parameters and BatchNorm cells, by an update and by what is said about them."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindcv.engine import LossScale, LossWithNetwork, TrainStep, auto_mixed_precision, freeze, load_state
from mindcv.engine.checkpoint import cell_arrays
from mindcv.optim import create_optimizer


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, weight_init="normal")
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.SequentialCell(nn.Conv2d(4, 4, 3, weight_init="normal"), nn.BatchNorm2d(4), nn.ReLU())
        self.layer2 = nn.SequentialCell(nn.Conv2d(4, 4, 3, weight_init="normal"), nn.BatchNorm2d(4))
        self.classifier = nn.Dense(4, 3)

    def construct(self, x):
        return self.classifier(self.layer2(self.layer1(self.bn1(self.conv1(x)))).mean((2, 3)))


NAMES = [p.name for p in Net().trainable_params()]


def starting(*prefixes):
    return {name for name in NAMES if name.startswith(prefixes)}


@pytest.mark.parametrize(
    ("patterns", "frozen", "norms"),
    [
        ("conv1", {"conv1.weight"}, []),
        ("layer1*, bn*", starting("layer1.", "bn1."), ["bn1", "layer1.1"]),
        ("layer1", starting("layer1."), ["layer1.1"]),
        ("layer?.1,", starting("layer1.1.", "layer2.1."), ["layer1.1", "layer2.1"]),
        ("*.gamma", {"bn1.gamma", "layer1.1.gamma", "layer2.1.gamma"}, []),
        ("*.gamma,bn1.beta", {"bn1.gamma", "layer1.1.gamma", "layer2.1.gamma", "bn1.beta"}, ["bn1"]),
        ("[!c]*,conv1", starting("conv1", "bn1", "layer"), ["bn1", "layer1.1", "layer2.1"]),
    ],
)
def test_what_patterns_mean(patterns, frozen, norms, caplog):
    caplog.set_level("INFO")
    network = Net()
    freeze(network, patterns)
    assert {p.name for p in network.get_parameters() if p.name in NAMES and not p.requires_grad} == frozen
    cells = {name: cell for name, cell in network.cells_and_names() if isinstance(cell, nn.BatchNorm2d)}
    assert [name for name, cell in cells.items() if cell.use_batch_statistics is False] == norms
    said = f"freeze: {len(frozen)} of {len(NAMES)} parameters"
    assert said in caplog.text
    assert f"{len(norms)} BatchNorm cells keep their statistics" in caplog.text


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (
            "conv1,layr1*",
            r"'layr1\*' matches no parameter that is trained; did you mean 'layer1'\? The network has conv1",
        ),
        ("*.moving_mean", r"'\*\.moving_mean' matches no parameter"),
        ("*", r"'\*' matches all 11 parameters, so nothing is left to train"),
        (" , ", "names nothing"),
    ],
)
def test_what_is_refused(patterns, message):
    network = Net()
    with pytest.raises(ValueError, match=message):
        freeze(network, patterns)
    assert len(network.trainable_params()) == len(NAMES)


def step_of(amp_level):
    ms.set_seed(1)
    network = Net()
    freeze(network, "conv1,bn1,layer1")
    optimizer = create_optimizer(network, "adamw", 0.05, weight_decay=0.1)
    network = auto_mixed_precision(network, amp_level)
    loss = LossWithNetwork(network, nn.CrossEntropyLoss())
    return TrainStep(loss, optimizer, LossScale(8.0, dynamic=True), ema=True, ema_decay=0.5).set_train(True)


@pytest.mark.parametrize(
    ("mode", "amp_level"), [(ms.GRAPH_MODE, "O2"), (ms.PYNATIVE_MODE, "O0"), (ms.PYNATIVE_MODE, "O1")]
)
def test_an_update_moves_what_is_not_frozen_and_nothing_else(mode, amp_level):
    """Weights, average and running statistics; with a resume in between."""
    ms.set_context(mode=mode)
    random = np.random.RandomState(0)
    batches = [
        (ms.Tensor(random.standard_normal((4, 3, 8, 8)), ms.float32), ms.Tensor([0, 1, 2, 0], ms.int32))
        for _ in range(2)
    ]
    step = step_of(amp_level)
    before = {name: array.copy() for name, array in cell_arrays(step).items()}
    first = float(step(*batches[0]).asnumpy())
    assert np.isfinite(first)
    middle = {name: array.copy() for name, array in cell_arrays(step).items()}
    resumed = step_of(amp_level)
    load_state(resumed, middle, "x")
    losses = [float(each(*batches[1]).asnumpy()) for each in (step, resumed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    after = cell_arrays(step)
    names = list(Net().parameters_dict())
    still = [name for name in names if np.array_equal(before[name], after[name])]
    assert still == [name for name in names if name.startswith(("conv1", "bn1", "layer1"))]
    for name in still:
        np.testing.assert_allclose(after[f"ema.{name}"], before[name], rtol=1e-6, atol=1e-7)
    assert not any("conv1" in name and name.startswith("moments") for name in after)
