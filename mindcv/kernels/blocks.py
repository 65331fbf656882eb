"""Blocks whose cells do not stand in a SequentialCell, with what the kernels' BatchNorm does for them in one pass."""

import functools
from collections.abc import Callable
from typing import Any

from mindspore import Tensor, nn

__all__ = ["BLOCKS", "block_class"]


def _shortcut(self: Any, x: Tensor) -> Tensor:
    return x if self.down_sample is None else self.down_sample(x)


def _basic_block(self: Any, x: Tensor) -> Tensor:
    out = self.bn1(self.conv1(x))
    return self.bn2(self.conv2(out), self.kernel_shortcut(x))


def _bottleneck(self: Any, x: Tensor) -> Tensor:
    out = self.bn1(self.conv1(x))
    out = self.bn2(self.conv2(out))
    return self.bn3(self.conv3(out), self.kernel_shortcut(x))


def _stem(self: Any, x: Tensor) -> Tensor:
    return self.bn1(self.conv1(x))


_PAIRS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

# Class -> its pairs of convolution and BatchNorm, all with a ReLU behind; whether the last adds a shortcut before it;
# the methods that take the place of its own.
BLOCKS: dict[str, tuple[tuple[tuple[str, str], ...], bool, dict[str, Callable[..., Tensor]]]] = {
    "mindcv.models.resnet.BasicBlock": (
        _PAIRS[:2],
        True,
        {"construct": _basic_block, "kernel_shortcut": _shortcut},
    ),
    "mindcv.models.resnet.Bottleneck": (_PAIRS, True, {"construct": _bottleneck, "kernel_shortcut": _shortcut}),
    "mindcv.models.resnet.ResNet": (_PAIRS[:1], False, {"forward_stem": _stem}),
}


@functools.cache
def block_class(kind: type[nn.Cell]) -> type[nn.Cell]:
    """The class with the methods of `BLOCKS` in the place of its own."""
    _, _, own = BLOCKS[f"{kind.__module__}.{kind.__qualname__}"]
    return type(kind.__name__, (kind,), dict(own))
