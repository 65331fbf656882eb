"""RepMLPNet: Hierarchical Vision MLP with Re-parameterized Locality, arXiv:2112.11081.

Reference implementation: MindCV. Neither timm nor torchvision has the network.
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier, Map
from ._registry import register_renamed
from .layers import (
    FAN_IN_UNIFORM,
    DropPath,
    activation,
    as_pair,
    batch_norm2d,
    classifier_head,
    conv2d,
    conv_norm,
    drop_path_rates,
    fold,
    merge_branches,
    require_image_size,
)
from .published.repmlp import WEIGHTS

__all__ = ["RepMLPNet", "repmlp_b224", "repmlp_b256", "repmlp_d256", "repmlp_l256", "repmlp_t224", "repmlp_t256"]

_conv = partial(conv2d, weight_init=FAN_IN_UNIFORM)
_conv_norm = partial(conv_norm, weight_init=FAN_IN_UNIFORM)
_PATCH = 4
_GATE_REDUCTION = 4
_MLP_RATIO = 4


class GlobalPerceptron(nn.Cell):
    """A gate for each channel, computed from all channels' means (section 3.3): (N, C, H, W) to (N, C, 1, 1).

    Args:
        channels: Channels of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = _conv(channels, channels // _GATE_REDUCTION, 1, bias=True)
        self.fc2 = _conv(channels // _GATE_REDUCTION, channels, 1, bias=True)
        self.relu, self.sigmoid = nn.ReLU(), nn.Sigmoid()

    def construct(self, x: Tensor) -> Tensor:
        return self.sigmoid(self.fc2(self.relu(self.fc1(x.mean((2, 3), keep_dims=True)))))


class RepMLPBlock(nn.Cell):
    """A dense layer over all pixels beside convolutions over them, times a gate (figure 1): (N, C, H, W) to the same.

    Channels share weights: the `index`-th has those of set `index % sets`. In evaluation the dense layer alone does the
    same, see `fused`.

    Args:
        channels: Channels of the input.
        size: Height and width of the input.
        sets: Number of sets of weights.
        kernel_sizes: Sides of the convolutions' kernels.
    """

    def __init__(self, channels: int, size: tuple[int, int], sets: int, kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        self.channels, self.size, self.sets = channels, size, sets
        self.pixels = size[0] * size[1]
        self.gp = GlobalPerceptron(channels)
        self.fc3 = _conv(sets * self.pixels, sets * self.pixels, 1, groups=sets)
        self.fc3_bn = batch_norm2d(sets)
        self.branches = [_conv_norm(sets, sets, side, 1, side // 2, sets) for side in kernel_sizes]
        for side, branch in zip(kernel_sizes, self.branches, strict=True):
            setattr(self, f"repconv{side}", branch)

    def construct(self, x: Tensor) -> Tensor:
        rows = x.reshape((-1, self.sets, *self.size))
        out = self.fc3_bn(self.fc3(x.reshape((-1, self.sets * self.pixels, 1, 1))).reshape((-1, self.sets, *self.size)))
        for branch in self.branches:
            out = out + branch(rows)
        return out.reshape((-1, self.channels, *self.size)) * self.gp(x)

    def fused(self) -> nn.Cell:
        """Returns a block without convolutions and norms that computes the same in evaluation."""
        factor, shift = fold(None, self.fc3_bn, self.sets)
        weight = self.fc3.weight.asnumpy().astype(np.float64).reshape((self.sets, self.pixels, self.pixels))
        weight = weight * factor[:, :, 0]
        if self.branches:
            conv = merge_branches([fold(branch[0], branch[1]) for branch in self.branches], groups=self.sets)
            weight = weight + _as_matrices(conv.weight.asnumpy()[:, 0], self.size)
            shift = shift + conv.bias.asnumpy()
        return _FusedBlock(self, weight, shift)


class _FusedBlock(nn.Cell):
    """`RepMLPBlock` in evaluation: one dense layer over the pixels, times the gate."""

    def __init__(self, block: RepMLPBlock, weight: np.ndarray, shift: np.ndarray) -> None:
        super().__init__()
        self.channels, self.size = block.channels, block.size
        self.width = block.sets * block.pixels
        self.gp = block.gp
        self.fc3 = conv2d(self.width, self.width, 1, groups=block.sets, bias=True, weight_init="zeros")
        weight = weight.reshape((self.width, block.pixels, 1, 1))
        self.fc3.weight = Parameter(Tensor(weight, ms.float32), name="weight")
        self.fc3.bias = Parameter(Tensor(np.repeat(shift, block.pixels), ms.float32), name="bias")

    def construct(self, x: Tensor) -> Tensor:
        out = self.fc3(x.reshape((-1, self.width, 1, 1)))
        return out.reshape((-1, self.channels, *self.size)) * self.gp(x)


def _as_matrices(kernels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Writes convolutions that keep the side as matrices over the pixels.

    Args:
        kernels: A kernel each, (sets, side, side).
        size: Height and width of the map.

    Returns:
        (sets, pixels of the output, pixels of the input)
    """
    height, width = size
    matrices = np.zeros((len(kernels), height, width, height, width))
    middle = kernels.shape[-1] // 2
    for row, column in itertools.product(range(-middle, middle + 1), repeat=2):
        rows = np.arange(max(0, -row), min(height, height - row))
        columns = np.arange(max(0, -column), min(width, width - column))
        values = kernels[:, row + middle, column + middle, None, None]
        matrices[:, rows[:, None], columns, rows[:, None] + row, columns + column] = values
    return matrices.reshape((len(kernels), height * width, height * width))


class FFNBlock(nn.Cell):
    """Two 1x1 convolutions: (N, C, H, W) to the same.

    Args:
        channels: Channels of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ffn_fc1 = _conv_norm(channels, _MLP_RATIO * channels, 1)
        self.ffn_fc2 = _conv_norm(_MLP_RATIO * channels, channels, 1)
        self.act = activation("gelu_tanh")

    def construct(self, x: Tensor) -> Tensor:
        return self.ffn_fc2(self.act(self.ffn_fc1(x)))


class RepMLPNetUnit(nn.Cell):
    """A RepMLP block and a pointwise one, each behind a norm and beside a shortcut: (N, C, H, W) to the same.

    Args:
        channels: Channels of the input.
        size: Height and width of the input.
        sets: Number of sets of weights, see `RepMLPBlock`.
        kernel_sizes: Sides of the convolutions' kernels.
        drop_path_rate: Probability of dropping each of both for a sample while training.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        sets: int,
        kernel_sizes: Sequence[int],
        drop_path_rate: float,
    ) -> None:
        super().__init__()
        self.repmlp_block = RepMLPBlock(channels, size, sets, kernel_sizes)
        self.ffn_block = FFNBlock(channels)
        self.prebn1, self.prebn2 = batch_norm2d(channels), batch_norm2d(channels)
        self.drop_path1, self.drop_path2 = DropPath(drop_path_rate), DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        x = x + self.drop_path1(self.repmlp_block(self.prebn1(x)))
        return x + self.drop_path2(self.ffn_block(self.prebn2(x)))


class RepMLPNet(ImageClassifier):
    """(N, in_channels, *image_size) to (N, num_classes).

    MindCV's checkpoints have a convolution `conv2d` that its network never runs; it is there, and no more.

    Args:
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the head out.
        num_blocks: Units of each of the four stages.
        channels: Channels of each stage.
        sharesets_nums: Sets of weights of each stage, see `RepMLPBlock`.
        reparam_conv_k: Sides of the kernels beside the dense layers.
        image_size: Side of the images, or (height, width), multiples of 32. A file fits one size only.
        drop_rate: Dropout before the head.
        drop_path_rate: Stochastic depth of the last unit; the first has 0.

    Raises:
        ValueError: A rate, a number of classes, a list of stages or an image's size that cannot be.
    """

    reads_image, gives_logits = ("conv_embedding.0", "conv2d"), ("head",)
    auxiliary = ("conv2d.*",)
    mindcv_names = NameTable(
        ("conv_embedding.conv.conv.*", "conv_embedding.0.*"),
        ("conv_embedding.conv.bn.*", "conv_embedding.1.*"),
        ("embeds.*.conv.conv.*", "embeds.*.0.*"),
        ("embeds.*.conv.bn.*", "embeds.*.1.*"),
        *((f"stages.**.{cell}.conv.*", f"stages.**.{cell}.0.*") for cell in ("ffn_fc1", "ffn_fc2")),
        *((f"stages.**.{cell}.bn.*", f"stages.**.{cell}.1.*") for cell in ("ffn_fc1", "ffn_fc2")),
        ("stages.**.repconv*.conv.*", "stages.**.repconv*.0.*"),
        ("stages.**.repconv*.bn.*", "stages.**.repconv*.1.*"),
    )

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        num_blocks: Sequence[int] = (2, 2, 6, 2),
        channels: Sequence[int] = (192, 384, 768, 1536),
        sharesets_nums: Sequence[int] = (4, 8, 16, 32),
        reparam_conv_k: Sequence[int] = (3,),
        *,
        image_size: int | tuple[int, int] = 256,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if not len(num_blocks) == len(channels) == len(sharesets_nums) == 4:
            raise ValueError(
                f"RepMLPNet has four stages; got num_blocks {list(num_blocks)}, channels {list(channels)}, "
                f"sharesets_nums {list(sharesets_nums)}"
            )
        height, width = self.image_size = as_pair(image_size)
        if min(height, width) < 32 or height % 32 or width % 32:
            raise ValueError(f"image_size is {height}x{width}; give multiples of 32")
        self.conv_embedding = nn.SequentialCell(*_conv_norm(in_channels, channels[0], _PATCH, _PATCH), nn.ReLU())
        self.conv2d = _conv(in_channels, channels[0], _PATCH, _PATCH)
        self.conv2d.weight.requires_grad = False
        stages: list[nn.SequentialCell] = []
        maps: list[Map] = []
        for stage, rates in enumerate(drop_path_rates(drop_path_rate, num_blocks)):
            reduction = _PATCH * 2**stage
            size = height // reduction, width // reduction
            facts = channels[stage], size, sharesets_nums[stage], reparam_conv_k
            stages.append(nn.SequentialCell([RepMLPNetUnit(*facts, rate) for rate in rates]))
            entry = f"embeds.{stage - 1}" if stage else "conv_embedding"
            maps.append(((entry, f"stages.{stage}"), channels[stage], reduction))
        embeds = [
            nn.SequentialCell(*_conv_norm(inputs, outputs, 2, 2), nn.ReLU())
            for inputs, outputs in itertools.pairwise(channels)
        ]
        self.stages, self.embeds = nn.CellList(stages), nn.CellList(embeds)
        self.head_norm = batch_norm2d(channels[-1])
        make = partial(classifier_head, weight_init=FAN_IN_UNIFORM)
        self.add_head(channels[-1], num_classes, drop_rate, name="head", make=make)
        blocks: list[nn.Cell | tuple[nn.Cell, ...]] = [*stages[0]]
        for embed, stage_cell in zip(embeds, stages[1:], strict=True):
            first, *others = stage_cell
            blocks += [(embed, first), *others]
        self.describe(blocks, maps, tail=("head_norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the stages: sides of 1/4, 1/8, 1/16 and 1/32."""
        require_image_size(x, self.image_size)
        x0 = self.stages[0](self.conv_embedding(x))
        x1 = self.stages[1](self.embeds[0](x0))
        x2 = self.stages[2](self.embeds[1](x1))
        return x0, x1, x2, self.stages[3](self.embeds[2](x2))

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, num_features, H / 32, W / 32)."""
        return self.head_norm(self.forward_stages(x)[-1])

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Refuses: neither timm nor torchvision has the network.

        Raises:
            ValueError: Always.
        """
        raise ValueError("neither timm nor torchvision has RepMLPNet; convert with --to mindcv")


_SIDES = (1, 3)
_T = {"channels": (64, 128, 256, 512), "num_blocks": (2, 2, 6, 2), "sharesets_nums": (1, 4, 16, 128)}
_B = {"channels": (96, 192, 384, 768), "num_blocks": (2, 2, 12, 2), "sharesets_nums": (1, 4, 32, 128)}
_D = {"channels": (80, 160, 320, 640), "num_blocks": (2, 2, 18, 2), "sharesets_nums": (1, 4, 16, 128)}
_L = {"channels": (96, 192, 384, 768), "num_blocks": (2, 2, 18, 2), "sharesets_nums": (1, 4, 32, 256)}

_SIZES = ("T224", "T256", "B224", "B256", "D256", "L256")
register_renamed({f"RepMLPNet_{size}": f"repmlp_{size.lower()}" for size in _SIZES})

variant = Family(RepMLPNet, WEIGHTS).variant  # table 1
repmlp_t224 = variant("repmlp_t224", reparam_conv_k=_SIDES, image_size=224, **_T)
repmlp_t256 = variant("repmlp_t256", reparam_conv_k=_SIDES, image_size=256, **_T)
repmlp_b224 = variant("repmlp_b224", reparam_conv_k=_SIDES, image_size=224, **_B)
repmlp_b256 = variant("repmlp_b256", reparam_conv_k=_SIDES, image_size=256, **_B)
repmlp_d256 = variant("repmlp_d256", reparam_conv_k=_SIDES, image_size=256, **_D)
repmlp_l256 = variant("repmlp_l256", reparam_conv_k=_SIDES, image_size=256, **_L)
