"""Normalisations with everything stated."""

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Initializer


def batch_norm2d(
    channels: int, eps: float = 1e-5, momentum: float = 0.9, gamma_init: str | Initializer = "ones"
) -> nn.BatchNorm2d:
    """Makes a BatchNorm that starts as the identity.

    Args:
        channels: Channels of the input.
        eps: Added to the variance.
        momentum: What the running statistics keep at a step; MindSpore's 0.9 is PyTorch's 0.1.
        gamma_init: Initialiser of the scale ("zeros" for the last norm of a residual branch that starts as nothing).
    """
    return nn.BatchNorm2d(channels, eps=eps, momentum=momentum, gamma_init=gamma_init, beta_init="zeros")


def layer_norm(dim: int, eps: float = 1e-6) -> nn.LayerNorm:
    """Makes a LayerNorm over the last axis, of size `dim`, that starts with scale 1 and shift 0."""
    return nn.LayerNorm(
        (dim,), begin_norm_axis=-1, begin_params_axis=-1, gamma_init="ones", beta_init="zeros", epsilon=eps
    )


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of each pixel: (N, C, H, W) to the same.

    Args:
        channels: Channels of the input.
        eps: Added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(
            (channels,), begin_norm_axis=-1, begin_params_axis=-1, gamma_init="ones", beta_init="zeros", epsilon=eps
        )

    def construct(self, x: Tensor) -> Tensor:
        return ops.transpose(super().construct(ops.transpose(x, (0, 2, 3, 1))), (0, 3, 1, 2))


def group_norm(channels: int, groups: int = 1, eps: float = 1e-5) -> nn.GroupNorm:
    """Makes a GroupNorm that starts with scale 1 and shift 0; with one group it is over all of an image."""
    return nn.GroupNorm(groups, channels, eps=eps, affine=True, gamma_init="ones", beta_init="zeros")
