"""RepMLP's reparameterisation: convolutions as dense layers over the pixels."""

import numpy as np
import pytest
from mindspore import Tensor

from mindcv.models import create_model
from mindcv.models.layers import conv2d
from mindcv.models.repmlp import RepMLPBlock, _as_matrices

GENERATOR = np.random.default_rng(0)


def _draw(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("side", "size"), [(1, (3, 4)), (3, (4, 3)), (5, (2, 6))])
def test_a_convolution_as_a_matrix(side, size):
    conv = conv2d(2, 2, side, 1, side // 2, 2)
    conv.weight.set_data(Tensor(_draw(2, 1, side, side)))
    x = _draw(3, 2, *size)
    matrices = _as_matrices(conv.weight.asnumpy()[:, 0], size)
    expected = np.einsum("sij,nsj->nsi", matrices, x.reshape((3, 2, -1)))
    np.testing.assert_allclose(conv(Tensor(x)).asnumpy().reshape((3, 2, -1)), expected, atol=1e-5)


@pytest.mark.parametrize("kernel_sizes", [(), (3,), (1, 3)])
def test_a_fused_block_computes_the_same(kernel_sizes):
    block = RepMLPBlock(6, (4, 5), 2, kernel_sizes).set_train(False)
    for parameter in block.get_parameters():
        array = _draw(*parameter.shape)
        parameter.set_data(Tensor(np.abs(array) + 0.5 if "variance" in parameter.name else array))
    x = Tensor(_draw(2, 6, 4, 5))
    expected = block(x).asnumpy()
    fused = block.fused().set_train(False)
    np.testing.assert_allclose(fused(x).asnumpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert not [p.name for p in fused.get_parameters() if "repconv" in p.name or p.name.endswith("gamma")]


def test_mindcvs_idle_convolution_is_there_and_not_trained():
    network = create_model("repmlp_t224", image_size=32, channels=(8, 16, 24, 32), sharesets_nums=(1, 2, 4, 8))
    assert "conv2d.weight" in {parameter.name for parameter in network.get_parameters()}
    assert "conv2d.weight" not in {parameter.name for parameter in network.trainable_params()}


def test_images_of_another_size_are_refused():
    network = create_model("repmlp_t224", image_size=32, channels=(8, 16, 24, 32), sharesets_nums=(1, 2, 4, 8))
    with pytest.raises(ValueError, match="images of 64x64 for a network of 32x32"):
        network(Tensor(_draw(1, 3, 64, 64)))
    with pytest.raises(ValueError, match="image_size is 40x40; give multiples of 32"):
        create_model("repmlp_t224", image_size=40)
