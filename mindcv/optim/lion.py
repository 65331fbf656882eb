"""Lion: evolved sign momentum (arXiv 2302.06675)."""

from mindspore import ops

from ._base import OptimizerBase, constants, require_rate
from .gradients import descend


def _update(betas, rests, rates, shrinkages, group, is_decayed, param, moment, gradient):
    direction = ops.sign(betas[0] * moment + rests[0] * gradient)
    ops.assign(moment, betas[1] * moment + rests[1] * gradient)
    if is_decayed:
        descend(param, shrinkages[group], param)
    return descend(param, rates[group], direction)


class Lion(OptimizerBase):
    """Lion, algorithm 2 of its paper. Wants a learning rate 3 to 10 times lower, and a decay as much higher, than
    AdamW.

    `p -= lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p)`, then `m = beta2 * m + (1 - beta2) * g`. The
    weight decay is decoupled. There is no eps. State: `lion_m.*`.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        learning_rate: A number, or one for every step.
        beta1: Share of the momentum in the update.
        beta2: Decay rate of the momentum.
        weight_decay: Factor of the decoupled decay.
        loss_scale: What gradients are divided by.
        clip: Whether to clip the gradients to a global norm of 5.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(self, params, learning_rate=2e-4, beta1=0.9, beta2=0.99, weight_decay=0.0, loss_scale=1.0, clip=False):
        super().__init__(params, learning_rate, weight_decay, loss_scale, clip)
        self.beta1 = require_rate("beta1", beta1)
        self.beta2 = require_rate("beta2", beta2)
        self.betas = constants(self.beta1, self.beta2)
        self.rests = constants(1.0 - self.beta1, 1.0 - self.beta2)
        self.moments1 = self.slot("lion_m")
        self.use_kernel("lion", (self.beta1, self.beta2), (self.moments1,))

    def update(self, gradients):
        gradients = self.prepare(gradients)
        decays = self.decays()
        rates = self.advance()
        update = ops.partial(_update, self.betas, self.rests, rates, self.shrinkages(rates, decays))
        return self.hyper_map_reverse(update, self.groups, self.decay_flags, self.parameters, self.moments1, gradients)
