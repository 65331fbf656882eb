"""PoolFormer.

MetaFormer Is Actually What You Need for Vision, arXiv:2111.11418

Reference implementations: MindCV (parameter names, the last norm before the mean, see `head_norm`) and timm.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from mindspore import Parameter, Tensor, nn
from mindspore.common.initializer import Constant, initializer

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    FAN_IN_UNIFORM,
    TRUNC_NORMAL,
    ConvMlp,
    DropPath,
    classifier_head,
    conv2d,
    drop_path_rates,
    group_norm,
    layer_norm,
)
from .published.poolformer import WEIGHTS

__all__ = [
    "PoolFormer",
    "poolformer_m36",
    "poolformer_m48",
    "poolformer_s12",
    "poolformer_s24",
    "poolformer_s36",
]

_conv2d = partial(conv2d, bias=True, weight_init=FAN_IN_UNIFORM)


class PoolFormerBlock(nn.Cell):
    """Mean of the neighbours, then an MLP, each behind a norm and beside a shortcut (figure 2).

    (N, C, H, W) to the same.

    Args:
        dim: Channels.
        pool_size: Side of the neighbourhood.
        mlp_ratio: Channels of the MLP's hidden layer over `dim`.
        proj_drop_rate: Dropout in the MLP.
        drop_path_rate: Probability of dropping each of the two branches for a sample while training.
        layer_scale_init_value: What the scale of each channel of a branch starts with.
    """

    def __init__(
        self,
        dim: int,
        pool_size: int,
        mlp_ratio: float,
        proj_drop_rate: float,
        drop_path_rate: float,
        layer_scale_init_value: float,
    ) -> None:
        super().__init__()
        self.layer_scale_1 = Parameter(initializer(Constant(layer_scale_init_value), (dim,)))
        self.layer_scale_2 = Parameter(initializer(Constant(layer_scale_init_value), (dim,)))
        self.norm1 = group_norm(dim)
        self.pool = nn.AvgPool2d(pool_size, stride=1, pad_mode="same")  # without the zeros at the border
        self.drop_path1 = DropPath(drop_path_rate)
        self.norm2 = group_norm(dim)
        self.mlp = ConvMlp(dim, int(dim * mlp_ratio), act="gelu", drop_rate=proj_drop_rate)
        self.drop_path2 = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.norm1(x)
        x = x + self.drop_path1(self.layer_scale_1.reshape((1, -1, 1, 1)) * (self.pool(out) - out))
        return x + self.drop_path2(self.layer_scale_2.reshape((1, -1, 1, 1)) * self.mlp(self.norm2(x)))


_TIMM = (
    ("stem.conv.*", "patch_embed.proj.*"),
    *((f"stages.{index}.downsample.conv.*", f"network.{2 * index - 1}.proj.*") for index in (1, 2, 3)),
    *(
        (f"stages.{index}.blocks.*.{theirs}", f"network.{2 * index}.*.{ours}")
        for index in range(4)
        for theirs, ours in (
            ("layer_scale1.scale", "layer_scale_1"),
            ("layer_scale2.scale", "layer_scale_2"),
            ("**", "**"),
        )
    ),
    ("head.norm.*", "norm.*"),
    ("head.fc.*", "head.*"),
)


class PoolFormer(ImageClassifier):
    """PoolFormer: (N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        depths: Number of blocks in each of the four stages.
        dims: Channels of each stage.
        mlp_ratio: Channels of the MLP's hidden layer over those of the stage.
        pool_size: Side of the neighbourhood.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        proj_drop_rate: Dropout in the MLPs.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        layer_scale_init_value: What the scale of each channel of a branch starts with.
        head_norm: Where the weights' last norm stands: "map" normalises the map and takes the mean (MindCV), "mean"
            normalises the mean (timm).

    Raises:
        ValueError: A rate, a number of classes or a list of stages that cannot be.
    """

    reads_image, gives_logits = ("patch_embed.proj",), ("head",)
    torch_names = NameTable(*_TIMM)
    torch_arguments = {"head_norm": "mean"}
    file_arguments = ("head_norm",)

    def __init__(
        self,
        depths: Sequence[int],
        dims: Sequence[int] = (64, 128, 320, 512),
        mlp_ratio: float = 4.0,
        pool_size: int = 3,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1e-5,
        head_norm: str = "map",
    ) -> None:
        super().__init__()
        if len(depths) != 4 or len(dims) != 4:
            raise ValueError(f"PoolFormer has four stages; got depths {list(depths)} and dims {list(dims)}")
        if head_norm not in ("map", "mean"):
            raise ValueError(f"head_norm is {head_norm!r}; give 'map' (MindCV's weights) or 'mean' (timm's weights)")
        self.head_norm = head_norm
        self.patch_embed = nn.SequentialCell(OrderedDict(proj=_conv2d(in_channels, dims[0], 7, 4, 2)))
        cells: list[nn.Cell] = []
        for index, (dim, rates) in enumerate(zip(dims, drop_path_rates(drop_path_rate, depths), strict=True)):
            if index:
                cells.append(nn.SequentialCell(OrderedDict(proj=_conv2d(dims[index - 1], dim, 3, 2, 1))))
            cells.append(
                nn.SequentialCell(
                    [
                        PoolFormerBlock(dim, pool_size, mlp_ratio, proj_drop_rate, rate, layer_scale_init_value)
                        for rate in rates
                    ]
                )
            )
        self.network = nn.SequentialCell(cells)
        self.norm = group_norm(dims[-1]) if head_norm == "map" else layer_norm(dims[-1])
        self.add_head(
            dims[-1],
            num_classes,
            drop_rate,
            name="head",
            pool="avg" if head_norm == "map" else "none",
            make=partial(classifier_head, weight_init=TRUNC_NORMAL),
        )
        blocks = [
            (self.network[2 * index - 1], block) if index and not position else block
            for index in range(4)
            for position, block in enumerate(self.network[2 * index])
        ]
        maps = [
            ((f"network.{2 * index - 1}", f"network.{2 * index}") if index else "network.0", dim, 4 * 2**index)
            for index, dim in enumerate(dims)
        ]
        self.describe(blocks, maps, tail=("norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the four stages: sides of 1/4, 1/8, 1/16 and 1/32."""
        x1 = self.network[0](self.patch_embed(x))
        x2 = self.network[2](self.network[1](x1))
        x3 = self.network[4](self.network[3](x2))
        return x1, x2, x3, self.network[6](self.network[5](x3))

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the last map, (N, num_features, h, w), or of its mean, (N, num_features)."""
        x = self.forward_stages(x)[-1]
        return self.norm(x) if self.head_norm == "map" else self.norm(x.mean((2, 3)))


variant = Family(PoolFormer, WEIGHTS).variant
# table 1
poolformer_s12 = variant("poolformer_s12", depths=(2, 2, 6, 2))
poolformer_s24 = variant("poolformer_s24", depths=(4, 4, 12, 4))
poolformer_s36 = variant("poolformer_s36", depths=(6, 6, 18, 6), layer_scale_init_value=1e-6)
_medium = partial(variant, dims=(96, 192, 384, 768), layer_scale_init_value=1e-6)
poolformer_m36 = _medium("poolformer_m36", depths=(6, 6, 18, 6))
poolformer_m48 = _medium("poolformer_m48", depths=(8, 8, 24, 8))
