"""BatchNorm with the statistics of all ranks' images.

Written out in operators that every device has, since MindSpore's own `nn.SyncBatchNorm` does not run on the CPU.
"""

import logging

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from ..utils.cells import replace_cells
from .distributed import world_size

_logger = logging.getLogger(__name__)

__all__ = ["SyncBatchNorm", "synchronize_batch_norm"]


class SyncBatchNorm(nn.BatchNorm2d):
    """Stands in for a BatchNorm cell, with its parameters; all ranks must have equally many samples.

    In training mean and variance are those of all ranks' samples, by one AllReduce in each direction. Otherwise it is
    what the cell was.

    Inputs: `(N, C)`, `(N, C, L)` or `(N, C, H, W)`. Output: the same shape.

    Args:
        cell: The `nn.BatchNorm1d` or `nn.BatchNorm2d`.
    """

    def __init__(self, cell: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__(cell.num_features, cell.eps, 1.0 - cell.momentum)
        self.gamma = cell.gamma
        self.beta = cell.beta
        self.moving_mean = cell.moving_mean
        self.moving_variance = cell.moving_variance
        self.training = cell.training
        self.ranks = world_size()
        self.sum_over_ranks = ops.AllReduce()

    def construct(self, x: Tensor) -> Tensor:
        shape = x.shape
        values = x.reshape((shape[0], shape[1], -1, 1))
        if not self.training:
            out = self.bn_infer(values, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
            return out.reshape(shape)
        values = ops.cast(values, mstype.float32)
        own_mean = values.mean((0, 2, 3))
        own_variance = ops.square(values - own_mean.reshape((1, -1, 1, 1))).mean((0, 2, 3))
        # Differences from the moving mean, which all ranks have alike, so that little is lost where means are large.
        origin = ops.stop_gradient(ops.cast(self.moving_mean, mstype.float32))
        shift = own_mean - origin
        sums = self.sum_over_ranks(ops.stack((shift, own_variance + ops.square(shift))))
        shift = sums[0] / self.ranks
        mean = shift + origin
        variance = sums[1] / self.ranks - ops.square(shift)
        count = values.size // shape[1] * self.ranks
        self._follow(ops.stop_gradient(mean), ops.stop_gradient(variance) * (count / max(count - 1, 1)))
        factor = ops.cast(self.gamma, mstype.float32) * ops.rsqrt(variance + self.eps)
        out = (values - mean.reshape((1, -1, 1, 1))) * factor.reshape((1, -1, 1, 1))
        out = out + ops.cast(self.beta, mstype.float32).reshape((1, -1, 1, 1))
        return ops.cast(out, x.dtype).reshape(shape)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the statistics for evaluation towards these."""
        ops.assign_sub(self.moving_mean, self.momentum * (self.moving_mean - mean))
        ops.assign_sub(self.moving_variance, self.momentum * (self.moving_variance - variance))


def synchronize_batch_norm(network: nn.Cell) -> int:
    """Replaces the BatchNorm cells inside a network by synchronised ones, in place, and returns how many there were.

    Parameters stay the same objects with the same names. Cells whose `use_batch_statistics` is set stay as they are.
    With one rank nothing is done.
    """
    if world_size() == 1:
        _logger.info("sync_bn has no effect with one worker")
        return 0
    count = replace_cells(network, _synchronized)
    _logger.info("sync_bn: %d BatchNorm cells work on the images of all %d workers", count, world_size())
    return count


def _synchronized(cell: nn.Cell) -> nn.Cell | None:
    """What takes the place of a cell, or None."""
    if type(cell) not in (nn.BatchNorm1d, nn.BatchNorm2d) or cell.use_batch_statistics is not None:
        return None
    return SyncBatchNorm(cell)
