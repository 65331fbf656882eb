"""Blocks whose cells do not stand in a SequentialCell, with what the kernels' BatchNorm does for them in one pass."""

import functools
from collections.abc import Callable
from typing import Any

from mindspore import Tensor, nn

__all__ = ["BLOCKS", "LAST", "STAGES", "block_class", "scaled_block_class"]


def _shortcut(self: Any, x: Tensor) -> Tensor:
    return x if self.down_sample is None else self.down_sample(x)


def _basic_block(self: Any, x: Tensor) -> Tensor:
    out = self.bn1(self.conv1(x))
    return self.bn2(self.conv2(out), self.kernel_shortcut(x))


def _bottleneck(self: Any, x: Tensor) -> Tensor:
    out = self.bn1(self.conv1(x))
    out = self.bn2(self.conv2(out))
    return self.bn3(self.conv3(out), self.kernel_shortcut(x))


def _basic_block_last(self: Any, x: Tensor) -> Tensor:
    x, other = self.kernel_fork(x)
    out = self.bn1(self.conv1(x))
    return self.bn2(self.conv2(out), self.kernel_shortcut(other))


def _bottleneck_last(self: Any, x: Tensor) -> Tensor:
    x, other = self.kernel_fork(x)
    out = self.bn1(self.conv1(x))
    out = self.bn2(self.conv2(out))
    return self.bn3(self.conv3(out), self.kernel_shortcut(other))


def _features_last(self: Any, x: Tensor) -> Tensor:
    x = self.kernel_to_last(self.max_pool(self.forward_stem(x)))
    x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
    return self.kernel_to_first(x)


def _stages_last(self: Any, x: Tensor) -> tuple[Tensor, ...]:
    stem = self.forward_stem(x)
    x = self.kernel_to_last(self.max_pool(stem))
    x, x1 = self.kernel_fork(self.layer1(x))
    x, x2 = self.kernel_fork(self.layer2(x))
    x, x3 = self.kernel_fork(self.layer3(x))
    x1 = self.kernel_to_first(x1)
    x2 = self.kernel_to_first(x2)
    x3 = self.kernel_to_first(x3)
    return stem, x1, x2, x3, self.kernel_to_first(self.layer4(x))


def _convnext_block_last(self: Any, x: Tensor) -> Tensor:
    x, other = self.kernel_fork(x)
    out = self.pwconv2(self.grn(self.act(self.pwconv1(self.norm(self.dwconv(x))))))
    return other + self.drop_path(self.layer_scale(out))


def _convnext_scaled_block_last(self: Any, x: Tensor) -> Tensor:
    x, other = self.kernel_fork(x)
    out = self.pwconv2(self.grn(self.act(self.pwconv1(self.norm(self.dwconv(x))))))
    return self.kernel_sum(out, self.layer_scale.gamma, other, self.kernel_sum_tensor)


def _convnext_stages_last(self: Any, x: Tensor) -> tuple[Tensor, ...]:
    x, x1 = self.kernel_fork(self.feature[1](self.feature[0](x)))
    x, x2 = self.kernel_fork(self.feature[3](self.feature[2](x)))
    x, x3 = self.kernel_fork(self.feature[5](self.feature[4](x)))
    x1 = self.kernel_to_first(x1)
    x2 = self.kernel_to_first(x2)
    x3 = self.kernel_to_first(x3)
    return x1, x2, x3, self.kernel_to_first(self.feature[7](self.feature[6](x)))


def _convnext_features_last(self: Any, x: Tensor) -> Tensor:
    x = self.kernel_to_first(self.feature(x))
    return self.norm(x.mean((2, 3)))


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
# Networks whose stages, and the blocks in them, may be run with (N, H, W, C) between all cells: class -> the methods of
# it, and of each block's class, for that.
LAST: dict[str, dict[str, Callable[..., Any]]] = {
    "mindcv.models.resnet.BasicBlock": {"construct": _basic_block_last, "kernel_shortcut": _shortcut},
    "mindcv.models.resnet.Bottleneck": {"construct": _bottleneck_last, "kernel_shortcut": _shortcut},
    "mindcv.models.resnet.ResNet": {
        "forward_stem": _stem,
        "forward_features": _features_last,
        "forward_stages": _stages_last,
    },
    "mindcv.models.convnext.ConvNeXt": {
        "forward_features": _convnext_features_last,
        "forward_stages": _convnext_stages_last,
    },
    "mindcv.models.layers.convnext_block.ConvNeXtBlock": {"construct": _convnext_block_last},
}
# A ConvNeXtBlock whose scale and sum are one operator
SCALED: dict[str, Callable[..., Any]] = {"construct": _convnext_scaled_block_last}
STAGES = ("layer1", "layer2", "layer3", "layer4")


@functools.cache
def block_class(kind: type[nn.Cell], is_last: bool) -> type[nn.Cell]:
    """The class with the methods of `BLOCKS`, or of `LAST`, in the place of its own."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    return type(kind.__name__, (kind,), dict(LAST[name] if is_last else BLOCKS[name][2]))


@functools.cache
def scaled_block_class(kind: type[nn.Cell]) -> type[nn.Cell]:
    """The class of a ConvNeXtBlock of `LAST` with the sum of `SCALED`."""
    return type(kind.__name__, (kind,), dict(SCALED))
