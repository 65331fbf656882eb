"""Dividing one split into training and validation, by share or by fold, the same way in every process."""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Part", "divide"]


@dataclass(frozen=True)
class Part:
    """One side of a division of a split. Every class is divided alike, to within one sample.

    Attributes:
        is_held_out: Whether this is the side for validation.
        share: Share of the samples that is held out.
        folds: Number of equal parts, one of which is held out; in place of `share`.
        fold: Which one, from 0.
        seed: Seed of the division.
    """

    is_held_out: bool
    share: float | None = None
    folds: int | None = None
    fold: int = 0
    seed: int = 42

    def indices(self, labels: np.ndarray) -> np.ndarray:
        """Returns the indices of this side's samples, ascending.

        Args:
            labels: Labels (N,), or (N, C) of zeros and ones, of which the first one counts.

        Raises:
            ValueError: This side would be empty.
        """
        classes = labels.argmax(1) if labels.ndim == 2 else labels
        shuffled = np.random.default_rng(self.seed).permutation(len(classes))
        by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
        positions = np.arange(len(classes))
        if self.folds is not None:
            held_out = positions % self.folds == self.fold
        else:
            # Every n-th one, where n need not be whole.
            held_out = np.floor((positions + 1) * self.share) > np.floor(positions * self.share)
        indices = np.sort(by_class[held_out == self.is_held_out])
        if not len(indices):
            what = f"{self.folds} folds" if self.folds is not None else f"a share of {self.share:g}"
            raise ValueError(f"{len(classes)} samples are too few for {what}: one side would be empty")
        return indices


def divide(
    train_split: str, val_split: str | float, folds: int | None = None, fold: int = 0, seed: int = 42
) -> tuple[tuple[str, Part | None], tuple[str, Part | None]]:
    """Returns the splits for training and validation, each with its part, None for the whole split.

    Args:
        train_split: Name of the training split.
        val_split: Name of the validation split; or the share of the training split that is held out for validation.
        folds: Number of folds of the training split, one of which is held out in place of `val_split`.
        fold: Which one, from 0.
        seed: Seed of the division.
    """
    if folds is None and isinstance(val_split, str):
        return (train_split, None), (val_split, None)
    options: dict[str, Any] = {"share": val_split} if folds is None else {"folds": folds, "fold": fold}
    return (
        (train_split, Part(False, seed=seed, **options)),
        (train_split, Part(True, seed=seed, **options)),
    )
