"""MindCV's cells and helpers with MindCV's arguments, for networks that users have written on them.

The library's own networks have cells of their own (`mindcv.models.layers`). MindCV's modules, `layers.mlp`,
`layers.patch_embed` and so on, only re-export what stands here.
"""

import enum
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from .activation import MakeActivation, activation
from .conv import conv2d
from .dense import TRUNC_NORMAL, dense
from .drop import check_rate, dropout
from .resize import resize_bicubic
from .tokens import as_pair
from .windows import relative_index


class Mlp(nn.Cell):
    """Dense, activation, dense: (..., in_features) to (..., out_features).

    Args:
        in_features: Size of the last axis.
        hidden_features: Size between the two layers. None: `in_features`.
        out_features: Size of the output's last axis. None: `in_features`.
        act_layer: Activation, by name or what makes it; default: what MindSpore's `nn.GELU()` is, MindCV's.
        drop: Dropout behind each layer.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: MakeActivation = "gelu_tanh",
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        hidden_features = hidden_features or in_features
        self.fc1 = dense(in_features, hidden_features)
        self.act = activation(act_layer)
        self.fc2 = dense(hidden_features, out_features or in_features)
        self.drop = dropout("drop", drop)

    def construct(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class Format(str, enum.Enum):
    """Order of a map's or of tokens' axes."""

    NCHW = "NCHW"
    NHWC = "NHWC"
    NCL = "NCL"
    NLC = "NLC"


FormatT = str | Format


def nchw_to(x: Tensor, fmt: FormatT) -> Tensor:
    """Returns a map, (N, C, H, W), in another format."""
    if fmt == Format.NHWC:
        return ops.transpose(x, (0, 2, 3, 1))
    if fmt == Format.NLC:
        return ops.transpose(x.reshape((x.shape[0], x.shape[1], -1)), (0, 2, 1))
    return x.reshape((x.shape[0], x.shape[1], -1)) if fmt == Format.NCL else x


def nhwc_to(x: Tensor, fmt: FormatT) -> Tensor:
    """Returns a map, (N, H, W, C), in another format."""
    return x if fmt == Format.NHWC else nchw_to(ops.transpose(x, (0, 3, 1, 2)), fmt)


class PatchEmbed(nn.Cell):
    """Cuts an image into patches and makes a token of each: (N, in_chans, H, W) to (N, L, embed_dim), row by row.

    Args:
        image_size: Side of the images, or (height, width). None: any.
        patch_size: Side of a patch, or (height, width).
        in_chans: Channels of the image.
        embed_dim: Size of a token.
        norm_layer: Makes the norm behind it, called with `((embed_dim,), epsilon=1e-5)`; None: no norm.
        flatten: Whether the result is tokens; otherwise it is a map, (N, embed_dim, H / patch, W / patch).
        output_fmt: Format of the result, which goes before `flatten`.
        bias: Whether the projection has a bias.
        strict_img_size: Whether images must have the size; otherwise whole patches are enough.
        dynamic_img_pad: Whether images are filled up with zeros to whole patches, at the bottom and the right.

    Raises:
        ValueError: Images have another size.
    """

    def __init__(
        self,
        image_size: int | tuple[int, int] | None = 224,
        patch_size: int | tuple[int, int] = 4,
        in_chans: int = 3,
        embed_dim: int = 96,
        norm_layer: Callable[..., nn.Cell] | None = None,
        flatten: bool = True,
        output_fmt: FormatT | None = None,
        bias: bool = True,
        strict_img_size: bool = True,
        dynamic_img_pad: bool = False,
    ) -> None:
        super().__init__()
        self.patch_size = as_pair(patch_size)
        self.image_size = self.patches_resolution = self.num_patches = None
        if image_size is not None:
            self.image_size = as_pair(image_size)
            rows, columns = (side // patch for side, patch in zip(self.image_size, self.patch_size, strict=True))
            self.patches_resolution, self.num_patches = (rows, columns), rows * columns
        self.output_fmt = Format(output_fmt) if output_fmt is not None else Format.NLC if flatten else Format.NCHW
        self.flatten = flatten and output_fmt is None
        self.strict_img_size, self.dynamic_img_pad = strict_img_size, dynamic_img_pad
        self.embed_dim = embed_dim
        self.proj = conv2d(in_chans, embed_dim, self.patch_size, self.patch_size, bias=bias, weight_init=TRUNC_NORMAL)
        self.norm = norm_layer((embed_dim,), epsilon=1e-5) if norm_layer is not None else None

    def construct(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        missing = (-height % self.patch_size[0], -width % self.patch_size[1])
        if self.image_size is not None and self.strict_img_size and (height, width) != self.image_size:
            raise ValueError(f"images are {height}x{width}, and PatchEmbed is made for {self.image_size}")
        if self.dynamic_img_pad:
            x = ops.pad(x, (0, missing[1], 0, missing[0]))
        elif self.image_size is not None and missing != (0, 0):
            raise ValueError(f"images are {height}x{width}; give multiples of the patch, {self.patch_size}")
        x = nchw_to(self.proj(x), self.output_fmt)
        return x if self.norm is None else self.norm(x)


class PatchDropout(nn.Cell):
    """Drops tokens of each image while training (arXiv:2212.00794): (N, L, D) to (N, K, D).

    Args:
        prob: Share of the tokens that is dropped, in [0, 1).
        num_prefix_tokens: Tokens in front, such as the class token, which stay.
        ordered: Whether the others stay in their order.
        return_indices: Whether to return which tokens stayed too, int (N, K) without the prefix; None in evaluation.

    Raises:
        ValueError: `prob` is outside [0, 1).
    """

    def __init__(
        self, prob: float = 0.5, num_prefix_tokens: int = 1, ordered: bool = False, return_indices: bool = False
    ) -> None:
        super().__init__()
        self.prob = check_rate("prob", prob)
        self.num_prefix_tokens, self.ordered, self.return_indices = num_prefix_tokens, ordered, return_indices
        # Random bits, 24 of which make a number to sort by; so that they follow the training step's seed.
        self.coin = nn.Dropout(p=0.5)
        self.places = Tensor(0.5 ** np.arange(1, 25), ms.float32)

    def construct(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor | None]:
        if not self.training or self.prob == 0.0:
            return (x, None) if self.return_indices else x
        prefix, tokens = x[:, : self.num_prefix_tokens], x[:, self.num_prefix_tokens :]
        count, length, dim = tokens.shape
        kept = max(1, int(length * (1.0 - self.prob)))
        bits = ops.cast(self.coin(ops.ones((count, length, 24), ms.float32)) > 0, ms.float32)
        indices = ops.topk((bits * self.places).sum(-1), kept)[1]
        if self.ordered:
            indices = ops.cast(ops.sort(ops.cast(indices, ms.float32))[0], ms.int32)
        tokens = ops.gather_elements(tokens, 1, ops.broadcast_to(indices.expand_dims(-1), (count, kept, dim)))
        if self.num_prefix_tokens:
            tokens = ops.concat((prefix, tokens), 1)
        return (tokens, indices) if self.return_indices else tokens


class Dropout(nn.Dropout):
    """MindSpore's dropout by the probability of dropping, `p`; `dtype` has no effect."""

    def __init__(self, p: float = 0.5, dtype: Any = ms.float32) -> None:
        super().__init__(p=p)


