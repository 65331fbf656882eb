"""BatchNorm with the activation and the sum behind it, on the CPU, by the kernels of `_batch_norm.cpp`."""

import functools
from typing import Any

from mindspore import Tensor, nn, ops

from .operators import bits, changes_inputs, kernel_operator, takes_map, zeros_like

__all__ = ["ACTIVATIONS", "NO_ACTIVATION", "batch_norm", "batch_norm_configuration"]

BatchNormConfiguration = tuple[int, ...]

# What may stand behind it, by number, as _batch_norm.cpp has them. With a sum before it only the first.
ACTIVATIONS: dict[type[nn.Cell], int] = {nn.ReLU: 1, nn.ReLU6: 2, nn.HSwish: 3, nn.SiLU: 4}
NO_ACTIVATION = 0


def batch_norm_configuration(
    cell: nn.BatchNorm2d,
    activation: int,
    adds: bool,
    is_training: bool,
    source_last: bool,
    keeps_variance: bool,
    result_last: bool = False,
    half_maps: bool = False,
) -> BatchNormConfiguration:
    """A configuration, as _batch_norm.cpp has it.

    Args:
        cell: The BatchNorm.
        activation: A number of `ACTIVATIONS`, or `NO_ACTIVATION`.
        adds: Whether a shortcut is added before the activation.
        is_training: Whether it takes the batch's statistics.
        source_last: Whether it takes (N, H, W, C).
        keeps_variance: Whether a batch of one value a channel leaves the moving variance as it is.
        result_last: Whether it gives (N, H, W, C), which it must take then; the shortcut is that too.
        half_maps: Whether all maps are bfloat16; only with `result_last`.
    """
    flags = (int(adds), int(is_training), int(source_last), int(keeps_variance))
    return (activation, *flags, bits(cell.eps), bits(cell.momentum), int(result_last), int(half_maps))


@functools.cache
def batch_norm(config: BatchNormConfiguration) -> ops.Custom:
    """The operator for a configuration.

    Called with map, gamma, beta, moving mean and variance, the shortcut where there is one, and `as_tensor(config)`.
    Gives the output, and mean and variance that it was normalised with. In training the moving ones are moved in place.
    """
    key, adds, turns = str(config), bool(config[1]), bool(config[3]) and not config[7]
    half: tuple[int, ...] = (0,) if config[8] else ()

    def maps(y: list[int]) -> list[int]:
        return [y[0], y[3], y[1], y[2]] if turns else y

    if adds:
        half_outputs = (0, 3) if half else ()
        backward_op = kernel_operator(
            "BatchNormBackward", key, lambda dout, y, out, g, *_: (y, g, g, dout), outputs=4, half_outputs=half_outputs
        )

        def backward(
            y: Tensor, g: Tensor, b: Tensor, m: Tensor, v: Tensor, other: Tensor, c: Tensor, out: Any, dout: Any
        ) -> tuple[Tensor, ...]:
            dy, dg, db, dother = backward_op(dout[0], y, out[0], g, b, out[1], out[2], c)
            return dy, dg, db, zeros_like(m), zeros_like(v), dother, c

    else:
        backward_op = kernel_operator(
            "BatchNormBackward", key, lambda dout, y, out, g, *_: (y, g, g), outputs=3, half_outputs=half
        )

        def backward(
            y: Tensor, g: Tensor, b: Tensor, m: Tensor, v: Tensor, c: Tensor, out: Any, dout: Any
        ) -> tuple[Tensor, ...]:
            dy, dg, db = backward_op(dout[0], y, y, g, b, out[1], out[2], c)
            return dy, dg, db, zeros_like(m), zeros_like(v), c

    custom = kernel_operator(
        *("BatchNormForward", key, lambda y, g, *_: (maps(y), g, g)),
        outputs=3,
        bprop=backward,
        takes=takes_map,
        half_inputs=(0, 5) if half else (),  # map and shortcut
        half_outputs=half,
    )
    if config[2]:
        changes_inputs(custom)
    return custom
