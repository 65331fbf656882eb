"""Normalisation with everything stated."""

from mindspore import nn


def batch_norm2d(channels: int) -> nn.BatchNorm2d:
    """Makes a BatchNorm that starts as the identity, with eps 1e-5; MindSpore's momentum 0.9 is PyTorch's 0.1."""
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.9, gamma_init="ones", beta_init="zeros")
