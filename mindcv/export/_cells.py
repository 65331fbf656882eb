"""Cells of a network replaced by others, in place."""

from collections.abc import Callable

from mindspore import nn

__all__ = ["name_parameters", "replace_cells"]

Replacement = Callable[[nn.Cell], nn.Cell | None]


def replace_cells(network: nn.Cell, replace: Replacement) -> int:
    """Replaces cells inside a network, however deep, by what `replace` returns for them; None keeps a cell.

    A cell that stands in several places is replaced by one and the same cell. Parameters keep the names that they had;
    `name_parameters` makes them unique again.

    Args:
        network: The network; it is changed. It is not itself asked about.
        replace: Called once for each cell inside it.

    Returns:
        How many cells were replaced.
    """
    answers: dict[int, tuple[nn.Cell, nn.Cell | None]] = {}

    def visit(parent: nn.Cell) -> None:
        for index, (name, child) in enumerate(list(parent.name_cells().items())):
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

    visit(network)
    return sum(new is not None for _, new in answers.values())


def name_parameters(network: nn.Cell) -> None:
    """Names each parameter by its place in the network, which makes the names unique."""
    for name, parameter in network.parameters_and_names():
        parameter.name = name
