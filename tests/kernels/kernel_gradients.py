"""Outputs and gradients of a network with the kernels in their places."""

from mindspore import nn, ops


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
