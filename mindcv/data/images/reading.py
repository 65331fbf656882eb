"""What a reader makes of a sample: a first image, and the operations behind it, all with one generator of numbers."""

import random
from collections.abc import Callable, Sequence

import numpy as np

from ..randomness import ImageOperation

__all__ = ["NUM_SPLITS", "Reading", "SplitReading", "Transform"]

# Images of a sample with augmentation splits: one clean, the others by the policy.
NUM_SPLITS = 3


class Transform:
    """Base of what makes a new image, of a sample, with which a list of transforms begins, or of another image."""

    def transform(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        """Makes an image, and leaves `data` as it is.

        Args:
            data: An image file, or pixels, uint8 (H, W, C).
            rng: Where the random numbers come from.
            out: An array that the pixels may be put into, where their shape is that. None: a new array.

        Returns:
            uint8 (H, W, C); RGB of a file.

        Raises:
            ValueError: The file is no image, damaged or too large.
        """
        raise NotImplementedError

    def joined(self, operations: Sequence[Callable]) -> tuple["Transform", list[Callable]]:
        """Takes on what can be done at once, as mirroring while a file is decoded.

        Args:
            operations: What follows in the list.

        Returns:
            The transform that does it, and the operations that are left.
        """
        return self, list(operations)


class Reading:
    """A sample to one image.

    Args:
        first: What comes first.
        operations: What follows, in turn.
    """

    def __init__(self, first: Transform, operations: Sequence[Callable] = ()) -> None:
        self.first = first
        self.operations = list(operations)

    def __call__(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        """Arguments, result and errors are those of `Transform.transform`; the shape is what the operations make it."""
        return _apply(self.operations, self.first.transform(data, rng, out), rng)


class SplitReading(Reading):
    """A sample to the images of an augmentation split, (3, ...), all of one crop.

    Args:
        first: What comes first.
        operations: What is done once, for all of them.
        policy: What is done to each but the first, with other random numbers.
        last: What is done to each.
    """

    def __init__(
        self, first: Transform, operations: Sequence[Callable], policy: Sequence[Callable], last: Sequence[Callable]
    ) -> None:
        super().__init__(first, operations)
        self.policy = list(policy)
        self.last = list(last)

    def __call__(self, data: bytes | np.ndarray, rng: random.Random, out: np.ndarray | None = None) -> np.ndarray:
        image = super().__call__(data, rng)
        splits = [[*(self.policy if split else []), *self.last] for split in range(NUM_SPLITS)]
        return np.stack([_apply(operations, image.copy(), rng) for operations in splits])


def _apply(operations: Sequence[Callable], image: np.ndarray, rng: random.Random) -> np.ndarray:
    """Applies operations in turn; the image may change in its place."""
    for operation in operations:
        if isinstance(operation, Transform):
            image = operation.transform(image, rng)
            continue
        if not isinstance(operation, ImageOperation):
            image = operation(image)
            continue
        if not image.flags.writeable:  # as what Pillow gives is
            image = image.copy()
        operation.apply(image, rng)
    return image
