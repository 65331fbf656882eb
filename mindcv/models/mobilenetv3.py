"""MobileNetV3: Searching for MobileNetV3, arXiv:1905.02244.

Reference implementations: MindCV (parameter names; its networks of width 0.75 round other numbers than timm's, which
are other networks therefore), timm and torchvision (see `norm_eps` and `conv_pad`).
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from mindspore import Tensor, nn
from mindspore.common.initializer import Normal

from mindcv.weights.naming import NameTable, from_torch, to_torch

from ._family import Family
from ._network import ImageClassifier, Map
from .layers import (
    InvertedResidual,
    SqueezeExcite,
    activation,
    batch_norm2d,
    classifier_head,
    conv2d,
    dense,
    make_divisible,
)
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
# timm's and torchvision's names of the cells that every one of these networks has.
_TIMM = (
    ("conv_stem.*", "features.0.*"),
    ("bn1.*", "features.1.*"),
    ("conv_head.*", "classifier.0.*"),
    ("classifier.*", "classifier.3.*"),
)
_TORCHVISION = (("features.0.0.*", "features.0.*"), ("features.0.1.*", "features.1.*"))


def _squeeze_excite(channels: int) -> SqueezeExcite:
    return SqueezeExcite(channels, make_divisible(channels / 4, 8), gate="hard_sigmoid")


class MobileNetV3(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        arch: "large" or "small".
        alpha: Width: all numbers of channels are multiplied with it.
        round_nearest: Numbers of channels are multiples of this.
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the last layer out.
        drop_rate: Dropout before the last layer.
        norm_eps: What norms add to the variance: 1e-5 (MindCV's and timm's weights) or 1e-3 (torchvision's).
        conv_pad: How depthwise convolutions are padded: "same" (MindCV's weights), which is one pixel less at the top
            and left where the stride is 2, or "both" sides alike (timm's and torchvision's).

    Raises:
        ValueError: Another `arch` or `conv_pad`, or a rate or a number of classes that cannot be.
    """

    reads_image, gives_logits = ("features.0",), ("classifier.3",)
    torch_names = NameTable(*_TIMM, *_TORCHVISION)
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

        channels, reduction = scaled(16), 2
        cells = [conv2d(in_channels, channels, 3, 2, 1), norm(channels), nn.HSwish()]
        maps: list[Map] = [(("features.0", "features.1", "features.2"), channels, reduction)]
        self.depths = [len(stage) for stage in _BLOCKS[arch]]
        for kernel_size, mid_channels, out_channels, has_gate, act, stride in sum(_BLOCKS[arch], ()):
            gate = _squeeze_excite if has_gate else None
            widths = channels, scaled(mid_channels), scaled(out_channels)
            cells.append(InvertedResidual(*widths, kernel_size, stride, act, norm, gate, conv_pad))
            channels, reduction = scaled(out_channels), reduction * stride
            maps.append((f"features.{len(cells) - 1}", channels, reduction))
        last = tuple(f"features.{len(cells) + index}" for index in range(3))
        cells += [conv2d(channels, 6 * channels, 1), norm(6 * channels), nn.HSwish()]
        maps.append((last, 6 * channels, reduction))
        self.features = nn.SequentialCell(cells)
        hidden = scaled(_HIDDEN[arch])
        self.add_head(
            6 * channels,
            num_classes,
            drop_rate,
            make=partial(classifier_head, weight_init=_SMALL_NORMAL),
            hidden=[dense(6 * channels, hidden, weight_init=_SMALL_NORMAL), activation("hard_swish")],
            hidden_size=hidden,
        )
        self.describe(cells[3:-3], maps, tail=(*last, "classifier.0"))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the stem, of each block, and of the last 1x1 convolution."""
        maps = []
        last = len(self.features) - 1
        for index in range(last + 1):
            x = self.features[index](x)
            if 2 <= index < last - 2 or index == last:
                maps.append(x)
        return tuple(maps)

    @classmethod
    def file_tells(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns what a file tells; torchvision's has norms with another epsilon than timm's."""
        told = super().file_tells(arrays)
        return {"norm_eps": 1e-3, **told} if "features.0.0.weight" in arrays else told

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of timm's or torchvision's names by the paths of our cells."""
        renamed = from_torch(self._names().to_ours(arrays))
        return {name: a.reshape(a.shape[:2]) if name == "classifier.0.weight" else a for name, a in renamed.items()}

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under timm's names, whose head begins with a 1x1 convolution."""
        shaped = {name: a[:, :, None, None] if name == "classifier.0.weight" else a for name, a in arrays.items()}
        return to_torch(self._names().to_theirs(shaped))

    def _names(self) -> NameTable:
        return NameTable(*_TIMM, *self._block_names(), *_TORCHVISION)

    def _block_names(self) -> Iterator[tuple[str, str]]:
        """Pairs of timm's names, then of torchvision's, with ours, of the blocks and the last 1x1 convolution."""
        blocks = list(self.features)[3:-3]
        last = f"features.{len(blocks) + 3}", f"features.{len(blocks) + 4}"
        places = [(stage, block) for stage, depth in enumerate(self.depths) for block in range(depth)]
        for index, (block, (stage, place)) in enumerate(zip(blocks, places, strict=True)):
            for part, position in block.parts.items():
                yield f"blocks.{stage}.{place}.{part}.**", f"features.{index + 3}.layers.{position}.**"
        yield f"blocks.{len(self.depths)}.0.conv.*", f"{last[0]}.*"
        yield f"blocks.{len(self.depths)}.0.bn1.*", f"{last[1]}.*"
        for index, block in enumerate(blocks):
            theirs, ours = f"features.{index + 1}.block", f"features.{index + 3}.layers"
            convs = [position for part, position in block.parts.items() if not part.startswith("bn")]
            for place, position in enumerate(convs):
                if position == block.parts.get("se"):
                    yield f"{theirs}.{place}.fc1.*", f"{ours}.{position}.conv_reduce.*"
                    yield f"{theirs}.{place}.fc2.*", f"{ours}.{position}.conv_expand.*"
                else:
                    yield f"{theirs}.{place}.0.*", f"{ours}.{position}.*"
                    yield f"{theirs}.{place}.1.*", f"{ours}.{position + 1}.*"
        yield f"features.{len(blocks) + 1}.0.*", f"{last[0]}.*"
        yield f"features.{len(blocks) + 1}.1.*", f"{last[1]}.*"


variant = Family(MobileNetV3, WEIGHTS).variant  # tables 1 and 2
mobilenet_v3_small_100 = variant("mobilenet_v3_small_100", arch="small")
mobilenet_v3_large_100 = variant("mobilenet_v3_large_100", arch="large")
mobilenet_v3_small_075 = variant("mobilenet_v3_small_075", arch="small", alpha=0.75)
mobilenet_v3_large_075 = variant("mobilenet_v3_large_075", arch="large", alpha=0.75)
