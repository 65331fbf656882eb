"""Cells replaced in place: places, shared cells, parameter names."""

from mindspore import nn

from mindcv.utils.cells import replace_cells


def test_cells_are_replaced_where_they_stand():
    """The second place of a cell, and the places behind it, are easily missed: `name_cells` has each cell once."""
    relu, dense = nn.ReLU(), nn.Dense(2, 2)
    network = nn.SequentialCell(relu, dense, relu, nn.CellList([nn.SequentialCell(relu, nn.Dense(2, 3)), nn.Tanh()]))
    names = [parameter.name for parameter in network.get_parameters()]
    asked = []

    def replace(cell):
        asked.append(type(cell).__name__)
        return {nn.ReLU: nn.GELU, nn.Tanh: nn.Sigmoid}.get(type(cell), lambda: None)()

    assert replace_cells(network, replace) == 2
    assert asked == ["ReLU", "Dense", "CellList", "SequentialCell", "Dense", "Tanh"]
    assert network[0] is network[2] is network[3][0][0]
    assert [type(cell) for cell in network] == [nn.GELU, nn.Dense, nn.GELU, nn.CellList]
    assert type(network[3][1]) is nn.Sigmoid
    assert network[1] is dense
    assert [parameter.name for parameter in network.get_parameters()] == names


def test_parameters_that_stay_keep_their_names():
    class Wrapped(nn.Cell):
        def __init__(self, cell):
            super().__init__()
            self.gamma = cell.gamma

    class Network(nn.Cell):
        def __init__(self):
            super().__init__()
            self.first = self.again = nn.BatchNorm2d(2)
            self.list = nn.CellList([nn.BatchNorm2d(3)])

    network = Network()
    gammas = [network.first.gamma, network.list[0].gamma]
    names = [gamma.name for gamma in gammas]
    assert replace_cells(network, lambda cell: Wrapped(cell) if type(cell) is nn.BatchNorm2d else None) == 2
    assert network.first is network.again
    assert [network.first.gamma.name, network.list[0].gamma.name] == names
    assert network.list[0].gamma is gammas[1]
