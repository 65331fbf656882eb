"""MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381.

Reference implementations: MindCV (parameter names), timm and torchvision, which are the same network. The names with a
size differ in the images that they are meant for; the network takes any.
"""

from collections.abc import Iterable
from functools import partial

from mindspore import nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._mobile import TIMM_STEM, TORCHVISION_STEM, MobileNetwork, Pair
from ._registry import register_renamed
from .layers import (
    InvertedResidual,
    activation,
    batch_norm2d,
    classifier_head,
    conv2d,
    drop_path_rates,
    make_divisible,
)
from .layers.weight_init import Normal
from .published.mobilenetv2 import WEIGHTS

__all__ = [
    "MobileNetV2",
    "mobilenet_v2_035_96",
    "mobilenet_v2_035_128",
    "mobilenet_v2_035_160",
    "mobilenet_v2_035_192",
    "mobilenet_v2_035_224",
    "mobilenet_v2_050_96",
    "mobilenet_v2_050_128",
    "mobilenet_v2_050_160",
    "mobilenet_v2_050_192",
    "mobilenet_v2_050_224",
    "mobilenet_v2_075",
    "mobilenet_v2_075_96",
    "mobilenet_v2_075_128",
    "mobilenet_v2_075_160",
    "mobilenet_v2_075_192",
    "mobilenet_v2_100",
    "mobilenet_v2_100_96",
    "mobilenet_v2_100_128",
    "mobilenet_v2_100_160",
    "mobilenet_v2_100_192",
    "mobilenet_v2_130_224",
    "mobilenet_v2_140",
]

# Table 2, a line a stage: expansion, channels out, blocks, stride of the first.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2(MobileNetwork):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        alpha: Width: all numbers of channels are multiplied with it, the last 1x1 convolution's only where it is more
            than 1.
        round_nearest: Numbers of channels are multiples of this.
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the head out.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0, in between it grows linearly.

    Raises:
        ValueError: A rate or a number of classes that cannot be.
    """

    reads_image, gives_logits = ("features.0",), ("classifier.1",)
    timm_names = (*TIMM_STEM, ("classifier.*", "classifier.1.*"))
    other_names = TORCHVISION_STEM
    torch_names = NameTable(*timm_names, *other_names)

    def __init__(
        self,
        alpha: float = 1.0,
        round_nearest: int = 8,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        drop_rate: float = 0.2,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        channels = make_divisible(32 * alpha, round_nearest)
        stem = [conv2d(in_channels, channels, 3, 2, 1), batch_norm2d(channels), activation("relu6")]
        stages: list[list[nn.Cell]] = []
        all_rates = drop_path_rates(drop_path_rate, [depth for _, _, depth, _ in _STAGES])
        for (expansion, width, _, first_stride), rates in zip(_STAGES, all_rates, strict=True):
            out_channels = make_divisible(width * alpha, round_nearest)
            stages.append([])
            for index, rate in enumerate(rates):
                widths = channels, channels * expansion, out_channels
                stride = 1 if index else first_stride
                stages[-1].append(InvertedResidual(*widths, 3, stride, "relu6", batch_norm2d, drop_path_rate=rate))
                channels = out_channels
        last_channels = make_divisible(1280 * max(1.0, alpha), round_nearest)
        last = [conv2d(channels, last_channels, 1), batch_norm2d(last_channels), activation("relu6")]
        described = self.add_features(stem, stages, last)
        make = partial(classifier_head, weight_init=Normal(sigma=0.01))
        self.add_head(last_channels, num_classes, drop_rate, name="classifier.1", make=make)
        self.describe(*described)

    def other_block_names(self) -> Iterable[Pair]:
        """Pairs of torchvision's names and ours of the blocks and the last 1x1 convolution."""
        for index, (_, ours, parts) in enumerate(self.block_names):
            theirs = f"features.{index + 1}.conv"
            *wide, narrow = [position for part, position in parts.items() if not part.startswith("bn")]
            for layer, position in enumerate(wide):
                yield f"{theirs}.{layer}.0.*", f"{ours}.layers.{position}.*"
                yield f"{theirs}.{layer}.1.*", f"{ours}.layers.{position + 1}.*"
            yield f"{theirs}.{len(wide)}.*", f"{ours}.layers.{narrow}.*"
            yield f"{theirs}.{len(wide) + 1}.*", f"{ours}.layers.{narrow + 1}.*"
        yield from self.torchvision_last_names()


# timm's networks that it has no weights for, and torchvision's; others are found by timm's weights.
register_renamed({"mobilenetv2_035": "mobilenet_v2_035_224", "mobilenetv2_075": "mobilenet_v2_075"})
register_renamed({"mobilenet_v2": "mobilenet_v2_100"})

variant = Family(MobileNetV2, WEIGHTS).variant  # tables 2 and 4; width and size are in the name
mobilenet_v2_140 = variant("mobilenet_v2_140", alpha=1.4)
mobilenet_v2_130_224 = variant("mobilenet_v2_130_224", alpha=1.3)
mobilenet_v2_100 = variant("mobilenet_v2_100", alpha=1.0)
mobilenet_v2_100_192 = variant("mobilenet_v2_100_192", alpha=1.0)
mobilenet_v2_100_160 = variant("mobilenet_v2_100_160", alpha=1.0)
mobilenet_v2_100_128 = variant("mobilenet_v2_100_128", alpha=1.0)
mobilenet_v2_100_96 = variant("mobilenet_v2_100_96", alpha=1.0)
mobilenet_v2_075 = variant("mobilenet_v2_075", alpha=0.75)
mobilenet_v2_075_192 = variant("mobilenet_v2_075_192", alpha=0.75)
mobilenet_v2_075_160 = variant("mobilenet_v2_075_160", alpha=0.75)
mobilenet_v2_075_128 = variant("mobilenet_v2_075_128", alpha=0.75)
mobilenet_v2_075_96 = variant("mobilenet_v2_075_96", alpha=0.75)
mobilenet_v2_050_224 = variant("mobilenet_v2_050_224", alpha=0.5)
mobilenet_v2_050_192 = variant("mobilenet_v2_050_192", alpha=0.5)
mobilenet_v2_050_160 = variant("mobilenet_v2_050_160", alpha=0.5)
mobilenet_v2_050_128 = variant("mobilenet_v2_050_128", alpha=0.5)
mobilenet_v2_050_96 = variant("mobilenet_v2_050_96", alpha=0.5)
mobilenet_v2_035_224 = variant("mobilenet_v2_035_224", alpha=0.35)
mobilenet_v2_035_192 = variant("mobilenet_v2_035_192", alpha=0.35)
mobilenet_v2_035_160 = variant("mobilenet_v2_035_160", alpha=0.35)
mobilenet_v2_035_128 = variant("mobilenet_v2_035_128", alpha=0.35)
mobilenet_v2_035_96 = variant("mobilenet_v2_035_96", alpha=0.35)
