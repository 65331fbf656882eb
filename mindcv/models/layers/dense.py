"""Fully connected layers with everything stated."""

from mindspore import nn
from mindspore.common.initializer import HeUniform


def dense(in_channels: int, out_channels: int) -> nn.Dense:
    """Makes a dense layer with bias: weights uniform within `sqrt(3 / in_channels)`, biases zero (MindCV's choice)."""
    weight_init = HeUniform(mode="fan_in", nonlinearity="sigmoid")
    return nn.Dense(in_channels, out_channels, weight_init=weight_init, bias_init="zeros", has_bias=True)


def classifier_head(num_features: int, num_classes: int) -> nn.Cell:
    """Makes the last layer of a classifier; with `num_classes` 0 it passes the features on.

    Raises:
        ValueError: `num_classes` is negative or no integer.
    """
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 0:
        raise ValueError(f"num_classes is {num_classes!r}; give an integer from 1, or 0 for no head")
    return dense(num_features, num_classes) if num_classes else nn.Identity()
