"""Adagrad (Duchi et al. 2011)."""

from mindspore import ops

from ._base import OptimizerBase, require_non_negative, require_positive


def _update(eps, lr, param, accum, gradient):
    total = accum + ops.square(gradient)
    ops.assign(accum, total)
    return ops.assign(param, param - lr * gradient / (ops.sqrt(total) + eps))


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
        self.eps = require_positive("eps", eps)
        self.accum = self.slot("accum", init=require_non_negative("accum", accum))

    def construct(self, gradients):
        gradients = self.add_l2(self.prepare(gradients))
        lr = self.advance()
        update = ops.partial(_update, self.eps)
        return self.hyper_map_reverse(update, lr, self.parameters, self.accum, gradients)
