"""Maps of another size, in a form that exports to ONNX and runs on every device."""

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
