"""Initialisers draw what MindSpore's draw, the same from the same seed with any number of threads."""

import math
import statistics
import threading

import mindspore as ms
import numpy as np
import pytest
from mindspore.common import initializer

from mindcv.models.layers import weight_init

# More than what a thread draws, in pieces that generators of their own draw; and what NumPy's global one does.
LARGE = (2500, 100, 3, 3)
SMALL = (80, 100)
CASES = [
    ("Normal", {"sigma": 0.5, "mean": 2.0}),
    ("TruncatedNormal", {"sigma": 0.5, "mean": 1.0, "a": -2.0, "b": 1.5}),
    ("Uniform", {"scale": 0.3}),
    ("XavierUniform", {"gain": 2.0}),
    *[("HeNormal", {"mode": mode, "nonlinearity": "relu"}) for mode in ("fan_in", "fan_out")],
    ("HeUniform", {"mode": "fan_in", "nonlinearity": "sigmoid"}),
    ("HeUniform", {"negative_slope": 5**0.5, "mode": "fan_out", "nonlinearity": "leaky_relu"}),
    ("HeUniform", {"mode": "fan_in", "nonlinearity": "tanh"}),
]


def draw(initialiser: initializer.Initializer, shape=LARGE, dtype=np.float32, seed=3) -> np.ndarray:
    ms.set_seed(seed)
    array = np.full(shape, np.nan, dtype)
    initialiser(array)
    return array


@pytest.mark.parametrize(("name", "arguments"), CASES)
@pytest.mark.parametrize("shape", [LARGE, (700, 900), SMALL])
def test_the_distribution_is_that_of_mindspore(name: str, arguments: dict, shape: tuple):
    ours = draw(getattr(weight_init, name)(**arguments), shape).ravel()
    theirs = draw(getattr(initializer, name)(**arguments), shape).ravel()
    sigma = theirs.std()
    # Errors of a mean and of a quantile are some sigma / sqrt(n), at the ends of a distribution more.
    assert ours.mean() == pytest.approx(theirs.mean(), abs=6 * sigma / math.sqrt(ours.size))
    assert ours.std() == pytest.approx(sigma, rel=max(0.01, 6 / math.sqrt(2 * ours.size)))
    quantiles = np.linspace(0.02, 0.98, 49)
    error = max(0.03, 12 / math.sqrt(ours.size)) * sigma
    np.testing.assert_allclose(np.quantile(ours, quantiles), np.quantile(theirs, quantiles), atol=error)


def test_normal_values_are_normal_in_their_tails_and_independent():
    """They come in pairs, half a piece apart, of quantiles of 16 bits."""
    piece = 1 << 18
    drawn = draw(weight_init.Normal(1.0), (16, piece))
    count, normal = drawn.size, statistics.NormalDist()
    assert np.mean(drawn**4) == pytest.approx(3, abs=6 * math.sqrt(96 / count))
    for bound in (1.0, 2.0, 3.0, 4.0, 4.5):
        wanted = 2 * count * normal.cdf(-bound)
        assert np.count_nonzero(np.abs(drawn) > bound) == pytest.approx(wanted, abs=6 * math.sqrt(wanted))
    places = np.array([normal.cdf(float(value)) for value in np.sort(drawn[0])])
    assert np.abs(places - np.arange(piece) / piece).max() < 2 / math.sqrt(piece)  # Kolmogorov and Smirnov's
    one, other = drawn.reshape(16, 2, -1).swapaxes(0, 1).reshape(2, -1)
    for power in (1, 2, 3):
        assert abs(np.corrcoef(one**power, other**power)[0, 1]) < 6 / math.sqrt(one.size)
    assert np.unique(drawn).size > 0.8 * count


