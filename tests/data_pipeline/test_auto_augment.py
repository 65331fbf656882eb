import math
import random
from collections import Counter

import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore.dataset.vision import Inter
from PIL import Image

from mindcv.data import (
    aug_mix_transform,
    auto_augment_transform,
    rand_augment_transform,
    trivial_augment_wide_transform,
)
from mindcv.data.auto_augment import _OPERATIONS, _WIDE_OPERATIONS, _Context, augmentation_transform
from mindcv.data.images import operations

POLICIES = [
    "randaug-m9-mstd0.5-inc1",
    "randaug-n3-w0",
    "autoaug",
    "autoaugr-mstd0.5",
    "3a",
    "trivialaugwide",
    "augmix-m5-w4-d2",
]


def picture(seed=0, size=(24, 20)):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC))


def context(seed=0):
    return _Context(ROW.shape[:2], random.Random(seed), [Image.Resampling.NEAREST], (1, 2, 3))


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_keep_shape_and_follow_the_seed(policy):
    ds.config.set_seed(4)
    transform = augmentation_transform(policy, (128, 128, 128), "bilinear")
    images = [picture(seed) for seed in range(30)]
    results = [transform(image) for image in images]
    assert all(result.shape == (20, 24, 3) and result.dtype == np.uint8 for result in results)
    assert sum((result != image).any() for result, image in zip(results, images, strict=True)) > 5
    # Another order, as threads would have it, changes nothing.
    again = [augmentation_transform(policy, (128, 128, 128), "bilinear")(image) for image in images[::-1]][::-1]
    assert all((a == b).all() for a, b in zip(results, again, strict=True))
    ds.config.set_seed(5)
    other = augmentation_transform(policy, (128, 128, 128), "bilinear")
    assert any((other(image) != result).any() for image, result in zip(images, results, strict=True))


def test_rand_augment_sections():
    transform = rand_augment_transform("randaug-m9-n3-mstd0.25-mmax8-inc1", {})
    assert transform.num_layers == 3
    assert transform.choice_weights is None
    assert {(op.magnitude, op.prob) for op in transform.ops} == {(9.0, 0.5)}
    assert transform.ops[0].settings[:2] == (0.25, 8.0)
    names = {name for name, op in _OPERATIONS.items() if any(op is each.operation for each in transform.ops)}
    assert "SolarizeIncreasing" in names
    assert "Solarize" not in names
    assert len(names) == len(transform.ops) == 14


def test_rand_augment_defaults_and_hparams():
    transform = rand_augment_transform("randaug", {"img_mean": (1, 2, 3), "interpolation": Inter.BICUBIC})
    assert transform.num_layers == 2
    settings = transform.ops[0].settings
    assert settings == (0.5, 10.0, (Image.Resampling.BICUBIC,), (1, 2, 3))
    assert math.isinf(rand_augment_transform("randaug-mstd101", {}).ops[0].settings.magnitude_std)
    weights = rand_augment_transform("randaug-w0", {}).choice_weights
    assert sum(weights) == pytest.approx(1.0)
    assert weights[3] == 0.3


def test_other_sections():
    assert trivial_augment_wide_transform("trivialaugwide-m20", {}).max_level == 20
    assert trivial_augment_wide_transform("trivialaugwide", None).max_level == 30
    mix = aug_mix_transform("augmix-m5-w4-d2-a0.5", {})
    assert (mix.width, mix.depth, mix.alpha, mix.ops[0].magnitude) == (4, 2, 0.5, 5.0)
    assert math.isinf(mix.ops[0].settings.magnitude_std)
    assert aug_mix_transform("augmix-d-1", {}).depth == -1
    assert len(auto_augment_transform("autoaug", {}).policy) == 25
    assert len(auto_augment_transform("3a", {}).policy) == 3
    assert auto_augment_transform("autoaug-mstd1.5", {"magnitude_std": 3}).policy[0][0].settings.magnitude_std == 1.5


@pytest.mark.parametrize(
    ("policy", "part"),
    [
        ("randaugment", "did you mean 'randaug'?"),
        ("autoaugx", "did you mean 'autoaug"),
        ("randaug-mst0.5", "did you mean 'mstd'?"),
        ("randaug-m", "unknown section"),
        ("randaug-n1.5", "whole number"),
        ("randaug-n0", "n must be at least 1"),
        ("randaug-w3", "w3. Allowed: w0"),
        ("randaug-w0-n14", "n must be at most 13"),
        ("augmix-w0", "w must be at least 1"),
        ("3a-m9", "unknown section 'm'"),
        ("trivialaugwide-m-1", "m must be at least 0"),
        ("randaug-n1000000000", "section 'n1000000000' is over 1000"),
        ("augmix-d-1001", "section 'd-1001' is over 1000"),
    ],
)
def test_wrong_policies(policy, part):
    with pytest.raises(ValueError, match=r"augmentation policy") as caught:
        augmentation_transform(policy, (0, 0, 0), "bilinear")
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


