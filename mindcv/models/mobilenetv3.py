"""MobileNetV3: Searching for MobileNetV3, arXiv:1905.02244.

Reference implementations: MindCV (parameter names; its networks of width 0.75 round other numbers than timm's, which
are other networks therefore), timm and torchvision (see `norm_eps` and `conv_pad`).
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from mindspore import nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._mobile import TIMM_STEM, TORCHVISION_STEM, MobileNetwork, Pair
from .layers import (
    InvertedResidual,
    SqueezeExcite,
    activation,
    batch_norm2d,
    classifier_head,
    conv2d,
    dense,
    drop_path_rates,
    make_divisible,
)
from .layers.weight_init import Normal
from .published.mobilenetv3 import WEIGHTS

__all__ = [
    "MobileNetV3",
    "mobilenet_v3_large_075",
    "mobilenet_v3_large_100",
    "mobilenet_v3_small_075",
    "mobilenet_v3_small_100",
]

# Tables 1 and 2: side of the kernel, channels inside, channels out, squeeze-and-excitation, activation, stride. A line
# is what timm calls a stage.
_BLOCKS = {
    "large": (
        ((3, 16, 16, False, "relu", 1),),
        ((3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1)),
        ((5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1)),
        (
            (3, 240, 80, False, "hard_swish", 2),
            (3, 200, 80, False, "hard_swish", 1),
            (3, 184, 80, False, "hard_swish", 1),
            (3, 184, 80, False, "hard_swish", 1),
        ),
        ((3, 480, 112, True, "hard_swish", 1), (3, 672, 112, True, "hard_swish", 1)),
        (
            (5, 672, 160, True, "hard_swish", 2),
            (5, 960, 160, True, "hard_swish", 1),
            (5, 960, 160, True, "hard_swish", 1),
        ),
    ),
    "small": (
        ((3, 16, 16, True, "relu", 2),),
        ((3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1)),
        (
            (5, 96, 40, True, "hard_swish", 2),
            (5, 240, 40, True, "hard_swish", 1),
            (5, 240, 40, True, "hard_swish", 1),
        ),
        ((5, 120, 48, True, "hard_swish", 1), (5, 144, 48, True, "hard_swish", 1)),
        (
            (5, 288, 96, True, "hard_swish", 2),
            (5, 576, 96, True, "hard_swish", 1),
            (5, 576, 96, True, "hard_swish", 1),
        ),
    ),
}
_HIDDEN = {"large": 1280, "small": 1024}
_SMALL_NORMAL = Normal(sigma=0.01)


def _squeeze_excite(channels: int) -> SqueezeExcite:
    return SqueezeExcite(channels, rd_channels=make_divisible(channels / 4, 8), gate_layer="hard_sigmoid")


class MobileNetV3(MobileNetwork):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        arch: "large" or "small".
        alpha: Width: all numbers of channels are multiplied with it.
        round_nearest: Numbers of channels are multiples of this.
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the last layer out.
        drop_rate: Dropout before the last layer.
        drop_path_rate: Stochastic depth of the last block; the first has 0, in between it grows linearly.
        norm_eps: What norms add to the variance: 1e-5 (MindCV's and timm's weights) or 1e-3 (torchvision's).
        conv_pad: How depthwise convolutions are padded: "same" (MindCV's weights), which is one pixel less at the top
            and left where the stride is 2, or "both" sides alike (timm's and torchvision's).

    Raises:
        ValueError: Another `arch` or `conv_pad`, or a rate or a number of classes that cannot be.
    """

    reads_image, gives_logits = ("features.0",), ("classifier.3",)
    timm_names = (*TIMM_STEM, ("conv_head.*", "classifier.0.*"), ("classifier.*", "classifier.3.*"))
    timm_last = ("blocks.{stages}.0.conv", "blocks.{stages}.0.bn1")
    other_names = TORCHVISION_STEM
    torch_names = NameTable(*timm_names, *other_names)
    torch_arguments = {"conv_pad": "both"}
    file_arguments = ("norm_eps", "conv_pad")

    def __init__(
        self,
        arch: str,
        alpha: float = 1.0,
        round_nearest: int = 8,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        drop_rate: float = 0.2,
        drop_path_rate: float = 0.0,
        norm_eps: float = 1e-5,
        conv_pad: str = "same",
    ) -> None:
        super().__init__()
        if arch not in _BLOCKS:
            raise ValueError(f"arch is {arch!r}; give 'large' or 'small'")
        self.norm_eps, self.conv_pad = norm_eps, conv_pad
        norm = partial(batch_norm2d, eps=norm_eps)

        def scaled(channels: int) -> int:
            return make_divisible(alpha * channels, round_nearest)

        channels = scaled(16)
        stem = [conv2d(in_channels, channels, 3, 2, 1), norm(channels), activation("hard_swish")]
        stages: list[list[nn.Cell]] = []
        rates = drop_path_rates(drop_path_rate, [len(stage) for stage in _BLOCKS[arch]])
        for settings, stage_rates in zip(_BLOCKS[arch], rates, strict=True):
            stages.append([])
            for (kernel_size, mid_channels, out_channels, has_gate, act, stride), rate in zip(
                settings, stage_rates, strict=True
            ):
                gate = _squeeze_excite if has_gate else None
                widths = channels, scaled(mid_channels), scaled(out_channels)
                stages[-1].append(InvertedResidual(*widths, kernel_size, stride, act, norm, gate, conv_pad, rate))
                channels = scaled(out_channels)
        last = [conv2d(channels, 6 * channels, 1), norm(6 * channels), activation("hard_swish")]
        blocks, maps, tail = self.add_features(stem, stages, last)
        hidden = scaled(_HIDDEN[arch])
        self.add_head(
            6 * channels,
            num_classes,
            drop_rate,
            make=partial(classifier_head, weight_init=_SMALL_NORMAL),
            hidden=[dense(6 * channels, hidden, weight_init=_SMALL_NORMAL), activation("hard_swish")],
            hidden_size=hidden,
        )
        self.describe(blocks, maps, (*tail, "classifier.0"))

    @classmethod
    def file_tells(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns what a file tells; torchvision's has norms with another epsilon than timm's."""
        told = super().file_tells(arrays)
        return {"norm_eps": 1e-3, **told} if "features.0.0.weight" in arrays else told

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of timm's or torchvision's names by the paths of our cells."""
        renamed = super().from_torch(arrays)
        return {name: a.reshape(a.shape[:2]) if name == "classifier.0.weight" else a for name, a in renamed.items()}

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under timm's names, whose head begins with a 1x1 convolution."""
        shaped = {name: a[:, :, None, None] if name == "classifier.0.weight" else a for name, a in arrays.items()}
        return super().to_torch(shaped)

    def other_block_names(self) -> Iterable[Pair]:
        """Pairs of torchvision's names and ours of the blocks and the last 1x1 convolution."""
        return self.torchvision_block_names()


variant = Family(MobileNetV3, WEIGHTS).variant  # tables 1 and 2
mobilenet_v3_small_100 = variant("mobilenet_v3_small_100", arch="small")
mobilenet_v3_large_100 = variant("mobilenet_v3_large_100", arch="large")
mobilenet_v3_small_075 = variant("mobilenet_v3_small_075", arch="small", alpha=0.75)
mobilenet_v3_large_075 = variant("mobilenet_v3_large_075", arch="large", alpha=0.75)
