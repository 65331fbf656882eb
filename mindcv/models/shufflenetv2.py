"""ShuffleNetV2: Practical Guidelines for Efficient CNN Architecture Design, arXiv:1807.11164.

Reference implementations: MindCV (parameter names; the authors' network) and torchvision, see `layout`, `head_bias` and
`stem_pool_pad`. timm has none.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier, Map
from .layers import StemMaxPool, batch_norm2d, channel_shuffle, classifier_head, conv2d
from .layers.weight_init import Normal
from .published.shufflenetv2 import WEIGHTS

__all__ = ["ShuffleNetV2", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"]

# Channels of the three stages and of the last convolution (table 5).
_WIDTHS = {
    "0.5x": (48, 96, 192, 1024),
    "1.0x": (116, 232, 464, 1024),
    "1.5x": (176, 352, 704, 1024),
    "2.0x": (244, 488, 976, 2048),
}
_STEM = 24


def _conv(in_channels: int, channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    weight_init = Normal(groups / in_channels)
    return conv2d(in_channels, channels, kernel_size, stride, kernel_size // 2, groups, weight_init=weight_init)


class ShuffleV2Block(nn.Cell):
    """Half of the channels pass, the other half goes through three convolutions (figure 3c and d).

    (N, in_channels, H, W) to (N, channels, H / stride, W / stride). With stride 2 all channels go both ways, and those
    that would pass are convolved as well.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output; with stride 1 the input's.
        stride: Stride of the depthwise convolutions.
        layout: Channels that the branches get and give, see `ShuffleNetV2`.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, layout: str) -> None:
        super().__init__()
        self.stride, self.shuffles_input = stride, layout == "mindcv"
        self.half, width = in_channels // 2, channels // 2
        inputs = in_channels if stride == 2 else self.half
        outputs = channels - inputs if self.shuffles_input else width
        self.branch_main = nn.SequentialCell(
            _conv(inputs, width, 1),
            batch_norm2d(width),
            nn.ReLU(),
            _conv(width, width, 3, stride, width),
            batch_norm2d(width),
            _conv(width, outputs, 1),
            batch_norm2d(outputs),
            nn.ReLU(),
        )
        if stride == 2:
            self.branch_proj = nn.SequentialCell(
                _conv(inputs, inputs, 3, stride, inputs),
                batch_norm2d(inputs),
                _conv(inputs, channels - outputs, 1),
                batch_norm2d(channels - outputs),
                nn.ReLU(),
            )

    def construct(self, x: Tensor) -> Tensor:
        if self.stride == 2:
            x = ops.concat((self.branch_proj(x), self.branch_main(x)), axis=1)
        else:
            if self.shuffles_input:
                x = channel_shuffle(x, self.half)
            x = ops.concat((x[:, : self.half], self.branch_main(x[:, self.half :])), axis=1)
        return x if self.shuffles_input else channel_shuffle(x, 2)


