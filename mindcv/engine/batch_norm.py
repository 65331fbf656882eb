"""BatchNorm of a batch that has one value a channel: one image, at 1x1 maps.

Its variance is 0 and says nothing; the unbiased one, which the moving variance takes, is 0 / 0.
"""

from mindspore import Tensor, nn, ops

__all__ = ["keep_variance_of_one_value"]


class _BatchNorm(nn.BatchNorm2d):
    """Stands in for either class, since it leaves the check of the shape to the operator."""

    def construct(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] == 1 and x.size == x.shape[1]:
            values = ops.cast(ops.stop_gradient(x), self.moving_mean.dtype).reshape((-1,))
            ops.assign_sub(self.moving_mean, self.momentum * (self.moving_mean - values))
            # Less its mean it is 0, and NaN where it is not finite, which must not be hidden.
            out = (x - x) * ops.cast(self.gamma, x.dtype).reshape((1, -1) + (1,) * (x.ndim - 2))
            return out + ops.cast(self.beta, x.dtype).reshape((1, -1) + (1,) * (x.ndim - 2))
        # Written out, since the graph compiler takes `super()` for this very class.
        if self.training:
            return self.bn_train(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        values = x if x.ndim == 4 else x.reshape(x.shape + (1,) * (4 - x.ndim))
        return self.bn_infer(values, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0].reshape(x.shape)


class _BatchNorm1d(_BatchNorm):
    """The same by another name: `mindcv.kernels` takes norms of maps only."""


def keep_variance_of_one_value(network: nn.Cell) -> int:
    """Lets the BatchNorm cells of a network, in place, keep their moving variance in a batch of one value a channel.

    The moving mean takes the value, and the output is `beta`. All other batches are treated as before. Needed where a
    batch can have one image only: the last one of an epoch, or each with `batch_size: 1`.

    Returns:
        How many cells there are. Cells of other classes than MindSpore's own two stay as they are, and those whose
        `use_batch_statistics` is set.
    """
    cells = [cell for _, cell in network.cells_and_names() if type(cell) in (nn.BatchNorm1d, nn.BatchNorm2d)]
    cells = [cell for cell in cells if cell.use_batch_statistics is None]
    for cell in cells:
        # The object stays, with its parameters, flags and places in the network.
        cell.__class__ = _BatchNorm if type(cell) is nn.BatchNorm2d else _BatchNorm1d
    return len(cells)
