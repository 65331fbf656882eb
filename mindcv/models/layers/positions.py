"""Positions that are computed, not learned."""

import math

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Initializer

from .conv import conv2d
from .dense import TRUNC_NORMAL

_TEMPERATURE = 10000.0


def sincos_positions(dim: int, grid: tuple[int, int], prefix: int = 0) -> np.ndarray:
    """Returns sines and cosines of each token's position: (1, prefix + rows * columns, dim) in float32, row by row.

    Half of the channels is for the column, half for the row; of each, half are sines and half cosines of frequencies
    that fall from 1 to 1 / 10000 (Masked Autoencoders, arXiv:2111.06377, appendix A.1).

    Args:
        dim: Size of a token, a multiple of 4.
        grid: Rows and columns of tokens.
        prefix: Tokens in front that have no position: zeros.

    Raises:
        ValueError: `dim` is no multiple of 4.
    """
    if dim % 4:
        raise ValueError(f"the size of a token is {dim}; give a multiple of 4 for positions by sines and cosines")
    rows, columns = grid
    frequencies = _TEMPERATURE ** (-np.arange(dim // 4) / (dim // 4))
    positions = (np.tile(np.arange(columns), rows), np.repeat(np.arange(rows), columns))
    table = np.concatenate(
        [wave(np.outer(position, frequencies)) for position in positions for wave in (np.sin, np.cos)], 1
    )
    return np.concatenate([np.zeros((prefix, dim)), table])[None].astype(np.float32)


def _waves(positions: np.ndarray, count: int) -> np.ndarray:
    """Returns sine and cosine of positions (L,) in turn, at frequencies that fall by pairs: (L, count)."""
    channels = np.arange(count)
    angles = positions[:, None] / _TEMPERATURE ** (2 * (channels // 2) / count)
    return np.where(channels % 2, np.cos(angles), np.sin(angles))


@ops.constexpr
def _fourier_planes(count: int, height: int, width: int) -> Tensor:
    """Returns the waves of each pixel's row, then those of its column: (1, 2 * count, height, width)."""
    rows, columns = (_waves(2 * math.pi * np.arange(1, side + 1) / (side + 1e-6), count) for side in (height, width))
    table = np.empty((1, 2 * count, height, width), np.float32)
    table[0, :count] = rows.T[:, :, None]
    table[0, count:] = columns.T[:, None, :]
    return Tensor(table)


class FourierPositions(nn.Cell):
    """Adds sines and cosines of each pixel's position, which a 1x1 convolution fits to the channels (arXiv:2106.09681).

    (N, H, W, C) to the same, for any H and W.

    Args:
        dim: Channels.
        count: Waves for each of the two sides.
        weight_init: Initialiser of the convolution.
    """

    def __init__(self, dim: int, count: int = 32, weight_init: str | Initializer = TRUNC_NORMAL) -> None:
        super().__init__()
        self.count = count
        self.token_projection = conv2d(2 * count, dim, 1, bias=True, weight_init=weight_init)

    def construct(self, x: Tensor) -> Tensor:
        table = ops.cast(_fourier_planes(self.count, x.shape[1], x.shape[2]), x.dtype)
        return x + ops.transpose(self.token_projection(table), (0, 2, 3, 1))