class ShuffleNetV2(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        model_size: Width: "0.5x", "1.0x", "1.5x" or "2.0x".
        depths: Blocks of each of the three stages.
        drop_rate: Dropout before the classifier.
        layout: The weights' network: in "mindcv" (the authors') a block takes even and odd channels of its input apart,
            and the first block passes its 24 channels; in "torchvision" the halves of a block's output take turns, and
            both branches of the first block have half of its channels.
        head_bias: Whether the classifier has a bias: not in MindCV, but in torchvision.
        stem_pool_pad: How the weights' network pads its max pool, see `StemMaxPool`.

    Raises:
        ValueError: Another `model_size` or `layout`, or a rate or a number of classes that cannot be.
    """

    reads_image = ("first_conv.0",)
    torch_names = NameTable(("conv1.*.*", "first_conv.*.*"), ("conv5.*.*", "conv_last.*.*"), ("fc.*", "classifier.*"))
    torch_arguments = {"layout": "torchvision", "stem_pool_pad": "both"}
    file_arguments = ("layout", "head_bias", "stem_pool_pad")

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        model_size: str = "1.5x",
        *,
        depths: Sequence[int] = (4, 8, 4),
        drop_rate: float = 0.0,
        layout: str = "mindcv",
        head_bias: bool = False,
        stem_pool_pad: str = "same",
    ) -> None:
        super().__init__()
        if model_size not in _WIDTHS:
            raise ValueError(f"model_size is {model_size!r}; give one of {', '.join(_WIDTHS)}")
        if layout not in ("mindcv", "torchvision"):
            raise ValueError(f"layout is {layout!r}; give 'mindcv' or 'torchvision', whose weights these are")
        self.layout, self.head_bias, self.stem_pool_pad = layout, head_bias, stem_pool_pad
        self.depths = tuple(depths)
        *widths, last = _WIDTHS[model_size]
        stem = conv2d(in_channels, _STEM, 3, 2, 1, weight_init=Normal(0.01))
        self.first_conv = nn.SequentialCell(stem, batch_norm2d(_STEM), nn.ReLU())
        self.max_pool = StemMaxPool(stem_pool_pad)
        blocks: list[tuple[str, ...]] = []
        channels = _STEM
        maps: list[Map] = [("first_conv", _STEM, 2)]
        self.ends = []
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            start = len(blocks)
            for index in range(depth):
                blocks.append(ShuffleV2Block(channels, width, 1 if index else 2, layout))
                channels = width
            maps.append((tuple(f"features.{cell}" for cell in range(start, len(blocks))), width, 8 * 2**stage))
            self.ends.append(len(blocks) - 1)
        self.features = nn.SequentialCell(blocks)
        self.conv_last = nn.SequentialCell(_conv(channels, last, 1), batch_norm2d(last), nn.ReLU())
        make = partial(classifier_head, bias=head_bias, weight_init=Normal(0.01))
        self.add_head(last, num_classes, drop_rate, make=make)
        self.describe(blocks, maps, tail=("conv_last",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the stem and of the three stages: sides of 1/2, 1/8, 1/16 and 1/32."""
        x = self.first_conv(x)
        maps: tuple[Tensor, ...] = (x,)
        x = self.max_pool(x)
        for index, block in enumerate(self.features):
            x = block(x)
            if index in self.ends:
                maps = (*maps, x)
        return maps

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, num_features, H / 32, W / 32)."""
        return self.conv_last(self.forward_stages(x)[-1])

    @classmethod
    def file_tells(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns what a file tells of its network: whether the classifier has a bias."""
        return {**super().file_tells(arrays), "head_bias": not {"fc.bias", "classifier.bias"}.isdisjoint(arrays)}

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of torchvision's names by the paths of our cells."""
        return super().from_torch(NameTable(*self._block_names()).to_ours(arrays))

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under torchvision's names.

        Raises:
            ValueError: torchvision has no such network.
        """
        if self.layout != "torchvision":
            raise ValueError("torchvision's ShuffleNetV2 has another layout of blocks; convert with --to mindcv")
        return NameTable(*self._block_names()).to_theirs(super().to_torch(arrays))

    def _block_names(self) -> Iterator[tuple[str, str]]:
        blocks = [(stage, index) for stage, depth in enumerate(self.depths) for index in range(depth)]
        for cell, (stage, index) in enumerate(blocks):
            for theirs, ours in (("branch1", "branch_proj"), ("branch2", "branch_main")):
                yield f"stage{stage + 2}.{index}.{theirs}.**", f"features.{cell}.{ours}.**"


variant = Family(ShuffleNetV2, WEIGHTS).variant  # table 5
shufflenet_v2_x0_5 = variant("shufflenet_v2_x0_5", model_size="0.5x")
shufflenet_v2_x1_0 = variant("shufflenet_v2_x1_0", model_size="1.0x")
shufflenet_v2_x1_5 = variant("shufflenet_v2_x1_5", model_size="1.5x")
shufflenet_v2_x2_0 = variant("shufflenet_v2_x2_0", model_size="2.0x")
