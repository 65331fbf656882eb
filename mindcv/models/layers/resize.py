"""Maps of another size, in a form that exports to ONNX and runs on every device."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from mindspore.ops.primitive import constexpr


@constexpr
def _weights(old: int, new: int, align_corners: bool) -> Tensor:
    """Returns what each of `new` values takes of each of `old` ones by linear interpolation: (new, old)."""
    if align_corners:
        places = np.arange(new) * ((old - 1) / max(new - 1, 1))
    else:
        places = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = np.minimum(places.astype(int), max(old - 2, 0))
    weights = np.zeros((new, old), np.float32)
    weights[np.arange(new), low] = 1 - (places - low)
    weights[np.arange(new), np.minimum(low + 1, old - 1)] += places - low
    return Tensor(weights)


def resize_bilinear(x: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Resizes maps, (N, C, H, W) to (N, C, *size), as PyTorch does by the same name.

    Args:
        x: The maps.
        size: Height and width of the result.
        align_corners: Whether the middles of the corners' pixels stay where they are; otherwise their outer edges do.
    """
    rows = ops.cast(_weights(x.shape[2], size[0], align_corners), x.dtype)
    columns = ops.cast(_weights(x.shape[3], size[1], align_corners), x.dtype)
    return ops.matmul(ops.matmul(rows, x), ops.transpose(columns, (1, 0)))


@constexpr
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
