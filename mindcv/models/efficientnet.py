"""EfficientNet (arXiv:1905.11946), EfficientNetV2 (arXiv:2104.00298) and EfficientNet-Lite (no paper; Google, 2020).

Reference implementations: MindCV (parameter names; it pads as TensorFlow does, and adds 1e-5 to variances up to B4 and
in V2), timm (`efficientnet_*` pad all sides alike, `tf_efficientnet_*` as TensorFlow does and with 1e-3), torchvision,
and the package efficientnet_pytorch, which is as timm's `tf_*`; see `conv_pad` and `norm_eps`.

Of the Lite models MindCV has none: ours are as TensorFlow's, which timm has as `tf_efficientnet_lite*`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from mindspore import nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._mobile import TIMM_STEM, TORCHVISION_STEM, MobileNetwork, Pair
from ._registry import register_renamed
from .layers import (
    FusedInvertedResidual,
    InvertedResidual,
    SqueezeExcite,
    activation,
    batch_norm2d,
    check_rate,
    classifier_head,
    conv2d,
    conv_padding,
    drop_path_rates,
    make_divisible,
)
from .layers.weight_init import Uniform
from .published.efficientnet import LITE_WEIGHTS, WEIGHTS

__all__ = [
    "EfficientNet",
    "EfficientNetLite",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_lite3",
    "efficientnet_lite4",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "efficientnet_v2_xl",
]

# A line a stage: kind of block (its convolution is fused or depthwise), expansion, kernel, stride of the first block,
# channels out, blocks. arXiv:1905.11946, table 1; arXiv:2104.00298, table 4; m, l and xl: Google's code.
_STAGES = {
    "b": (
        ("depthwise", 1, 3, 1, 16, 1),
        ("depthwise", 6, 3, 2, 24, 2),
        ("depthwise", 6, 5, 2, 40, 2),
        ("depthwise", 6, 3, 2, 80, 3),
        ("depthwise", 6, 5, 1, 112, 3),
        ("depthwise", 6, 5, 2, 192, 4),
        ("depthwise", 6, 3, 1, 320, 1),
    ),
    "v2_s": (
        ("fused", 1, 3, 1, 24, 2),
        ("fused", 4, 3, 2, 48, 4),
        ("fused", 4, 3, 2, 64, 4),
        ("depthwise", 4, 3, 2, 128, 6),
        ("depthwise", 6, 3, 1, 160, 9),
        ("depthwise", 6, 3, 2, 256, 15),
    ),
    "v2_m": (
        ("fused", 1, 3, 1, 24, 3),
        ("fused", 4, 3, 2, 48, 5),
        ("fused", 4, 3, 2, 80, 5),
        ("depthwise", 4, 3, 2, 160, 7),
        ("depthwise", 6, 3, 1, 176, 14),
        ("depthwise", 6, 3, 2, 304, 18),
        ("depthwise", 6, 3, 1, 512, 5),
    ),
    "v2_l": (
        ("fused", 1, 3, 1, 32, 4),
        ("fused", 4, 3, 2, 64, 7),
        ("fused", 4, 3, 2, 96, 7),
        ("depthwise", 4, 3, 2, 192, 10),
        ("depthwise", 6, 3, 1, 224, 19),
        ("depthwise", 6, 3, 2, 384, 25),
        ("depthwise", 6, 3, 1, 640, 7),
    ),
    "v2_xl": (
        ("fused", 1, 3, 1, 32, 4),
        ("fused", 4, 3, 2, 64, 8),
        ("fused", 4, 3, 2, 96, 8),
        ("depthwise", 4, 3, 2, 192, 16),
        ("depthwise", 6, 3, 1, 256, 24),
        ("depthwise", 6, 3, 2, 512, 32),
        ("depthwise", 6, 3, 1, 640, 8),
    ),
}
_STEM_CHANNELS = {"b": 32, "v2_s": 24, "v2_m": 24, "v2_l": 32, "v2_xl": 32}
_PACKAGE_STEM = "_conv_stem.weight"
# Names of the package efficientnet_pytorch, by timm's, of blocks with and without a first 1x1 convolution.
_PACKAGE_WIDENING = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
_PACKAGE_PLAIN = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_TENSORFLOW = {"conv_pad": "same", "norm_eps": 1e-3}
_TIMM = {"conv_pad": "both", "norm_eps": 1e-5}


def _make_head(num_features: int, num_classes: int) -> nn.Cell:
    return classifier_head(num_features, num_classes, weight_init=Uniform(1 / math.sqrt(max(num_classes, 1))))


class EfficientNet(MobileNetwork):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        arch: "b", "v2_s", "v2_m", "v2_l" or "v2_xl".
        width_mult: All numbers of channels are multiplied with it; those of stem and last 1x1 convolution not in V2 and
            Lite.
        depth_mult: All numbers of blocks are multiplied with it; those of the first and last stage not in Lite.
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the classifier out.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth; it grows linearly with the index of the block, from 0 at the first.
        norm_eps: What norms add to the variance: 1e-5, or 1e-3 (TensorFlow's; MindCV's from B5 on).
        norm_momentum: What the norms' running statistics keep at a step.
        conv_pad: How convolutions are padded: "same" as TensorFlow and MindCV do, which is one pixel less at the top
            and left where the stride is 2, or "both" sides alike (timm but for its `tf_*`, torchvision).

    Raises:
        ValueError: Another `arch` or `conv_pad`, or a rate or a number of classes that cannot be.
    """

    reads_image, gives_logits = ("features.0",), ("mlp_head",)
    mindcv_names = NameTable(("features.*.*.block.**", "features.*.*.layers.**"))
    timm_names = (*TIMM_STEM, ("classifier.*", "mlp_head.*"))
    package_names = (("_conv_stem.*", "features.0.*"), ("_bn0.*", "features.1.*"), ("_fc.*", "mlp_head.*"))
    other_names = (*TORCHVISION_STEM, ("classifier.1.*", "mlp_head.*"))
    torch_names = NameTable(*timm_names, *package_names, *other_names)
    torch_arguments = _TIMM
    file_arguments = ("norm_eps", "conv_pad")

    is_lite = False

    def __init__(
        self,
        arch: str = "b",
        width_mult: float = 1.0,
        depth_mult: float = 1.0,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        drop_rate: float = 0.2,
        drop_path_rate: float = 0.2,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.9,
        conv_pad: str = "same",
    ) -> None:
        super().__init__()
        if arch not in _STAGES:
            raise ValueError(f"arch is {arch!r}; give one of {', '.join(_STAGES)}")
        self.norm_eps, self.conv_pad = norm_eps, conv_pad
        norm = partial(batch_norm2d, eps=norm_eps, momentum=norm_momentum)
        act = "relu6" if self.is_lite else "silu"
        settings = _STAGES[arch]
        self.depths = [
            depth if self.is_lite and stage in (0, len(settings) - 1) else math.ceil(depth * depth_mult)
            for stage, (*_, depth) in enumerate(settings)
        ]
        # The rate of block i of n is i / n of the whole.
        blocks = sum(self.depths)
        rates = drop_path_rates(check_rate("drop_path_rate", drop_path_rate) * (blocks - 1) / blocks, self.depths)
        channels = _STEM_CHANNELS[arch] if self.is_lite else make_divisible(_STEM_CHANNELS[arch] * width_mult, 8)
        stem = [conv2d(in_channels, channels, 3, 2, conv_padding(3, conv_pad)), norm(channels), activation(act)]
        stages: list[list[nn.Cell]] = []
        for (block_type, expansion, kernel_size, first_stride, width, _), stage_rates in zip(
            settings, rates, strict=True
        ):
            out_channels = make_divisible(width * width_mult, 8)
            stages.append([])
            for index, rate in enumerate(stage_rates):
                widths = channels, make_divisible(channels * expansion, 8), out_channels
                shape = (*widths, kernel_size, 1 if index else first_stride)
                if block_type == "fused":
                    stages[-1].append(FusedInvertedResidual(*shape, act, norm, conv_pad, rate))
                else:
                    gate = None if self.is_lite else partial(SqueezeExcite, rd_channels=channels // 4, act_layer=act)
                    stages[-1].append(InvertedResidual(*shape, act, norm, gate, conv_pad, rate))
                channels = out_channels
        last_channels = 4 * channels if arch == "b" and not self.is_lite else 1280
        last = [conv2d(channels, last_channels, 1), norm(last_channels), activation(act)]
        described = self.add_features(stem, stages, last, nested=True)
        self.add_head(last_channels, num_classes, drop_rate, name="mlp_head", make=_make_head)
        self.describe(*described)

    @classmethod
    def file_tells(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns what a file tells: efficientnet_pytorch's are TensorFlow's networks, torchvision's nearly timm's."""
        told = super().file_tells(arrays)
        if _PACKAGE_STEM in arrays:
            told.update(_TENSORFLOW)
        elif "features.0.0.weight" in arrays:
            told.update(_TIMM, norm_eps=_torchvision_eps(arrays))
        return told

    @classmethod
    def file_may_tell(cls, arrays: Mapping[str, np.ndarray]) -> Sequence[Mapping[str, Any]]:
        """Returns what timm's names may belong to as well: TensorFlow's networks, or those that are not."""
        if "conv_stem.weight" not in arrays:
            return ()
        return [other for other in (_TIMM, _TENSORFLOW) if other != cls.torch_arguments]

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of timm's, torchvision's or efficientnet_pytorch's names by the paths of our cells."""
        if _PACKAGE_STEM in arrays:
            arrays = NameTable(*self.package_names, *self._package_block_names()).to_ours(arrays)
        return super().from_torch(arrays)

    def other_block_names(self) -> Iterable[Pair]:
        """Pairs of torchvision's names and ours of the blocks and the last 1x1 convolution."""
        return self.torchvision_block_names()

    def _package_block_names(self) -> Iterator[Pair]:
        """The package numbers the blocks through all stages."""
        blocks = [(stage, index) for stage, depth in enumerate(self.depths) for index in range(depth)]
        for block_index, (stage, index) in enumerate(blocks):
            _, ours, parts = self.block_names[stage]
            block = ours.replace("*", str(index))
            for part, theirs in (_PACKAGE_WIDENING if "conv_pwl" in parts else _PACKAGE_PLAIN).items():
                yield f"_blocks.{block_index}.{theirs}.*", f"{block}.layers.{parts[part]}.*"
            if "se" in parts:
                for layer in ("reduce", "expand"):
                    yield f"_blocks.{block_index}._se_{layer}.*", f"{block}.layers.{parts['se']}.conv_{layer}.*"
        for theirs, cell in zip(("_conv_head", "_bn1"), self.tail, strict=False):
            yield f"{theirs}.*", f"{cell}.*"


class EfficientNetLite(EfficientNet):
    """EfficientNet without squeeze-and-excitation and with ReLU6: (N, in_channels, H, W) to (N, num_classes).

    Stem, last 1x1 convolution, and numbers of blocks of the first and last stage are those of B0.

    Args:
        width_mult: See `EfficientNet`.
        depth_mult: See `EfficientNet`.
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the classifier out.
        drop_rate: Dropout before the classifier.
        drop_path_rate: See `EfficientNet`.
        norm_eps: 1e-3 (TensorFlow's weights: timm's `tf_efficientnet_lite*`, efficientnet_pytorch's), or 1e-5 (those
            that timm trained, `efficientnet_lite0`).
        conv_pad: "same" (TensorFlow's weights) or "both" (those that timm trained).

    Raises:
        ValueError: Another `conv_pad`, or a rate or a number of classes that cannot be.
    """

    torch_arguments = _TENSORFLOW
    is_lite = True

    def __init__(
        self,
        width_mult: float = 1.0,
        depth_mult: float = 1.0,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        drop_rate: float = 0.2,
        drop_path_rate: float = 0.2,
        norm_eps: float = 1e-3,
        conv_pad: str = "same",
    ) -> None:
        super().__init__(
            "b",
            width_mult,
            depth_mult,
            in_channels,
            num_classes,
            drop_rate=drop_rate,
            drop_path_rate=drop_path_rate,
            norm_eps=norm_eps,
            norm_momentum=0.99,
            conv_pad=conv_pad,
        )


def _torchvision_eps(arrays: Mapping[str, np.ndarray]) -> float:
    """torchvision's V2 (a full convolution in the first block) and B5 to B7 (2048 features and more) have 1e-3."""
    first, head = arrays.get("features.1.0.block.0.0.weight"), arrays.get("classifier.1.weight")
    is_v2 = first is not None and first.ndim == 4 and first.shape[1] > 1
    return 1e-3 if is_v2 or (head is not None and head.ndim == 2 and head.shape[1] >= 2048) else 1e-5


# timm's networks that it has no weights for; others are found by timm's weights.
register_renamed({f"efficientnetv2_{size}": f"efficientnet_v2_{size}" for size in ("s", "m", "l", "xl")})

variant = Family(EfficientNet, WEIGHTS).variant
_large = partial(variant, norm_eps=1e-3, norm_momentum=0.99)
# arXiv:1905.11946, section 4; Google's code
efficientnet_b0 = variant("efficientnet_b0", width_mult=1.0, depth_mult=1.0, drop_rate=0.2)
efficientnet_b1 = variant("efficientnet_b1", width_mult=1.0, depth_mult=1.1, drop_rate=0.2)
efficientnet_b2 = variant("efficientnet_b2", width_mult=1.1, depth_mult=1.2, drop_rate=0.3)
efficientnet_b3 = variant("efficientnet_b3", width_mult=1.2, depth_mult=1.4, drop_rate=0.3)
efficientnet_b4 = variant("efficientnet_b4", width_mult=1.4, depth_mult=1.8, drop_rate=0.4)
efficientnet_b5 = _large("efficientnet_b5", width_mult=1.6, depth_mult=2.2, drop_rate=0.4)
efficientnet_b6 = _large("efficientnet_b6", width_mult=1.8, depth_mult=2.6, drop_rate=0.5)
efficientnet_b7 = _large("efficientnet_b7", width_mult=2.0, depth_mult=3.1, drop_rate=0.5)
efficientnet_v2_s = variant("efficientnet_v2_s", arch="v2_s")
efficientnet_v2_m = variant("efficientnet_v2_m", arch="v2_m")
efficientnet_v2_l = variant("efficientnet_v2_l", arch="v2_l")
efficientnet_v2_xl = variant("efficientnet_v2_xl", arch="v2_xl")

lite = Family(EfficientNetLite, LITE_WEIGHTS).variant
efficientnet_lite0 = lite("efficientnet_lite0", width_mult=1.0, depth_mult=1.0, drop_rate=0.2)
efficientnet_lite1 = lite("efficientnet_lite1", width_mult=1.0, depth_mult=1.1, drop_rate=0.2)
efficientnet_lite2 = lite("efficientnet_lite2", width_mult=1.1, depth_mult=1.2, drop_rate=0.3)
efficientnet_lite3 = lite("efficientnet_lite3", width_mult=1.2, depth_mult=1.4, drop_rate=0.3)
efficientnet_lite4 = lite("efficientnet_lite4", width_mult=1.4, depth_mult=1.8, drop_rate=0.3)
