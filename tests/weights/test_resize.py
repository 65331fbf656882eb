"""Position embeddings of one image size fitted to another: equal to timm's `resample_abs_pos_embed`."""

import numpy as np
import pytest
from resize_cases import resize_cases

from mindcv.weights.resize import Planes, Tokens

pytestmark = pytest.mark.no_mindspore


@pytest.mark.parametrize("case", resize_cases(), ids=str)
def test_tokens_equal_timms(case):
    """Growing and shrinking, square and oblong, with and without tokens in front."""
    grid = None if case.new[0] == case.new[1] else case.new
    resized = Tokens(case.prefix)(case.entry, case.expected.shape, grid)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, case.expected, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(resized[:, : case.prefix], case.entry[:, : case.prefix])


@pytest.mark.parametrize("case", [case for case in resize_cases() if not case.prefix], ids=str)
def test_planes_equal_timms(case):
    def planes(tokens, grid):
        return tokens[0].T.reshape(1, -1, *grid)

    expected = planes(case.expected, case.new)
    resized = Planes()(planes(case.entry, case.old), expected.shape, None)
    np.testing.assert_allclose(resized, expected, rtol=0, atol=1e-4)


def test_half_precision_stays():
    entry = resize_cases()[0].entry.astype(np.float16)
    assert Tokens(1)(entry, (1, 26, 8), None).dtype == np.float16


@pytest.mark.parametrize(
    ("prefix", "shape", "grid", "message"),
    [
        (1, (1, 50, 9), None, "not position embeddings of one size of token"),
        (0, (1, 49, 8), None, "50 positions are no square grid"),
        (1, (1, 31, 8), None, "30 positions are no square grid"),
        (1, (1, 31, 8), (4, 7), "31 positions are not 1 and a grid of 4x7"),
    ],
)
def test_what_cannot_be(prefix, shape, grid, message):
    with pytest.raises(ValueError, match=message):
        Tokens(prefix)(np.zeros((1, 50, 8), np.float32), shape, grid)
