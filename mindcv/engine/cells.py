"""Cells of a network replaced by others, in place."""

from collections.abc import Callable

from mindspore import nn

__all__ = ["replace_cells"]


def replace_cells(network: nn.Cell, replace: Callable[[nn.Cell], nn.Cell | None]) -> int:
    """Replaces cells inside a network, however deep, by what `replace` returns for them; None keeps a cell.

    Parameters stay the same objects with the same names.

    Args:
        network: The network. It is not itself asked about.
        replace: Called for each cell inside it, except inside cells that are replaced.

    Returns:
        How many cells were replaced.
    """
    parameters = list(network.get_parameters())
    names = [parameter.name for parameter in parameters]
    count = _replace(network, replace)
    # Putting a cell into another one prefixes its parameters' names once more.
    for parameter, name in zip(parameters, names, strict=True):
        parameter.name = name
    return count


def _replace(parent: nn.Cell, replace: Callable[[nn.Cell], nn.Cell | None]) -> int:
    count = 0
    for index, (name, child) in enumerate(list(parent.name_cells().items())):
        new = replace(child)
        if new is None:
            count += _replace(child, replace)
            continue
        count += 1
        if isinstance(parent, (nn.SequentialCell, nn.CellList)):
            parent[index] = new
        else:
            setattr(parent, name, new)
    return count