class Split(nn.Cell):
    """Cuts a tensor along an axis into a tuple of equal parts.

    Args:
        split_size_or_sections: Length of a part, or of each.
        output_num: Number of parts, which follows from the other; here as MindSpore 1 needed it.
        axis: The axis.
    """

    def __init__(self, split_size_or_sections: int | Sequence[int], output_num: int, axis: int = 0) -> None:
        super().__init__()
        self.size, self.axis = split_size_or_sections, axis

    def construct(self, x: Tensor) -> tuple[Tensor, ...]:
        return ops.split(x, self.size, self.axis)


class ResizeBilinear(nn.Cell):
    """Resizes maps, (N, C, H, W), to (height, width) by bilinear interpolation.

    Args:
        size: Height and width.
        align_corners: Whether the middles of the corner pixels stay the corners.
        half_pixel_centers: Whether a pixel's position is its middle; without it, and without the former, its corner.
    """

    def __init__(self, size: tuple[int, int], align_corners: bool = False, half_pixel_centers: bool = False) -> None:
        super().__init__()
        self.size = tuple(size)
        self.resize_bilinear = ops.ResizeBilinearV2(align_corners, half_pixel_centers)

    def construct(self, x: Tensor) -> Tensor:
        return self.resize_bilinear(x, self.size)


