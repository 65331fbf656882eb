"""SK-ResNet and SK-ResNeXt: Selective Kernel Networks, arXiv:1903.06586.

Reference implementations: MindCV (parameter names) and timm, whose split of the input MindCV follows. MindCV's
bottlenecks have no ReLU behind their first convolution and its `skresnext50_32x4d` has no groups, see `conv1_act` and
`groups`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable

from ._family import Family
from .layers import DropPath, SelectiveKernel, batch_norm2d, conv2d
from .published.sknet import WEIGHTS
from .resnet import MakeNorm, ResNet, shortcut

__all__ = ["SKNet", "skresnet18", "skresnet34", "skresnet50", "skresnext50_32x4d"]


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
        self.conv1 = SelectiveKernel(in_channels, channels, stride=stride, norm=norm, **sk_kwargs)
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
        self.conv2 = SelectiveKernel(width, width, stride=stride, groups=groups, norm=norm, **sk_kwargs)
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
