"""Gradient checkpointing: activations of the blocks are computed again in the backward pass instead of being kept."""

import logging
import re

from mindspore import nn

from .sync_batch_norm import SyncBatchNorm

_logger = logging.getLogger(__name__)

__all__ = ["recompute_blocks"]


def recompute_blocks(network: nn.Cell) -> int:
    """Has the blocks of a network computed once more in the backward pass, and returns how many they are.

    Takes effect when a training step is compiled (graph mode). What BatchNorm computes is kept, since MindSpore would
    move its running statistics a second time; all else inside a block is not. To be called after
    `auto_mixed_precision` and `synchronize_batch_norm`, on the network that they were given.

    Args:
        network: The network; its `blocks_in_order`, or the pattern of its `group_matcher`, say what a block is.

    Raises:
        ValueError: The network does not say, or has no blocks of that name.
    """
    if hasattr(network, "blocks_in_order"):
        paths = {path for block in network.blocks_in_order for path in block}
        cells = [cell for name, cell in network.cells_and_names() if name in paths]
        return _recompute(network, cells)
    if not hasattr(network, "group_matcher"):
        raise ValueError(
            f"recompute: {type(network).__name__} does not say what its blocks are; give it a group_matcher, or set "
            "recompute: False"
        )
    blocks = re.compile(network.group_matcher()["blocks"])
    cells = [cell for name, cell in network.cells_and_names() if blocks.fullmatch(f"{name}.")]
    if not cells:
        raise ValueError(f"recompute: {type(network).__name__} has no cell that matches {blocks.pattern!r}")
    return _recompute(network, cells)


def _recompute(network: nn.Cell, cells: list[nn.Cell]) -> int:
    for cell in cells:
        cell.recompute()
    for _, cell in network.cells_and_names():
        if isinstance(cell, (nn.BatchNorm1d, nn.BatchNorm2d)):
            cell.bn_train.recompute(False)
        if isinstance(cell, SyncBatchNorm):
            cell.sum_over_ranks.recompute(False)
    _logger.info("recompute: %d blocks are computed once more in the backward pass", len(cells))
    return len(cells)
