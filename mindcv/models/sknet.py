"""SK-ResNet and SK-ResNeXt: Selective Kernel Networks, arXiv:1903.06586.

Reference implementations: MindCV (parameter names) and timm, whose split of the input MindCV follows. MindCV's
bottlenecks have no ReLU behind their first convolution and its `skresnext50_32x4d` has no groups, see `conv1_act` and
`groups`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from .layers import DropPath, batch_norm2d, conv2d, make_divisible
from .published.sknet import WEIGHTS
from .resnet import MakeNorm, ResNet, shortcut

__all__ = ["SKNet", "skresnet18", "skresnet34", "skresnet50", "skresnext50_32x4d"]


class Path(nn.Cell):
    """A 3x3 convolution, its norm and a ReLU: (N, in_channels, H, W) to (N, channels, h, w).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride of the convolution.
        dilation: Distance of the kernel's elements, which is the padding too.
        groups: Groups of channels.
        norm: Makes a normalisation cell for a number of channels.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, dilation: int, groups: int, norm: MakeNorm
    ) -> None:
        super().__init__()
        convolution = conv2d(in_channels, channels, 3, stride, dilation, groups, dilation=dilation)
        self.features = nn.SequentialCell(convolution, norm(channels), nn.ReLU())

    def construct(self, x: Tensor) -> Tensor:
        return self.features(x)


class SelectiveKernelAttention(nn.Cell):
    """Weights of two paths for each channel, which add up to 1: (N, channels, H, W) to (N, 2, channels, 1, 1).

    Args:
        channels: Channels of a path.
        hidden_channels: Width of the hidden layer.
        norm: Makes a normalisation cell for a number of channels.
    """

    def __init__(self, channels: int, hidden_channels: int, norm: MakeNorm) -> None:
        super().__init__()
        self.channels = channels
        self.fc_reduce, self.bn = conv2d(channels, hidden_channels, 1), norm(hidden_channels)
        self.act = nn.ReLU()
        self.fc_select = conv2d(hidden_channels, 2 * channels, 1)
        self.softmax = nn.Softmax(axis=1)

    def construct(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.fc_reduce(x.mean((2, 3), keep_dims=True))))
        return self.softmax(self.fc_select(x).reshape((-1, 2, self.channels, 1, 1)))


class SelectiveKernel(nn.Cell):
    """Two paths that see 3x3 and 5x5 pixels, mixed channel by channel (section 3.1).

    (N, in_channels, H, W) to (N, channels, h, w).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride of both paths.
        groups: Groups of both paths' convolutions.
        norm: Makes a normalisation cell for a number of channels.
        rd_ratio: Width of the attention's hidden layer over `channels`.
        rd_divisor: What that width is a multiple of.
        split_input: Whether each path sees one half of the channels (timm), in place of all of them.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        groups: int,
        norm: MakeNorm,
        rd_ratio: float = 1 / 16,
        rd_divisor: int = 8,
        split_input: bool = True,
    ) -> None:
        super().__init__()
        self.split_input = split_input
        self.width = in_channels // 2 if split_input else in_channels
        self.paths = nn.CellList([Path(self.width, channels, stride, dilation, groups, norm) for dilation in (1, 2)])
        self.attn = SelectiveKernelAttention(channels, make_divisible(channels * rd_ratio, rd_divisor), norm)

    def construct(self, x: Tensor) -> Tensor:
        first, second = ops.split(x, self.width, 1) if self.split_input else (x, x)
        first, second = self.paths[0](first), self.paths[1](second)
        weights = self.attn(first + second)
        return first * weights[:, 0] + second * weights[:, 1]


class SelectiveKernelBasic(nn.Cell):
    """A selective kernel and a 3x3 convolution beside a shortcut.

    Arguments are those of `resnet.BasicBlock`, and:

    Args:
        conv1_act: Has no meaning here.
        **sk_kwargs: Arguments of `SelectiveKernel`.

    Raises:
        ValueError: `groups` or `base_width` are not 1 and 64.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1, groups: int = 1, base_width: int = 64,
                 norm: MakeNorm | None = None, *, conv1_act: bool = False, drop_path_rate: float = 0.0,
                 **sk_kwargs: Any) -> None:  # fmt: skip
        super().__init__()
        if groups != 1 or base_width != 64:
            raise ValueError(f"SelectiveKernelBasic has groups 1 and base_width 64 only, got {groups} and {base_width}")
        norm = norm or batch_norm2d
        self.conv1 = SelectiveKernel(in_channels, channels, stride, 1, norm, **sk_kwargs)
        self.conv2 = nn.SequentialCell(conv2d(channels, channels, 3, 1, 1), norm(channels))
        self.relu = nn.ReLU()
        self.down_sample = shortcut(in_channels, channels, stride, norm)
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        return self.relu(self.drop_path(self.conv2(self.conv1(x))) + self.down_sample(x))


