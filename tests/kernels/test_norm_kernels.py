"""BatchNorm by the kernels, with activation and shortcut: gradients and statistics are MindSpore's."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.engine import keep_variance_of_one_value
from mindcv.kernels import cells, convolution, convolution_norm, onednn
from mindcv.kernels.cells import KernelCells
from mindcv.kernels.convolution import takes_convolution
from mindcv.models.layers.conv_norm_act import Conv2dNormActivation
from mindcv.models.resnet import BasicBlock, Bottleneck

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)

NETWORKS = {
    # Numbers of channels and pixels that fill vectors of 16 and that do not; with and without a 3x3 convolution
    "rows": lambda: nn.SequentialCell(
        Conv2dNormActivation(3, 24, 3, activation=nn.HSwish),
        Conv2dNormActivation(24, 40, 1, activation=nn.ReLU6),
        Conv2dNormActivation(40, 72, 3, stride=2, groups=8),
        Conv2dNormActivation(72, 16, 1, activation=None),
        Conv2dNormActivation(16, 16, 5, groups=16, activation=nn.Sigmoid),
        nn.BatchNorm2d(16),
    ),
    "blocks": lambda: nn.SequentialCell(
        BasicBlock(3, 16), Bottleneck(16, 16, stride=2, groups=4), Bottleneck(64, 16), BasicBlock(64, 64)
    ),
}


class Loss(nn.Cell):
    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x):
        y = self.network(x)
        return (y * y * (y + 1.0)).mean()


class Gradients(nn.Cell):
    """Value and gradients, by the kernels where they are given."""

    def __init__(self, network, kernel_cells=None):
        super().__init__(auto_prefix=False)
        self.network = network
        self.gradients = ops.value_and_grad(Loss(network), 0, list(network.trainable_params()))
        self.kernel_cells = kernel_cells

    def construct(self, x):
        return self.gradients(x)

    def __call__(self, x):
        if self.kernel_cells is None:
            return super().__call__(x)
        with self.kernel_cells:
            self.kernel_cells.compile(self, (x,))
            return super().__call__(x)


def randomize(network, rng):
    for parameter in network.get_parameters():
        value = 0.3 * rng.standard_normal(parameter.shape)
        if parameter.name.endswith(("gamma", "variance")):
            value = 1.0 + abs(value)
        parameter.set_data(Tensor(value.astype(np.float32)))


def state(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def restore(network, values):
    for parameter in network.get_parameters():
        ops.assign(parameter, Tensor(values[parameter.name]))


def assert_near(got, wanted, name):
    np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-5 * max(np.abs(wanted).max(), 1e-3), err_msg=name)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_and_statistics_are_mindspores(name, mode):
    ms.set_context(mode=mode)
    rng = np.random.RandomState(1)
    network = NETWORKS[name]()
    randomize(network, rng)
    start = state(network)
    x = rng.standard_normal((3, 3, 18, 14)).astype(np.float32)
    cells.missed.clear()
    found = []
    for kernel_cells in (None, KernelCells(network)):
        restore(network, start)
        network.set_train(True)
        value, (of_x, of_weights) = Gradients(network, kernel_cells)(Tensor(x))
        moved = state(network)
        network.set_train(False)
        with kernel_cells or KernelCells(nn.Cell()):
            out = network(Tensor(x) if kernel_cells is None else Tensor(x.copy())).asnumpy()
        named = zip(network.trainable_params(), of_weights, strict=True)
        found.append(
            {"loss": value.asnumpy(), "x": of_x.asnumpy(), "evaluated": out}
            | {parameter.name: gradient.asnumpy() for parameter, gradient in named}
            | {f"moved {key}": moved[key] for key in moved if key.endswith(("mean", "variance"))}
        )
    assert not cells.missed
    wanted, got = found
    assert wanted.keys() == got.keys()
    assert any(np.abs(wanted[f"moved {key}"] - start[key]).max() > 0.01 for key in start if key.endswith("mean"))
    for key, value in wanted.items():
        assert_near(got[key], value, key)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda network: None, (5, 0)),
        (lambda network: setattr(network[1].features[0].weight, "requires_grad", False), (4, 1)),
        (lambda network: network[2].recompute(), (4, 1)),
        (lambda network: network[0].features[1].set_train(False), (4, 1)),
    ],
    ids=["plain", "frozen", "recomputed", "fixed"],
)
def test_a_trained_pair_is_one_operator_in_a_graph_and_gives_what_two_do_to_the_bit(change, wanted, monkeypatch):
    counts = {}
    for module in (convolution_norm, convolution):

        def takes(*arguments, module=module):
            counts.setdefault(module, set()).add(arguments)
            return takes_convolution(*arguments)

        monkeypatch.setattr(module, "takes_convolution", takes)
    x = np.random.RandomState(3).standard_normal((2, 3, 18, 14)).astype(np.float32)
    found = []
    ms.set_context(mode=ms.GRAPH_MODE)
    for counted in (wanted, (0, 5)):
        counts.clear()
        convolution_norm.convolution_norm.cache_clear()
        convolution.convolution.cache_clear()
        network = NETWORKS["rows"]()
        network.set_train(True)
        change(network)
        randomize(network, np.random.RandomState(1))
        value, (of_x, of_weights) = Gradients(network, KernelCells(network))(Tensor(x))
        found.append({"value": value.asnumpy(), "x": of_x.asnumpy()} | state(network))
        named = zip(network.trainable_params(), of_weights, strict=True)
        found[-1] |= {f"gradient of {parameter.name}": gradient.asnumpy() for parameter, gradient in named}
        assert tuple(len(counts.get(module, ())) for module in (convolution_norm, convolution)) == counted
        monkeypatch.setattr(cells, "prepare_pair", lambda *_: None)  # the second time each is an operator of its own
    together, apart = found
    assert together.keys() == apart.keys()
    for name, value in together.items():
        assert np.array_equal(value, apart[name]), name


def test_what_stands_behind_is_done_in_the_same_pass():
    network = NETWORKS["rows"]()
    with KernelCells(network):
        kinds = [type(cell).__name__ for cell in network[0].features]
        assert kinds == ["_Conv2d", "_BatchNorm2d", "Passed"]
        assert [type(cell).__name__ for cell in network[4].features] == ["_Conv2d", "_BatchNorm2d", "Sigmoid"]
    assert [type(cell) for cell in network[0].features] == [nn.Conv2d, nn.BatchNorm2d, nn.HSwish]


def test_a_users_row_keeps_each_output():
    class Own(nn.Cell):
        def __init__(self):
            super().__init__()
            self.row = nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

        def construct(self, x):
            y = self.row[0](x)
            return y, self.row[1](y)

    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = Own()
    x = Tensor(np.random.RandomState(0).standard_normal((2, 3, 6, 5)).astype(np.float32))
    wanted = [y.asnumpy() for y in network(x)]
    with KernelCells(network):
        got = [y.asnumpy() for y in network(x)]
    for a, b in zip(got, wanted, strict=True):
        assert_near(a, b, "")


def test_a_block_with_stochastic_depth_keeps_its_own_end():
    network = nn.SequentialCell(BasicBlock(4, 4), BasicBlock(4, 4, drop_path_rate=0.5))
    with KernelCells(network):
        changed = [type(block) is not BasicBlock for block in network]
        assert type(network[1].bn2).__name__ == "_BatchNorm2d"
    assert changed == [True, False]


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_batch_of_one_value_a_channel(is_kept):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = nn.SequentialCell(nn.BatchNorm2d(4))
    if is_kept:
        keep_variance_of_one_value(network)
    network.set_train(True)
    with KernelCells(network):
        network(Tensor(np.ones((1, 4, 1, 1), np.float32)))
    variance = network[0].moving_variance.asnumpy()
    assert np.array_equal(variance, np.ones(4)) if is_kept else np.isnan(variance).all()
