"""Windows of a map: cut out and put back, and attention inside them."""

import numpy as np
from mindspore import Tensor, nn, ops

from .attention import head_size, merge_heads, split_heads
from .dense import TRUNC_NORMAL, dense
from .drop import dropout

Size = tuple[int, int]


class ShiftedWindows(nn.Cell):
    """Cuts a map into windows and puts them together again (arXiv:2103.14030, figure 4).

    A window is no larger than the map, and a map of one window is not shifted. A rest of the map is padded with zeros.

    Args:
        size: Height and width of the map.
        window_size: Height and width of a window.
        is_shifted: Whether the map is shifted by half a window first; what leaves it at the top comes in at the bottom.

    Attributes:
        window_size: Height and width of the windows that there are.
    """

    def __init__(self, size: Size, window_size: Size, is_shifted: bool) -> None:
        super().__init__()
        self.size = size
        self.window_size = (min(size[0], window_size[0]), min(size[1], window_size[1]))
        self.shift = tuple(
            length // 2 if is_shifted and length < side else 0
            for side, length in zip(size, self.window_size, strict=True)
        )
        self.counts = tuple(-(-side // length) for side, length in zip(size, self.window_size, strict=True))
        rests = [count * length - side for count, length, side in zip(self.counts, self.window_size, size, strict=True)]
        self.is_padded = any(rests)
        self.pad = ops.Pad(((0, 0), (0, rests[0]), (0, rests[1]), (0, 0)))

    def mask(self) -> np.ndarray | None:
        """Returns -100 for pixels that are neighbours by the shift only, else 0: (windows, L, L); None unshifted."""
        if not any(self.shift):
            return None
        parts = []
        for count, length, shift in zip(self.counts, self.window_size, self.shift, strict=True):
            part = np.zeros(count * length)
            if shift:
                part[-length:-shift], part[-shift:] = 1, 2
            parts.append(part.reshape(count, length))
        part = 3 * parts[0][:, None, :, None] + parts[1][None, :, None, :]
        part = part.reshape(self.counts[0] * self.counts[1], -1)
        return np.where(part[:, :, None] == part[:, None, :], 0.0, -100.0).astype(np.float32)

    def split(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to (N * windows, pixels of a window, C)."""
        (down, right), (height, width), dim = self.shift, self.window_size, x.shape[3]
        if down:
            x = ops.concat((x[:, down:], x[:, :down]), 1)
        if right:
            x = ops.concat((x[:, :, right:], x[:, :, :right]), 2)
        if self.is_padded:
            x = self.pad(x)
        x = x.reshape((-1, self.counts[0], height, self.counts[1], width, dim))
        return ops.transpose(x, (0, 1, 3, 2, 4, 5)).reshape((-1, height * width, dim))

    def join(self, x: Tensor) -> Tensor:
        """(N * windows, pixels of a window, C) to (N, H, W, C); inverts `split`."""
        (rows, columns), (height, width), dim = self.counts, self.window_size, x.shape[2]
        x = ops.transpose(x.reshape((-1, rows, columns, height, width, dim)), (0, 1, 3, 2, 4, 5))
        x = x.reshape((-1, rows * height, columns * width, dim))
        if self.is_padded:
            x = x[:, : self.size[0], : self.size[1]]
        down, right = self.size[0] - self.shift[0], self.size[1] - self.shift[1]
        if self.shift[0]:
            x = ops.concat((x[:, down:], x[:, :down]), 1)
        if self.shift[1]:
            x = ops.concat((x[:, :, right:], x[:, :, :right]), 2)
        return x


def relative_index(window_size: Size) -> np.ndarray:
    """Returns the number of the distance from each pixel of a window to each other one: (L, L) of integers.

    There are `(2 * rows - 1) * (2 * columns - 1)` distances, numbered row by row.
    """
    rows, columns = window_size
    row, column = np.divmod(np.arange(rows * columns), columns)
    down, right = row[:, None] - row[None], column[:, None] - column[None]
    return (down + rows - 1) * (2 * columns - 1) + right + columns - 1


class WindowAttention(nn.Cell):
    """Self-attention inside windows, of a kind that is told by its distances: (N * windows, L, D) to the same.

    A family adds its bias for distances and the layers, in its files' order, and says the two by `bias` and `products`.

    Args:
        dim: Size of a token.
        num_heads: Number of heads; divides `dim`.

    Raises:
        ValueError: `num_heads` does not divide `dim`.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_size(dim, num_heads)
        self.softmax = nn.Softmax(axis=-1)

    def add_inputs(self, dim: int, key_bias: bool = True) -> None:
        """Adds the layers of queries, keys and values."""
        self.q = dense(dim, dim, weight_init=TRUNC_NORMAL)
        self.k = dense(dim, dim, key_bias, weight_init=TRUNC_NORMAL)
        self.v = dense(dim, dim, weight_init=TRUNC_NORMAL)

    def add_output(self, dim: int, attn_drop_rate: float, drop_rate: float) -> None:
        """Adds the projection and the dropouts."""
        self.attn_drop = dropout("attn_drop_rate", attn_drop_rate)
        self.proj = dense(dim, dim, weight_init=TRUNC_NORMAL)
        self.proj_drop = dropout("proj_drop_rate", drop_rate)

    def macs(self, shape: tuple[int, ...], *mask: tuple[int, ...]) -> int:
        """Multiply-adds of the two products of tokens with tokens; those of the layers are their own."""
        return 2 * shape[0] * shape[1] * shape[1] * shape[2]

    def products(self, query: Tensor, key: Tensor) -> Tensor:
        """Returns how much tokens are alike, (N * windows, heads, L, L), of (N * windows, heads, L, D / heads)."""
        raise NotImplementedError

    def bias(self) -> Tensor:
        """Returns what is added for the distance of tokens, (1, heads, L, L)."""
        raise NotImplementedError

    def construct(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        length, heads = x.shape[1], self.num_heads
        scores = self.products(split_heads(self.q(x), heads), split_heads(self.k(x), heads)) + self.bias()
        if mask is not None:
            mask = mask.reshape((1, -1, 1, length, length))
            scores = scores.reshape((-1, mask.shape[1], heads, length, length)) + mask
            scores = scores.reshape((-1, heads, length, length))
        x = ops.matmul(self.attn_drop(self.softmax(scores)), split_heads(self.v(x), heads))
        return self.proj_drop(self.proj(merge_heads(x)))
