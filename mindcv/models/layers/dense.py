"""Fully connected layers with everything stated."""

from mindspore import Tensor, nn
from mindspore.common.initializer import Initializer

from .kinds import make_layer
from .weight_init import HeUniform, TruncatedNormal

# Uniform within `sqrt(3 / in_channels)` (MindCV's choice for its CNNs).
HE_UNIFORM = HeUniform(mode="fan_in", nonlinearity="sigmoid")
# Uniform within `sqrt(1 / fan in)` (PyTorch's and MindSpore's choice where nothing is said).
FAN_IN_UNIFORM = HeUniform(negative_slope=5**0.5, mode="fan_in", nonlinearity="leaky_relu")
# What transformers start with (arXiv:2010.11929, timm).
TRUNC_NORMAL = TruncatedNormal(sigma=0.02)


def dense(
    in_channels: int,
    out_channels: int,
    bias: bool = True,
    *,
    weight_init: str | Initializer | Tensor = HE_UNIFORM,
    bias_init: str | Initializer = "zeros",
) -> nn.Dense:
    """Makes a dense layer: (..., in_channels) to (..., out_channels).

    Args:
        in_channels: Size of the input's last axis.
        out_channels: Size of the output's last axis.
        bias: Whether it has a bias.
        weight_init: Initialiser of the weight, or the weight itself; default: uniform within `sqrt(3 / in_channels)`.
        bias_init: Initialiser of the bias.
    """
    return make_layer(
        nn.Dense,
        {"in_channels": in_channels, "out_channels": out_channels},
        {"weight_init": weight_init, "bias_init": bias_init},
        has_bias=bias,
    )


def check_num_classes(num_classes: int) -> int:
    """Returns a number of classes.

    Raises:
        ValueError: It is negative or no integer.
    """
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 0:
        raise ValueError(f"num_classes is {num_classes!r}; give an integer from 1, or 0 for no head")
    return num_classes


def classifier_head(
    num_features: int, num_classes: int, bias: bool = True, weight_init: str | Initializer = HE_UNIFORM
) -> nn.Cell:
    """Makes the last layer of a classifier; with `num_classes` 0 it passes the features on.

    Raises:
        ValueError: `num_classes` is negative or no integer.
    """
    if not check_num_classes(num_classes):
        return nn.Identity()
    return dense(num_features, num_classes, bias, weight_init=weight_init)
