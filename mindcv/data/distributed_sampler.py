"""Samplers: which samples a rank reads in an epoch, and in what order. Order follows from seed and epoch alone."""

import dataclasses
import logging
import math
from collections.abc import Iterator

import mindspore.dataset as ds
import numpy as np

from .randomness import dataset_seed

__all__ = ["RepeatAugSampler", "ShardSampler", "ShuffleWindows"]

_logger = logging.getLogger(__name__)


def _check_shard(num_shards: int | None, shard_id: int | None) -> tuple[int, int]:
    """Returns (number of shards, this shard), (1, 0) when neither is given."""
    if num_shards is None and shard_id is None:
        return 1, 0
    if num_shards is None or shard_id is None:
        raise ValueError(f"num_shards and shard_id belong together, got num_shards={num_shards}, shard_id={shard_id}")
    if num_shards < 1 or not 0 <= shard_id < num_shards:
        raise ValueError(
            f"shard_id must be between 0 and num_shards - 1, got shard_id={shard_id} with num_shards={num_shards}"
        )
    return num_shards, shard_id


@dataclasses.dataclass(frozen=True)
class ShuffleWindows:
    """How to shuffle samples of which few are at hand at a time: shards in random order, samples within a few shards.

    Attributes:
        shards: Index of the shard of each sample, int (N,).
        size: So many shards, one after the other in the random order, are mixed.
    """

    shards: np.ndarray
    size: int


