"""Upstream's accumulation of gradients, for training steps of users' own."""

from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from ..train_step import add_into, clear, state

__all__ = ["GradientAccumulation"]


class GradientAccumulation(nn.Cell):
    """Adds up gradients and hands their mean to the optimizer every so many calls.

    `TrainStep(gradient_accumulation_steps=n)` does the same for whole training steps.

    Args:
        max_accumulation_step: Calls per update.
        optimizer: Updates the weights.
        grad_reducer: Averages gradients over ranks, called once per update.

    Inputs: the loss and the gradients of `optimizer.parameters`. Output: the loss.
    """

    def __init__(self, max_accumulation_step: int, optimizer: nn.Optimizer, grad_reducer: Any) -> None:
        super().__init__(auto_prefix=False)
        if max_accumulation_step < 1:
            raise ValueError(f"max_accumulation_step is {max_accumulation_step}; it must be at least 1")
        self.steps = max_accumulation_step
        self.inverse_steps = Tensor(1.0 / max_accumulation_step, ms.float32)
        self.optimizer = optimizer
        self.grad_reducer = grad_reducer
        self.hyper_map = ops.HyperMap()
        self.accumulated = optimizer.parameters.clone("grad_accum", init="zeros")
        self.batches = state(0, ms.int32, "accumulated_batches")

    def construct(self, loss: Tensor, gradients: tuple[Tensor, ...]) -> Tensor:
        add = ops.partial(add_into, -self.inverse_steps)
        loss = ops.depend(loss, self.hyper_map(add, self.accumulated, gradients))
        batches = self.batches + 1
        if batches >= self.steps:
            loss = ops.depend(loss, self.optimizer(self.grad_reducer(self.accumulated)))
            loss = ops.depend(loss, self.hyper_map(clear, self.accumulated))
            batches = ops.zeros_like(batches)
        return ops.depend(loss, ops.assign(self.batches, batches))