# Values by hand on a 1x4 image of one grey level a pixel.
ROW = np.repeat(np.array([[0, 100, 200, 255]], np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("Invert", None, [255, 155, 55, 0]),
        ("Solarize", 128, [0, 100, 55, 0]),
        ("Solarize", 256, [0, 100, 200, 255]),
        ("Posterize", 1, [0, 0, 128, 128]),
        ("Posterize", 0, [0, 0, 128, 128]),
        ("Posterize", 8, [0, 100, 200, 255]),
        ("Brightness", 0.5, [0, 50, 100, 127]),
        ("Color", 1.7, [0, 100, 200, 255]),
        ("TranslateX", 0.25, [100, 200, 255, 1]),
        ("TranslateX", -0.25, [1, 0, 100, 200]),
        ("AutoContrast", None, [0, 100, 200, 255]),
    ],
)
def test_operations(name, argument, expected):
    step = _OPERATIONS[name].step(argument, context())
    result = ROW.copy()
    operations.apply_steps(result, [step] if step else [])
    np.testing.assert_array_equal(result[0, :, 0], expected)


@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [
        ("Rotate", 1.0, {30.0, -30.0}),
        ("ShearX", 0.5, {0.15, -0.15}),
        ("TranslateY", 1.0, {0.45, -0.45}),
        ("Posterize", 0.5, {2}),
        ("PosterizeIncreasing", 1.0, {0}),
        ("PosterizeOriginal", 0.8, {7}),
        ("Solarize", 0.5, {128}),
        ("SolarizeIncreasing", 1.0, {0}),
        ("Color", 0.0, {0.1}),
        ("Sharpness", 1.0, {1.9}),
        ("ContrastIncreasing", 1.0, {1.9, 0.1}),
    ],
)
def test_magnitudes(name, level, expected):
    rng = random.Random(0)
    assert {round(_OPERATIONS[name].argument(level, rng), 6) for _ in range(40)} == expected


@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [
        ("Rotate", 1.0, {135.0, -135.0}),
        ("Color", 1.0, {1.99, 0.01}),
        ("Posterize", 1.0, {2}),
        ("Solarize", 1.0, {0}),
        ("ShearX", 1.0, {0.99, -0.99}),
    ],
)
def test_wide_magnitudes(name, level, expected):
    rng = random.Random(0)
    assert {round(_WIDE_OPERATIONS[name].argument(level, rng), 6) for _ in range(40)} == expected


def test_operations_are_drawn_evenly():
    """14 operations, each for half of its draws: what was applied is counted."""
    transform = rand_augment_transform("randaug-n2-mstd0", {})
    counts = Counter()
    for index, op in enumerate(transform.ops):
        op.operation = op.operation._replace(step=lambda _, __, i=index: counts.update([i]))
    rng = random.Random(0)
    for _ in range(2800):
        assert transform.draw((24, 20), rng) == []
    # 2800 * 2 / 14 * 0.5 = 200 each, standard deviation 14.
    assert len(counts) == 14
    assert all(abs(count - 200) < 60 for count in counts.values())


def test_aug_mix_of_identities_is_the_image():
    transform = aug_mix_transform("augmix", {})
    for op in transform.ops:
        op.operation = op.operation._replace(step=lambda _, __: None)
    image = picture()
    np.testing.assert_array_equal(transform(image), image)


def test_weighted_operations_are_drawn_by_their_shares_and_once():
    transform = rand_augment_transform("randaug-n1-w0-mstd0", {})
    counts, rng = Counter(), random.Random(0)
    for _ in range(4000):
        counts.update(transform.ops.index(op) for op in transform._drawn(rng))
    assert abs(counts[3] / 4000 - 0.3) < 0.03  # Rotate
    assert abs(counts[10] / 4000 - 0.2) < 0.03  # ShearX
    assert counts[2] == 0  # Invert
    all_of_them = rand_augment_transform("randaug-n13-w0", {})
    assert {all_of_them.ops.index(op) for op in all_of_them._drawn(rng)} == set(range(14)) - {2}


@pytest.mark.parametrize("policy", POLICIES)
def test_pillow_gives_the_same_pictures(policy, monkeypatch):
    """Without the extension the same random numbers lead to the same pixels."""
    transform = augmentation_transform(policy, (128, 128, 128), "bilinear")
    images = [picture(seed) for seed in range(40)]
    fast, slow = [image.copy() for image in images], [image.copy() for image in images]
    for seed, image in enumerate(fast):
        transform.apply(image, random.Random(seed))
    monkeypatch.setattr(operations, "_augment", None)
    for seed, image in enumerate(slow):
        transform.apply(image, random.Random(seed))
        assert np.abs(image.astype(int) - fast[seed]).mean() < 0.3
    assert sum((image != before).any() for image, before in zip(fast, images, strict=True)) > 20
