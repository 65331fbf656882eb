"""Learned scales of a residual branch's channels."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Constant, initializer


class LayerScale(nn.Cell):
    """Scales each channel of tokens (arXiv:2103.17239): (..., dim) to the same.

    Args:
        dim: Size of the last axis.
        init_value: What each scale starts with.
    """

    def __init__(self, dim: int, init_value: float) -> None:
        super().__init__()
        self.gamma = Parameter(initializer(Constant(init_value), (dim,)))

    def construct(self, x: Tensor) -> Tensor:
        return x * self.gamma


class GlobalResponseNorm(nn.Cell):
    """Scales each channel by its share of an image's energy (arXiv:2301.00808): (N, H, W, C) to the same.

    Args:
        dim: Channels of the input.
        eps: Added to the mean energy.
    """

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = Parameter(initializer("zeros", (1, 1, 1, dim)))
        self.beta = Parameter(initializer("zeros", (1, 1, 1, dim)))

    def factors(self, x: Tensor) -> Tensor:
        """What the norm multiplies each image's channels by before `beta` is added, (N, 1, 1, C)."""
        wide = ops.cast(x, ms.float32)
        # Root of the mean, not of the sum: a half cannot hold the sum of a large map. The root's slope at nothing is
        # infinite: a channel that is 0 everywhere would get a gradient of NaN.
        size = ops.sqrt((wide * wide).mean((1, 2), keep_dims=True) + 1e-20)
        share = size / (size.mean(-1, keep_dims=True) + self.eps / (x.shape[1] * x.shape[2]) ** 0.5)
        return 1.0 + self.gamma * ops.cast(share, x.dtype)

    def construct(self, x: Tensor) -> Tensor:
        return x * self.factors(x) + self.beta
