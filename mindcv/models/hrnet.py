"""HRNet: Deep High-Resolution Representation Learning for Visual Recognition, arXiv:1908.07919.

Reference implementations: MindCV (parameter names) and timm. MindCV rounds to float16 what it enlarges in an exchange
of branches; timm does not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier, Map
from .layers import batch_norm2d, conv2d, resize_nearest
from .published.hrnet import WEIGHTS
from .resnet import BasicBlock, Bottleneck

__all__ = ["HRNet", "hrnet_w32", "hrnet_w48"]

_BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"BASIC": BasicBlock, "BOTTLENECK": Bottleneck}
_HEAD_CHANNELS = (32, 64, 128, 256)


def _conv_norm_relu(in_channels: int, channels: int, kernel_size: int = 3, stride: int = 1) -> nn.SequentialCell:
    conv = conv2d(in_channels, channels, kernel_size, stride, kernel_size // 2)
    return nn.SequentialCell([conv, batch_norm2d(channels), nn.ReLU()])


def _layer(
    block: type[BasicBlock] | type[Bottleneck], in_channels: int, channels: int, depth: int
) -> nn.SequentialCell:
    """Blocks one behind another, of stride 1."""
    inputs = [in_channels] + [channels * block.expansion] * (depth - 1)
    return nn.SequentialCell([block(width, channels) for width in inputs])


def _transition(in_channels: Sequence[int], channels: Sequence[int]) -> nn.CellList:
    """Cells between two stages: they bring branches to the next stage's channels, and make more of the last branch.

    Args:
        in_channels: Channels of each branch.
        channels: Channels of each branch of the next stage; a new branch has half the side of the one before.
    """
    cells: list[nn.Cell] = []
    for index, width in enumerate(channels):
        if index >= len(in_channels):
            new = index + 1 - len(in_channels)
            widths = [in_channels[-1]] * new + [width]
            cells.append(nn.SequentialCell([_conv_norm_relu(widths[i], widths[i + 1], stride=2) for i in range(new)]))
        elif in_channels[index] != width:
            cells.append(_conv_norm_relu(in_channels[index], width))
        else:
            cells.append(nn.Identity())
    return nn.CellList(cells)


class HRModule(nn.Cell):
    """Blocks in each branch, then an exchange of all branches with all: maps of each side to the same shapes.

    Args:
        block: Kind of the blocks.
        depths: Blocks of each branch.
        channels: Channels of each branch, before the block's expansion.
        upsample_dtype: As in `HRNet`.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        channels: Sequence[int],
        upsample_dtype: str,
    ) -> None:
        super().__init__()
        self.rounds = upsample_dtype == "float16"
        widths = [width * block.expansion for width in channels]
        self.count = len(widths)
        self.branches = nn.CellList([_layer(block, *facts) for facts in zip(widths, channels, depths, strict=True)])
        self.fuse_layers = nn.CellList(
            [nn.CellList([_exchange(widths, j, i) for j in range(self.count)]) for i in range(self.count)]
        )
        self.relu = nn.ReLU()

    def construct(self, branches: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        inputs = []
        for index in range(self.count):
            inputs.append(self.branches[index](branches[index]))
        out = []
        for i in range(self.count):
            total = inputs[i]
            for j in range(self.count):
                if j < i:
                    total = total + self.fuse_layers[i][j](inputs[j])
                elif j > i:
                    small = self.fuse_layers[i][j](inputs[j])
                    if self.rounds:
                        small = small.astype(ms.float16).astype(total.dtype)
                    total = total + resize_nearest(small, inputs[i].shape[2:])
            out.append(self.relu(total))
        return tuple(out)


def _exchange(widths: Sequence[int], source: int, target: int) -> nn.Cell:
    """Brings a branch to the channels of another one, and to its side where that is smaller."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.SequentialCell([conv2d(widths[source], widths[target], 1), batch_norm2d(widths[target])])
    cells = [_conv_norm_relu(widths[source], widths[source], stride=2) for _ in range(target - source - 1)]
    last = conv2d(widths[source], widths[target], 3, 2, 1)
    return nn.SequentialCell([*cells, nn.SequentialCell([last, batch_norm2d(widths[target])])])


class HRNet(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        stage_cfg: For each of `stage1` to `stage4` a mapping of `block` ("BASIC" or "BOTTLENECK"), `num_modules`,
            `num_branches`, and `num_blocks` and `num_channels` of each branch.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        upsample_dtype: "float16" rounds what is enlarged in an exchange of branches, as MindCV does; "float32" does
            not, which is timm's network.

    Raises:
        ValueError: Another block or dtype, or a rate or a number of classes that cannot be.
    """

    reads_image = ("conv1",)
    torch_arguments = {"upsample_dtype": "float32"}
    file_arguments = ("upsample_dtype",)
    torch_names = NameTable(("**.downsample.**", "**.down_sample.**"), ("downsamp_modules.**", "downsample_modules.**"))

    def __init__(
        self,
        stage_cfg: Mapping[str, Mapping[str, Any]],
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        upsample_dtype: str = "float16",
    ) -> None:
        super().__init__()
        if upsample_dtype not in ("float16", "float32"):
            raise ValueError(f"upsample_dtype is {upsample_dtype!r}; give 'float16' (MindCV's) or 'float32' (timm's)")
        self.upsample_dtype = upsample_dtype
        for name, cfg in stage_cfg.items():
            if cfg["block"] not in _BLOCKS:
                raise ValueError(f"stage_cfg: the block of {name} is {cfg['block']!r}; give 'BASIC' or 'BOTTLENECK'")
        self.conv1, self.bn1 = conv2d(in_channels, 64, 3, 2, 1), batch_norm2d(64)
        self.conv2, self.bn2 = conv2d(64, 64, 3, 2, 1), batch_norm2d(64)
        self.relu = nn.ReLU()
        first = stage_cfg["stage1"]
        block = _BLOCKS[first["block"]]
        self.layer1 = _layer(block, 64, first["num_channels"][0], first["num_blocks"][0])
        widths = [first["num_channels"][0] * block.expansion]
        blocks: list[Any] = [*self.layer1]
        for stage in (2, 3, 4):
            cfg = stage_cfg[f"stage{stage}"]
            block = _BLOCKS[cfg["block"]]
            old, widths = widths, [width * block.expansion for width in cfg["num_channels"]]
            transition = _transition(old, widths)
            facts = (block, cfg["num_blocks"], cfg["num_channels"], upsample_dtype)
            modules = [HRModule(*facts) for _ in range(cfg["num_modules"])]
            setattr(self, f"transition{stage - 1}", transition)
            setattr(self, f"stage{stage}", nn.SequentialCell(modules))
            blocks += [(*transition, modules[0]), *modules[1:]]
        self.incre_modules = nn.CellList(
            [_layer(Bottleneck, width, channels, 1) for width, channels in zip(widths, _HEAD_CHANNELS, strict=True)]
        )
        outputs = [channels * Bottleneck.expansion for channels in _HEAD_CHANNELS]
        self.downsample_modules = nn.CellList([_conv_norm_relu(outputs[i], outputs[i + 1], stride=2) for i in range(3)])
        self.final_layer = _conv_norm_relu(outputs[-1], 2048, 1)
        self.add_head(2048, num_classes, drop_rate)
        heads = [f"incre_modules.{index}" for index in range(4)]
        body = ("conv2", "bn2", "layer1", "transition1", "stage2", "transition2", "stage3", "transition3", "stage4")
        maps: list[Map] = [(("conv1", "bn1", "relu"), 64, 2), ((*body, heads[0]), outputs[0], 4)]
        maps += [(heads[index], outputs[index], 4 * 2**index) for index in (1, 2, 3)]
        self.describe(blocks, maps, tail=(*heads, "downsample_modules", "final_layer"))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the stem's map and, where one is wanted, the four branches', widened: sides of 1/2 to 1/32."""
        stem = self.relu(self.bn1(self.conv1(x)))
        if self.last_map == 0:
            return (stem,)
        x = self.layer1(self.relu(self.bn2(self.conv2(stem))))
        branches = self.stage2((self.transition1[0](x), self.transition1[1](x)))
        new = self.transition2[2](branches[1])
        branches = self.stage3((self.transition2[0](branches[0]), self.transition2[1](branches[1]), new))
        new = self.transition3[3](branches[2])
        kept = (self.transition3[0](branches[0]), self.transition3[1](branches[1]), self.transition3[2](branches[2]))
        branches = self.stage4((*kept, new))
        maps = [stem]
        for index in range(len(branches)):
            maps.append(self.incre_modules[index](branches[index]))
        return tuple(maps)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the branches' sum at the smallest side: to (N, 2048, H / 32, W / 32)."""
        _, x0, x1, x2, x3 = self.forward_stages(x)
        x = x1 + self.downsample_modules[0](x0)
        x = x2 + self.downsample_modules[1](x)
        return self.final_layer(x3 + self.downsample_modules[2](x))

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of timm's names by the paths of our cells.

        timm's convolutions of the head have a bias in front of a BatchNorm, which takes it away again: it goes into the
        running mean.
        """
        renamed = dict(super().from_torch(arrays))
        for conv in [*(f"downsample_modules.{index}.0" for index in range(3)), "final_layer.0"]:
            bias = renamed.pop(f"{conv}.bias", None)
            if bias is not None:
                mean = f"{conv.removesuffix('0')}1.moving_mean"
                renamed[mean] = renamed[mean] - bias
        return renamed

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under timm's names; the biases that only timm has are nothing."""
        biased = {}
        for name, array in arrays.items():
            biased[name] = array
            if name.startswith(("downsample_modules.", "final_layer.")) and name.endswith(".0.weight"):
                biased[name.removesuffix("weight") + "bias"] = np.zeros(array.shape[0], np.float32)
        return super().to_torch(biased)


def _stage_cfg(width: int) -> dict[str, dict[str, Any]]:
    """Section 3 of the paper: the width doubles from branch to branch, which have four blocks a module."""
    first = {"block": "BOTTLENECK", "num_modules": 1, "num_branches": 1, "num_blocks": [4], "num_channels": [64]}
    others = {
        f"stage{branches}": {
            "block": "BASIC",
            "num_modules": modules,
            "num_branches": branches,
            "num_blocks": [4] * branches,
            "num_channels": [width * 2**index for index in range(branches)],
        }
        for branches, modules in ((2, 1), (3, 4), (4, 3))
    }
    return {"stage1": first, **others}


variant = Family(HRNet, WEIGHTS).variant
hrnet_w32 = variant("hrnet_w32", stage_cfg=_stage_cfg(32))
hrnet_w48 = variant("hrnet_w48", stage_cfg=_stage_cfg(48))
