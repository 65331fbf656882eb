"""Parallel branches as one convolution with the same result in evaluation (arXiv:2101.03697)."""

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from .conv import conv2d

Kernel = tuple[np.ndarray, np.ndarray]


def fold(conv: nn.Conv2d | None, norm: nn.BatchNorm2d, groups: int = 1) -> Kernel:
    """Returns weight and bias of the convolution that a convolution and the BatchNorm behind it are in evaluation.

    Args:
        conv: The convolution; None: the BatchNorm stands alone, behind a 1x1 convolution that changes nothing.
        norm: The BatchNorm.
        groups: Groups of the convolution that is wanted where there is none.

    Returns:
        Weight (out, in / groups, height, width) and bias (out,), in float64.
    """
    gamma, beta, mean, variance = (
        parameter.asnumpy().astype(np.float64)
        for parameter in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    factor = gamma / np.sqrt(variance + norm.eps)
    if conv is None:
        width = len(gamma) // groups
        weight, bias = np.tile(np.eye(width), (groups, 1))[:, :, None, None], 0.0
    else:
        weight = conv.weight.asnumpy().astype(np.float64)
        bias = conv.bias.asnumpy().astype(np.float64) if conv.has_bias else 0.0
    return weight * factor[:, None, None, None], beta + (bias - mean) * factor


def merge_branches(kernels: Sequence[Kernel], stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Makes one convolution of branches that are added: each kernel is put into the middle of the largest.

    Args:
        kernels: Weight and bias of each branch; sides are odd and padding is half the side.
        stride: Stride of all of them.
        groups: Groups of all of them.
    """
    side = max(weight.shape[-1] for weight, _ in kernels)
    borders = [(side - weight.shape[-1]) // 2 for weight, _ in kernels]
    padded = [
        np.pad(weight, ((0, 0), (0, 0), (border, border), (border, border)))
        for (weight, _), border in zip(kernels, borders, strict=True)
    ]
    total = np.sum(padded, axis=0)
    out_channels, in_channels = total.shape[:2]
    conv = conv2d(in_channels * groups, out_channels, side, stride, side // 2, groups, bias=True, weight_init="zeros")
    conv.weight = Parameter(Tensor(total, ms.float32), name="weight")
    conv.bias = Parameter(Tensor(sum(bias for _, bias in kernels), ms.float32), name="bias")
    return conv.set_train(False)
