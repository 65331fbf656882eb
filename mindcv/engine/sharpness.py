"""Sharpness-aware minimisation (SAM, arXiv 2010.01412): the gradient of an update is that of weights uphill."""

from collections.abc import Callable
from typing import Any

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ..optim.gradients import as_type_of, descend, global_norm

__all__ = ["SharpnessAware"]

# Keeps the norm from zero.
_LEAST_NORM = 1e-12


def _climb(rate: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    return descend(weight, as_type_of(rate, weight), as_type_of(gradient, weight))


def _set(target: Tensor, value: Tensor) -> Tensor:
    return ops.assign(target, value)


def _after(done: Tensor, value: Tensor) -> Tensor:
    return ops.depend(value, done)


class SharpnessAware(nn.Cell):
    """Takes the gradient once more, at `w + rho * g / |g|` (algorithm 1 of the paper with p = 2), and goes back to w.

    `|g|` is the norm of all gradients together, and those of one rank: each climbs by its own part of the batch (the
    paper's m-sharpness). Weights return by copy, so to the bit and whatever the gradient was. BatchNorm's statistics
    are those of the first pass.

    Args:
        weights: What is trained.
        statistics: Parameters that a forward pass moves.
        rho: How far uphill.

    Inputs:
        differentiate: Gives loss and gradients of the inputs.
        gradients: Those at the weights.
        *inputs: A batch.

    Output: the gradients uphill.

    Raises:
        ValueError: rho is not above 0.
    """

    def __init__(self, weights: ParameterTuple, statistics: list[Parameter], rho: float) -> None:
        super().__init__(auto_prefix=False)
        if not 0 < rho < float("inf"):
            raise ValueError(f"sam_rho is {rho}; it must be a finite number above 0")
        self.rho = float(rho)
        self.hyper_map = ops.HyperMap()
        moved = [*weights, *statistics]
        # Past nn.Cell: between two steps the copies say nothing, so no checkpoint has them.
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "moved", ParameterTuple(moved))
        object.__setattr__(self, "kept", self.moved.clone("sam_kept", init="same"))

    def construct(
        self, differentiate: Callable[..., Any], gradients: tuple[Tensor, ...], *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        rate = -self.rho / (global_norm(gradients) + _LEAST_NORM)
        kept = self.hyper_map(_set, self.kept, self.ordered(gradients, self.moved))
        done = self.hyper_map(ops.partial(_climb, rate), self.weights, self.ordered(kept, gradients))
        _, uphill = differentiate(ops.depend(inputs[0], done), *inputs[1:])
        back = self.hyper_map(_set, self.moved, self.ordered(uphill, self.kept))
        return self.ordered(back, uphill)

    def ordered(self, done: Any, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Returns values that nobody reads before something is done."""
        return self.hyper_map(ops.partial(_after, ops.depend(Tensor(True), done)), values)
