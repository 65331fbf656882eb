"""CoaT.

Co-Scale Conv-Attentional Image Transformers, arXiv:2104.06399

Reference implementations: MindCV (parameter names; the shortcut of its serial blocks lacks the position encoding, and
its parallel blocks resize maps with their corners in place, see `cpe_shortcut` and `align_corners`) and timm.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable, join_rows, split_rows

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    FAN_IN_UNIFORM,
    TRUNC_NORMAL,
    DropPath,
    Mlp,
    PatchConv,
    classifier_head,
    conv2d,
    dense,
    dropout,
    head_size,
    layer_norm,
    merge_heads,
    prepend_token,
    resize_bilinear,
    split_heads,
    tokens,
    tokens_as_map,
)
from .published.coat import WEIGHTS

__all__ = [
    "CoaT",
    "CoaTLite",
    "coat_lite_medium",
    "coat_lite_mini",
    "coat_lite_small",
    "coat_lite_tiny",
    "coat_mini",
    "coat_small",
    "coat_tiny",
]

QKV = ("q", "k", "v")
Size = tuple[int, int]

_head = partial(classifier_head, weight_init=TRUNC_NORMAL)


def _behind_token(x: Tensor, pixels: Tensor) -> Tensor:
    """Puts a map, (N, D, H, W), behind the class token of (N, 1 + L, D): to (N, 1 + H * W, D)."""
    _, dim, height, width = pixels.shape
    return ops.concat((x[:, :1], ops.transpose(pixels.reshape((-1, dim, height * width)), (0, 2, 1))), 1)


class ConvPosEnc(nn.Cell):
    """Adds a depthwise convolution of the pixels to them (section 3.2): (N, 1 + H * W, D) to the same.

    Args:
        dim: Size of a token.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = conv2d(dim, dim, 3, 1, 1, dim, bias=True, weight_init=FAN_IN_UNIFORM)

    def construct(self, x: Tensor, size: Size) -> Tensor:
        pixels = tokens_as_map(x, size, 1)
        return _behind_token(x, self.proj(pixels) + pixels)


