"""Tables of one image size fitted to another: equal to timm's functions for position embeddings and biases."""

import numpy as np
import pytest
from resize_cases import resize_cases

from mindcv.weights.resize import Distances, Planes, Tokens

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
    last = np.moveaxis(planes(case.entry, case.old), 1, 3)
    resized_last = Planes(is_channels_last=True)(last, np.moveaxis(expected, 1, 3).shape, None)
    np.testing.assert_array_equal(resized_last, np.moveaxis(resized, 1, 3))


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


# timm 1.0.31: biases of the first head, of a window of 4x4 (49 distances).
BIASES = {
    (2, 2): [-0.88779, -0.34791, 1.23029, -1.2528, -1.6139, -0.89547, -0.67246, -0.81315, 0.17743],
    (3, 6): [
        *(0.45465, 0.7967, 1.25278, 1.08761, 0.30118, -2.53116, 0.86806, 1.78498, 1.75266, 0.77109, 0.03492),
        *(1.53278, 1.0735, 0.46113, -0.19263, -0.88779, -0.34791, 1.23029, 0.15188, -0.53427, -0.82815, -1.04855),
        *(-1.70627, -1.3074, -0.77557, -0.75737, -1.2528, -1.6139, -0.89547, -0.63903, -0.40356, -0.18906, -0.02818),
        *(0.06652, -0.1671, -0.47858, -0.64703, -0.67246, -0.81315, 0.17743, -1.02766, -1.46955, -1.14826, -0.9073),
        *(0.72253, 0.85563, 1.0331, 0.87846, 0.3917, -0.87023, -0.30671, -0.88207, -0.80935, -0.08854, 0.45207),
    ],
}


@pytest.mark.parametrize("window", BIASES)
def test_distances_equal_timms(window):
    """Growing and shrinking, square and oblong."""
    grid = (2 * window[0] - 1, 2 * window[1] - 1)
    entry = np.random.RandomState(0).standard_normal((49, 2)).astype(np.float32)
    resized = Distances()(entry, (grid[0] * grid[1], 2), grid)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized[:, 0], BIASES[window], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "grid", "message"),
    [
        ((25, 3), (5, 5), "not biases of distances of one number of heads"),
        ((15, 2), None, "15 positions are no square grid"),
        ((15, 2), (5, 5), "15 distances are not those of a grid of 5x5"),
    ],
)
def test_distances_that_cannot_be(shape, grid, message):
    with pytest.raises(ValueError, match=message):
        Distances()(np.zeros((49, 2), np.float32), shape, grid)
