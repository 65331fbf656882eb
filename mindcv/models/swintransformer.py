"""Swin Transformer.

Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, arXiv:2103.14030

Reference implementations: MindCV (parameter names; GELU by tanh and 1e-7 in the norms of the merging, see `act` and
`merge_norm_eps`), timm and torchvision.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import initializer

from mindcv.weights.naming import NameTable, join_rows, split_rows
from mindcv.weights.resize import Distances

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    DropPath,
    Mlp,
    PatchEmbed,
    ShiftedWindows,
    WindowAttention,
    as_pair,
    classifier_head,
    dense,
    drop_path_rates,
    dropout,
    layer_norm,
    relative_index,
)
from .published.swintransformer import WEIGHTS

__all__ = [
    "SwinTransformer",
    "swin_tiny",
]

QKV = ("q", "k", "v")
TABLE = "attn.relative_bias.relative_position_bias_table"
# (window_size, heads, channels, stage) to the attention in windows of that size.
MakeAttention = Callable[[tuple[int, int], int, int, int], WindowAttention]


head = partial(classifier_head, weight_init=TRUNC_NORMAL)


class RelativeBias(nn.Cell):
    """A learned bias for each distance in a window (section 3.2): nothing to (1, heads, L, L).

    Args:
        window_size: Height and width of the window.
        num_heads: Heads of the attention.
    """

    def __init__(self, window_size: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.length = window_size[0] * window_size[1]
        count = (2 * window_size[0] - 1) * (2 * window_size[1] - 1)
        self.relative_position_bias_table = Parameter(initializer(TRUNC_NORMAL, (count, num_heads)))
        one_hot = np.zeros((self.length**2, count), np.float32)
        one_hot[np.arange(self.length**2), relative_index(window_size).reshape(-1)] = 1
        self.index = Parameter(Tensor(one_hot), requires_grad=False)

    def construct(self) -> Tensor:
        bias = ops.matmul(self.index, self.relative_position_bias_table)
        return ops.transpose(bias.reshape((1, self.length, self.length, self.num_heads)), (0, 3, 1, 2))


class BiasedAttention(WindowAttention):
    """Attention in windows with a bias for each distance: (N * windows, L, D) to the same.

    Args:
        dim: Size of a token.
        num_heads: Number of heads; divides `dim`.
        window_size: Height and width of a window.
        attn_drop_rate: Dropout of the attention's weights.
        drop_rate: Dropout behind the projection.
    """

    def __init__(
        self, dim: int, num_heads: int, window_size: tuple[int, int], attn_drop_rate: float, drop_rate: float
    ) -> None:
        super().__init__(dim, num_heads)
        self.scale = self.head_dim**-0.5
        self.relative_bias = RelativeBias(window_size, num_heads)
        self.add_inputs(dim)
        self.add_output(dim, attn_drop_rate, drop_rate)

    def products(self, query: Tensor, key: Tensor) -> Tensor:
        """Returns the scaled products, (N * windows, heads, L, L)."""
        return ops.matmul(query * self.scale, ops.transpose(key, (0, 1, 3, 2)))

    def bias(self) -> Tensor:
        """Returns the bias for the distance of tokens, (1, heads, L, L)."""
        return self.relative_bias()


class Block(nn.Cell):
    """Attention in windows, then an MLP, each with a norm and beside a shortcut (figure 3b): (N, H, W, C) to the same.

    Args:
        attn: The attention.
        windows: The windows.
        dim: Channels.
        mlp_ratio: Size of the MLP's hidden layer over `dim`.
        proj_drop_rate: Dropout in the MLP.
        drop_path_rate: Probability of dropping each of the two branches for a sample while training.
        act: Activation of the MLP.
        norm_eps: Added to the variance in the norms.
        norm_last: Whether a norm stands behind its branch and not in front of it (V2).
        mask_axes: Axes of length 1 in the file's mask.
    """

    def __init__(
        self,
        attn: WindowAttention,
        windows: ShiftedWindows,
        dim: int,
        mlp_ratio: float,
        proj_drop_rate: float,
        drop_path_rate: float,
        act: str,
        norm_eps: float,
        norm_last: bool,
        mask_axes: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.windows = windows
        self.norm_last = norm_last
        mask = windows.mask()
        self.is_shifted = mask is not None
        if mask is not None:
            self.attn_mask = Parameter(Tensor(np.expand_dims(mask, mask_axes), ms.float32), requires_grad=False)
        self.norm1 = layer_norm(dim, norm_eps)
        self.attn = attn
        self.drop_path1 = DropPath(drop_path_rate)
        self.norm2 = layer_norm(dim, norm_eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), act=act, drop_rate=proj_drop_rate)
        self.drop_path2 = DropPath(drop_path_rate)

    def attend(self, x: Tensor) -> Tensor:
        """Attention in the windows: (N, H, W, C) to the same."""
        mask = self.attn_mask if self.is_shifted else None
        return self.windows.join(self.attn(self.windows.split(x), mask))

    def construct(self, x: Tensor) -> Tensor:
        if self.norm_last:
            x = x + self.drop_path1(self.norm1(self.attend(x)))
            return x + self.drop_path2(self.norm2(self.mlp(x)))
        x = x + self.drop_path1(self.attend(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))


class PatchMerging(nn.Cell):
    """Makes one pixel of 2x2 with twice the channels: (N, H, W, C) to (N, H / 2, W / 2, 2 C), rounded up.

    Args:
        size: Height and width of the map.
        dim: Channels of the input.
        norm_eps: Added to the variance in the norm.
        norm_last: Whether the norm stands behind the layer that makes 2 C channels of 4 C (V2), or in front.
    """

    def __init__(self, size: tuple[int, int], dim: int, norm_eps: float, norm_last: bool) -> None:
        super().__init__()
        self.norm_last = norm_last
        self.is_padded = any(side % 2 for side in size)
        self.pad = ops.Pad(((0, 0), (0, size[0] % 2), (0, size[1] % 2), (0, 0)))
        self.half = (-(-size[0] // 2), -(-size[1] // 2))
        self.reduction = dense(4 * dim, 2 * dim, False, weight_init=TRUNC_NORMAL)
        self.norm = layer_norm(2 * dim if norm_last else 4 * dim, norm_eps)

    def construct(self, x: Tensor) -> Tensor:
        (rows, columns), dim = self.half, x.shape[3]
        if self.is_padded:
            x = self.pad(x)
        x = ops.transpose(x.reshape((-1, rows, 2, columns, 2, dim)), (0, 1, 3, 4, 2, 5))
        x = x.reshape((-1, rows, columns, 4 * dim))
        return self.norm(self.reduction(x)) if self.norm_last else self.reduction(self.norm(x))


class Stage(nn.Cell):
    """Holds the blocks of a stage and what makes a smaller map behind them.

    Args:
        blocks: The blocks.
        downsample: The merging, or nothing.
    """

    def __init__(self, blocks: Sequence[nn.Cell], downsample: nn.Cell) -> None:
        super().__init__()
        self.blocks = nn.SequentialCell(list(blocks))
        self.downsample = downsample


# MindCV's accidental names of the stages.
MINDCV = (
    *(
        (f"0.blocks.{stage}.{cell}.**", f"layers.{stage}.{cell}.**")
        for stage in (1, 2, 3)
        for cell in ("blocks", "downsample")
    ),
    ("0.blocks.*.**", "layers.0.blocks.*.**"),
    ("0.downsample.**", "layers.0.downsample.**"),
)
# The merging that is in front of a stage in timm stands behind the one before here.
TIMM = (
    ("patch_embed.**", "patch_embed.**"),
    ("layers.*.blocks.**", "layers.*.blocks.**"),
    *((f"layers.{stage + 1}.downsample.*.*", f"layers.{stage}.downsample.*.*") for stage in range(3)),
)


def torchvision_names(attention: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns torchvision's names of all layers but the head beside ours; `attention` has those of special cells."""
    cells = (*attention, ("mlp.0.*", "mlp.fc1.*"), ("mlp.3.*", "mlp.fc2.*"), ("**", "**"))
    return [
        ("features.0.0.*", "patch_embed.proj.*"),
        ("features.0.2.*", "patch_embed.norm.*"),
        *(
            (f"features.{2 * stage + 1}.*.{theirs}", f"layers.{stage}.blocks.*.{ours}")
            for stage in range(4)
            for theirs, ours in cells
        ),
        *((f"features.{2 * stage + 2}.*.*", f"layers.{stage}.downsample.*.*") for stage in range(3)),
    ]


