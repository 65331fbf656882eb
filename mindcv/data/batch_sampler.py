"""The order in which several ranks evaluate a dataset."""

from collections.abc import Iterator

import mindspore.dataset as ds

from .distributed_sampler import ShardSampler

__all__ = ["BatchSampler"]


class BatchSampler(ds.Sampler):
    """Every `num_shards`-th batch of an order that all ranks share: their batches are those of one process.

    A network's result for a sample depends, in its last digits, on the other samples of the batch and on its place
    among them. So ranks can give exactly what one process gives only by evaluating the same batches.

    Args:
        dataset_size: Number of samples in the dataset.
        batch_size: Samples in a batch; the last one may be smaller.
        num_shards: Number of ranks.
        shard_id: This rank.
        shuffle: Whether the order is random.
        seed: Seed of the order; must be the same on all ranks.

    Raises:
        ValueError: There is no batch for this rank.
    """

    def __init__(
        self, dataset_size: int, batch_size: int, num_shards: int, shard_id: int, *, shuffle: bool, seed: int
    ) -> None:
        batches = range(shard_id * batch_size, dataset_size, num_shards * batch_size)
        if not batches:
            raise ValueError(f"{dataset_size} samples in batches of {batch_size} leave none for rank {shard_id}")
        super().__init__(sum(min(batch_size, dataset_size - start) for start in batches))
        self._order = ShardSampler(dataset_size, shuffle=shuffle, seed=seed)
        self._batches = batches
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[int]:
        order = list(self._order)
        return iter([sample for start in self._batches for sample in order[start : start + self._batch_size]])