class ConvRelPosEnc(nn.Cell):
    """What queries take of the values around them (section 3.2): twice (N, heads, 1 + H * W, d) to the same.

    Args:
        head_dim: Size of a token's part in each head, d.
        windows: Sides of the depthwise kernels, and the number of heads that have each.
    """

    def __init__(self, head_dim: int, windows: Mapping[int, int]) -> None:
        super().__init__()
        channels = [heads * head_dim for heads in windows.values()]
        self.ends = [sum(channels[: index + 1]) for index in range(len(channels))]
        self.conv_list = nn.CellList(
            [
                conv2d(width, width, side, 1, side // 2, width, bias=True, weight_init=FAN_IN_UNIFORM)
                for side, width in zip(windows, channels, strict=True)
            ]
        )

    def construct(self, query: Tensor, value: Tensor, size: Size) -> Tensor:
        _, heads, length, dim = query.shape
        pixels = ops.transpose(value[:, :, 1:], (0, 1, 3, 2)).reshape((-1, heads * dim, *size))
        around = []
        start = 0
        for end, conv in zip(self.ends, self.conv_list):  # noqa: B905  the graph compiler knows no strict
            around.append(conv(pixels[:, start:end]))
            start = end
        taken = ops.concat(around, 1).reshape((-1, heads, dim, length - 1))
        taken = query[:, :, 1:] * ops.transpose(taken, (0, 1, 3, 2))
        return ops.concat((query[:, :, :1] * 0, taken), 2)


class FactorAttention(nn.Cell):
    """Attention whose keys and values are multiplied first, with `ConvRelPosEnc` added (equation 8).

    (N, 1 + H * W, D) to the same.

    Args:
        dim: Size of a token.
        num_heads: Number of heads; divides `dim`.
        drop_rate: Dropout behind the projection.
        crpe: The relative position encoding, which all blocks of a scale share.
    """

    def __init__(self, dim: int, num_heads: int, drop_rate: float, crpe: ConvRelPosEnc) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_size(dim, num_heads)
        self.scale = self.head_dim**-0.5
        self.q = dense(dim, dim, weight_init=TRUNC_NORMAL)
        self.k = dense(dim, dim, weight_init=TRUNC_NORMAL)
        self.v = dense(dim, dim, weight_init=TRUNC_NORMAL)
        self.softmax = nn.Softmax(axis=2)
        self.proj = dense(dim, dim, weight_init=TRUNC_NORMAL)
        self.proj_drop = dropout("proj_drop_rate", drop_rate)
        self.crpe = crpe

    def macs(self, shape: tuple[int, ...]) -> int:
        """Multiply-adds of the two products; those of the layers are their own."""
        return 2 * shape[0] * shape[1] * shape[2] * self.head_dim

    def construct(self, x: Tensor, size: Size) -> Tensor:
        query, key = split_heads(self.q(x), self.num_heads), split_heads(self.k(x), self.num_heads)
        value = split_heads(self.v(x), self.num_heads)
        context = ops.matmul(ops.transpose(self.softmax(key), (0, 1, 3, 2)), value)
        x = self.scale * ops.matmul(query, context) + self.crpe(query, value, size)
        return self.proj_drop(self.proj(merge_heads(x)))


class SerialBlock(nn.Cell):
    """Attention, then an MLP, each behind a norm and beside a shortcut (figure 3): (N, 1 + H * W, D) to the same.

    Args:
        dim: Size of a token.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `dim`.
        proj_drop_rate: Dropout behind the projection and in the MLP.
        drop_path_rate: Probability of dropping each of the two branches for a sample while training.
        cpe: The position encoding, which all blocks of a scale share.
        crpe: The relative position encoding, shared too.
        cpe_shortcut: Whether the shortcut beside the attention has the position encoding too.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        proj_drop_rate: float,
        drop_path_rate: float,
        cpe: ConvPosEnc,
        crpe: ConvRelPosEnc,
        cpe_shortcut: bool,
    ) -> None:
        super().__init__()
        self.cpe_shortcut = cpe_shortcut
        self.cpe = cpe
        self.norm1 = layer_norm(dim)
        self.factoratt_crpe = FactorAttention(dim, num_heads, proj_drop_rate, crpe)
        self.drop_path1 = DropPath(drop_path_rate)
        self.norm2 = layer_norm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop_rate=proj_drop_rate)
        self.drop_path2 = DropPath(drop_path_rate)

    def construct(self, x: Tensor, size: Size) -> Tensor:
        placed = self.cpe(x, size)
        shortcut = placed if self.cpe_shortcut else x
        x = shortcut + self.drop_path1(self.factoratt_crpe(self.norm1(placed), size))
        return x + self.drop_path2(self.mlp(self.norm2(x)))


class SerialBlocks(nn.SequentialCell):
    """The blocks of a scale: (N, 1 + H * W, D) to the same."""

    def construct(self, x: Tensor, size: Size) -> Tensor:
        for block in self.cell_list:
            x = block(x, size)
        return x


class ParallelBlock(nn.Cell):
    """Attention in three scales whose results are added in all of them, then an MLP (figure 4).

    Three of (N, 1 + H * W, D) to the same.

    Args:
        dim: Size of a token, that of all three scales.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `dim`.
        proj_drop_rate: Dropout behind the projection and in the MLP.
        drop_path_rate: Probability of dropping each branch for a sample while training.
        cpes: The position encodings of the three scales.
        crpes: The relative position encodings of the three scales.
        align_corners: Whether maps are resized with the middles of their corners' pixels in place, or their edges.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        proj_drop_rate: float,
        drop_path_rate: float,
        cpes: Sequence[ConvPosEnc],
        crpes: Sequence[ConvRelPosEnc],
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.norm12, self.norm13, self.norm14 = layer_norm(dim), layer_norm(dim), layer_norm(dim)
        self.factoratt_crpe2 = FactorAttention(dim, num_heads, proj_drop_rate, crpes[0])
        self.factoratt_crpe3 = FactorAttention(dim, num_heads, proj_drop_rate, crpes[1])
        self.factoratt_crpe4 = FactorAttention(dim, num_heads, proj_drop_rate, crpes[2])
        self.norm22, self.norm23, self.norm24 = layer_norm(dim), layer_norm(dim), layer_norm(dim)
        self.mlp2 = Mlp(dim, int(dim * mlp_ratio), drop_rate=proj_drop_rate)
        self.cpe2, self.cpe3, self.cpe4 = cpes
        self.drop_paths = nn.CellList([DropPath(drop_path_rate) for _ in range(6)])

    def resize(self, x: Tensor, size: Size, new_size: Size) -> Tensor:
        """Brings tokens of one scale to another: (N, 1 + H * W, D) to (N, 1 + new H * W, D)."""
        return _behind_token(x, resize_bilinear(tokens_as_map(x, size, 1), new_size, self.align_corners))

    def construct(self, xs: tuple[Tensor, Tensor, Tensor], sizes: tuple[Size, Size, Size]) -> tuple[Tensor, ...]:
        size2, size3, size4 = sizes
        x2, x3, x4 = self.cpe2(xs[0], size2), self.cpe3(xs[1], size3), self.cpe4(xs[2], size4)
        y2 = self.factoratt_crpe2(self.norm12(x2), size2)
        y3 = self.factoratt_crpe3(self.norm13(x3), size3)
        y4 = self.factoratt_crpe4(self.norm14(x4), size4)
        x2 = x2 + self.drop_paths[0](y2 + self.resize(y3, size3, size2) + self.resize(y4, size4, size2))
        x3 = x3 + self.drop_paths[1](y3 + self.resize(y4, size4, size3) + self.resize(y2, size2, size3))
        x4 = x4 + self.drop_paths[2](y4 + self.resize(y3, size3, size4) + self.resize(y2, size2, size4))
        return (
            x2 + self.drop_paths[3](self.mlp2(self.norm22(x2))),
            x3 + self.drop_paths[4](self.mlp2(self.norm23(x3))),
            x4 + self.drop_paths[5](self.mlp2(self.norm24(x4))),
        )


class ParallelBlocks(nn.SequentialCell):
    """Parallel blocks one behind the other: three of (N, 1 + H * W, D) to the same."""

    def construct(self, xs: tuple[Tensor, Tensor, Tensor], sizes: tuple[Size, Size, Size]) -> tuple[Tensor, ...]:
        for block in self.cell_list:
            xs = block(xs, sizes)
        return xs


# Where files have a cell that several blocks share, and its path here. timm's have it once for each of them.
_CPE = tuple((f"serial_blocks{scale}.0.cpe.**", f"cpe{scale}.**") for scale in range(1, 5))
_SERIAL_CRPE = tuple((f"serial_blocks{scale}.0.factoratt_crpe.crpe.**", f"crpe{scale}.**") for scale in range(1, 5))
_PARALLEL_CRPE = tuple((f"parallel_blocks.0.factoratt_crpe{scale}.crpe.**", f"crpe{scale}.**") for scale in (2, 3, 4))
_SHARED = (
    (re.compile(r"serial_blocks(\d)\.\d+\.cpe\.(.+)"), r"cpe\1.\2"),
    (re.compile(r"serial_blocks(\d)\.\d+\.factoratt_crpe\.crpe\.(.+)"), r"crpe\1.\2"),
    (re.compile(r"parallel_blocks\.\d+\.factoratt_crpe(\d)\.crpe\.(.+)"), r"crpe\1.\2"),
    (re.compile(r"parallel_blocks\.(\d+)\.mlp[34]\.(.+)"), r"parallel_blocks.\1.mlp2.\2"),
)


class CoaT(ImageClassifier):
    """CoaT: (N, in_channels, H, W) to (N, num_classes), with H and W multiples of 32.

    Args:
        embed_dims: Size of a token in each of the four scales; the last three are equal.
        serial_depths: Number of serial blocks in each scale.
        parallel_depth: Number of blocks in the last three scales together.
        num_heads: Heads of the attention.
        mlp_ratios: Size of the MLPs' hidden layer over the token's, in each scale.
        crpe_windows: Sides of the kernels of the relative position encoding, and the number of heads that have each.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        drop_path_rate: Stochastic depth of every block.
        cpe_shortcut: Whether shortcuts of the weights' serial blocks have the position encoding (timm) or not (MindCV).
        align_corners: How the weights' parallel blocks resize maps: with the middles of their corners' pixels in place
            (MindCV) or their outer edges (timm).

    Raises:
        ValueError: An argument that cannot be.
    """

    reads_image, gives_logits = ("patch_embed1.proj",), ("head",)
    torch_names = NameTable()
    torch_arguments: ClassVar[Mapping[str, Any]] = {"cpe_shortcut": True, "align_corners": False}
    mindcv_names = NameTable(*_CPE, *_PARALLEL_CRPE, *_SERIAL_CRPE)
    file_arguments: ClassVar[tuple[str, ...]] = ("cpe_shortcut", "align_corners")
    not_decayed = ("cls_token*",)

    def __init__(
        self,
        embed_dims: Sequence[int] = (152, 152, 152, 152),
        serial_depths: Sequence[int] = (2, 2, 2, 2),
        parallel_depth: int = 1,
        num_heads: int = 8,
        mlp_ratios: Sequence[float] = (4, 4, 4, 4),
        crpe_windows: Mapping[int, int] | None = None,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        cpe_shortcut: bool = False,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        if not len(embed_dims) == len(serial_depths) == len(mlp_ratios) == 4:
            raise ValueError("CoaT has four scales; give four embed_dims, serial_depths and mlp_ratios")
        if parallel_depth and (len(set(embed_dims[1:])) > 1 or len(set(mlp_ratios[1:])) > 1):
            raise ValueError(
                f"embed_dims are {list(embed_dims)} and mlp_ratios {list(mlp_ratios)}; the last three of each must be "
                "equal for parallel blocks"
            )
        windows = crpe_windows or {3: 2, 5: 3, 7: 3}
        if sum(windows.values()) != num_heads:
            raise ValueError(f"crpe_windows are {windows}, for {sum(windows.values())} heads; num_heads is {num_heads}")
        self.cpe_shortcut, self.align_corners = cpe_shortcut, align_corners
        self.parallel_depth = parallel_depth
        self.cls_token1 = tokens(1, embed_dims[0])
        self.cls_token2 = tokens(1, embed_dims[1])
        self.cls_token3 = tokens(1, embed_dims[2])
        self.cls_token4 = tokens(1, embed_dims[3])
        for index, dim in enumerate(embed_dims):
            embed = PatchConv(embed_dims[index - 1], dim, 2, 1e-5) if index else PatchConv(in_channels, dim, 4, 1e-5)
            setattr(self, f"patch_embed{index + 1}", embed)
        cpes = [ConvPosEnc(dim) for dim in embed_dims]
        crpes = [ConvRelPosEnc(head_size(dim, num_heads), windows) for dim in embed_dims]
        self.cpe1, self.cpe2, self.cpe3, self.cpe4 = cpes
        self.crpe1, self.crpe2, self.crpe3, self.crpe4 = crpes
        rates = (proj_drop_rate, drop_path_rate)
        for index, depth in enumerate(serial_depths):
            make = partial(SerialBlock, embed_dims[index], num_heads, mlp_ratios[index], *rates)
            blocks = SerialBlocks([make(cpes[index], crpes[index], cpe_shortcut) for _ in range(depth)])
            setattr(self, f"serial_blocks{index + 1}", blocks)
        dim = embed_dims[-1]
        if parallel_depth:
            parallel = partial(ParallelBlock, dim, num_heads, mlp_ratios[-1], *rates, cpes[1:], crpes[1:])
            self.parallel_blocks = ParallelBlocks([parallel(align_corners) for _ in range(parallel_depth)])
            self.norm2 = layer_norm(dim)
            self.norm3 = layer_norm(dim)
        self.norm4 = layer_norm(dim)
        if parallel_depth:
            self.aggregate = conv2d(3, 1, 1, bias=True, weight_init=FAN_IN_UNIFORM)
        self.add_head(dim, num_classes, drop_rate, name="head", pool="none", make=_head)
        self._describe(embed_dims)

    def _describe(self, embed_dims: Sequence[int]) -> None:
        serial = [getattr(self, f"serial_blocks{scale}") for scale in range(1, 5)]
        names = [
            [f"{cell}{scale}" for cell in ("patch_embed", "cpe", "crpe", "serial_blocks")] for scale in range(1, 5)
        ]
        groups = [
            (*(self._cell(name) for name in names[index][:-1]), block) if index and not position else block
            for index, stage in enumerate(serial)
            for position, block in enumerate(stage)
        ]
        cells, tail = names, ["norm4"]
        if self.parallel_depth:
            groups += list(self.parallel_blocks)
            cells = [names[0], [*names[1], *names[2], *names[3], "parallel_blocks"], *[["parallel_blocks"]] * 2]
            tail = ["norm2", "norm3", "norm4", "aggregate"]
        maps = [(tuple(cells[index]), dim, 4 * 2**index) for index, dim in enumerate(embed_dims)]
        self.describe(groups, maps, tail=tail)

    def _scales(self, x: Tensor) -> tuple[list[Tensor], list[Size]]:
        """Returns the tokens of each scale, (N, 1 + h * w, D), and its h and w."""
        x, size = self._scale(self.patch_embed1(x), self.cls_token1)
        outputs, sizes = [self.serial_blocks1(x, size)], [size]
        if self.last_map > 0:
            x, size = self._scale(self.patch_embed2(tokens_as_map(outputs[0], sizes[0], 1)), self.cls_token2)
            outputs.append(self.serial_blocks2(x, size))
            sizes.append(size)
        if self.last_map > 1 or (self.parallel_depth and self.last_map > 0):
            x, size = self._scale(self.patch_embed3(tokens_as_map(outputs[1], sizes[1], 1)), self.cls_token3)
            outputs.append(self.serial_blocks3(x, size))
            sizes.append(size)
        if self.last_map > 2 or (self.parallel_depth and self.last_map > 0):
            x, size = self._scale(self.patch_embed4(tokens_as_map(outputs[2], sizes[2], 1)), self.cls_token4)
            outputs.append(self.serial_blocks4(x, size))
            sizes.append(size)
        if self.parallel_depth and self.last_map > 0:
            x2, x3, x4 = self.parallel_blocks((outputs[1], outputs[2], outputs[3]), (sizes[1], sizes[2], sizes[3]))
            outputs = [outputs[0], x2, x3, x4]
        return outputs, sizes

    def _scale(self, x: Tensor, token: Tensor) -> tuple[Tensor, Size]:
        """Puts the class token in front of a map's pixels: (N, h, w, D) to (N, 1 + h * w, D)."""
        _, height, width, dim = x.shape
        return prepend_token(token, x.reshape((-1, height * width, dim))), (height, width)

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the scales that are wanted, (N, D, h, w): sides of 1/4, 1/8, 1/16 and 1/32."""
        outputs, sizes = self._scales(x)
        maps = []
        for index in range(len(outputs)):
            maps.append(tokens_as_map(outputs[index], sizes[index], 1))
        return tuple(maps)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the last scale's class token, or what is made of three: (N, num_features)."""
        outputs, _ = self._scales(x)
        token = self.norm4(outputs[3][:, :1])
        if self.parallel_depth:
            rows = (self.norm2(outputs[1][:, :1]), self.norm3(outputs[2][:, :1]), token)
            token = self.aggregate(ops.concat(rows, 1).expand_dims(2))
        return token.reshape((-1, self.num_features))

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns timm's arrays under our names; of a cell that it has in several places the last one counts."""
        named = {}
        for name in sorted(arrays, key=_cell_order):
            theirs = name
            for pattern, cell in _SHARED:
                theirs = pattern.sub(cell, theirs)
            named[theirs] = arrays[name]
        if "aggregate.weight" in named:
            named["aggregate.weight"] = named["aggregate.weight"].reshape((1, 3, 1, 1))
        return super().from_torch(split_rows(named, "qkv", QKV))

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under timm's names, shared cells in all their places; inverts `from_torch`."""
        named = dict(join_rows(super().to_torch(arrays), "qkv", QKV))
        if "aggregate.weight" in named:
            named["aggregate.weight"] = named["aggregate.weight"].reshape((1, 3, 1))
        copies = {}
        for scale in range(1, 5):
            crpes = [f"serial_blocks{scale}.{block}.factoratt_crpe.crpe" for block in range(self._depth(scale))]
            if scale > 1:
                crpes += [f"parallel_blocks.{block}.factoratt_crpe{scale}.crpe" for block in range(self.parallel_depth)]
            copies[f"cpe{scale}"] = [f"serial_blocks{scale}.{block}.cpe" for block in range(self._depth(scale))]
            copies[f"crpe{scale}"] = crpes
        for block in range(self.parallel_depth):
            copies[f"parallel_blocks.{block}.mlp2"] = [f"parallel_blocks.{block}.mlp{scale}" for scale in (3, 4)]
        shared = {
            f"{copy}{name.removeprefix(cell)}": array
            for name, array in named.items()
            for cell, places in copies.items()
            if name.startswith(f"{cell}.")
            for copy in places
        }
        return {**named, **shared}

    def _depth(self, scale: int) -> int:
        return len(getattr(self, f"serial_blocks{scale}"))


def _cell_order(name: str) -> tuple[bool, list[tuple[int, str]]]:
    """Sorts names in the order of timm's cells: shared ones, then serial and then parallel blocks, by number."""
    words = re.split(r"(\d+)", name)
    return name.startswith("parallel"), [(int(word), "") if word.isdigit() else (0, word) for word in words]


class CoaTLite(CoaT):
    """CoaT-Lite, without parallel blocks: (N, in_channels, H, W) to (N, num_classes), H and W multiples of 32.

    Args:
        embed_dims: Size of a token in each of the four scales.
        serial_depths: Number of blocks in each scale.
        num_heads: Heads of the attention.
        mlp_ratios: Size of the MLPs' hidden layer over the token's, in each scale.
        crpe_windows: Sides of the kernels of the relative position encoding, and the number of heads that have each.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        drop_path_rate: Stochastic depth of every block.
        cpe_shortcut: Whether the shortcuts of the weights' blocks have the position encoding (timm) or not (MindCV).

    Raises:
        ValueError: An argument that cannot be.
    """

    torch_arguments: ClassVar[Mapping[str, Any]] = {"cpe_shortcut": True}
    mindcv_names = NameTable(*_CPE, *_SERIAL_CRPE)
    file_arguments: ClassVar[tuple[str, ...]] = ("cpe_shortcut",)

    def __init__(
        self,
        embed_dims: Sequence[int] = (64, 128, 256, 320),
        serial_depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: int = 8,
        mlp_ratios: Sequence[float] = (8, 8, 4, 4),
        crpe_windows: Mapping[int, int] | None = None,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        cpe_shortcut: bool = False,
    ) -> None:
        super().__init__(
            *(embed_dims, serial_depths, 0, num_heads, mlp_ratios, crpe_windows, num_classes, in_channels),
            drop_rate=drop_rate,
            proj_drop_rate=proj_drop_rate,
            drop_path_rate=drop_path_rate,
            cpe_shortcut=cpe_shortcut,
        )


variant, lite = partial(Family(CoaT, WEIGHTS).variant, parallel_depth=6), Family(CoaTLite, WEIGHTS).variant
# table 1
coat_tiny = variant("coat_tiny")
coat_mini = variant("coat_mini", embed_dims=(152, 216, 216, 216))
coat_small = variant("coat_small", embed_dims=(152, 320, 320, 320))
coat_lite_tiny = lite("coat_lite_tiny")
coat_lite_mini = lite("coat_lite_mini", embed_dims=(64, 128, 320, 512))
coat_lite_small = lite("coat_lite_small", embed_dims=(64, 128, 320, 512), serial_depths=(3, 4, 6, 3))
coat_lite_medium = lite(
    "coat_lite_medium", embed_dims=(128, 256, 320, 512), serial_depths=(3, 6, 10, 8), mlp_ratios=(4, 4, 4, 4)
)
