"""EdgeNeXt.

EdgeNeXt: Efficiently Amalgamated CNN-Transformer Architecture for Mobile Vision Applications, arXiv:2206.10589

Reference implementations: MindCV (parameter names; images of any size padded to whole patches, see `pad`) and timm.
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    ConvNeXtBlock,
    CrossCovarianceAttention,
    DropPath,
    FourierPositions,
    LayerNorm2d,
    LayerScale,
    activation,
    classifier_head,
    conv2d,
    dense,
    drop_path_rates,
    layer_norm,
)
from .published.edgenext import WEIGHTS

__all__ = [
    "EdgeNeXt",
    "edgenext_base",
    "edgenext_small",
    "edgenext_x_small",
    "edgenext_xx_small",
]

_conv2d = partial(conv2d, bias=True, weight_init=TRUNC_NORMAL)
_dense = partial(dense, weight_init=TRUNC_NORMAL)


class SplitTransposeBlock(nn.Cell):
    """Depthwise convolutions over groups of channels one behind the other, attention of channels and an MLP (figure 2).

    (N, C, H, W) to the same.

    Args:
        dim: Channels.
        num_heads: Heads of the attention.
        num_splits: Groups that the channels are split into; the last is not convolved.
        has_positions: Whether the pixels' positions are added in front of the attention.
        drop_path_rate: Probability of dropping each of the two branches for a sample while training.
        layer_scale_init_value: What the scale of each channel of a branch starts with.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_splits: int,
        has_positions: bool,
        drop_path_rate: float,
        layer_scale_init_value: float,
    ) -> None:
        super().__init__()
        self.width = width = -(-dim // num_splits)
        self.scale_xca = LayerScale(dim, layer_scale_init_value)
        self.scale_mlp = LayerScale(dim, layer_scale_init_value)
        self.convs = nn.CellList([_conv2d(width, width, 3, 1, 1, width) for _ in range(num_splits - 1)])
        self.pos_embd = FourierPositions(dim) if has_positions else nn.Identity()
        self.norm_xca = layer_norm(dim)
        self.xca = CrossCovarianceAttention(dim, num_heads)
        self.drop_path1 = DropPath(drop_path_rate)
        self.norm = layer_norm(dim)
        self.pwconv1 = _dense(dim, 4 * dim)
        self.act = activation("gelu")
        self.pwconv2 = _dense(4 * dim, dim)
        self.drop_path2 = DropPath(drop_path_rate)

    def split_convs(self, x: Tensor) -> Tensor:
        """Convolves each group of channels together with what the one before it gave."""
        outputs: list[Tensor] = []
        for index, conv in enumerate(self.convs):
            group = x[:, index * self.width : (index + 1) * self.width]
            outputs.append(conv(outputs[-1] + group if index else group))
        return ops.concat((*outputs, x[:, len(outputs) * self.width :]), 1)

    def construct(self, x: Tensor) -> Tensor:
        _, dim, height, width = x.shape
        out = self.pos_embd(ops.transpose(self.split_convs(x), (0, 2, 3, 1))).reshape((-1, height * width, dim))
        out = out + self.drop_path1(self.scale_xca(self.xca(self.norm_xca(out))))
        out = self.scale_mlp(self.pwconv2(self.act(self.pwconv1(self.norm(out)))))
        return x + self.drop_path2(ops.transpose(out.reshape((-1, height, width, dim)), (0, 3, 1, 2)))


# Cells of the blocks, as MindCV calls them too; of its names all lists lost theirs.
_CELLS = ("dwconv", "norm", "pwconv1", "pwconv2", "convs", "pos_embd", "norm_xca", "xca")
_SCALES = (("gamma1", "layer_scale.gamma"), ("gamma_xca", "scale_xca.gamma"), ("gamma", "scale_mlp.gamma"))
_MINDCV = (
    *((f"0.{name}", f"downsample_layers.0.{name}") for name in ("0.weight", "0.bias", "1.gamma", "1.beta")),
    *(
        (f"0.{index}.{name}", f"downsample_layers.{index}.{name}")
        for index in (1, 2, 3)
        for name in ("0.gamma", "0.beta", "1.weight", "1.bias")
    ),
    *(
        (f"0.{prefix}*.{theirs}", f"stages.{index}.*.{ours}")
        for index, prefix in enumerate(("", "1.", "2.", "3."))
        for theirs, ours in (*((f"{cell}.**", f"{cell}.**") for cell in _CELLS), *_SCALES)
    ),
)


class EdgeNeXt(ImageClassifier):
    """EdgeNeXt: (N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        depths: Number of blocks in each of the four stages; the last one of all but the first has attention.
        dims: Channels of each stage.
        num_heads: Heads of the attention.
        kernel_sizes: Side of the depthwise kernels in each stage.
        num_splits: Groups of channels in front of the attention in each stage but the first.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        layer_scale_init_value: What the scale of each channel of a branch starts with.
        pad: What the weights' stem and downsampling do with an odd rest of the image: "same" pads it to a whole patch
            (MindCV), "valid" leaves it out (timm). The same where H and W are multiples of 32.

    Raises:
        ValueError: A rate, a number of classes or a list of stages that cannot be.
    """

    reads_image, gives_logits = ("downsample_layers.0.0",), ("head",)
    torch_names = NameTable(
        ("stem.*.*", "downsample_layers.0.*.*"),
        ("stages.*.downsample.*.*", "downsample_layers.*.*.*"),
        ("stages.*.blocks.*.gamma", "stages.*.*.layer_scale.gamma"),
        ("stages.*.blocks.*.gamma", "stages.*.*.scale_mlp.gamma"),  # to timm only; `from_torch` tells them apart
        ("stages.*.blocks.*.gamma_xca", "stages.*.*.scale_xca.gamma"),
        ("stages.*.blocks.*.conv_dw.*", "stages.*.*.dwconv.*"),
        ("stages.*.blocks.*.mlp.fc*.*", "stages.*.*.pwconv*.*"),
        ("stages.*.blocks.*.**", "stages.*.*.**"),
        ("head.norm.*", "norm.*"),
        ("head.fc.*", "head.*"),
    )
    torch_arguments = {"pad": "valid"}
    mindcv_names = NameTable(*_MINDCV)
    file_arguments = ("pad",)

    def __init__(
        self,
        depths: Sequence[int],
        dims: Sequence[int],
        num_heads: int = 8,
        kernel_sizes: Sequence[int] = (3, 5, 7, 9),
        num_splits: Sequence[int] = (2, 3, 4),
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1e-6,
        pad: str = "same",
    ) -> None:
        super().__init__()
        if not (len(depths) == len(dims) == len(kernel_sizes) == len(num_splits) + 1 == 4):
            raise ValueError(
                f"EdgeNeXt has four stages, three with attention; got depths {list(depths)}, dims {list(dims)}, "
                f"kernel_sizes {list(kernel_sizes)} and num_splits {list(num_splits)}"
            )
        if min(depths[1:]) < 2 or min(num_splits) < 2:
            raise ValueError(
                f"stages with attention have two blocks and two groups of channels at least; got depths {list(depths)} "
                f"and num_splits {list(num_splits)}"
            )
        if pad not in ("same", "valid"):
            raise ValueError(f"pad is {pad!r}; give 'same' (MindCV's weights) or 'valid' (timm's weights)")
        self.pad = pad
        padding: int | str = "same" if pad == "same" else 0
        self.downsample_layers = nn.CellList(
            [nn.SequentialCell(_conv2d(in_channels, dims[0], 4, 4, padding), LayerNorm2d(dims[0]))]
            + [
                nn.SequentialCell(LayerNorm2d(before), _conv2d(before, dim, 2, 2, padding))
                for before, dim in itertools.pairwise(dims)
            ]
        )
        stages = []
        for index, rates in enumerate(drop_path_rates(drop_path_rate, depths)):
            blocks: list[nn.Cell] = [
                ConvNeXtBlock(dims[index], rate, layer_scale_init_value, kernel_size=kernel_sizes[index])
                for rate in (rates[:-1] if index else rates)
            ]
            if index:
                blocks.append(
                    SplitTransposeBlock(
                        dims[index], num_heads, num_splits[index - 1], index == 1, rates[-1], layer_scale_init_value
                    )
                )
            stages.append(nn.SequentialCell(blocks))
        self.stages = nn.CellList(stages)
        self.norm = layer_norm(dims[-1])
        self.add_head(
            dims[-1],
            num_classes,
            drop_rate,
            name="head",
            pool="none",
            make=partial(classifier_head, weight_init=TRUNC_NORMAL),
        )
        in_order = [
            (self.downsample_layers[index], block) if index and not position else block
            for index in range(4)
            for position, block in enumerate(self.stages[index])
        ]
        maps = [
            ((f"downsample_layers.{index}", f"stages.{index}"), dim, 4 * 2**index) for index, dim in enumerate(dims)
        ]
        self.describe(in_order, maps, tail=("norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the four stages: sides of 1/4, 1/8, 1/16 and 1/32."""
        outputs = []
        for index in range(4):
            x = self.stages[index](self.downsample_layers[index](x))
            outputs.append(x)
        return tuple(outputs)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the last map's mean: (N, in_channels, H, W) to (N, num_features)."""
        return self.norm(self.forward_stages(x)[-1].mean((2, 3)))

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns timm's arrays under our names; a block's `gamma` is that of its own kind."""
        paths = {path for path, _ in self.parameters_and_names()}
        named = super().from_torch(arrays)
        return {
            name if name in paths else name.replace("layer_scale", "scale_mlp"): array for name, array in named.items()
        }


variant = Family(EdgeNeXt, WEIGHTS).variant
# table 1
edgenext_xx_small = variant("edgenext_xx_small", depths=(2, 2, 6, 2), dims=(24, 48, 88, 168), num_heads=4)
edgenext_x_small = variant("edgenext_x_small", depths=(3, 3, 9, 3), dims=(32, 64, 100, 192), num_heads=4)
edgenext_small = variant("edgenext_small", depths=(3, 3, 9, 3), dims=(48, 96, 160, 304))
edgenext_base = variant("edgenext_base", depths=(3, 3, 9, 3), dims=(80, 160, 288, 584))
