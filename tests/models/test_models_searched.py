"""Parts of NASNet's and PNASNet's cells against their definitions."""

import numpy as np
import pytest
from mindspore import Tensor

from mindcv.models import create_model
from mindcv.models._searched import FactorizedReduction, SeparableConv2d
from mindcv.models.layers import conv2d

GENERATOR = np.random.default_rng(0)


def _draw(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("side", [3, 5, 7])
def test_shifted_convolution_is_that_of_a_larger_image_without_its_first_pixels(side):
    """Zeros in front, a convolution with stride 2, and the first row and column of the map cut off."""
    shifted = SeparableConv2d(2, 2, side, 2, is_shifted=True)
    plain = conv2d(2, 2, side, 2, side // 2, 2)
    for conv in (shifted.depthwise_conv2d, plain):
        conv.weight.set_data(Tensor(np.arange(2 * side * side, dtype=np.float32).reshape((2, 1, side, side))))
    x = _draw(1, 2, 8, 6)
    larger = np.pad(x, ((0, 0), (0, 0), (1, 0), (1, 0)))
    expected = plain(Tensor(larger)).asnumpy()[:, :, 1:, 1:]
    np.testing.assert_allclose(shifted.depthwise_conv2d(Tensor(x)).asnumpy(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(6, 8), (7, 5)])
def test_factorized_reduction_sees_even_and_odd_pixels(height, width):
    """Behind an odd side there are zeros."""
    cell = FactorizedReduction(3, 5).set_train(False)
    x = _draw(2, 3, height, width)
    zeros = np.pad(np.maximum(x, 0), ((0, 0), (0, 0), (0, 1), (0, 1)))
    even, odd = np.maximum(x, 0)[:, :, ::2, ::2], zeros[:, :, 1:, 1:][:, :, ::2, ::2]
    weights = (conv.weight.asnumpy()[:, :, 0, 0] for conv in (cell.path_1, cell.path_2))
    halves = [np.einsum("oc,nchw->nohw", w, part) for w, part in zip(weights, (even, odd), strict=True)]
    expected = np.concatenate(halves, axis=1) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), expected, rtol=1e-5, atol=1e-5)
    assert [half.shape[1] for half in halves] == [2, 3]


@pytest.mark.parametrize(
    ("name", "argument", "message"),
    [
        ("nasnet_a_4x1056", {"penultimate_filters": 1000}, "penultimate_filters is 1000; give a multiple of 96"),
        ("nasnet_a_4x1056", {"num_cells": 7}, "num_cells is 7; give 1 to 6"),
        ("pnasnet", {"filters": 3}, "filters 3 and num_cells 3; give at least 4"),
    ],
)
def test_what_cannot_be_is_refused(name, argument, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, **argument)


@pytest.mark.parametrize("name", ["nasnet_a_4x1056", "pnasnet"])
def test_there_are_no_names_of_timms(name):
    small = {"penultimate_filters": 96, "num_cells": 1} if name != "pnasnet" else {"filters": 4, "num_cells": 1}
    with pytest.raises(ValueError, match=r"timm has the large P?NASNet only; convert with --to mindcv"):
        create_model(name, **small).to_torch({})
