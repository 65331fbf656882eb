"""GhostNet: More Features from Cheap Operations, arXiv:1911.11907.

Reference implementations: MindCV (parameter names) and timm, which are the same networks.
"""

from collections.abc import Sequence
from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier, Map
from ._registry import register_renamed
from .layers import (
    DropPath,
    SqueezeExcite,
    batch_norm2d,
    classifier_head,
    conv2d,
    conv_norm,
    drop_path_rates,
    make_divisible,
)
from .layers.weight_init import HeUniform
from .published.ghostnet import WEIGHTS

__all__ = ["GhostNet", "ghostnet_050", "ghostnet_100", "ghostnet_130"]

# Table 1: side of the kernel, channels inside, channels out, squeeze-and-excitation, stride; a line for each cell of
# `blocks`.
_BLOCKS = (
    ((3, 16, 16, False, 1),),
    ((3, 48, 24, False, 2),),
    ((3, 72, 24, False, 1),),
    ((5, 72, 40, True, 2),),
    ((5, 120, 40, True, 1),),
    ((3, 240, 80, False, 2),),
    (
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
    ),
    ((5, 672, 160, True, 2),),
    ((5, 960, 160, False, 1), (5, 960, 160, True, 1), (5, 960, 160, False, 1), (5, 960, 160, True, 1)),
)
_STEM, _HIDDEN = 16, 1280
# Side of the kernel, channels inside, channels out, squeeze-and-excitation, stride.
Line = Sequence[tuple[int, int, int, bool, int]]


# MindCV's choice: variance 2 / fan in.
HE_UNIFORM = HeUniform(mode="fan_in", nonlinearity="relu")
_conv2d = partial(conv2d, weight_init=HE_UNIFORM)
_conv_norm = partial(conv_norm, weight_init=HE_UNIFORM)