class Interpolate(nn.Cell):
    """Resizes maps, (N, C, H, W), to the size of the call or by a factor, as `mindspore.ops.interpolate` does.

    Bicubic interpolation is our own: MindSpore's on the CPU is another function.

    Args:
        scale_factor: Factor of the sides where the call gives no size.
        mode: nearest, bilinear, bicubic, area ...
        align_corners: Whether the middles of the corner pixels stay the corners, for bilinear and bicubic.
        recompute_scale_factor: See `mindspore.ops.interpolate`.
    """

    def __init__(
        self,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.scale_factor, self.mode, self.align_corners = scale_factor, mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def construct(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        if self.mode != "bicubic":
            return ops.interpolate(
                x,
                size=size,
                scale_factor=self.scale_factor,
                mode=self.mode,
                align_corners=self.align_corners,
                recompute_scale_factor=self.recompute_scale_factor,
            )
        if size is None:
            factors = self.scale_factor if isinstance(self.scale_factor, tuple) else (self.scale_factor,) * 2
            size = (int(x.shape[2] * factors[0]), int(x.shape[3] * factors[1]))
        return resize_bicubic(x, (size[0], size[1]), bool(self.align_corners))


def resample_abs_pos_embed(
    posemb: Tensor,
    new_size: Sequence[int],
    old_size: Sequence[int] | None = None,
    num_prefix_tokens: int = 1,
    interpolation: str = "nearest",
) -> Tensor:
    """Returns position embeddings for another number of tokens, (1, prefix + rows * columns, D).

    Args:
        posemb: Position embeddings.
        new_size: Rows and columns of the new tokens.
        old_size: Those of the old ones. None: as many rows as columns.
        num_prefix_tokens: Tokens in front, whose embeddings stay.
        interpolation: nearest, or bilinear or bicubic with the corners aligned.
    """
    if posemb.shape[1] == new_size[0] * new_size[1] + num_prefix_tokens and new_size[0] == new_size[1]:
        return posemb
    if old_size is None:
        old_size = (math.isqrt(posemb.shape[1] - num_prefix_tokens),) * 2
    prefix, table = posemb[:, :num_prefix_tokens], posemb[:, num_prefix_tokens:]
    planes = ops.transpose(table.reshape((1, *old_size, -1)), (0, 3, 1, 2))
    resize = Interpolate(mode=interpolation, align_corners=None if interpolation == "nearest" else True)
    resized = nchw_to(resize(ops.cast(planes, ms.float32), tuple(new_size)), Format.NLC)
    resized = ops.cast(resized, posemb.dtype)
    return ops.concat((prefix, resized), 1) if num_prefix_tokens else resized


class RelativePositionBiasWithCLS(nn.Cell):
    """A learned bias of attention for each distance of two tokens of a window, and for the class token (BEiT).

    Without inputs to (1, num_heads, 1 + L, 1 + L), L tokens in the window. Parameters have MindCV's names and shapes.

    Args:
        window_size: Rows and columns of tokens.
        num_heads: Heads of attention.
    """

    def __init__(self, window_size: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        rows, columns = window_size
        self.window_size, self.num_tokens = window_size, rows * columns
        count = (2 * rows - 1) * (2 * columns - 1) + 3  # and: to the class token, from it, from it to itself
        index = np.zeros((self.num_tokens + 1,) * 2, int)
        index[1:, 1:] = relative_index(window_size)
        index[0, :], index[:, 0], index[0, 0] = count - 3, count - 2, count - 1
        self.relative_position_bias_table = Parameter(Tensor(np.zeros((count, num_heads)), ms.float32))
        one_hot = np.eye(count, dtype=np.float32)[index.reshape(-1)]
        self.relative_position_index = Parameter(Tensor(one_hot), requires_grad=False)

    def construct(self) -> Tensor:
        bias = ops.matmul(self.relative_position_index, self.relative_position_bias_table)
        bias = bias.reshape((self.num_tokens + 1, self.num_tokens + 1, -1))
        return ops.transpose(bias, (2, 0, 1)).expand_dims(0)


def to_ntuple(n: int) -> Callable[[Any], Any]:
    """Returns a function that repeats a value `n` times, and leaves what is several already."""

    def repeat(value: Any) -> Any:
        return value if isinstance(value, Iterable) else (value,) * n

    return repeat


to_1tuple, to_2tuple, to_3tuple, to_4tuple = (to_ntuple(n) for n in range(1, 5))
