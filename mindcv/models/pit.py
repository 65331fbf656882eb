"""PiT.

Rethinking Spatial Dimensions of Vision Transformers, arXiv:2103.16302

Reference implementations: MindCV (parameter names; GELU by tanh, see `act`) and timm.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable, join_rows, split_rows
from mindcv.weights.resize import Planes

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    Blocks,
    Mlp,
    PreNormBlock,
    SplitAttention,
    as_pair,
    classifier_head,
    conv2d,
    dense,
    drop_path_rates,
    dropout,
    layer_norm,
    planes,
    prepend_token,
    require_image_size,
    tokens,
    tokens_as_map,
)
from .layers.weight_init import Uniform
from .published.pit import WEIGHTS

__all__ = [
    "PoolingTransformer",
    "pit_b",
    "pit_s",
    "pit_ti",
    "pit_xs",
]

QKV = ("q", "k", "v")


class Pool(nn.Cell):
    """Halves the side of the patches' map by a depthwise convolution and widens the class token (figure 2).

    (N, 1 + rows * columns, D) to (N, 1 + smaller rows * columns, out_dim).

    Args:
        dim: Size of a token.
        out_dim: Size of a token behind it, a multiple of `dim`.
        grid_size: Rows and columns of the patches.
    """

    def __init__(self, dim: int, out_dim: int, grid_size: tuple[int, int]) -> None:
        super().__init__()
        self.out_dim = out_dim
        self.grid_size = grid_size
        bound = Uniform(1 / 3)  # one over the root of the kernel's nine positions
        self.conv = conv2d(dim, out_dim, 3, 2, 1, dim, bias=True, weight_init=bound, bias_init=bound)
        self.fc = dense(dim, out_dim, weight_init=Uniform(dim**-0.5))

    def construct(self, x: Tensor) -> Tensor:
        pooled = self.conv(tokens_as_map(x, self.grid_size, prefix=1))
        positions = pooled.shape[2] * pooled.shape[3]
        patches = ops.transpose(pooled.reshape((-1, self.out_dim, positions)), (0, 2, 1))
        return ops.concat((self.fc(x[:, :1]), patches), 1)


class PoolingTransformer(ImageClassifier):
    """Pooling-based Vision Transformer: (N, in_channels, *image_size) to (N, num_classes).

    Args:
        image_size: Side of the images, or (height, width); at least `patch_size`.
        patch_size: Side of a patch.
        stride: Distance of the patches.
        base_dims: Size of a head in each of the three stages.
        depths: Number of blocks in each stage.
        num_heads: Heads of the attention in each stage.
        mlp_ratio: Size of the MLP's hidden layer over the size of a token.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pos_drop_rate: Dropout behind the position embeddings.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        act: Activation of the weights' MLP, "gelu_tanh" (MindCV) or "gelu" (timm).

    Raises:
        ValueError: An image that is smaller than a patch, or another argument that cannot be.
    """

    reads_image, gives_logits = ("patch_embed.conv",), ("head",)
    torch_names = NameTable(
        *((f"transformers.{index + 1}.pool.**", f"pools.{index}.**") for index in range(2)),
    )
    torch_arguments = {"act": "gelu"}
    # MindCV's lists of stages and of pools take the names of their first entries' contents.
    mindcv_names = NameTable(
        *((f"0.blocks.{index}.blocks.**", f"transformers.{index}.blocks.**") for index in (1, 2)),
        ("0.blocks.**", "transformers.0.blocks.**"),
        *((f"{index}.{cell}.*", f"pools.{index}.{cell}.*") for index in range(2) for cell in ("conv", "fc")),
    )
    file_arguments = ("act",)
    resized = {"pos_embed": Planes()}
    not_decayed = ("cls_token", "pos_embed")

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        stride: int = 8,
        base_dims: Sequence[int] = (48, 48, 48),
        depths: Sequence[int] = (2, 6, 4),
        num_heads: Sequence[int] = (2, 4, 8),
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
    ) -> None:
        super().__init__()
        if not len(base_dims) == len(depths) == len(num_heads) == 3:
            raise ValueError(
                f"PiT has three stages; got base_dims {list(base_dims)}, depths {list(depths)} and "
                f"num_heads {list(num_heads)}"
            )
        self.act = act
        self.image_size = as_pair(image_size)
        if min(self.image_size) < patch_size:
            raise ValueError(
                f"image_size is {self.image_size[0]}x{self.image_size[1]}; give at least the patch's side, {patch_size}"
            )
        rows, columns = ((side - patch_size) // stride + 1 for side in self.image_size)
        dims = [dim * heads for dim, heads in zip(base_dims, num_heads, strict=True)]
        self.dims = dims
        self.grid_sizes = [(-(-rows // 2**stage), -(-columns // 2**stage)) for stage in range(3)]
        self.pos_embed = planes(dims[0], (rows, columns))
        self.cls_token = tokens(1, dims[0])
        bound = Uniform(1 / math.sqrt(patch_size**2 * in_channels))
        conv = conv2d(in_channels, dims[0], patch_size, stride, bias=True, weight_init=bound, bias_init=bound)
        self.patch_embed = nn.SequentialCell(OrderedDict(conv=conv))
        self.pos_drop = dropout("pos_drop_rate", pos_drop_rate)
        self.transformers = nn.CellList(
            [
                Blocks(
                    [
                        PreNormBlock(
                            dim,
                            SplitAttention(dim, heads, True, attn_drop_rate, proj_drop_rate),
                            Mlp(dim, int(dim * mlp_ratio), act=act, drop_rate=proj_drop_rate),
                            rate,
                        )
                        for rate in rates
                    ]
                )
                for dim, heads, rates in zip(dims, num_heads, drop_path_rates(drop_path_rate, depths), strict=True)
            ]
        )
        self.pools = nn.CellList([Pool(dims[index], dims[index + 1], self.grid_sizes[index]) for index in range(2)])
        self.norm = layer_norm(dims[-1])
        self.add_head(dims[-1], num_classes, drop_rate, name="head", pool="token", make=_head)
        blocks = [
            (self.pools[stage - 1], block) if stage and not position else block
            for stage in range(3)
            for position, block in enumerate(self.transformers[stage].blocks)
        ]
        maps = [
            (
                (f"pools.{stage - 1}", f"transformers.{stage}") if stage else f"transformers.{stage}",
                dim,
                stride * 2**stage,
            )
            for stage, dim in enumerate(dims)
        ]
        self.describe(blocks, maps, tail=("norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the tokens behind each stage, (N, 1 + patches, size of a token)."""
        require_image_size(x, self.image_size)
        x = self.pos_drop(self.patch_embed(x) + self.pos_embed)
        rows, columns = self.grid_sizes[0]
        x = ops.transpose(x.reshape((-1, self.dims[0], rows * columns)), (0, 2, 1))
        x1 = self.transformers[0](prepend_token(self.cls_token, x))
        x2 = self.transformers[1](self.pools[0](x1))
        return x1, x2, self.transformers[2](self.pools[1](x2))

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the class token, (N, 1, num_features)."""
        return self.norm(self.forward_stages(x)[-1][:, :1])

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns the patches' tokens of a stage as a map, (N, size of a token, rows, columns)."""
        return tokens_as_map(x, self.grid_sizes[index], prefix=1)

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns timm's arrays under our names; its queries, keys and values are one layer."""
        return super().from_torch(split_rows(arrays, "qkv", QKV))

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under timm's names; inverts `from_torch`."""
        return join_rows(super().to_torch(arrays), "qkv", QKV)


def _head(num_features: int, num_classes: int) -> nn.Cell:
    return classifier_head(num_features, num_classes, weight_init=Uniform(max(num_classes, 1) ** -0.5))


variant = Family(PoolingTransformer, WEIGHTS).variant
# table 1
pit_ti = variant("pit_ti", base_dims=(32, 32, 32))
pit_xs = variant("pit_xs")
pit_s = variant("pit_s", num_heads=(3, 6, 12))
pit_b = variant("pit_b", patch_size=14, stride=7, base_dims=(64, 64, 64), depths=(3, 6, 4), num_heads=(4, 8, 16))
