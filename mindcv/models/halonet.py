"""HaloNet.

Scaling Local Self-Attention for Parameter Efficient Visual Backbones, arXiv:2103.12731

Reference implementations: MindCV (parameter names; it does not run on the CPU) and timm, whose halonet50ts is the same
network.
"""

from collections.abc import Sequence
from functools import partial

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import initializer

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    Blocks,
    DropPath,
    activation,
    batch_norm2d,
    classifier_head,
    conv2d,
    drop_path_rates,
    head_size,
)
from .published.halonet import WEIGHTS

__all__ = [
    "HaloNet",
    "halonet_50t",
]


class ConvNorm(nn.Cell):
    """Convolution, BatchNorm and SiLU: (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel.
        stride: Stride.
        act: Activation.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, act: str = "silu"
    ) -> None:
        super().__init__()
        self.conv = conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2)
        self.bn = batch_norm2d(out_channels)
        self.act = activation(act)

    def construct(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class NormAct(nn.Cell):
    """BatchNorm and SiLU: (N, C, H, W) to the same.

    Args:
        channels: Channels of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = batch_norm2d(channels)
        self.act = activation("silu")

    def construct(self, x: Tensor) -> Tensor:
        return self.act(self.bn(x))


class Stem(nn.Cell):
    """Three convolutions and max pooling: (N, in_channels, H, W) to (N, 64, H / 4, W / 4).

    Args:
        in_channels: Channels of the image.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, 24, 3, 2)
        self.conv2 = ConvNorm(24, 32, 3)
        self.conv3 = ConvNorm(32, 64, 3)
        self.pool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)

    def construct(self, x: Tensor) -> Tensor:
        return self.pool(self.conv3(self.conv2(self.conv1(x))))


class RelativePositions(nn.Cell):
    """What queries take of keys for their position: (B, block, block, d) to (B, block * block, window * window).

    Args:
        block_size: Side of a block of queries.
        halo_size: What a window of keys has more on each side.
        head_dim: Size of a query, d.
    """

    def __init__(self, block_size: int, halo_size: int, head_dim: int) -> None:
        super().__init__()
        self.block = block_size
        self.window = block_size + 2 * halo_size
        shape = (2 * self.window - 1, head_dim)
        self.rel_height = Parameter(initializer(TRUNC_NORMAL, shape))
        self.rel_width = Parameter(initializer(TRUNC_NORMAL, shape))
        index = np.arange(self.window)[None] - np.arange(block_size)[:, None] + self.window - 1
        self.index = Tensor(index.reshape(-1), ms.int32)

    def along(self, query: Tensor, table: Tensor) -> Tensor:
        """Scores along the second axis of queries: (B, other, block, d) to (B, other, block, window)."""
        dim = query.shape[3]
        rows = ops.transpose(ops.gather(table, self.index, 0).reshape((self.block, self.window, dim)), (0, 2, 1))
        scores = ops.matmul(ops.transpose(query, (2, 0, 1, 3)).reshape((self.block, -1, dim)), rows)
        return ops.transpose(scores.reshape((self.block, -1, self.block, self.window)), (1, 2, 0, 3))

    def construct(self, query: Tensor) -> Tensor:
        across = self.along(query, self.rel_width).expand_dims(3)
        down = ops.transpose(self.along(ops.transpose(query, (0, 2, 1, 3)), self.rel_height), (0, 2, 1, 3))
        return (across + down.expand_dims(4)).reshape((-1, self.block**2, self.window**2))


class HaloAttention(nn.Cell):
    """Attention of blocks of pixels to themselves and a halo around them (section 3.1): (N, C, H, W) to the same.

    H and W are multiples of `block_size`.

    Args:
        dim: Channels.
        num_heads: Number of heads; divides `dim`.
        block_size: Side of a block.
        halo_size: Width of the halo, at most `block_size`.
    """

    def __init__(self, dim: int, num_heads: int, block_size: int, halo_size: int) -> None:
        super().__init__()
        self.num_heads, self.block, self.halo = num_heads, block_size, halo_size
        self.window = block_size + 2 * halo_size
        self.head_dim = head_size(dim, num_heads)
        self.scale = self.head_dim**-0.5
        self.q = conv2d(dim, dim, 1)
        self.kv = conv2d(dim, 2 * dim, 1)
        self.pos_embed = RelativePositions(block_size, halo_size, self.head_dim)
        self.softmax = nn.Softmax(axis=-1)

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the products of queries with keys and positions, and of weights with values."""
        pixels = int(np.prod(shape))
        return 2 * pixels * self.window**2 + 2 * pixels * self.window

    def blocks(self, x: Tensor, height: int, width: int, side: int) -> Tensor:
        """Splits a map of blocks: (N, heads * d, rows * side, columns * side) to (N * heads * blocks, side^2, d)."""
        rows, columns, heads = height // self.block, width // self.block, self.num_heads
        x = x.reshape((-1, heads, x.shape[1] // heads, rows, side, columns, side))
        return ops.transpose(x, (0, 1, 3, 5, 4, 6, 2)).reshape((-1, side * side, x.shape[2]))

    def haloed(self, x: Tensor) -> Tensor:
        """Puts the rows of its neighbours around each block of rows: (N, C, H, W) to (N, C, blocks * window, W)."""
        if self.halo == 0:
            return x
        _, channels, height, width = x.shape
        x = x.reshape((-1, channels, height // self.block, self.block, width))
        above, below = x[:, :, :, self.block - self.halo :], x[:, :, :, : self.halo]
        # Cut off behind: in front, nothing would be left of a single row, whose gradient MindSpore cannot take.
        above = ops.concat((above[:, :, :1] * 0, above), 2)[:, :, :-1]
        below = ops.concat((below, below[:, :, -1:] * 0), 2)[:, :, 1:]
        return ops.concat((above, x, below), 3).reshape((-1, channels, height // self.block * self.window, width))

    def construct(self, x: Tensor) -> Tensor:
        _, dim, height, width = x.shape
        query = self.blocks(self.q(x), height, width, self.block)
        kv = ops.transpose(self.haloed(self.kv(x)), (0, 1, 3, 2))
        kv = self.blocks(ops.transpose(self.haloed(kv), (0, 1, 3, 2)), height, width, self.window)
        key, value = kv[:, :, : self.head_dim], kv[:, :, self.head_dim :]
        positions = self.pos_embed(query.reshape((-1, self.block, self.block, self.head_dim)))
        weights = self.softmax(ops.matmul(query * self.scale, ops.transpose(key, (0, 2, 1))) + positions)
        out = ops.matmul(weights, value)
        rows, columns = height // self.block, width // self.block
        out = out.reshape((-1, self.num_heads, rows, columns, self.block, self.block, self.head_dim))
        return ops.transpose(out, (0, 1, 6, 2, 4, 3, 5)).reshape((-1, dim, height, width))


class BottleneckBlock(nn.Cell):
    """1x1, 3x3 and 1x1 convolution beside a shortcut: (N, in_channels, H, W) to (N, channels, H / stride, W / stride).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride of the 3x3 convolution.
        is_first: Whether the shortcut has a convolution.
        drop_path_rate: Probability of dropping the branch for a sample while training.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, is_first: bool, drop_path_rate: float) -> None:
        super().__init__()
        self.conv1_1x1 = ConvNorm(in_channels, channels // 4, 1)
        self.conv2_kxk = ConvNorm(channels // 4, channels // 4, 3, stride)
        self.conv3_1x1 = ConvNorm(channels // 4, channels, 1, act="identity")
        self.creat_shortcut = ConvNorm(in_channels, channels, 1, stride, act="identity") if is_first else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)
        self.act = activation("silu")

    def construct(self, x: Tensor) -> Tensor:
        out = self.conv3_1x1(self.conv2_kxk(self.conv1_1x1(x)))
        return self.act(self.drop_path(out) + self.creat_shortcut(x))


class SelfAttnBlock(nn.Cell):
    """Halo attention between 1x1 convolutions, beside a shortcut: (N, in_channels, H, W) to (N, channels, H, W).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        num_heads: Heads of the attention.
        block_size: Side of a block of the attention.
        halo_size: Width of the halo around a block.
        is_first: Whether the shortcut has a convolution.
        drop_path_rate: Probability of dropping the branch for a sample while training.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_heads: int,
        block_size: int,
        halo_size: int,
        is_first: bool,
        drop_path_rate: float,
    ) -> None:
        super().__init__()
        self.conv1_1x1 = ConvNorm(in_channels, channels // 4, 1)
        self.conv3_1x1 = ConvNorm(channels // 4, channels, 1, act="identity")
        self.self_attn = HaloAttention(channels // 4, num_heads, block_size, halo_size)
        self.post_attn = NormAct(channels // 4)
        self.creat_shortcut = ConvNorm(in_channels, channels, 1, act="identity") if is_first else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)
        self.act = activation("silu")

    def construct(self, x: Tensor) -> Tensor:
        out = self.conv3_1x1(self.post_attn(self.self_attn(self.conv1_1x1(x))))
        return self.act(self.drop_path(out) + self.creat_shortcut(x))


class HaloNet(ImageClassifier):
    """HaloNet: (N, in_channels, H, W) to (N, num_classes), whose maps with attention are made of whole blocks.

    Args:
        block_types: For each of the four stages its blocks, "b" a bottleneck and "a" one with attention.
        channels: Channels of each stage.
        num_heads: Heads of the attention in each stage.
        block_size: Side of a block of the attention: the image's sides are multiples of it times the maps' reduction
            (8 times 32 in halonet_50t).
        halo_size: Width of the halo around a block, at most `block_size`.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0.

    Raises:
        ValueError: An argument that cannot be; when run, an image that is not made of whole blocks.
    """

    reads_image, gives_logits = ("stem.conv1.conv",), ("classifier.1",)
    torch_names = NameTable(
        *(
            (f"stages.{stage}.*.{theirs}", f"stage{stage + 1}.blocks.*.{ours}")
            for stage in range(4)
            for theirs, ours in (
                ("shortcut.**", "creat_shortcut.**"),
                ("post_attn.*", "post_attn.bn.*"),
                ("self_attn.pos_embed.height_rel", "self_attn.pos_embed.rel_height"),
                ("self_attn.pos_embed.width_rel", "self_attn.pos_embed.rel_width"),
                ("**", "**"),
            )
        ),
        ("head.fc.*", "classifier.1.*"),
    )
    not_decayed = ("*.rel_height", "*.rel_width")

    def __init__(
        self,
        block_types: Sequence[str] = ("bbb", "bbba", "bababa", "bab"),
        channels: Sequence[int] = (256, 512, 1024, 2048),
        num_heads: Sequence[int] = (0, 4, 8, 8),
        block_size: int = 8,
        halo_size: int = 3,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if not len(block_types) == len(channels) == len(num_heads) == 4 or set("".join(block_types)) - {"a", "b"}:
            raise ValueError(
                f"block_types are {list(block_types)}; give four stages, each of a and b, with channels and num_heads"
            )
        if not 0 <= halo_size <= block_size:
            raise ValueError(f"halo_size is {halo_size}; give 0 to block_size, {block_size}")
        reductions = [4 * 2**stage for stage, types in enumerate(block_types) if "a" in types]
        self.unit = block_size * max(reductions, default=0) or 1
        self.stem = Stem(in_channels)
        rates = drop_path_rates(drop_path_rate, [len(types) for types in block_types])
        width = 64
        for stage, types in enumerate(block_types):
            blocks: list[nn.Cell] = []
            for index, block_type in enumerate(types):
                is_first, rate, dim = index == 0, rates[stage][index], channels[stage]
                stride = 2 if is_first and stage else 1
                if block_type == "a" and stride == 1:
                    blocks.append(SelfAttnBlock(width, dim, num_heads[stage], block_size, halo_size, is_first, rate))
                elif block_type == "a":
                    raise ValueError(f"block_types are {list(block_types)}; a stage that halves the map starts with b")
                else:
                    blocks.append(BottleneckBlock(width, dim, stride, is_first, rate))
                width = dim
            setattr(self, f"stage{stage + 1}", Blocks(blocks))
        head = partial(classifier_head, weight_init=TRUNC_NORMAL)
        self.add_head(width, num_classes, drop_rate, name="classifier.1", make=head)
        self.describe(
            [block for stage in (self.stage1, self.stage2, self.stage3, self.stage4) for block in stage.blocks],
            [(f"stage{stage + 1}", dim, 4 * 2**stage) for stage, dim in enumerate(channels)],
        )

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the four stages: sides of 1/4, 1/8, 1/16 and 1/32."""
        if x.shape[2] % self.unit or x.shape[3] % self.unit:
            raise ValueError(f"images of {x.shape[2]}x{x.shape[3]}; give multiples of {self.unit} pixels")
        x1 = self.stage1(self.stem(x))
        x2 = self.stage2(x1)
        x3 = self.stage3(x2)
        return x1, x2, x3, self.stage4(x3)


variant = Family(HaloNet, WEIGHTS).variant
# MindCV's and timm's ResNet-50 with attention in every second block of the last two stages
halonet_50t = variant("halonet_50t")
