"""What an export may change in a copy of a network: BatchNorm folded, weights in fp16, pixels in, probabilities out."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..utils.cells import replace_cells
from ..utils.runtime import eager_mode
from ..weights.outputs import MULTIPLE, SINGLE

__all__ = ["Deployed", "fold_batch_norm", "fuse_branches", "half_weight_names", "halve_weights"]


class Deployed(nn.Cell):
    """A network with what surrounds it in use: (N, C, H, W) to (N, num_classes).

    Args:
        network: Normalised images to scores.
        mean: Mean a channel, 0 to 255; given, the input is uint8 pixels. None: the input is normalised float32.
        std: Standard deviation a channel; goes with `mean`.
        head: Return probabilities in place of scores: `single`, a softmax; `multiple`, a sigmoid each. None: scores.
    """

    def __init__(
        self,
        network: nn.Cell,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        head: str | None = None,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.takes_pixels = mean is not None
        self.mean = Tensor(np.reshape(mean if mean is not None else 0.0, (1, -1, 1, 1)), ms.float32)
        self.std = Tensor(np.reshape(std if std is not None else 1.0, (1, -1, 1, 1)), ms.float32)
        self.last = {None: nn.Identity, SINGLE: partial(nn.Softmax, axis=-1), MULTIPLE: nn.Sigmoid}[head]()

    def construct(self, image: Tensor) -> Tensor:
        if self.takes_pixels:
            image = (ops.cast(image, ms.float32) - self.mean) / self.std
        return self.last(self.network(image))


class _HalfConv2d(nn.Cell):
    """A convolution whose weight is stored in fp16 and used in fp32."""

    def __init__(self, cell: nn.Conv2d) -> None:
        super().__init__()
        self.weight = _half(cell.weight)
        self.conv = cell.conv2d
        self.bias = cell.bias if cell.has_bias else None
        self.add_bias = ops.BiasAdd()

    def construct(self, x: Tensor) -> Tensor:
        x = self.conv(x, ops.cast(self.weight, ms.float32))
        return x if self.bias is None else self.add_bias(x, self.bias)


class _HalfDense(nn.Cell):
    """A dense layer whose weight is stored in fp16 and used in fp32; (N, ..., in) to (N, ..., out)."""

    def __init__(self, cell: nn.Dense) -> None:
        super().__init__()
        self.weight = _half(cell.weight)
        self.bias = cell.bias if cell.has_bias else None

    def construct(self, x: Tensor) -> Tensor:
        x = ops.matmul(x, ops.transpose(ops.cast(self.weight, ms.float32), (1, 0)))
        return x if self.bias is None else x + self.bias


_HALF = {nn.Conv2d: _HalfConv2d, nn.Dense: _HalfDense}


def _half(parameter: Parameter) -> Parameter:
    return Parameter(Tensor(parameter.asnumpy().astype(np.float16)), name=parameter.name)


def halve_weights(network: nn.Cell) -> int:
    """Stores the weights of convolutions and dense layers in fp16, in place, and returns how many cells were changed.

    Computation stays in fp32, so that the file runs wherever the other one does; the file is half as large.
    """
    return replace_cells(network, lambda cell: _HALF[type(cell)](cell) if type(cell) in _HALF else None)


def half_weight_names(network: nn.Cell) -> set[str]:
    """Returns the names of the parameters that `halve_weights` would store in fp16."""
    return {cell.weight.name for _, cell in network.cells_and_names() if type(cell) in _HALF}


def fuse_branches(network: nn.Cell) -> int:
    """Puts the cell that a block's `fused` gives in the place of the block, and returns how many there were."""
    return replace_cells(network, lambda cell: cell.fused() if hasattr(cell, "fused") else None)


def fold_batch_norm(network: nn.Cell, images: Tensor) -> int:
    """Folds each BatchNorm into the convolution whose output it gets, in place.

    Which convolution that is, is found by running the network: one that runs once and whose output is what the
    BatchNorm, which runs once too, was given. Other BatchNorms stay. If something else used the convolution's output as
    well, the result would be wrong; the export's verification finds that.

    Args:
        network: The network; it is changed.
        images: Any input it takes.

    Returns:
        How many were folded.
    """
    calls: Counter[nn.Cell] = Counter()
    producers: dict[int, tuple[nn.Cell, Any]] = {}
    pairs: dict[nn.Cell, nn.Cell] = {}

    def watch(cell: nn.Cell, inputs: tuple, output: Any) -> None:
        calls[cell] += 1
        if type(cell) is nn.Conv2d:
            producers[id(output)] = (cell, output)  # kept, so that no other tensor gets the same id
        elif id(inputs[0]) in producers:
            pairs[cell] = producers[id(inputs[0])][0]

    watched = [cell for _, cell in network.cells_and_names() if type(cell) in (nn.Conv2d, nn.BatchNorm2d)]
    hooks = [cell.register_forward_hook(watch) for cell in watched]
    with eager_mode():
        network.set_train(False)
        network(images)
    for hook in hooks:
        hook.remove()

    replacements: dict[nn.Cell, nn.Cell] = {}
    for norm, conv in pairs.items():
        if calls[norm] == calls[conv] == 1:
            replacements[conv] = _folded(conv, norm)
            replacements[norm] = nn.Identity()
    replace_cells(network, replacements.get)
    return len(replacements) // 2


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution that computes `norm(conv(x))`; in float64 on the way, so that nothing is lost twice."""
    gamma, beta, mean, variance, weight = (
        parameter.asnumpy().astype(np.float64)
        for parameter in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance, conv.weight)
    )
    factor = gamma / np.sqrt(variance + norm.eps)
    bias = conv.bias.asnumpy() if conv.has_bias else 0.0
    cell = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        pad_mode=conv.pad_mode,
        padding=conv.padding,
        dilation=conv.dilation,
        group=conv.group,
        has_bias=True,
        weight_init="zeros",
        bias_init="zeros",
    )
    cell.weight = Parameter(Tensor(weight * factor[:, None, None, None], ms.float32), name=conv.weight.name)
    cell.bias = Parameter(Tensor(beta + (bias - mean) * factor, ms.float32), name=norm.beta.name)
    return cell.set_train(False)
