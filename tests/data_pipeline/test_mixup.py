import numpy as np
import pytest

from mindcv.data.mixup import Mixup, one_hot


def batch(size=6, classes=5, side=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, 3, side, side)).astype(np.float32), rng.integers(0, classes, size).astype(np.int32)


def share_of(labels, targets, classes=5):
    """Solves labels = s * onehot + (1 - s) * mirrored onehot for s, sample by sample; nan where both classes agree."""
    own, other = np.eye(classes)[targets], np.eye(classes)[targets[::-1]]
    rows = np.arange(len(targets))
    return np.where(targets == targets[::-1], np.nan, labels[rows, targets]), own, other


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize("size", [2, 5, 6])
def test_mixup_is_the_weighted_sum(mode, size):
    x, y = batch(size)
    y = np.arange(size, dtype=np.int32) % 5
    mixed, labels = Mixup(0.8, 0.0, mode=mode, label_smoothing=0.0, num_classes=5, seed=1)(x, y)
    shares, own, other = share_of(labels, y)
    for i in range(size):
        if np.isnan(shares[i]):
            continue
        expected = shares[i] * x[i] + (1 - shares[i]) * x[size - 1 - i]
        np.testing.assert_allclose(mixed[i], expected, atol=1e-5)
        np.testing.assert_allclose(labels[i], shares[i] * own[i] + (1 - shares[i]) * other[i], atol=1e-6)
    known = shares[~np.isnan(shares)]
    assert (len(np.unique(known.round(5))) == 1) == (
        mode == "batch" or (size == 2 and mode == "pair") or len(known) < 2
    )
    if mode == "pair":
        np.testing.assert_allclose(known, known[::-1], atol=1e-6)
    assert mixed.dtype == labels.dtype == np.float32


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_cutmix_takes_a_rectangle_and_labels_follow_its_area(mode):
    y = np.array([0, 1, 2, 3, 4, 0], np.int32)
    x = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None, None], (6, 3, 16, 16))
    mix = Mixup(0.0, 1.0, mode=mode, label_smoothing=0.0, num_classes=5, seed=2)
    mixed, labels = mix(x, y)
    for i in range(1, 5):
        from_other = mixed[i, 0] == 5 - i
        assert ((mixed[i, 0] == i) | from_other).all()
        rows, columns = from_other.any(1), from_other.any(0)
        assert from_other.sum() == rows.sum() * columns.sum()
        assert labels[i, y[i]] == pytest.approx(1 - from_other.mean(), abs=1e-6)


def test_cutmix_minmax_bounds_the_rectangle():
    y = np.arange(4, dtype=np.int32)
    mix = Mixup(0.0, 0.0, cutmix_minmax=(0.25, 0.5), mode="elem", label_smoothing=0.0, num_classes=5, seed=0)
    for seed in range(20):
        x = np.broadcast_to(np.arange(4, dtype=np.float32)[:, None, None, None], (4, 3, 16, 16)) + seed
        changed = (mix(x, y)[0] != x)[:, 0]
        assert all(4 <= c.any(1).sum() <= 8 and 4 <= c.any(0).sum() <= 8 for c in changed)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_rows_sum_to_one(smoothing):
    for seed in range(10):
        x, y = batch(seed=seed)
        _, labels = Mixup(0.4, 1.0, label_smoothing=smoothing, num_classes=5, mode="elem", seed=seed)(x, y)
        np.testing.assert_allclose(labels.sum(1), 1.0, atol=1e-6)
        assert labels.min() >= smoothing / 5 - 1e-6


def test_one_hot_smoothing_by_hand():
    np.testing.assert_allclose(one_hot(np.array([1]), 4, 0.2), [[0.05, 0.85, 0.05, 0.05]])
    with pytest.raises(ValueError, match="num_classes is 3, but the labels of this batch go from 0 to 3"):
        one_hot(np.array([0, 3]), 3)


def test_input_is_not_changed_and_the_seed_decides():
    x, y = batch()
    before = x.copy()
    results = [Mixup(0.8, 1.0, num_classes=5, seed=seed)(x, y)[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()


def test_shares_have_the_right_distribution():
    mix = Mixup(0.2, 1.0, prob=0.8, switch_prob=0.5, label_smoothing=0.0, num_classes=2, seed=0)
    kinds = {"none": 0, "cutmix": 0, "mixup": 0}
    y = np.array([0, 1], np.int32)
    shares = []
    for index in range(1000):
        x = np.stack([np.full((1, 32, 32), index), np.full((1, 32, 32), -1.0 - index)]).astype(np.float32)
        mixed, labels = mix(x, y)
        values = np.unique(mixed[0])
        if len(values) == 1 and labels[0, 0] == 1:
            kinds["none"] += 1
        elif set(values) <= {index, -1.0 - index}:
            kinds["cutmix"] += 1
        else:
            kinds["mixup"] += 1
            shares.append(labels[0, 0])
    # 200, 400, 400 expected; shares that round to no change at all move some tens to "none" and "cutmix".
    assert abs(kinds["none"] - 200) < 80
    assert abs(kinds["cutmix"] - 400) < 80
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("kwargs", "part"),
    [
        ({"mixup_alpha": 0.0}, "must be set"),
        ({"mixup_alpha": -1.0}, "negative"),
        ({"mode": "row"}, "mode"),
        ({"prob": 1.5}, "prob"),
        ({"cutmix_minmax": (0.5, 0.2)}, "cutmix_minmax"),
    ],
)
def test_wrong_values(kwargs, part):
    with pytest.raises(ValueError, match=part):
        Mixup(**kwargs)


def test_share_of_cutmix_and_the_end_of_mixing():
    x, y = batch(4)
    for switch_prob in (0.0, 0.25, 1.0):
        kinds = []
        for seed in range(200):
            mix = Mixup(0.5, 0.5, switch_prob=switch_prob, label_smoothing=0.0, num_classes=5, seed=seed)
            drawn = mix.draw(np.zeros((4, 16, 16, 3), np.uint8), y)[2]
            kinds.append(drawn[0] == 1.0)  # cutmix leaves the pixels that it does not replace
        assert np.mean(kinds) == pytest.approx(switch_prob, abs=0.08)
    mix = Mixup(0.5, 0.5, label_smoothing=0.0, num_classes=5, seed=0, off_epoch=2)
    mixed = mix(x, y)[0]
    assert not np.array_equal(mixed, x)
    mix.epoch = 1
    np.testing.assert_array_equal(mix(x, y)[0], mixed)
    for mix.epoch in (2, 5):
        images, labels = mix(x, y)
        np.testing.assert_array_equal(images, x)
        np.testing.assert_array_equal(labels, np.eye(5, dtype=np.float32)[y])
        assert mix.draw(x.transpose(0, 2, 3, 1), y)[2].tolist() == [1, 1, 0, 0, 0, 0]
