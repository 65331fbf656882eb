"""Mixed precision by level, on MindSpore's own implementation."""

import logging

import mindspore as ms
from mindspore import nn

from ..utils.registry import unknown_name_message

_logger = logging.getLogger(__name__)

__all__ = ["AMP_LEVELS", "auto_mixed_precision"]

AMP_LEVELS = ("O0", "O1", "O2", "O3", "auto")


def auto_mixed_precision(
    network: nn.Cell, amp_level: str = "O0", amp_cast_list: str | list[str] | None = None
) -> nn.Cell:
    """Returns the network in mixed precision; the parameters stay fp32 and the output is fp32 in O2 and O3.

    Args:
        network: The network; it is changed, and the cell that is returned must be used in its place.
        amp_level: O0 nothing, O1 listed cells in fp16, O2 all but BatchNorm and the like in fp16, O3 everything,
            auto by operator.
        amp_cast_list: Class names of cells to cast to fp16 besides, as a list or separated by commas.

    Raises:
        ValueError: The level is unknown, or no cell of the network has a class of that name.
    """
    if amp_level not in AMP_LEVELS:
        raise ValueError(unknown_name_message("amp_level", amp_level, AMP_LEVELS))
    names = amp_cast_list.split(",") if isinstance(amp_cast_list, str) else amp_cast_list or []
    for name in (name.strip() for name in names):
        cells = [cell for _, cell in network.cells_and_names() if type(cell).__name__ == name]
        if not cells:
            present = {type(cell).__name__ for _, cell in network.cells_and_names()}
            raise ValueError(unknown_name_message("cell class in amp_cast_list:", name, present))
        for cell in cells:
            cell.to_float(ms.float16)
    return ms.amp.auto_mixed_precision(network, amp_level)
