"""Mixed precision by level, on MindSpore's own implementation but for O1."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ..kernels import onednn
from ..kernels.cells import IN_BF16
from ..utils.registry import suggest, unknown_name_message

__all__ = ["AMP_BLACK_LIST", "AMP_DTYPES", "AMP_LEVELS", "AMP_WHITE_LIST", "auto_mixed_precision"]

AMP_LEVELS = ("O0", "O1", "O2", "O3", "auto")
AMP_DTYPES = {"float16": ms.float16, "bfloat16": ms.bfloat16}
# The cells that O1 puts in half precision, and those that O2 leaves in fp32.
AMP_WHITE_LIST = tuple(entry for entry in ms.amp.get_white_list() if issubclass(entry, nn.Cell))
AMP_BLACK_LIST = tuple(entry for entry in ms.amp.get_black_list() if issubclass(entry, nn.Cell))
# What a device without bfloat16 is advised, but for a CPU.
_ELSEWHERE = "Ascend 910B and later and GPUs from Ampere on have it; use amp_dtype: float16"


def auto_mixed_precision(
    network: nn.Cell,
    amp_level: str = "O0",
    amp_cast_list: str | list[str] | None = None,
    *,
    amp_dtype: str = "float16",
) -> nn.Cell:
    """Returns the network in mixed precision; the parameters stay fp32 and the output is fp32 in O1, O2 and O3.

    Args:
        network: The network; it is changed, and the cell that is returned must be used in its place.
        amp_level: O0 nothing, O1 convolutions, dense layers and recurrent cells in half precision, O2 all but BatchNorm
            and LayerNorm, O3 everything, auto by operator.
        amp_cast_list: Classes of `mindspore.nn` that take the place of the level's own list: those that O1 casts, or
            that O2 leaves in fp32. A list of names, or text such as `[nn.Dense, nn.Conv2d]`.
        amp_dtype: What half precision is: float16 or bfloat16, which not every device has.

    Raises:
        ValueError: The level, a class or the type is unknown, the level has no list, or the device has no bfloat16.
    """
    if amp_level not in AMP_LEVELS:
        raise ValueError(unknown_name_message("amp_level", amp_level, AMP_LEVELS))
    if amp_cast_list and amp_level not in ("O1", "O2"):
        raise ValueError(f"amp_cast_list is {amp_cast_list!r}, but amp_level {amp_level} has no list; use O1 or O2")
    if amp_dtype not in AMP_DTYPES:
        raise ValueError(unknown_name_message("amp_dtype", amp_dtype, AMP_DTYPES))
    if amp_level == "O0":
        return network
    if amp_dtype == "bfloat16":
        if ms.get_context("device_target") == "CPU" and onednn.start().has_bf16 and amp_level in ("O1", "O2"):
            return _multiply_in_bfloat16(network, amp_level, amp_cast_list)
        _require_bfloat16()
    dtype = AMP_DTYPES[amp_dtype]
    if amp_level == "O1":
        return _cast_cells(network, _cell_classes(amp_cast_list) if amp_cast_list else AMP_WHITE_LIST, dtype)
    if amp_cast_list:
        return ms.amp.custom_mixed_precision(network, black_list=[*_cell_classes(amp_cast_list)], dtype=dtype)
    return ms.amp.auto_mixed_precision(network, amp_level, dtype)


def _multiply_in_bfloat16(network: nn.Cell, level: str, names: str | list[str] | None) -> nn.Cell:
    """Has the CPU kernels round what convolutions and dense layers multiply; sums, and all tensors, stay fp32."""
    listed = _cell_classes(names) if names else (AMP_WHITE_LIST if level == "O1" else AMP_BLACK_LIST)
    for _, cell in network.cells_and_names():
        if isinstance(cell, (nn.Conv2d, nn.Dense)) and isinstance(cell, listed) == (level == "O1"):
            setattr(cell, IN_BF16, True)
    return network


def _require_bfloat16() -> None:
    """Raises ValueError where the device cannot compute in bfloat16."""
    device = ms.get_context("device_target")
    reason, advice = _reason_on_cpu() if device == "CPU" else (_why_no_bfloat16(), _ELSEWHERE)
    if reason is not None:
        raise ValueError(f"amp_dtype 'bfloat16' is not available on this {device} ({reason}); {advice}")


def _reason_on_cpu() -> tuple[str | None, str]:
    """Why a CPU does not multiply in bfloat16, and what to do."""
    status = onednn.start()
    if status.path is not None and status.has_bf16:
        return "the CPU kernels have it at amp_level O1 and O2", "use amp_level: O2"
    if status.path is None:
        reason = f"MindSpore's CPU operators know no bfloat16, and the CPU kernels are {status.text}"
    else:
        reason = "this processor has neither AVX512-BF16 nor AMX"
    return reason, "use amp_level: O0: float16 is slower than fp32 on a CPU"


def _why_no_bfloat16() -> str | None:
    """Tries a convolution, as device names and versions do not say what their operators can do."""
    try:
        # No cell with `to_float`: after a failure in one MindSpore 2.8 goes on casting what other cells compute.
        images, weight = (ms.Tensor(np.ones(shape), ms.bfloat16) for shape in ((1, 16, 4, 4), (16, 16, 1, 1)))
        output = ops.conv2d(images, weight, pad_mode="valid")
        value = float(ops.cast(output, ms.float32).asnumpy().max())
    except (RuntimeError, TypeError, ValueError) as error:
        return str(error).strip().splitlines()[0].rstrip(".")
    return None if value == 16.0 else f"a convolution gave {value}, not 16"


class _HalfCell(nn.Cell):
    """Computes a cell in half precision and gives its output in fp32."""

    def __init__(self, cell: nn.Cell, dtype: Any) -> None:
        super().__init__(auto_prefix=False)
        self.cell = cell.to_float(dtype)

    def construct(self, *inputs: Tensor) -> Tensor:
        return ops.cast(self.cell(*inputs), ms.float32)


def _cast_cells(cell: nn.Cell, classes: tuple[type[nn.Cell], ...], dtype: Any) -> nn.Cell:
    """Puts the cells of these classes below `cell`, or itself, in half precision.

    MindSpore's own O1 writes the network's source anew, and fails on names of the modules that it came from.
    """
    if isinstance(cell, classes):
        return _HalfCell(cell, dtype)
    for name, child in cell.name_cells().items():
        cell._cells[name] = _cast_cells(child, classes, dtype)
    if isinstance(cell, nn.SequentialCell):
        cell.cell_list = list(cell.cells())
    return cell


def _cell_classes(names: str | list[str]) -> tuple[type[nn.Cell], ...]:
    """Finds classes of `mindspore.nn` by name, with or without `nn.`."""
    if isinstance(names, str):
        names = names.strip("[]() ").split(",")
    known = {name: value for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Cell)}
    classes = []
    for name in (name.strip().removeprefix("nn.") for name in names):
        if name not in known:
            raise ValueError(f"amp_cast_list: mindspore.nn has no cell {name!r}{suggest(name, known)}")
        classes.append(known[name])
    return tuple(classes)