@pytest.mark.parametrize("shape", [LARGE, SMALL])
def test_uniform_values_are_the_middles_of_equal_shares_and_independent(shape: tuple):
    drawn = draw(weight_init.Uniform(0.5), shape).ravel().astype(np.float64)
    shares = (drawn + 0.5) * (1 << 16) - 0.5
    np.testing.assert_allclose(shares, np.round(shares), atol=0.01)
    assert 0 <= np.round(shares.min()) < 20 * (1 << 16) / drawn.size
    assert 20 * (1 << 16) / drawn.size > (1 << 16) - 1 - np.round(shares.max()) >= 0
    counts = np.bincount(np.round(shares).astype(int) // 4096, minlength=16)
    assert np.abs(counts - drawn.size / 16).max() < 6 * math.sqrt(drawn.size / 16)
    for distance in (1, 2, 3, 4, 8):
        assert abs(np.corrcoef(drawn[:-distance], drawn[distance:])[0, 1]) < 6 / math.sqrt(drawn.size)


def test_a_truncated_normal_ends_at_its_bounds_and_reaches_them():
    drawn = draw(weight_init.TruncatedNormal(sigma=0.02, mean=0.01, a=-0.03, b=0.05))
    assert 0.0499 < drawn.max() <= 0.05
    assert -0.03 <= drawn.min() < -0.0299


def test_bounds_that_leave_little_of_a_normal_distribution_are_kept():
    drawn = draw(weight_init.TruncatedNormal(sigma=1.0, mean=0.0, a=1.5, b=2.0))
    assert 1.5 <= drawn.min() < 1.501
    assert 1.999 < drawn.max() <= 2.0


@pytest.mark.parametrize(("name", "arguments"), CASES)
@pytest.mark.parametrize("shape", [LARGE, SMALL])
def test_numbers_follow_the_seed_and_not_the_threads(
    name: str, arguments: dict, shape: tuple, monkeypatch: pytest.MonkeyPatch
):
    initialiser = getattr(weight_init, name)(**arguments)
    drawn = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(weight_init, "usable_cores", lambda cores=cores: cores)
        drawn.append(draw(initialiser, shape))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])
    again = np.empty(shape, np.float32)
    initialiser(again)
    error = 6 / math.sqrt(again.size)
    assert abs(np.corrcoef(drawn[0].ravel(), again.ravel())[0, 1]) < error
    assert abs(np.corrcoef(drawn[0].ravel(), draw(initialiser, shape, seed=4).ravel())[0, 1]) < error


def test_large_weights_are_drawn_in_threads(monkeypatch: pytest.MonkeyPatch):
    threads = set()
    fill = weight_init._fill_normal
    monkeypatch.setattr(weight_init, "usable_cores", lambda: 2)
    monkeypatch.setattr(
        weight_init, "_fill_normal", lambda *arguments: (threads.add(threading.get_ident()), fill(*arguments))
    )
    draw(weight_init.Normal(1.0), (1 << 20,))
    assert threads == {threading.get_ident()}
    draw(weight_init.Normal(1.0))
    assert threads - {threading.get_ident()}


def test_no_piece_of_a_weight_repeats_another():
    drawn = draw(weight_init.Normal(1.0)).ravel()
    piece = 1 << 18
    assert abs(np.corrcoef(drawn[:piece], drawn[piece : 2 * piece])[0, 1]) < 0.01


def test_float16_and_arrays_with_strides_are_filled_alike():
    initialiser = weight_init.HeNormal(mode="fan_in", nonlinearity="relu")
    whole = draw(initialiser)
    np.testing.assert_array_equal(draw(initialiser, dtype=np.float16), whole.astype(np.float16))
    ms.set_seed(3)
    wide = np.zeros((*LARGE[:-1], 6), np.float32)
    initialiser(wide[..., ::2])
    np.testing.assert_array_equal(wide[..., ::2], whole)
    assert not wide[..., 1::2].any()


def test_what_has_no_fan_or_no_gain_is_refused():
    with pytest.raises(ValueError, match=r"shape \(7,\) has no fan"):
        draw(weight_init.XavierUniform(), (7,))
    with pytest.raises(ValueError, match="mode of an initialiser is 'fan_up'; it must be fan_in or fan_out"):
        draw(weight_init.HeNormal(mode="fan_up"))
    with pytest.raises(ValueError, match="nonlinearity of an initialiser is 'gelu'; it must be one of linear, sigmoid"):
        draw(weight_init.HeUniform(nonlinearity="gelu"))