def _order(size: int, shuffle: bool, seed: int, epoch: int, windows: ShuffleWindows | None = None) -> np.ndarray:
    """All sample indices of one epoch, the same on every rank."""
    if not shuffle:
        return np.arange(size)
    rng = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = rng.permutation(size)
    if windows is None:
        return order
    shards, shard = np.unique(windows.shards, return_inverse=True)
    window = (rng.permutation(len(shards)) // windows.size)[shard]
    return order[np.argsort(window[order], kind="stable")]


def _balanced_order(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """As many sample indices as there are samples, of every class equally many to within one, in random order.

    Those of a class are gone through one by one before any is repeated.
    """
    rng = np.random.Generator(np.random.PCG64([seed, epoch]))
    by_class = np.argsort(labels, kind="stable")
    classes = np.split(by_class, np.flatnonzero(np.diff(labels[by_class])) + 1)
    quotas = np.full(len(classes), len(labels) // len(classes))
    quotas[rng.permutation(len(classes))[: len(labels) % len(classes)]] += 1
    chosen = []
    for members, quota in zip(classes, quotas, strict=True):
        rounds = -(-quota // len(members))
        chosen += [rng.permutation(members) for _ in range(rounds - 1)]
        chosen.append(rng.permutation(members)[: quota - (rounds - 1) * len(members)])
    return rng.permutation(np.concatenate(chosen))


class ShardSampler(ds.Sampler):
    """Every `num_shards`-th sample, or run of samples, of an order that all ranks share.

    The order of epoch e follows from (`seed`, e). Each pass of an iterator advances the epoch; an iterator starts from
    the epoch that the sampler has when the iterator is made.

    Args:
        dataset_size: Number of samples in the dataset.
        num_shards: Number of ranks.
        shard_id: This rank.
        shuffle: Whether the order is random.
        pad: Whether samples from the start of the order are read again at its end, so that all ranks have equally many.
            Without, each sample is read by exactly one rank, once, and ranks differ by up to one sample.
        num_samples: At most so many samples for this rank and epoch. None: all.
        seed: Seed of the order; must be the same on all ranks. None: the seed of `mindspore.dataset`.
        balance: Labels (N,) of all samples, to draw every class equally often; an epoch has as many samples as without.
            None: every sample once.
        windows: The shards that samples lie in, to shuffle so that few of them are needed at a time. None: any order.
        run: Ranks take turns with so many samples. A network's result for a sample depends, in its last digits, on the
            other samples of the batch and on its position among them, so that ranks that evaluate give exactly what one
            process gives only if they evaluate the same batches. Goes without `pad`.

    Raises:
        ValueError: The shard does not exist, or would be empty; or what is not shuffled is to be balanced.
    """

    def __init__(
        self,
        dataset_size: int,
        num_shards: int | None = None,
        shard_id: int | None = None,
        shuffle: bool = True,
        *,
        pad: bool = True,
        num_samples: int | None = None,
        seed: int | None = None,
        balance: np.ndarray | None = None,
        run: int = 1,
        windows: ShuffleWindows | None = None,
    ) -> None:
        if balance is not None and not shuffle:
            raise ValueError("balanced sampling is random; set shuffle: True, or sampler: uniform")
        if run < 1 or (run > 1 and pad):
            raise ValueError(f"run must be at least 1, and 1 with pad, got run={run} with pad={pad}")
        if balance is not None and windows is not None:
            raise ValueError(
                "balanced sampling reads at random, which a dataset in a store is too slow for; copy it to a local "
                "folder, or set sampler: uniform"
            )
        self.balance = balance
        self.windows = windows
        self.run = run
        self.num_shards, self.shard_id = _check_shard(num_shards, shard_id)
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, or None for all, got {num_samples}")
        self.source_size = dataset_size
        self.shuffle = shuffle
        self.pad = pad
        self.seed = dataset_seed() if seed is None else seed
        self.epoch = 0
        padding = -dataset_size % self.num_shards if pad else 0
        rounds, rest = divmod(dataset_size + padding, run * self.num_shards)
        own = rounds * run + min(max(rest - self.shard_id * run, 0), run)
        if own == 0:
            raise ValueError(
                f"the dataset has {dataset_size} samples, fewer than the {self.num_shards} ranks it is divided among; "
                "use fewer ranks"
            )
        if padding:
            _logger.info(
                "sharding: %d samples are read twice an epoch, so that %d samples make %d equal shards of %d",
                padding,
                dataset_size,
                self.num_shards,
                own,
            )
        super().__init__(own if num_samples is None else min(num_samples, own))

    def __iter__(self) -> Iterator[int]:
        return iter(self.next_epoch().tolist())

    def next_epoch(self) -> np.ndarray:
        """The sample indices of one epoch, int64 (N,); the next call gives those of the next."""
        if self.balance is not None:
            order = _balanced_order(self.balance, self.seed, self.epoch)
        else:
            order = _order(self.source_size, self.shuffle, self.seed, self.epoch, self.windows)
        self.epoch += 1
        if self.pad:
            padding = -self.source_size % self.num_shards
            # What has been read last is still at hand, where that matters.
            again = order if self.windows is None else order[::-1]
            order = np.concatenate([order, np.resize(again, padding)])
        is_own = np.arange(len(order)) // self.run % self.num_shards == self.shard_id
        return order[is_own][: self.num_samples]

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch (from 0) that the next iterator starts with."""
        self.epoch = epoch


class RepeatAugSampler:
    """Repeated augmentation (https://arxiv.org/abs/1902.05509): samples occur several times, spread over the ranks.

    The order of the samples is that of the epoch; each is in it `num_repeats` times in a row, and rank r of n takes
    every n-th from r on, so that the repeats of one sample go to different ranks. An epoch has as many samples as the
    dataset.

    Args:
        dataset_size: Number of samples in the dataset.
        num_shards: Number of ranks. None: 1.
        rank_id: This rank. None: 0.
        shuffle: Whether the order is random.
        num_repeats: How often a sample is repeated.
        selected_round: The number of samples an epoch is rounded down to a multiple of this before it is divided among
            the ranks. 0: no rounding; ranks then take the same number, rounded up.
        seed: Seed of the order; must be the same on all ranks. None: the seed of `mindspore.dataset`.
        windows: See `ShardSampler`.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(
        self,
        dataset_size: int,
        num_shards: int | None = None,
        rank_id: int | None = None,
        shuffle: bool = True,
        num_repeats: int = 3,
        selected_round: int = 256,
        *,
        seed: int | None = None,
        windows: ShuffleWindows | None = None,
    ) -> None:
        if num_repeats < 1:
            raise ValueError(f"num_repeats must be at least 1, got {num_repeats}")
        self.num_shards, self.rank_id = _check_shard(num_shards, rank_id)
        self.dataset_size = dataset_size
        self.shuffle = shuffle
        self.num_repeats = int(num_repeats)
        self.windows = windows
        self.seed = dataset_seed() if seed is None else seed
        self.epoch = 0
        if selected_round:
            self.num_selected_samples = dataset_size // selected_round * selected_round // self.num_shards
        else:
            self.num_selected_samples = math.ceil(dataset_size / self.num_shards)
        if self.num_selected_samples == 0:
            raise ValueError(
                f"repeated augmentation would select no sample: {dataset_size} samples on {self.num_shards} ranks, "
                f"rounded down to a multiple of {selected_round}; use selected_round=0 or fewer ranks"
            )

    def __iter__(self) -> Iterator[int]:
        return iter(self.next_epoch().tolist())

    def next_epoch(self) -> np.ndarray:
        """The sample indices of one epoch, int64 (N,); the next call gives those of the next."""
        order = _order(self.dataset_size, self.shuffle, self.seed, self.epoch, self.windows)
        order = np.repeat(order, self.num_repeats)
        self.epoch += 1
        order = np.resize(order, math.ceil(len(order) / self.num_shards) * self.num_shards)
        return order[self.rank_id :: self.num_shards][: self.num_selected_samples]

    def __len__(self) -> int:
        return self.num_selected_samples

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch (from 0) that the next iterator starts with."""
        self.epoch = epoch
