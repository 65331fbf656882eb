"""ReXNet: Rethinking Channel Dimensions for Efficient Model Design, arXiv:2007.00992.

Reference implementations: MindCV (parameter names) and timm, which are the same networks.
"""

import itertools
import math

from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier, Map
from ._registry import register_renamed
from .layers import DropPath, SqueezeExcite, activation, batch_norm2d, conv_norm, drop_path_rates
from .published.rexnet import WEIGHTS

__all__ = ["ReXNetV1", "rexnet_09", "rexnet_10", "rexnet_13", "rexnet_15", "rexnet_20"]

_DEPTHS = (1, 2, 2, 3, 3, 5)
_STRIDES = (1, 2, 2, 2, 1, 2)
# Stages with squeeze-and-excitation, from here on.
_FIRST_GATED = 2
_STEM, _LAST = 32, 1280
_CONVS = ("conv_exp", "conv_dw", "conv_pwl")


class LinearBottleneck(nn.Cell):
    """1x1, depthwise 3x3 and 1x1 convolution; the input is added to the first of the output's channels (figure 2).

    (N, in_channels, H, W) to (N, channels, H / stride, W / stride). The first 1x1 convolution is left out where it
    would not widen, the shortcut where the side changes.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output, at least the input's where the side stays.
        expansion: Channels of the depthwise convolution over the input's.
        stride: Stride of the depthwise convolution.
        se_ratio: Channels inside squeeze-and-excitation over those it scales; 0 for none.
        drop_path_rate: Probability of dropping the block for a sample while training.
    """

    def __init__(
        self, in_channels: int, channels: int, expansion: int, stride: int, se_ratio: float, drop_path_rate: float
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.has_shortcut = stride == 1 and in_channels <= channels
        self.grows = in_channels < channels
        width = in_channels * expansion
        self.conv_exp = nn.Identity()
        if expansion != 1:
            self.conv_exp = nn.SequentialCell(*conv_norm(in_channels, width, 1), activation("silu"))
        self.conv_dw = conv_norm(width, width, 3, stride, 1, width)
        self.se = nn.Identity()
        if se_ratio:
            self.se = SqueezeExcite(width, rd_channels=int(width * se_ratio), norm=batch_norm2d)
        self.act_dw = activation("relu6")
        self.conv_pwl = conv_norm(width, channels, 1)
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.conv_pwl(self.act_dw(self.se(self.conv_dw(self.conv_exp(x)))))
        if not self.has_shortcut:
            return out
        out = self.drop_path(out)
        if not self.grows:
            return out + x
        return ops.concat((out[:, : self.in_channels] + x, out[:, self.in_channels :]), axis=1)


class ReXNetV1(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        in_channels: Channels of the image.
        fi_channels: What is added to the channels from the first block to the last, in equal steps (section 4).
        initial_channels: Channels of the first block.
        width_mult: Width: all numbers of channels are multiplied with it, but those of the stem and of the first block
            where it is below 1.
        depth_mult: Depth: the number of blocks of each stage is multiplied with it.
        num_classes: Number of classes; 0 leaves the head out.
        use_se: Whether stages from the third on have squeeze-and-excitation.
        se_ratio: Channels inside it over those it scales.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0.

    Raises:
        ValueError: A rate or a number of classes that cannot be.
    """

    reads_image, gives_logits = ("stem.0",), ("cls.1",)
    torch_names = NameTable(
        *((f"features.*.{conv}.conv.*", f"features.*.{conv}.0.*") for conv in _CONVS),
        *((f"features.*.{conv}.bn.*", f"features.*.{conv}.1.*") for conv in _CONVS),
        ("**.se.fc1.*", "**.se.conv_reduce.*"),
        ("**.se.fc2.*", "**.se.conv_expand.*"),
        ("features.*.conv.*", "features.*.0.*"),
        ("features.*.bn.*", "features.*.1.*"),
        ("stem.conv.*", "stem.0.*"),
        ("stem.bn.*", "stem.1.*"),
        ("head.fc.*", "cls.1.*"),
    )
    mindcv_names = NameTable(
        *((f"features.*.{conv}.features.*.*", f"features.*.{conv}.*.*") for conv in _CONVS),
        ("features.*.features.*.*", "features.*.*.*"),
        ("stem.features.*.*", "stem.*.*"),
    )

    def __init__(
        self,
        in_channels: int = 3,
        fi_channels: int = 180,
        initial_channels: int = 16,
        width_mult: float = 1.0,
        depth_mult: float = 1.0,
        num_classes: int = 1000,
        use_se: bool = True,
        se_ratio: float = 1 / 12,
        *,
        drop_rate: float = 0.2,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        depths = [math.ceil(depth * depth_mult) for depth in _DEPTHS]
        base = max(width_mult, 1.0)
        stem = round(_STEM * base)
        steps = (
            initial_channels * base + width_mult * fi_channels * index / sum(depths) for index in range(sum(depths))
        )
        widths = [stem, *map(round, steps)]
        pairs = list(itertools.pairwise(widths))
        self.stem = nn.SequentialCell(*conv_norm(in_channels, stem, 3, 2, 1), activation("silu"))
        blocks: list[nn.Cell] = []
        maps: list[Map] = []
        names, reduction = ["stem"], 2
        for stage, rates in enumerate(drop_path_rates(drop_path_rate, depths)):
            stride = _STRIDES[stage]
            if stride == 2:
                maps.append((tuple(names), widths[len(blocks)], reduction))
                names, reduction = [], 2 * reduction
            for index, rate in enumerate(rates):
                ratio = se_ratio if use_se and stage >= _FIRST_GATED else 0.0
                names.append(f"features.{len(blocks)}")
                expansion = 6 if stage else 1
                blocks.append(LinearBottleneck(*pairs[len(blocks)], expansion, 1 if index else stride, ratio, rate))
        maps.append((tuple(names), widths[-1], reduction))
        self.ends = [int(cells[-1].rpartition(".")[2]) for cells, _, _ in maps]
        last = int(_LAST * width_mult)
        tail = nn.SequentialCell(*conv_norm(widths[-1], last, 1), activation("silu"))
        self.features = nn.SequentialCell([*blocks, tail])
        self.add_head(last, num_classes, drop_rate, name="cls.1")
        self.describe(blocks, maps, tail=(f"features.{len(blocks)}",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the last maps of sides of 1/2, 1/4, 1/8, 1/16 and 1/32."""
        x = self.stem(x)
        maps: tuple[Tensor, ...] = ()
        for index in range(len(self.features) - 1):
            x = self.features[index](x)
            if index in self.ends:
                maps = (*maps, x)
        return maps

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, num_features, H / 32, W / 32)."""
        return self.features[-1](self.forward_stages(x)[-1])


register_renamed({f"rexnet_x{width}": f"rexnet_{width}" for width in ("09", "10", "13", "15", "20")})

variant = Family(ReXNetV1, WEIGHTS).variant  # table 4, by width
rexnet_09 = variant("rexnet_09", width_mult=0.9)
rexnet_10 = variant("rexnet_10", width_mult=1.0)
rexnet_13 = variant("rexnet_13", width_mult=1.3)
rexnet_15 = variant("rexnet_15", width_mult=1.5)
rexnet_20 = variant("rexnet_20", width_mult=2.0)
