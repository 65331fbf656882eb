"""Mixing the channels of groups."""

from mindspore import Tensor, ops


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Takes a channel of each group in turn (arXiv:1707.01083, figure 1): (N, C, H, W) to the same.

    Args:
        x: A map.
        groups: Number of groups that its channels lie in, one behind the other. C over it undoes the shuffling.
    """
    _, channels, height, width = x.shape
    x = ops.transpose(x.reshape((-1, groups, channels // groups, height, width)), (0, 2, 1, 3, 4))
    return x.reshape((-1, channels, height, width))
