"""Facts of MindCV's tests of optimizers and losses: training steps of MindSpore's own cells around ours."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.loss import create_loss
from mindcv.optim import create_optimizer


class TwoLayers(nn.Cell):
    """Stands for MindCV's small CNN: a convolution and a dense layer, (N, 1, 8, 8) to (N, 10), with auxiliary heads."""

    def __init__(self, aux_heads=0):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, pad_mode="valid")
        self.relu, self.flatten = nn.ReLU(), nn.Flatten()
        self.fc = nn.CellList([nn.Dense(4 * 6 * 6, 10) for _ in range(1 + aux_heads)])

    def construct(self, x):
        x = self.flatten(self.relu(self.conv1(x)))
        logits = ()
        for fc in self.fc:
            logits += (fc(x),)
        return logits[0] if len(logits) == 1 else logits


def train(network, loss, optimizer, images, labels, steps=6):
    step = nn.TrainOneStepCell(nn.WithLossCell(network, loss), optimizer).set_train()
    return [float(step(images, labels).asnumpy()) for _ in range(steps)]


def batch(size=8):
    rng = np.random.default_rng(1)
    return Tensor(rng.standard_normal((size, 1, 8, 8)), ms.float32), Tensor(rng.integers(0, 10, size), ms.int32)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_groups_with_rates_of_their_own(mode):
    ms.set_context(mode=mode)
    network = TwoLayers()
    params = network.trainable_params()
    groups = [
        {"params": params[:1], "weight_decay": 0.01, "grad_centralization": True},
        {"params": params[1:], "lr": 0.1},
        {"order_params": params},
    ]
    optimizer = create_optimizer(groups, "momentum", lr=0.01, weight_decay=1e-5, weight_decay_filter="auto")
    losses = train(network, create_loss(), optimizer, *batch())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "options", [{"opt": "adamW"}, {"opt": "SGD", "nesterov": True}, {"opt": "adamw", "loss_scale": 0.1, "lr": 0.001}]
)
def test_names_in_any_case(options):
    network = TwoLayers()
    losses = train(
        network, create_loss(), create_optimizer(network.trainable_params(), **{"lr": 0.01, **options}), *batch()
    )
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "options",
    [
        *({"momentum": value, "opt": "momentum"} for value in (-0.1, -2)),
        *({"loss_scale": value, "opt": "momentum"} for value in (-0.1, -1.0)),
        *({"weight_decay": value} for value in (-0.1, -1.0)),
        *({"lr": value} for value in (-1.0, -0.1)),
        *({"opt": name} for name in ("test", "bdam", "mindspore")),
    ],
)
def test_wrong_values(options):
    with pytest.raises(ValueError, match=r".") as caught:
        create_optimizer(TwoLayers().trainable_params(), **{"opt": "adamW", "lr": 0.01, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", ["test", 1, None])
@pytest.mark.parametrize("position", ["list", "group", "order"])
def test_what_is_no_parameter(wrong, position):
    params = TwoLayers().trainable_params()
    given = {
        "list": [*params, wrong],
        "group": [{"params": [*params, wrong], "weight_decay": 0.01}, {"order_params": params}],
        "order": [{"params": params}, {"order_params": [*params, wrong]}],
    }[position]
    with pytest.raises(ValueError, match=f"takes parameters of a network, got {wrong!r}"):
        create_optimizer(given, "momentum", lr=0.01, weight_decay_filter="auto")


@pytest.mark.parametrize("name", ["CE", "BCE"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("aux_heads", [0, 1, 2])
def test_losses_fall(name, reduction, aux_heads):
    network = TwoLayers(aux_heads)
    images, labels = batch()
    if name == "BCE":
        labels = Tensor(np.eye(10)[labels.asnumpy()], ms.float32)
    loss = create_loss(name, reduction=reduction, label_smoothing=0.1, aux_factor=0.2 if aux_heads else 0.0)
    optimizer = create_optimizer(network.trainable_params(), "adam", lr=0.001, weight_decay=1e-7)
    losses = train(network, loss, optimizer, images, labels)
    assert losses[-1] < losses[0]


LOGITS = [
    [0.38317937, 0.82873726, 0.8164871, 0.6443424],
    [0.77863216, 0.17288171, 0.69345415, 0.26514006],
    [0.14249292, 0.38524792, 0.97271717, 0.90531427],
]
LABELS = [[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]]


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize(
    ("logits", "labels", "expected"), [(LOGITS, [1, 1, 1], 1.1247127), (np.zeros((3, 5)), [0, 0, 0], 1.1847522)]
)
def test_asymmetric_loss_of_one_label(mode, logits, labels, expected):
    ms.set_context(mode=mode)
    loss = create_loss("asl_single_label", label_smoothing=0.1)
    got = loss(Tensor(logits, ms.float32), Tensor(labels, ms.int32))
    np.testing.assert_allclose(got.asnumpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("logits", "labels", "by_mindcv"), [(LOGITS, LABELS, 1.8657642), (np.zeros((3, 5)), np.zeros((3, 5)), 0.3677258)]
)
def test_asymmetric_loss_of_several_labels(logits, labels, by_mindcv):
    """MindCV's figure is the sum without smoothing, whatever is asked for; here `reduction` and smoothing count."""
    logits, labels = Tensor(logits, ms.float32), Tensor(labels, ms.int32)
    total = create_loss("asl_multi_label", reduction="sum")(logits, labels).asnumpy()
    np.testing.assert_allclose(total, by_mindcv, rtol=1e-5)
    mean = create_loss("asl_multi_label", reduction="mean")(logits, labels).asnumpy()
    np.testing.assert_allclose(mean, by_mindcv / 3, rtol=1e-5)
