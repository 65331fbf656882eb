"""Outputs and gradients of a network with the kernels in their places."""

from mindspore import nn, ops

from mindcv.kernels.cells import KernelCells, missed


class Gradients(nn.Cell):
    def __init__(self, network, kernel_cells):
        super().__init__(auto_prefix=False)
        self.gradients = ops.value_and_grad(network, 0, list(network.trainable_params()), has_aux=True)
        self.kernel_cells = kernel_cells

    def construct(self, x):
        return self.gradients(x)

    def __call__(self, x):
        with self.kernel_cells:
            self.kernel_cells.compile(self, (x,))
            return super().__call__(x)


def both_ways(network, x, seen=None):
    """Number, output and gradients of the input and of the weights, by MindSpore's cells and by the kernels.

    Args:
        network: Gives a number to differentiate, and an output. The kernels have all of it.
        x: Its input.
        seen: The cell that the kernels are looked for in. None: the network.
    """
    missed.clear()
    found = []
    for kernel_cells in (KernelCells(nn.Cell()), KernelCells(seen or network)):
        (value, y), (of_x, of_weights) = Gradients(network, kernel_cells)(x)
        found.append([tensor.asnumpy() for tensor in (value, y, of_x, *of_weights)])
    assert not missed
    assert len(found[0]) == 3 + len(network.trainable_params())
    return found
