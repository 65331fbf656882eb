"""MnasNet: Platform-Aware Neural Architecture Search for Mobile, arXiv:1807.11626.

Reference implementations: MindCV (parameter names), timm and torchvision, whose norms have another
epsilon (`norm_eps`).
"""

from collections.abc import Iterable
from functools import partial

from mindspore import nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._mobile import MobileNetwork, Pair
from .layers import (
    InvertedResidual,
    activation,
    batch_norm2d,
    classifier_head,
    conv2d,
    drop_path_rates,
    make_divisible,
)
from .layers.weight_init import HeUniform
from .published.mnasnet import WEIGHTS

__all__ = ["Mnasnet", "mnasnet_050", "mnasnet_075", "mnasnet_100", "mnasnet_130", "mnasnet_140"]

# Figure 7 of version 1 (b1 of timm), a line a stage: expansion, channels out, blocks, stride of the first, kernel.
_STAGES = (
    (1, 16, 1, 1, 3),
    (3, 24, 3, 2, 3),
    (3, 40, 3, 2, 5),
    (6, 80, 3, 2, 5),
    (6, 96, 2, 1, 3),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
# MindCV has the five cells of the first block in the list where all others have one.
_GAP = 4


class Mnasnet(MobileNetwork):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        alpha: Width: all numbers of channels but the last are multiplied with it.
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the classifier out.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0, in between it grows linearly.
        norm_eps: What norms add to the variance: 1e-3 (MindCV's weights) or 1e-5 (timm's and torchvision's).

    Raises:
        ValueError: A rate or a number of classes that cannot be.
    """

    reads_image = ("features.0",)
    mindcv_names = NameTable(*((f"features.{3 + cell}.*", f"features.3.layers.{cell}.*") for cell in range(_GAP + 1)))
    other_names = (("layers.0.*", "features.0.*"), ("layers.1.*", "features.1.*"), ("classifier.1.*", "classifier.*"))
    torch_names = NameTable(*MobileNetwork.timm_names, *other_names)
    torch_arguments = {"norm_eps": 1e-5}
    file_arguments = ("norm_eps",)

    def __init__(
        self,
        alpha: float,
        in_channels: int = 3,
        num_classes: int = 1000,
        drop_rate: float = 0.2,
        *,
        drop_path_rate: float = 0.0,
        norm_eps: float = 1e-3,
    ) -> None:
        super().__init__()
        self.norm_eps = norm_eps
        norm = partial(batch_norm2d, eps=norm_eps, momentum=0.99)
        channels = make_divisible(32 * alpha, 8)
        stem = [conv2d(in_channels, channels, 3, 2, 1), norm(channels), activation("relu")]
        stages: list[list[nn.Cell]] = []
        all_rates = drop_path_rates(drop_path_rate, [depth for _, _, depth, _, _ in _STAGES])
        for (expansion, width, _, first_stride, kernel_size), rates in zip(_STAGES, all_rates, strict=True):
            out_channels = make_divisible(width * alpha, 8)
            stages.append([])
            for index, rate in enumerate(rates):
                widths = channels, channels * expansion, out_channels
                stride = 1 if index else first_stride
                block = InvertedResidual(*widths, kernel_size, stride, "relu", norm, drop_path_rate=rate)
                stages[-1].append(block)
                channels = out_channels
        last = [conv2d(channels, 1280, 1), norm(1280), activation("relu")]
        described = self.add_features(stem, stages, last, gap=_GAP)
        make = partial(classifier_head, weight_init=HeUniform(mode="fan_out", nonlinearity="sigmoid"))
        self.add_head(1280, num_classes, drop_rate, make=make)
        self.describe(*described)

    def other_block_names(self) -> Iterable[Pair]:
        """Pairs of torchvision's names and ours of the blocks and the last 1x1 convolution."""
        (_, first, parts), *blocks = self.block_names
        for position in parts.values():
            yield f"layers.{3 + position}.*", f"{first}.layers.{position}.*"
        for timm, ours, _ in blocks:
            _, stage, block = timm.split(".")
            yield f"layers.{7 + int(stage)}.{block}.**", f"{ours}.**"
        for layer, cell in enumerate(self.tail[:2]):
            yield f"layers.{7 + self.stages + layer}.*", f"{cell}.*"


variant = Family(Mnasnet, WEIGHTS).variant  # the width is in the name
mnasnet_050 = variant("mnasnet_050", alpha=0.5)
mnasnet_075 = variant("mnasnet_075", alpha=0.75)
mnasnet_100 = variant("mnasnet_100", alpha=1.0)
mnasnet_130 = variant("mnasnet_130", alpha=1.3)
mnasnet_140 = variant("mnasnet_140", alpha=1.4)
