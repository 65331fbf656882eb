"""Dropout that follows the step: its randomness, and that a run which goes on drops what it would have dropped."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindcv.engine import LossScale, LossWithNetwork, TrainStep, load_state
from mindcv.engine.checkpoint import cell_arrays
from mindcv.engine.dropout import StepDropout, follow_steps
from mindcv.models.layers import DropPath
from mindcv.optim import create_optimizer


def counter(value=0):
    return ms.Parameter(ms.Tensor(value, ms.int32), name="step", requires_grad=False)


def deviations(mask, rate):
    """How far the share of ones, and the products with the neighbours in each direction, are from random ones."""
    centred = (mask - rate) / np.sqrt(rate * (1 - rate))
    yield "share", centred.mean() * np.sqrt(mask.size)
    for axis in range(mask.ndim):
        for distance in (1, 2, 3):
            size = mask.shape[axis]
            if size > distance:
                product = np.take(centred, range(size - distance), axis) * np.take(centred, range(distance, size), axis)
                yield f"axis {axis} distance {distance}", product.mean() * np.sqrt(product.size)


@pytest.mark.parametrize(("samples", "positions"), [(64, 1), (16, 64)])
def test_what_is_dropped_is_random_over_cells_steps_samples_and_positions(samples, positions):
    """Standard deviations from what coins would give; 4.5 of them are met by chance once in 150 000 times."""
    steps = np.array([*range(60), *range(65530, 65545)], np.int32).reshape(-1, 1, 1)
    cells = [StepDropout(0.1, (7, index), counter(steps)) for index in range(8)]
    numbers = np.stack([cell.random_numbers(samples, positions).asnumpy() for cell in cells]).squeeze()
    assert numbers.min() >= 0
    assert numbers.max() < 1 << 16
    for rate in (0.02, 0.1, 0.5):
        mask = (numbers >= (1 - rate) * (1 << 16)).astype(np.float64)
        for name, deviation in deviations(mask, rate):
            assert abs(deviation) < 4.5, name
        per_step = mask.reshape(8 * len(steps), -1).sum(1).var() / (samples * positions * rate * (1 - rate))
        assert 0.75 < per_step < 1.25


def test_both_modes_drop_the_same_and_keep_the_mean():
    step, x = counter(70000), ms.Tensor(np.ones((32, 8, 4, 4), np.float32))
    results = []
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        results.append(StepDropout(0.25, (1, 0), step).set_train(True)(x).asnumpy())
    np.testing.assert_array_equal(*results)
    assert set(np.unique(results[0])) == {0, np.float32(1 / 0.75)}
    assert abs(results[0].mean() - 1) < 0.03
    assert StepDropout(0.25, (1, 0), step).set_train(False)(x) is not None
    half = StepDropout(0.25, (1, 0), step).set_train(True)(x.astype(ms.float16))
    assert half.dtype == ms.float16


class Net(nn.Cell):
    """Dropout in each place that the networks have it."""

    def __init__(self, rate=0.3):
        super().__init__()
        random = np.random.RandomState(0)
        self.first = nn.Dense(6, 8, weight_init=ms.Tensor(random.standard_normal((8, 6)).astype(np.float32)))
        self.body = nn.SequentialCell(nn.Dropout(p=rate), nn.ReLU())
        self.drop_path = DropPath(rate)
        self.second = nn.Dense(8, 3, weight_init=ms.Tensor(random.standard_normal((3, 8)).astype(np.float32)))

    def construct(self, x):
        x = self.first(x)
        return self.second(x + self.drop_path(self.body(x)))


def test_cells_are_replaced_and_parameters_are_not_touched():
    network, step = Net(), counter()
    names = list(network.parameters_dict())
    assert follow_steps(network, 1, step) == 2
    assert isinstance(network.body[0], StepDropout)
    assert isinstance(network.drop_path.dropout, StepDropout)
    assert network.body[0].factors != network.drop_path.dropout.factors
    assert list(network.parameters_dict()) == names
    assert follow_steps(Net(0.0), 1, step) == 0
    assert "dropout_step" not in step_of(Net(0.0)).parameters_dict()


def step_of(network=None):
    ms.set_seed(3)
    network = network or Net()
    optimizer = create_optimizer(network, "adamw", 0.01)
    loss = LossWithNetwork(network, nn.CrossEntropyLoss())
    scale = LossScale(64.0, dynamic=True, window=3)
    return TrainStep(loss, optimizer, scale, ema=True, gradient_accumulation_steps=2).set_train(True)


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_a_run_that_goes_on_drops_what_it_would_have_dropped(mode):
    ms.set_context(mode=mode)
    random = np.random.RandomState(1)
    batches = [(random.standard_normal((4, 6)).astype(np.float32), random.randint(0, 3, 4)) for _ in range(8)]

    def run(step, part):
        return [float(step(ms.Tensor(x), ms.Tensor(y, ms.int32)).asnumpy()) for x, y in part]

    whole = step_of()
    run(whole, batches[:5])
    middle = {name: array.copy() for name, array in cell_arrays(whole).items()}
    expected = run(whole, batches[5:])
    resumed = step_of()
    ms.set_seed(99)  # what MindSpore draws from then on does not matter
    load_state(resumed, middle, "x")
    assert run(resumed, batches[5:]) == expected
    for a, b in zip(whole.get_parameters(), resumed.get_parameters(), strict=True):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy(), err_msg=a.name)
    assert int(whole.dropout_step.asnumpy()) == 8


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_forward_and_backward_drop_the_same(mode):
    """The gradient of the input of a dropout is what it multiplied by; the step counts on between calls."""
    ms.set_context(mode=mode)

    class Scale(nn.Cell):
        def __init__(self):
            super().__init__()
            self.weight = ms.Parameter(ms.ops.ones((4, 50)), name="weight")
            self.dropout = nn.Dropout(p=0.5)

        def construct(self, x):
            return self.dropout(self.weight * x)

    class Sum(nn.Cell):
        def construct(self, out, label):
            return out.sum()

    ms.set_seed(5)
    network = Scale()
    step = TrainStep(LossWithNetwork(network, Sum()), create_optimizer(network, "sgd", 1.0, momentum=0.0))
    x, masks = ms.Tensor(np.ones((4, 50), np.float32)), []
    step.set_train(True)
    for _ in range(2):
        before = network.weight.asnumpy().copy()
        loss = float(step(x, x).asnumpy())
        mask = before - network.weight.asnumpy()
        np.testing.assert_allclose(loss, (mask * before).sum(), rtol=1e-4)
        masks.append(mask)
    assert 0 < (masks[0] != masks[1]).mean() < 1