class SelectiveKernelBottleneck(nn.Cell):
    """1x1 convolution, selective kernel and 1x1 convolution beside a shortcut.

    Arguments are those of `resnet.Bottleneck`, and:

    Args:
        conv1_act: Whether a ReLU follows the first convolution.
        **sk_kwargs: Arguments of `SelectiveKernel`.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1, groups: int = 1, base_width: int = 64,
                 norm: MakeNorm | None = None, *, conv1_act: bool = False, drop_path_rate: float = 0.0,
                 **sk_kwargs: Any) -> None:  # fmt: skip
        super().__init__()
        norm = norm or batch_norm2d
        width, out_channels = channels * base_width // 64 * groups, channels * self.expansion
        self.conv1 = nn.SequentialCell(conv2d(in_channels, width, 1), norm(width))
        self.act1 = nn.ReLU() if conv1_act else nn.Identity()
        self.conv2 = SelectiveKernel(width, width, stride, groups, norm, **sk_kwargs)
        self.conv3 = nn.SequentialCell(conv2d(width, out_channels, 1), norm(out_channels))
        self.relu = nn.ReLU()
        self.down_sample = shortcut(in_channels, out_channels, stride, norm)
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.conv3(self.conv2(self.act1(self.conv1(x))))
        return self.relu(self.drop_path(out) + self.down_sample(x))


class SKNet(ResNet):
    """Residual network with selective kernels: (N, in_channels, H, W) to (N, num_classes), H and W at least 32.

    Arguments are those of `ResNet`, and:

    Args:
        sk_kwargs: Arguments of `SelectiveKernel`: `rd_ratio`, `rd_divisor`, `split_input`.
        conv1_act: Whether a ReLU follows the bottlenecks' first convolution: not in MindCV, but in timm.
    """

    torch_names = NameTable(
        ("fc.*", "classifier.*"),
        ("**.downsample.**", "**.down_sample.**"),
        ("**.paths.*.conv.*", "**.paths.*.features.0.*"),
        ("**.paths.*.bn.*", "**.paths.*.features.1.*"),
        ("**.attn.**", "**.attn.**"),
        ("layer*.*.*.conv.*", "layer*.*.*.0.*"),
        ("layer*.*.*.bn.*", "layer*.*.*.1.*"),
    )
    torch_arguments = {"stem_pool_pad": "both", "conv1_act": True}
    file_arguments = ("stem_pool_pad", "conv1_act", "groups", "base_width")

    def __init__(
        self,
        block: type[SelectiveKernelBasic] | type[SelectiveKernelBottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        groups: int = 1,
        base_width: int = 64,
        norm: MakeNorm | None = None,
        sk_kwargs: Mapping[str, Any] | None = None,
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        stem_pool_pad: str = "same",
        conv1_act: bool = False,
    ) -> None:
        make_block: Any = partial(block, conv1_act=conv1_act, **(sk_kwargs or {}))
        make_block.expansion = block.expansion
        super().__init__(
            *(make_block, layers, num_classes, in_channels, groups, base_width, norm),
            channels=channels,
            drop_rate=drop_rate,
            drop_path_rate=drop_path_rate,
            stem_pool_pad=stem_pool_pad,
        )
        self.conv1_act, self.groups, self.base_width = conv1_act, groups, base_width

    @classmethod
    def file_tells(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns what a file tells of its network: paths of few channels are those of groups (timm's SK-ResNeXt)."""
        told = super().file_tells(arrays)
        ours = cls.torch_names.to_ours(arrays) if cls.is_torch_file(arrays) else arrays
        cells = ("conv2.paths.0.features.0", "conv3.0")
        path, last = (ours.get(f"layer1.0.{cell}.weight") for cell in cells)
        if path is not None and last is not None and path.ndim == last.ndim == 4:
            (width, group), channels = path.shape[:2], last.shape[0] // SelectiveKernelBottleneck.expansion
            if width > 2 * group:  # twice where each path sees one half
                told.update(groups=width // group, base_width=group * 64 // channels)
        return told


variant = Family(SKNet, WEIGHTS).variant
# arXiv:1903.06586 has bottlenecks only; these are timm's, with the depths of ResNet
_BASIC = {"rd_ratio": 1 / 8, "rd_divisor": 16}
skresnet18 = variant("skresnet18", block=SelectiveKernelBasic, layers=(2, 2, 2, 2), sk_kwargs=_BASIC)
skresnet34 = variant("skresnet34", block=SelectiveKernelBasic, layers=(3, 4, 6, 3), sk_kwargs=_BASIC)
skresnet50 = variant("skresnet50", block=SelectiveKernelBottleneck, layers=(3, 4, 6, 3))
_NEXT = {"rd_divisor": 32, "split_input": False}
skresnext50_32x4d = variant("skresnext50_32x4d", block=SelectiveKernelBottleneck, layers=(3, 4, 6, 3), sk_kwargs=_NEXT)
