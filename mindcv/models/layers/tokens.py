"""From images to tokens."""

import math
import operator

from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Initializer, initializer

from .conv import conv2d
from .dense import TRUNC_NORMAL
from .norm import layer_norm
from .weight_init import Uniform


def as_pair(size: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    """Returns (height, width) of a side or of a pair.

    Raises:
        ValueError: It is neither.
    """
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    try:
        height, width = map(operator.index, pair)
    except (TypeError, ValueError):
        raise ValueError(f"{size!r} is no size; give a whole number of pixels, or two: (height, width)") from None
    return height, width


def tokens(count: int, dim: int, weight_init: str | Initializer = TRUNC_NORMAL) -> Parameter:
    """Makes a parameter of (1, count, dim): tokens or a table of positions."""
    return Parameter(initializer(weight_init, (1, count, dim)))


def planes(dim: int, size: tuple[int, int], weight_init: str | Initializer = TRUNC_NORMAL) -> Parameter:
    """Makes a parameter of (1, dim, *size): a table of positions of a map."""
    return Parameter(initializer(weight_init, (1, dim, *size)))


def repeat_token(token: Tensor, x: Tensor) -> Tensor:
    """Returns one token, (1, 1, D), for each image of (N, L, D): (N, 1, D)."""
    return x[:, :1] * 0 + ops.cast(token, x.dtype)  # broadcast_to has no ONNX form for an open batch


def prepend_token(token: Tensor, x: Tensor) -> Tensor:
    """Puts one token, (1, 1, D), in front of those of each image: (N, L, D) to (N, 1 + L, D)."""
    return ops.concat((repeat_token(token, x), x), 1)


def tokens_as_map(x: Tensor, size: tuple[int, int], prefix: int = 0) -> Tensor:
    """Puts tokens of patches, row by row, into a map: (N, prefix + rows * columns, D) to (N, D, rows, columns).

    Args:
        x: The tokens.
        size: Rows and columns.
        prefix: Tokens in front that are of no patch.
    """
    return ops.transpose(x[:, prefix:] if prefix else x, (0, 2, 1)).reshape((-1, x.shape[2], *size))


def require_image_size(x: Tensor, image_size: tuple[int, int]) -> None:
    """Holds images, (N, C, H, W), against the size that a network is made for.

    Raises:
        ValueError: They have another size.
    """
    if x.shape[2:] != image_size:
        raise ValueError(
            f"images of {x.shape[2]}x{x.shape[3]} for a network of {image_size[0]}x{image_size[1]}; "
            f"resize them, or create the network with image_size=({x.shape[2]}, {x.shape[3]})"
        )


def patch_weight_init(patch_size: int, in_channels: int, embed_dim: int) -> Uniform:
    """Initialiser of the patches' projection: Xavier-uniform as of the dense layer that it is."""
    return Uniform(math.sqrt(6 / (in_channels * patch_size**2 + embed_dim)))


class PatchEmbed(nn.Cell):
    """Cuts an image into patches and makes a token of each: (N, C, H, W) to (N, L, D), row by row.

    Args:
        image_size: Side of the images, or (height, width).
        patch_size: Side of a patch; divides the image's sides.
        in_channels: Channels of the image.
        embed_dim: Size of a token.
        weight_init: Initialiser of the weight.
        bias: Whether the projection has a bias.
        norm_eps: Added to the variance in a norm behind the projection; None: there is no norm.

    Attributes:
        grid_size: Rows and columns of patches.
        num_patches: Their number.

    Raises:
        ValueError: The image is not made of whole patches.
    """

    def __init__(
        self,
        image_size: int | tuple[int, int],
        patch_size: int,
        in_channels: int,
        embed_dim: int,
        weight_init: str | Initializer = TRUNC_NORMAL,
        bias: bool = True,
        norm_eps: float | None = None,
    ) -> None:
        super().__init__()
        height, width = as_pair(image_size)
        if height < patch_size or width < patch_size or height % patch_size or width % patch_size:
            raise ValueError(f"image_size is {height}x{width}; give multiples of the patch's side, {patch_size}")
        self.grid_size = (height // patch_size, width // patch_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.embed_dim = embed_dim
        self.image_size = (height, width)
        self.proj = conv2d(in_channels, embed_dim, patch_size, patch_size, bias=bias, weight_init=weight_init)
        self.norm = nn.Identity() if norm_eps is None else layer_norm(embed_dim, norm_eps)

    def construct(self, x: Tensor) -> Tensor:
        require_image_size(x, self.image_size)
        x = self.proj(x).reshape((-1, self.embed_dim, self.num_patches))
        return self.norm(ops.transpose(x, (0, 2, 1)))


class PatchConv(nn.Cell):
    """Patches as a map behind a norm: (N, C, H, W) to (N, H / patch, W / patch, D).

    Args:
        in_channels: Channels of the input.
        dim: Size of a token.
        patch_size: Side of a patch; a rest of the input is left out.
        norm_eps: Added to the variance in the norm.
    """

    def __init__(self, in_channels: int, dim: int, patch_size: int, norm_eps: float) -> None:
        super().__init__()
        self.proj = conv2d(in_channels, dim, patch_size, patch_size, bias=True)
        self.norm = layer_norm(dim, norm_eps)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(ops.transpose(self.proj(x), (0, 2, 3, 1)))
