"""Mixed precision by level, on MindSpore's own implementation."""

import mindspore as ms
from mindspore import nn

from ..utils.registry import suggest, unknown_name_message

__all__ = ["AMP_LEVELS", "auto_mixed_precision"]

AMP_LEVELS = ("O0", "O1", "O2", "O3", "auto")
# The keyword of MindSpore for the list that a level goes by.
_LISTS = {"O1": "white_list", "O2": "black_list"}


def auto_mixed_precision(
    network: nn.Cell, amp_level: str = "O0", amp_cast_list: str | list[str] | None = None
) -> nn.Cell:
    """Returns the network in mixed precision; the parameters stay fp32 and the output is fp32 in O2 and O3.

    Args:
        network: The network; it is changed, and the cell that is returned must be used in its place.
        amp_level: O0 nothing, O1 listed cells in fp16, O2 all but BatchNorm and the like in fp16, O3 everything,
            auto by operator.
        amp_cast_list: Classes of `mindspore.nn` that take the place of the level's own list: those that O1 casts, or
            that O2 leaves in fp32. A list of names, or text such as `[nn.Dense, nn.Conv2d]`.

    Raises:
        ValueError: The level or a class is unknown, or the level has no list.
    """
    if amp_level not in AMP_LEVELS:
        raise ValueError(unknown_name_message("amp_level", amp_level, AMP_LEVELS))
    if not amp_cast_list:
        return ms.amp.auto_mixed_precision(network, amp_level)
    if amp_level not in _LISTS:
        raise ValueError(f"amp_cast_list is {amp_cast_list!r}, but amp_level {amp_level} has no list; use O1 or O2")
    return ms.amp.custom_mixed_precision(network, **{_LISTS[amp_level]: _cell_classes(amp_cast_list)})


def _cell_classes(names: str | list[str]) -> list[type[nn.Cell]]:
    """Finds classes of `mindspore.nn` by name, with or without `nn.`."""
    if isinstance(names, str):
        names = names.strip("[]() ").split(",")
    known = {name: value for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Cell)}
    classes = []
    for name in (name.strip().removeprefix("nn.") for name in names):
        if name not in known:
            raise ValueError(f"amp_cast_list: mindspore.nn has no cell {name!r}{suggest(name, known)}")
        classes.append(known[name])
    return classes
