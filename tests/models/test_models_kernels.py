"""Each family's network gives the same by the CPU kernels: outputs of training and evaluation, and statistics."""

import mindspore as ms
import numpy as np
import pytest
from families import FAMILIES
from mindspore import Tensor, ops

from mindcv.kernels import cells, onednn
from mindcv.kernels.cells import KernelCells
from mindcv.models import create_model

pytestmark = [
    pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text),
    pytest.mark.zoo,
]


def outputs(network, x, start, is_training):
    """Logits, all of them, and the parameters after the forward pass."""
    for parameter in network.get_parameters():
        ops.assign(parameter, Tensor(start[parameter.name]))
    ms.set_seed(1)
    network.set_train(is_training)
    found = network(x)
    found = found if isinstance(found, tuple) else (found,)
    return [tensor.asnumpy() for tensor in found] + [
        parameter.asnumpy().copy() for parameter in network.get_parameters()
    ]


# MAE's pretraining takes a mask beside the images.
KINDS = [(family, name) for family, row in FAMILIES.items() for name in row.kinds if not name.endswith("_pretrain")]


@pytest.mark.parametrize(("family", "name"), KINDS)
def test_a_network_gives_the_same_by_the_kernels(family, name):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    row = FAMILIES[family]
    ms.set_seed(0)
    np.random.seed(0)
    # By default visformer_tiny drops a path now and then, of which the three runs draw different ones.
    still = {"drop_path_rate": 0.0} if family == "visformer" else {}
    network = create_model(name, num_classes=5, **{**row.small, **row.more.get(name, {}), **still})
    random = np.random.RandomState(0)
    start = {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}
    for key, value in start.items():
        if key.endswith(("moving_mean", "beta")):
            start[key] = 0.1 * random.standard_normal(value.shape).astype(value.dtype)
    x = Tensor(random.standard_normal((4, 3, row.side, row.side)).astype(np.float32))
    kernel_cells = KernelCells(network)
    near = Tensor(x.asnumpy() * (1 + 1e-5 * random.standard_normal(x.shape)).astype(np.float32))
    # Statistics of few pixels magnify the last digits, and paths are dropped at random: `near` says how much that is.
    for is_training in (False, True):
        cells.missed.clear()
        wanted = outputs(network, x, start, is_training)
        shifted = outputs(network, near, start, is_training)
        with kernel_cells:
            got = outputs(network, x, start, is_training)
        assert not cells.missed
        assert len(got) == len(wanted)
        for a, b, c in zip(got, wanted, shifted, strict=True):
            assert a.shape == b.shape
            tolerance = 1e-4 * max(np.abs(b).max(), 1.0) + 5 * np.abs(b - c).max()
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
