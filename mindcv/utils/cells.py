"""Cells of a network replaced by others, in place."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mindspore import nn

__all__ = ["replace_cells"]


def replace_cells(network: "nn.Cell", replace: "Callable[[nn.Cell], nn.Cell | None]") -> int:
    """Replaces cells inside a network, however deep, by what `replace` returns for them; None keeps a cell.

    A cell that stands in several places is replaced by one and the same cell. Parameters that stay keep their names.

    Args:
        network: The network; it is changed. It is not itself asked about.
        replace: Called once for each cell inside it, except inside cells that are replaced.

    Returns:
        How many cells were replaced.
    """
    from mindspore import nn

    answers: dict[int, tuple[nn.Cell, nn.Cell | None]] = {}

    def visit(parent: nn.Cell) -> None:
        # Not name_cells(), which leaves out the second place of a cell.
        for index, (name, child) in enumerate(list(parent._cells.items())):
            if child is None:
                continue
            if id(child) not in answers:
                answers[id(child)] = (child, replace(child))
                if answers[id(child)][1] is None:
                    visit(child)
            new = answers[id(child)][1]
            if new is None:
                continue
            if isinstance(parent, (nn.SequentialCell, nn.CellList)):
                parent[index] = new
            else:
                setattr(parent, name, new)

    parameters = list(network.get_parameters())
    names = [parameter.name for parameter in parameters]
    visit(network)
    # Putting a cell into another one prefixes its parameters' names once more.
    for parameter, name in zip(parameters, names, strict=True):
        parameter.name = name
    return sum(new is not None for _, new in answers.values())
