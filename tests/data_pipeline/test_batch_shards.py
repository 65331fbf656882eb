"""Ranks that evaluate take turns with the batches of one process."""

import numpy as np
import pytest

from mindcv.data import create_dataset
from mindcv.data.distributed_sampler import ShardSampler

SIZE = 360  # of the digits' validation split


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("size", "batch"), [(10, 3), (12, 3), (13, 1), (9, 4)])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_ranks_batches_are_those_of_one_process(size, batch, world, shuffle):
    order = list(ShardSampler(size, shuffle=shuffle, pad=False, seed=3))
    expected = [order[start : start + batch] for start in range(0, size, batch)]
    shards = [
        list(ShardSampler(size, world, rank, shuffle=shuffle, pad=False, run=batch, seed=3)) for rank in range(world)
    ]
    got = [[own[start : start + batch] for start in range(0, len(own), batch)] for own in shards]
    assert [got[index % world][index // world] for index in range(len(expected))] == expected
    assert sum(map(len, shards)) == size


@pytest.mark.parametrize(("batch", "world", "shards"), [(64, 3, 3), (100, 4, 4), (120, 4, 1), (500, 2, 1), (64, 1, 1)])
def test_where_there_are_fewer_batches_than_ranks_each_reads_all(batch, world, shards):
    expected = None
    counts = []
    for rank in range(world):
        dataset = create_dataset(
            "digits", split="val", shuffle=False, num_shards=world, shard_id=rank, shard_batch=batch
        )
        assert dataset.num_shards == shards
        rows = np.stack([row["label"] for row in dataset.create_dict_iterator(num_epochs=1, output_numpy=True)])
        counts.append(len(rows))
        expected = rows if expected is None else expected
        assert shards > 1 or np.array_equal(rows, expected)
    assert counts == [SIZE] * world if shards == 1 else sum(counts) == SIZE


def test_runs_do_not_go_with_padding():
    with pytest.raises(ValueError, match=r"run must be at least 1, and 1 with pad, got run=2 with pad=True"):
        ShardSampler(10, 2, 0, run=2)
