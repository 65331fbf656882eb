"""Mixed precision by level, on MindSpore's own implementation but for O1."""

import mindspore as ms
from mindspore import nn, ops

from ..utils.registry import suggest, unknown_name_message

__all__ = ["AMP_LEVELS", "auto_mixed_precision"]

AMP_LEVELS = ("O0", "O1", "O2", "O3", "auto")


def auto_mixed_precision(
    network: nn.Cell, amp_level: str = "O0", amp_cast_list: str | list[str] | None = None
) -> nn.Cell:
    """Returns the network in mixed precision; the parameters stay fp32 and the output is fp32 in O1, O2 and O3.

    Args:
        network: The network; it is changed, and the cell that is returned must be used in its place.
        amp_level: O0 nothing, O1 convolutions, dense layers and recurrent cells in fp16, O2 all but BatchNorm and
            LayerNorm in fp16, O3 everything, auto by operator.
        amp_cast_list: Classes of `mindspore.nn` that take the place of the level's own list: those that O1 casts, or
            that O2 leaves in fp32. A list of names, or text such as `[nn.Dense, nn.Conv2d]`.

    Raises:
        ValueError: The level or a class is unknown, or the level has no list.
    """
    if amp_level not in AMP_LEVELS:
        raise ValueError(unknown_name_message("amp_level", amp_level, AMP_LEVELS))
    if amp_cast_list and amp_level not in ("O1", "O2"):
        raise ValueError(f"amp_cast_list is {amp_cast_list!r}, but amp_level {amp_level} has no list; use O1 or O2")
    if amp_level == "O1":
        classes = _cell_classes(amp_cast_list) if amp_cast_list else ms.amp.get_white_list()
        return _cast_cells(network, tuple(entry for entry in classes if issubclass(entry, nn.Cell)))
    if amp_cast_list:
        return ms.amp.custom_mixed_precision(network, black_list=_cell_classes(amp_cast_list))
    return ms.amp.auto_mixed_precision(network, amp_level)


class _HalfCell(nn.Cell):
    """Computes a cell in fp16 and gives its output in fp32."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.cell = cell.to_float(ms.float16)

    def construct(self, *inputs):
        return ops.cast(self.cell(*inputs), ms.float32)


def _cast_cells(cell: nn.Cell, classes: tuple[type[nn.Cell], ...]) -> nn.Cell:
    """Puts the cells of these classes below `cell`, or itself, in fp16.

    MindSpore's own O1 writes the network's source anew, and fails on names of the modules that it came from.
    """
    if isinstance(cell, classes):
        return _HalfCell(cell)
    for name, child in cell.name_cells().items():
        cell._cells[name] = _cast_cells(child, classes)
    if isinstance(cell, nn.SequentialCell):
        cell.cell_list = list(cell.cells())
    return cell


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
