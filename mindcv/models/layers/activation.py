"""Activations that MindSpore has no exportable cell for."""

from mindspore import Tensor, nn, ops


class Swish(nn.Cell):
    """`x * sigmoid(x)`, also known as SiLU (arXiv:1710.05941). Any shape in, the same shape out."""

    def construct(self, x: Tensor) -> Tensor:
        return x * ops.sigmoid(x)