def _with_timms_mergings(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Gives Microsoft's files timm's names: their mergings belong to the stage in front."""
    if "layers.0.downsample.reduction.weight" not in arrays:
        return arrays
    return {
        _MERGING.sub(lambda match: f"layers.{int(match[1]) + 1}.downsample.", name): arrays[name] for name in arrays
    }


_MERGING = re.compile(r"^layers\.(\d+)\.downsample\.")


class WindowTransformer(ImageClassifier):
    """What both versions of Swin have in common: (N, in_channels, *image_size) to (N, num_classes)."""

    reads_image = ("patch_embed.proj",)
    mindcv_names = NameTable(*MINDCV)

    def add_stages(
        self,
        make_attention: MakeAttention,
        make_block: Callable[..., Block],
        make_merging: Callable[..., PatchMerging],
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: int | tuple[int, int],
        drop_path_rate: float,
    ) -> None:
        """Adds the four stages behind the patches' projection.

        Args:
            make_attention: Makes the attention of a block.
            make_block: Makes a block of attention, windows and channels, and `drop_path_rate=`.
            make_merging: Makes the merging of a map of a size and of channels.
            embed_dim: Channels of the first stage.
            depths: Number of blocks in each stage.
            num_heads: Heads of the attention in each stage.
            window_size: Side of a window, or (height, width).
            drop_path_rate: Stochastic depth of the last block.

        Raises:
            ValueError: Not four stages, or no window.
        """
        if len(depths) != 4 or len(num_heads) != 4:
            raise ValueError(f"Swin has four stages; got depths {list(depths)} and num_heads {list(num_heads)}")
        if min(as_pair(window_size)) < 1:
            raise ValueError(f"window_size is {window_size}; give 1 or more pixels")
        self.dims = [embed_dim * 2**stage for stage in range(4)]
        size = self.patch_embed.grid_size
        stages = []
        self.grids = {}
        for stage, (dim, rates) in enumerate(zip(self.dims, drop_path_rates(drop_path_rate, depths), strict=True)):
            blocks = []
            for index, rate in enumerate(rates):
                windows = ShiftedWindows(size, as_pair(window_size), is_shifted=index % 2 == 1)
                rows, columns = windows.window_size
                self.grids[f"layers.{stage}.blocks.{index}.{TABLE}"] = (2 * rows - 1, 2 * columns - 1)
                attn = make_attention(windows.window_size, num_heads[stage], dim, stage)
                blocks.append(make_block(attn, windows, dim, drop_path_rate=rate))
            stages.append(Stage(blocks, make_merging(size, dim) if stage < 3 else nn.Identity()))
            size = (-(-size[0] // 2), -(-size[1] // 2))
        self.layers = nn.CellList(stages)

    def describe_stages(self, patch_size: int) -> None:
        """Describes the network; to be called when all cells are there."""
        blocks = [
            (self.layers[stage - 1].downsample, block) if stage and not position else block
            for stage in range(4)
            for position, block in enumerate(self.layers[stage].blocks)
        ]
        maps = [
            (
                (f"layers.{stage - 1}.downsample", f"layers.{stage}.blocks") if stage else "layers.0.blocks",
                dim,
                patch_size * 2**stage,
            )
            for stage, dim in enumerate(self.dims)
        ]
        self.describe(blocks, maps, tail=("norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the four stages, (N, H, W, C): sides of 1/4, 1/8, 1/16 and 1/32, rounded up."""
        rows, columns = self.patch_embed.grid_size
        x = self.pos_drop(self.patch_embed(x)).reshape((-1, rows, columns, self.dims[0]))
        x1 = self.layers[0].blocks(x)
        x2 = self.layers[1].blocks(self.layers[0].downsample(x1))
        x3 = self.layers[2].blocks(self.layers[1].downsample(x2))
        return x1, x2, x3, self.layers[3].blocks(self.layers[2].downsample(x3))

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the mean of the normed last map, (N, num_features)."""
        return self.norm(self.forward_stages(x)[-1]).mean((1, 2))

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns a stage's map as (N, C, H, W)."""
        return ops.transpose(x, (0, 3, 1, 2))

    @classmethod
    def file_tells(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns the arguments of the network that a file belongs to, see `ImageClassifier`."""
        return super().file_tells(_with_timms_mergings(arrays))

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns timm's or torchvision's arrays under our names; their queries, keys and values are one layer."""
        return super().from_torch(split_rows(_with_timms_mergings(arrays), "qkv", QKV))

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under timm's names; inverts `from_torch`."""
        return join_rows(super().to_torch(arrays), "qkv", QKV)


class SwinTransformer(WindowTransformer):
    """Swin Transformer: (N, in_channels, *image_size) to (N, num_classes).

    Args:
        image_size: Side of the images, or (height, width): multiples of `patch_size`.
        patch_size: Side of a patch.
        embed_dim: Channels of the first stage; each following one has twice as many.
        depths: Number of blocks in each of the four stages; every second one is shifted.
        num_heads: Heads of the attention in each stage.
        window_size: Side of a window in pixels of the map, or (height, width).
        mlp_ratio: Size of the MLP's hidden layer over the channels.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pos_drop_rate: Dropout behind the patches' projection.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        act: Activation of the weights' MLP, "gelu_tanh" (MindCV) or "gelu" (timm, torchvision).
        merge_norm_eps: Added to the variance in the norms of the weights' mergings, 1e-7 (MindCV) or 1e-5 (the others).

    Raises:
        ValueError: An image that is not made of whole patches, or another argument that cannot be.
    """

    torch_names = NameTable(
        ("layers.*.blocks.*.attn.relative_position_bias_table", f"layers.*.blocks.*.{TABLE}"),
        *TIMM,
        ("head.fc.*", "classifier.*"),
        *torchvision_names([("attn.relative_position_bias_table", TABLE)]),
        ("head.*", "classifier.*"),
    )
    torch_arguments = {"act": "gelu", "merge_norm_eps": 1e-5}
    file_arguments = ("act", "merge_norm_eps")
    # The last is in torchvision's files.
    constants = ("*.attn_mask", "*.relative_bias.index", "*.relative_position_index")
    resized = {f"layers.*.blocks.*.{TABLE}": Distances()}
    not_decayed = ("*.relative_position_bias_table",)

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        patch_size: int = 4,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int | tuple[int, int] = 7,
        mlp_ratio: float = 4.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act: str = "gelu_tanh",
        merge_norm_eps: float = 1e-7,
    ) -> None:
        super().__init__()
        self.act, self.merge_norm_eps = act, merge_norm_eps
        self.patch_embed = PatchEmbed(image_size, patch_size, in_channels, embed_dim, norm_eps=1e-5)
        self.pos_drop = dropout("pos_drop_rate", pos_drop_rate)

        def attention(window_size: tuple[int, int], heads: int, dim: int, stage: int) -> WindowAttention:
            return BiasedAttention(dim, heads, window_size, attn_drop_rate, proj_drop_rate)

        block = partial(
            Block,
            mlp_ratio=mlp_ratio,
            proj_drop_rate=proj_drop_rate,
            act=act,
            norm_eps=1e-5,
            norm_last=False,
            mask_axes=(0, 2),
        )
        merging = partial(PatchMerging, norm_eps=merge_norm_eps, norm_last=False)
        self.add_stages(attention, block, merging, embed_dim, depths, num_heads, window_size, drop_path_rate)
        self.norm = layer_norm(self.dims[-1], 1e-5)
        self.add_head(self.dims[-1], num_classes, drop_rate, pool="none", make=head)
        self.describe_stages(patch_size)


variant = partial(Family(SwinTransformer, WEIGHTS).variant, drop_path_rate=0.2)
# section 3.3
swin_tiny = variant("swin_tiny")
