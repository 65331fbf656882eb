from collections import Counter

import numpy as np
import pytest

from mindcv.data.distributed_sampler import RepeatAugSampler, ShardSampler


@pytest.mark.parametrize("size", [1, 7, 10, 12])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_padded_shards(size, world):
    shards = [list(ShardSampler(size, world, rank, seed=5)) for rank in range(world)]
    steps = -(-size // world)
    assert [len(shard) for shard in shards] == [steps] * world
    seen = Counter(index for shard in shards for index in shard)
    assert set(seen) == set(range(size))
    assert sum(seen.values()) == steps * world


@pytest.mark.parametrize("size", [3, 7, 10, 12])
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_exact_shards(size, world, shuffle):
    shards = [list(ShardSampler(size, world, rank, shuffle=shuffle, pad=False)) for rank in range(world)]
    assert sorted(index for shard in shards for index in shard) == list(range(size))
    if not shuffle:
        assert shards == [list(range(rank, size, world)) for rank in range(world)]


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (ShardSampler, {}),
        (ShardSampler, {"shuffle": False}),
        (ShardSampler, {"balance": np.arange(48) % 5}),
        (RepeatAugSampler, {"num_repeats": 3, "selected_round": 0}),
    ],
)
def test_step_k_has_the_same_samples_on_any_number_of_ranks(sampler, options, world):
    """So a run can be resumed on another number of workers, with the same global batch."""
    whole = list(sampler(48, 1, 0, seed=4, **options))
    shards = [list(sampler(48, world, rank, seed=4, **options)) for rank in range(world)]
    batch = 4
    for step in range(48 // (batch * world)):
        parts = [shard[step * batch : (step + 1) * batch] for shard in shards]
        expected = whole[step * batch * world : (step + 1) * batch * world]
        assert sorted(np.concatenate(parts)) == sorted(expected)


def test_sampler_advances_and_can_be_set():
    sampler = ShardSampler(50, seed=9)
    epochs = [list(sampler) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    sampler.set_epoch(1)
    assert list(sampler) == epochs[1]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_repeat_aug_counts(world, repeats):
    size = 60
    shards = [
        list(RepeatAugSampler(size, world, rank, num_repeats=repeats, selected_round=0, seed=1))
        for rank in range(world)
    ]
    assert all(len(shard) == -(-size // world) for shard in shards)
    seen = Counter(index for shard in shards for index in shard)
    # 60 is divided evenly here, so an epoch is 60 / repeats samples, each as often as it is repeated.
    assert set(seen.values()) == {repeats}
    assert len(seen) == size // repeats
    if world == repeats:
        assert shards.count(shards[0]) == world


@pytest.mark.parametrize(("selected_round", "expected"), [(256, 512 // 2), (0, 300), (100, 300)])
def test_repeat_aug_rounds_down(selected_round, expected):
    sampler = RepeatAugSampler(600, 2, 1, selected_round=selected_round)
    assert len(sampler) == len(list(sampler)) == expected


def test_repeat_aug_in_order():
    sampler = RepeatAugSampler(4, 2, 1, shuffle=False, num_repeats=3, selected_round=0)
    # All repeats: 0 0 0 1 1 1 2 2 2 3 3 3; rank 1 of 2 takes places 1, 3, 5 ... and stops after 4 / 2.
    assert list(sampler) == [0, 1]


@pytest.mark.parametrize(
    ("kwargs", "part"),
    [
        ({"num_repeats": 0}, "num_repeats"),
        ({"num_shards": 2, "rank_id": 2}, "shard_id"),
        ({"selected_round": 256}, "no sample"),
    ],
)
def test_repeat_aug_errors(kwargs, part):
    with pytest.raises(ValueError, match=part):
        RepeatAugSampler(100, **{"selected_round": 0, **kwargs})


def test_shuffle_is_uniform():
    counts = np.zeros((5, 5))
    sampler = ShardSampler(5, seed=0)
    for _ in range(2000):
        counts[np.arange(5), list(sampler)] += 1
    # 400 expected in each cell, standard deviation 18.
    assert np.abs(counts - 400).max() < 90
