"""Grouped convolutions that are run fast: on x86 the runtimes' blocked kernels need groups of whole blocks of channels.

Groups of fewer channels, as ResNeXt's first stages have, go through a slower path with a change of layout before and
after it. Some of them put side by side, with zeros between, are one group of a whole block, and the sums are the same.
"""

import platform
from pathlib import Path

import numpy as np

from ._onnx_file import read_onnx

__all__ = ["with_whole_blocks"]

# Channels of a block with AVX-512; a multiple of the 8 with AVX2.
_BLOCK = 16


def with_whole_blocks(path: Path) -> str | bytes:
    """Returns what is to be loaded: an ONNX model with its small groups joined, or the path where none is.

    Raises:
        ImportError: The package onnx is not installed.
        ValueError: It is no ONNX model, or keeps weights in other files.
    """
    model = read_onnx(path)
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return str(path)
    from onnx import numpy_helper

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    is_changed = False
    for node in model.graph.node:
        group = next((attribute for attribute in node.attribute if attribute.name == "group"), None)
        if node.op_type != "Conv" or group is None or node.input[1] not in weights:
            continue
        tensor = weights[node.input[1]]
        kernel = numpy_helper.to_array(tensor)
        joined = join_groups(kernel, group.i, _BLOCK)
        if joined is not None:
            tensor.CopyFrom(numpy_helper.from_array(joined, tensor.name))
            group.i = group.i * kernel.shape[1] // _BLOCK
            is_changed = True
    return model.SerializeToString() if is_changed else str(path)


def join_groups(kernel: np.ndarray, groups: int, block: int) -> np.ndarray | None:
    """Joins groups of less than `block` input channels to groups of exactly that many.

    Args:
        kernel: Weights of a grouped convolution, (out channels, in channels of a group, height, width).
        groups: Number of groups.
        block: In channels of a group that is wanted.

    Returns:
        Weights of as many out channels with `block` in channels, zero where there were none; None when the groups
        are large enough, when they do not fill blocks, or when each has a single channel (a depthwise convolution).
    """
    out_channels, in_channels = kernel.shape[:2]
    if not 1 < in_channels < block or block % in_channels or groups % (block // in_channels):
        return None
    joined_groups = block // in_channels
    out_of_group = out_channels // groups
    if out_of_group * joined_groups % block:
        return None
    joined = np.zeros((groups // joined_groups, joined_groups, out_of_group, block, *kernel.shape[2:]), kernel.dtype)
    parts = kernel.reshape(groups // joined_groups, joined_groups, out_of_group, *kernel.shape[1:])
    for group in range(joined_groups):
        joined[:, group, :, group * in_channels : (group + 1) * in_channels] = parts[:, group]
    return joined.reshape(out_channels, block, *kernel.shape[2:])
