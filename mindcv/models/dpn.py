"""DPN: Dual Path Networks, arXiv:1707.01629.

Reference implementations: MindCV (parameter names, "same" padding of the stem's pool) and timm, which pads on all
sides and has the two paths' convolutions in one.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable, from_torch, to_torch

from ._family import Family
from ._network import ImageClassifier, Map
from .layers import FAN_IN_UNIFORM, MapSequence, StemMaxPool, batch_norm2d, classifier_head, conv2d
from .published.dpn import WEIGHTS

__all__ = ["DPN", "dpn92", "dpn98", "dpn107", "dpn131"]

_norm = partial(batch_norm2d, eps=1e-3)


class BottleBlock(nn.Cell):
    """1x1, grouped 3x3 and two 1x1 convolutions, a norm and a ReLU before each.

    (N, in_channels, H, W) to the residual part (N, channels, h, w) and the dense part (N, inc, h, w).

    Args:
        in_channels: Channels of the input.
        width: Channels of the 3x3 convolution.
        channels: Channels of the residual part.
        inc: Channels of the dense part.
        groups: Groups of the 3x3 convolution.
        stride: Its stride.
    """

    def __init__(self, in_channels: int, width: int, channels: int, inc: int, groups: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = _norm(in_channels), conv2d(in_channels, width, 1)
        self.bn2, self.conv2 = _norm(width), conv2d(width, width, 3, stride, 1, groups)
        self.bn3, self.conv3_r, self.conv3_d = _norm(width), conv2d(width, channels, 1), conv2d(width, inc, 1)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv1(self.relu(self.bn1(x)))
        x = self.conv2(self.relu(self.bn2(x)))
        x = self.relu(self.bn3(x))
        return self.conv3_r(x), self.conv3_d(x)


class DualPathBlock(nn.Cell):
    """Adds to the first `channels` of its input and appends to the others (figure 2): (N, C, H, W) to (N, C', h, w).

    Arguments are those of `BottleBlock`, and:

    Args:
        is_first: Whether it is the first of a stage, where convolutions bring the input to the stage's channels.
    """

    def __init__(
        self, in_channels: int, width: int, channels: int, inc: int, groups: int, stride: int, is_first: bool
    ) -> None:
        super().__init__()
        self.channels, self.is_first = channels, is_first
        if is_first:
            self.c1x1_w_bn, self.c1x1_w_relu = _norm(in_channels), nn.ReLU()
            self.c1x1_w_r = conv2d(in_channels, channels, 1, stride)
            self.c1x1_w_d = conv2d(in_channels, 2 * inc, 1, stride)
        self.layers = BottleBlock(in_channels, width, channels, inc, groups, stride)

    def construct(self, x: Tensor) -> Tensor:
        if self.is_first:
            out = self.c1x1_w_relu(self.c1x1_w_bn(x))
            residual, dense = self.c1x1_w_r(out), self.c1x1_w_d(out)
        else:
            residual, dense = x[:, : self.channels], x[:, self.channels :]
        more_residual, more_dense = self.layers(x)
        return ops.cat((residual + more_residual, dense, more_dense), 1)


class DPN(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        num_init_channel: Channels of the stem.
        k_r: Channels of the 3x3 convolutions of the first stage; they double at each stage.
        g: Groups of the 3x3 convolutions.
        k_sec: Number of blocks in each of the four stages.
        inc_sec: Channels that a block of each stage appends.
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the head out.
        drop_rate: Dropout before the classifier.
        stem_pool_pad: How the weights' stem pads its max pool, "same" (MindCV) or "both" (PyTorch), see `StemMaxPool`.

    Raises:
        ValueError: A rate, a number of classes, a list of stages that cannot be.
    """

    reads_image = ("features.conv1.conv",)
    torch_names = NameTable(
        ("features.conv1_1.conv.*", "features.conv1.conv.*"),
        ("features.conv1_1.bn.*", "features.conv1.norm.*"),
        ("features.conv5_bn_ac.bn.*", "conv5_x.norm.*"),
        ("features.*.c1x1_w_s1.bn.*", "features.*.c1x1_w_bn.*"),
        ("features.*.c1x1_w_s2.bn.*", "features.*.c1x1_w_bn.*"),
        ("features.*.c1x1_a.bn.*", "features.*.layers.bn1.*"),
        ("features.*.c1x1_a.conv.*", "features.*.layers.conv1.*"),
        ("features.*.c3x3_b.bn.*", "features.*.layers.bn2.*"),
        ("features.*.c3x3_b.conv.*", "features.*.layers.conv2.*"),
        ("features.*.c1x1_c.bn.*", "features.*.layers.bn3.*"),
    )
    torch_arguments = {"stem_pool_pad": "both"}
    file_arguments = ("stem_pool_pad",)

    def __init__(
        self,
        num_init_channel: int = 64,
        k_r: int = 96,
        g: int = 32,
        k_sec: Sequence[int] = (3, 4, 20, 3),
        inc_sec: Sequence[int] = (16, 32, 24, 128),
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        drop_rate: float = 0.0,
        stem_pool_pad: str = "same",
    ) -> None:
        super().__init__()
        if len(k_sec) != 4 or len(inc_sec) != 4:
            raise ValueError(f"DPN has four stages; got k_sec {list(k_sec)} and inc_sec {list(inc_sec)}")
        self.stem_pool_pad = stem_pool_pad
        cells: dict[str, nn.Cell] = {
            "conv1": _Stem(in_channels, num_init_channel),
            "pool": StemMaxPool(stem_pool_pad),
        }
        inputs, blocks, ends = num_init_channel, [], ["conv1"]
        maps: list[Map] = [("features.conv1", num_init_channel, 2)]
        for stage, (depth, inc) in enumerate(zip(k_sec, inc_sec, strict=True)):
            channels, width, names = 256 * 2**stage, k_r * 2**stage, []
            for index in range(depth):
                stride = 2 if stage and not index else 1
                block = DualPathBlock(inputs, width, channels, inc, g, stride, not index)
                names.append(f"conv{stage + 2}_{index + 1}")
                cells[names[-1]] = block
                blocks.append(block)
                inputs = inputs + inc if index else channels + 3 * inc
            ends.append(names[-1])
            maps.append((tuple(f"features.{name}" for name in names), inputs, 4 * 2**stage))
        self.features = MapSequence(cells, ends)
        self.conv5_x = _NormAct(inputs)
        self.add_head(inputs, num_classes, drop_rate, make=partial(classifier_head, weight_init=FAN_IN_UNIFORM))
        self.describe(blocks, maps, tail=("conv5_x",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the stem's map and the four stages': sides of 1/2, 1/4, 1/8, 1/16 and 1/32."""
        return self.features(x)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, num_features, H / 32, W / 32)."""
        return self.conv5_x(self.features(x)[-1])

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of timm's names by the paths of our cells; its convolutions of both paths are cut in two."""
        cut: dict[str, np.ndarray] = {}
        for name, array in from_torch(self.torch_names.to_ours(arrays)).items():
            if name == "classifier.weight":
                cut[name] = array.reshape(array.shape[:2])
            elif match := _BOTH_PATHS.fullmatch(name):
                residual, dense = _CUT[match[3]]
                channels = 64 * 2 ** int(match[2])
                cut[f"{match[1]}.{residual}.weight"] = np.ascontiguousarray(array[:channels])
                cut[f"{match[1]}.{dense}.weight"] = np.ascontiguousarray(array[channels:])
            else:
                cut[name] = array
        return cut

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays by the paths of our cells under timm's names; inverts `from_torch`."""
        merged: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            if name == "classifier.weight":
                merged[name] = array[:, :, None, None]
            elif match := _OF_PATH.fullmatch(name):
                block, stage, residual = match.groups()
                theirs = "c1x1_c" if ".layers." in name else "c1x1_w_s1" if stage == "2" else "c1x1_w_s2"
                if residual:
                    other = arrays[name.replace("_r.weight", "_d.weight")]
                    merged[f"{block}.{theirs}.conv.weight"] = np.concatenate((array, other))
            else:
                merged[name] = array
        named = to_torch(self.torch_names.to_theirs(merged))
        return {_SECOND_STRIDE.sub(r"\1.c1x1_w_s2.", name): array for name, array in named.items()}


class _Stem(nn.Cell):
    """7x7 convolution, norm and ReLU: (N, in_channels, H, W) to (N, channels, H / 2, W / 2)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = conv2d(in_channels, channels, 7, 2, 3), _norm(channels)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.conv(x)))


class _NormAct(nn.Cell):
    """The norm and the ReLU in front of the head: (N, channels, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.relu = _norm(channels), nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(x))


# timm's convolutions of both paths, and what they are cut into.
_BOTH_PATHS = re.compile(r"(features\.conv(\d)_\d+)\.(c1x1_w_s1|c1x1_w_s2|c1x1_c)\.conv\.weight")
_CUT = {
    "c1x1_w_s1": ("c1x1_w_r", "c1x1_w_d"),
    "c1x1_w_s2": ("c1x1_w_r", "c1x1_w_d"),
    "c1x1_c": ("layers.conv3_r", "layers.conv3_d"),
}
_OF_PATH = re.compile(r"(features\.conv(\d)_\d+)\.(?:c1x1_w|layers\.conv3)_(?:(r)|d)\.weight")
_SECOND_STRIDE = re.compile(r"^(features\.conv[3-5]_\d+)\.c1x1_w_s1\.")

variant = Family(DPN, WEIGHTS).variant
# arXiv:1707.01629, table 1 and the authors' code
dpn92 = variant("dpn92")
dpn98 = variant("dpn98", num_init_channel=96, k_r=160, g=40, k_sec=(3, 6, 20, 3), inc_sec=(16, 32, 32, 128))
dpn131 = variant("dpn131", num_init_channel=128, k_r=160, g=40, k_sec=(4, 8, 28, 3), inc_sec=(16, 32, 32, 128))
dpn107 = variant("dpn107", num_init_channel=128, k_r=200, g=50, k_sec=(4, 8, 20, 3), inc_sec=(20, 64, 64, 128))
