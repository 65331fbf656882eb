"""Normalisations with everything stated."""

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Initializer

from .kinds import fill_layer, make_layer

_IDENTITY = {"gamma_init": "ones", "beta_init": "zeros"}
_LAST_AXIS = {"begin_norm_axis": -1, "begin_params_axis": -1}


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
    inits = {"gamma_init": gamma_init, "beta_init": "zeros"}
    return make_layer(nn.BatchNorm2d, {"num_features": channels}, inits, eps=eps, momentum=momentum)


def layer_norm(dim: int, eps: float = 1e-6) -> nn.LayerNorm:
    """Makes a LayerNorm over the last axis, of size `dim`, that starts with scale 1 and shift 0."""
    return make_layer(nn.LayerNorm, {"normalized_shape": (dim,)}, _IDENTITY, **_LAST_AXIS, epsilon=eps)


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of each pixel: (N, C, H, W) to the same.

    Args:
        channels: Channels of the input.
        eps: Added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        fill_layer(self, nn.LayerNorm, {"normalized_shape": (channels,)}, _IDENTITY, **_LAST_AXIS, epsilon=eps)

    def construct(self, x: Tensor) -> Tensor:
        return ops.transpose(super().construct(ops.transpose(x, (0, 2, 3, 1))), (0, 3, 1, 2))


def group_norm(channels: int, groups: int = 1, eps: float = 1e-5) -> nn.GroupNorm:
    """Makes a GroupNorm that starts with scale 1 and shift 0; with one group it is over all of an image."""
    sizes = {"num_groups": groups, "num_channels": channels}
    return make_layer(nn.GroupNorm, sizes, _IDENTITY, eps=eps, affine=True)