class GhostModule(nn.Cell):
    """1x1 convolution to half of the channels; a depthwise one makes the other half of them (figure 1b).

    (N, in_channels, H, W) to (N, channels, H, W).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        has_relu: Whether a ReLU stands behind both convolutions.
    """

    def __init__(self, in_channels: int, channels: int, has_relu: bool) -> None:
        super().__init__()
        self.channels = channels
        half = -(-channels // 2)
        self.primary_conv = _conv_norm(in_channels, half, 1)
        self.cheap_operation = _conv_norm(half, half, 3, 1, 1, half)
        self.act = nn.ReLU() if has_relu else nn.Identity()

    def construct(self, x: Tensor) -> Tensor:
        x = self.act(self.primary_conv(x))
        return ops.concat((x, self.act(self.cheap_operation(x))), axis=1)[:, : self.channels]


class GhostBottleneck(nn.Cell):
    """Two ghost modules beside a shortcut, a strided depthwise convolution between them (figure 3).

    (N, in_channels, H, W) to (N, channels, H / stride, W / stride).

    Args:
        in_channels: Channels of the input.
        mid_channels: Channels between the modules.
        channels: Channels of the output.
        kernel_size: Side of the depthwise kernels.
        stride: Stride; with 1 there is no depthwise convolution between the modules.
        has_gate: Whether squeeze-and-excitation stands in front of the second module.
        drop_path_rate: Probability of dropping the block for a sample while training.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        channels: int,
        kernel_size: int,
        stride: int,
        has_gate: bool,
        drop_path_rate: float,
    ) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.stride = stride
        self.ghost1 = GhostModule(in_channels, mid_channels, has_relu=True)
        if stride > 1:
            self.conv_dw = _conv2d(mid_channels, mid_channels, kernel_size, stride, padding, mid_channels)
            self.bn_dw = batch_norm2d(mid_channels)
        reduced = make_divisible(mid_channels / 4, 4)
        gate = partial(SqueezeExcite, rd_channels=reduced, gate_layer="hard_sigmoid")
        self.se = gate(mid_channels) if has_gate else nn.Identity()
        self.ghost2 = GhostModule(mid_channels, channels, has_relu=False)
        self.drop_path = DropPath(drop_path_rate)
        self.shortcut = nn.Identity()
        if stride > 1 or in_channels != channels:
            self.shortcut = nn.SequentialCell(
                *_conv_norm(in_channels, in_channels, kernel_size, stride, padding, in_channels),
                *_conv_norm(in_channels, channels, 1),
            )

    def construct(self, x: Tensor) -> Tensor:
        out = self.ghost1(x)
        if self.stride > 1:
            out = self.bn_dw(self.conv_dw(out))
        return self.drop_path(self.ghost2(self.se(out))) + self.shortcut(x)


class GhostNet(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        num_classes: Number of classes; 0 leaves the last layer out.
        width: All numbers of channels but the last layer's input are multiplied with it.
        in_channels: Channels of the image.
        drop_rate: Dropout before the last layer.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        blocks: The lines of table 1, each a list of blocks.

    Raises:
        ValueError: A rate or a number of classes that cannot be.
    """

    reads_image = ("conv_stem",)
    torch_names = NameTable(("blocks.*.0.conv.*", "blocks.*.0.*"), ("blocks.*.0.bn1.*", "blocks.*.1.*"))
    mindcv_names = NameTable(("blocks.*.features.*.*", "blocks.*.*.*"))

    def __init__(
        self,
        num_classes: int = 1000,
        width: float = 1.0,
        in_channels: int = 3,
        drop_rate: float = 0.2,
        *,
        drop_path_rate: float = 0.0,
        blocks: Sequence[Line] = _BLOCKS,
    ) -> None:
        super().__init__()
        channels = make_divisible(_STEM * width, 4)
        self.conv_stem, self.bn1 = _conv2d(in_channels, channels, 3, 2, 1), batch_norm2d(channels)
        self.relu = nn.ReLU()
        names: list[str] = ["conv_stem", "bn1", "relu"]
        cells: list[nn.Cell] = []
        maps: list[Map] = []
        self.ends = []
        reduction = 2
        rates = drop_path_rates(drop_path_rate, [len(line) for line in blocks])
        for index, (line, line_rates) in enumerate(zip(blocks, rates, strict=True)):
            line_cells = []
            for (kernel_size, mid, out, has_gate, stride), rate in zip(line, line_rates, strict=True):
                widths = channels, make_divisible(mid * width, 4), make_divisible(out * width, 4)
                line_cells.append(GhostBottleneck(*widths, kernel_size, stride, has_gate, rate))
                channels, reduction = widths[-1], reduction * stride
            cells.append(nn.SequentialCell(line_cells))
            names.append(f"blocks.{index}")
            if index == len(blocks) - 1 or blocks[index + 1][0][-1] == 2:
                maps.append((tuple(names), channels, reduction))
                self.ends.append(index)
                names = []
        last = make_divisible(blocks[-1][-1][1] * width, 4)
        self.blocks = nn.SequentialCell([*cells, nn.SequentialCell(*_conv_norm(channels, last, 1), nn.ReLU())])
        self.conv_head = _conv2d(last, _HIDDEN, 1, bias=True)
        self.flatten = nn.Flatten()
        self.add_head(_HIDDEN, num_classes, drop_rate, make=partial(classifier_head, weight_init=HE_UNIFORM))
        self.num_features = last  # in front of `conv_head`, which the head begins with
        self.describe([block for line in cells for block in line], maps, (f"blocks.{len(blocks)}", "conv_head"))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the last maps of sides of 1/2, 1/4, 1/8, 1/16 and 1/32."""
        x = self.relu(self.bn1(self.conv_stem(x)))
        maps: tuple[Tensor, ...] = ()
        for index in range(len(self.blocks) - 1):
            x = self.blocks[index](x)
            if index in self.ends:
                maps = (*maps, x)
        return maps

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, num_features, H / 32, W / 32)."""
        return self.blocks[-1](self.forward_stages(x)[-1])

    def forward_head(self, x: Tensor) -> Tensor:
        """Returns the logits: (N, num_features, h, w) to (N, num_classes)."""
        x = self.pool(x).expand_dims(-1).expand_dims(-1)
        return self.classifier(self.dropout(self.flatten(self.relu(self.conv_head(x)))))


register_renamed({"ghostnet_1x": "ghostnet_100"})

variant = Family(GhostNet, WEIGHTS).variant  # table 1, by width
ghostnet_050 = variant("ghostnet_050", width=0.5)
ghostnet_100 = variant("ghostnet_100", width=1.0)
ghostnet_130 = variant("ghostnet_130", width=1.3)
