"""Maps of another size, in a form that exports to ONNX and runs on every device."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops


@ops.constexpr
def _weights(old: int, new: int, is_cubic: bool, align_corners: bool) -> Tensor:
    """Returns what each of `new` values takes of each of `old` ones: (new, old).

    Args:
        old: Number of values.
        new: Wanted number.
        is_cubic: Whether the interpolation is cubic; otherwise it is linear.
        align_corners: See `resize_bilinear`.
    """
    index = np.arange(new)
    positions = index * ((old - 1) / max(new - 1, 1)) if align_corners else (index + 0.5) * (old / new) - 0.5
    if not is_cubic:
        positions = np.clip(positions, 0, old - 1)
    low = np.floor(positions).astype(int)
    part = positions - low
    shares = _cubic_shares(part) if is_cubic else [(0, 1 - part), (1, part)]
    weights = np.zeros((new, old), np.float32)
    for offset, share in shares:
        np.add.at(weights, (index, np.clip(low + offset, 0, old - 1)), share)
    return Tensor(weights)


def _cubic_shares(part: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Shares of the values at -1, 0, 1 and 2 of a position between 0 and 1, for PyTorch's slope of -0.75."""
    slope = -0.75

    def near(x: np.ndarray) -> np.ndarray:
        return ((slope + 2) * x - (slope + 3)) * x * x + 1

    def far(x: np.ndarray) -> np.ndarray:
        return ((slope * x - 5 * slope) * x + 8 * slope) * x - 4 * slope

    return [(-1, far(1 + part)), (0, near(part)), (1, near(1 - part)), (2, far(2 - part))]


def _resize(x: Tensor, size: tuple[int, int], is_cubic: bool, align_corners: bool) -> Tensor:
    if x.shape[2:] == size:
        return x
    rows = ops.cast(_weights(x.shape[2], size[0], is_cubic, align_corners), x.dtype)
    columns = ops.cast(_weights(x.shape[3], size[1], is_cubic, align_corners), x.dtype)
    return ops.matmul(ops.matmul(rows, x), ops.transpose(columns, (1, 0)))


def resize_bilinear(x: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Resizes maps, (N, C, H, W) to (N, C, *size), as PyTorch does by the same name.

    Args:
        x: The maps.
        size: Height and width of the result.
        align_corners: Whether the middles of the corners' pixels stay where they are; otherwise their outer edges do.
    """
    return _resize(x, size, False, align_corners)


def resize_bicubic(x: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Resizes maps, (N, C, H, W) to (N, C, *size), as PyTorch does by the same name.

    Args:
        x: The maps.
        size: Height and width of the result.
        align_corners: See `resize_bilinear`.
    """
    return _resize(x, size, True, align_corners)


@ops.constexpr
def _nearest(old: int, new: int) -> Tensor:
    return Tensor(np.arange(new) * old // new, ms.int32)


def resize_nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes maps by the nearest value, (N, C, H, W) to (N, C, *size), as PyTorch does by the same name.

    Args:
        x: The maps.
        size: Height and width of the result.
    """
    _, channels, height, width = x.shape
    rows, columns = size[0] // height, size[1] // width
    if size == (height * rows, width * columns):
        tiled = ops.tile(x.reshape(-1, channels, height, 1, width, 1), (1, 1, 1, rows, 1, columns))
        return tiled.reshape(-1, channels, *size)
    return ops.gather(ops.gather(x, _nearest(height, size[0]), 2), _nearest(width, size[1]), 3)
