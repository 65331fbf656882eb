"""Adagrad (Duchi et al. 2011)."""

from mindspore import ops

from ._base import OptimizerBase, constants, require_non_negative, require_positive
from .gradients import descend


def _update(eps, rates, group, param, accum, gradient):
    total = accum + ops.square(gradient)
    ops.assign(accum, total)
    return descend(param, rates[group], gradient / (ops.sqrt(total) + eps))


class Adagrad(OptimizerBase):
    """Adagrad: `s += g^2`, `p -= lr * g / (sqrt(s) + eps)`.

    The weight decay is L2: `weight_decay * p` is added to the gradient. State: `accum.*`.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        accum: What every `s` begins at.
        learning_rate: A number, or one for every step.
        eps: Added to the denominator.
        weight_decay: Factor of the L2 penalty.
        loss_scale: What gradients are divided by.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(self, params, accum=0.1, learning_rate=1e-3, eps=1e-10, weight_decay=0.0, loss_scale=1.0):
        super().__init__(params, learning_rate, weight_decay, loss_scale)
        (self.eps,) = constants(require_positive("eps", eps))
        self.accum = self.slot("accum", init=require_non_negative("accum", accum))
        self.use_kernel("adagrad", (eps,), (self.accum,))

    def update(self, gradients):
        gradients = self.add_l2(self.prepare(gradients))
        update = ops.partial(_update, self.eps, self.advance())
        return self.hyper_map_reverse(update, self.groups, self.parameters, self.accum, gradients)
