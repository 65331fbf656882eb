"""Joined groups of convolutions give the sums of the separate ones."""

import numpy as np
import pytest
from mindspore import Tensor, ops

from mindcv.export._groups import join_groups


@pytest.mark.parametrize(("groups", "channels", "outputs"), [(8, 4, 4), (4, 8, 8), (8, 4, 8), (8, 2, 2)])
def test_joined_groups_compute_the_same(groups, channels, outputs):
    rng = np.random.default_rng(groups)
    kernel = rng.standard_normal((groups * outputs, channels, 3, 3)).astype(np.float32)
    joined = join_groups(kernel, groups, 16)
    assert joined.shape == (groups * outputs, 16, 3, 3)
    images = Tensor(rng.standard_normal((2, groups * channels, 7, 7)).astype(np.float32))
    expected = ops.conv2d(images, Tensor(kernel), groups=groups, pad_mode="valid").asnumpy()
    result = ops.conv2d(images, Tensor(joined), groups=groups * channels // 16, pad_mode="valid").asnumpy()
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("groups", "channels", "outputs"), [(1, 64, 64), (4, 16, 16), (32, 1, 1), (6, 4, 4), (8, 3, 3), (8, 4, 1)]
)
def test_what_cannot_be_joined_or_need_not_be_is_left(groups, channels, outputs):
    assert join_groups(np.ones((groups * outputs, channels, 3, 3), np.float32), groups, 16) is None
