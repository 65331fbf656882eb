"""Adan: adaptive Nesterov momentum (arXiv 2208.06677)."""

from mindspore import dtype as mstype
from mindspore import ops

from ._base import AdamBase, bias_correction, constants, require_rate
from .gradients import descend


def _update(
    betas,
    rests,
    eps,
    is_later,
    corrections,
    rates,
    growths,
    group,
    is_decayed,
    param,
    moment1,
    moment2,
    moment3,
    previous,
    gradient,
):
    difference = is_later * (gradient - previous)
    m = betas[0] * moment1 + rests[0] * gradient
    v = betas[1] * moment2 + rests[1] * difference
    n = betas[2] * moment3 + rests[2] * ops.square(gradient + betas[1] * difference)
    ops.assign(moment1, m)
    ops.assign(moment2, v)
    ops.assign(moment3, n)
    ops.assign(previous, gradient)
    direction = (m / corrections[0] + betas[1] * v / corrections[1]) / (ops.sqrt(n / corrections[2]) + eps)
    if is_decayed:
        return ops.assign(param, (param - rates[group] * direction) / growths[group])
    return descend(param, rates[group], direction)


class Adan(AdamBase):
    """Adan as in its authors' code: the betas are decay rates (1 minus the paper's), and moments are corrected for
    bias.

    With `d = g - previous g` (0 in the first step): `m = beta1 * m + (1 - beta1) * g`, `v = beta2 * v + (1 - beta2) *
    d`, `n = beta3 * n + (1 - beta3) * (g + beta2 * d)^2`, each divided by `1 - beta^t` where it is used,
    `p = (p - lr * (m + beta2 * v) / (sqrt(n) + eps)) / (1 + lr * weight_decay)`. The weight decay is decoupled (the
    paper's proximal step). Upstream takes the same default betas for the paper's, which leaves almost no momentum.
    State: `moment1.*` (m), `moment2.*` (v), `moment3.*` (n), `prev_gradient.*`.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        learning_rate: A number, or one for every step.
        beta1: Decay rate of the mean of gradients.
        beta2: Decay rate of the mean of their differences.
        beta3: Decay rate of the second moment.
        eps: Added to the denominator.
        use_locking: Has no effect; here so that upstream's calls work.
        weight_decay: Factor of the decoupled decay.
        loss_scale: What gradients are divided by.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self,
        params,
        learning_rate=1e-3,
        beta1=0.98,
        beta2=0.92,
        beta3=0.99,
        eps=1e-8,
        use_locking=False,
        weight_decay=0.0,
        loss_scale=1.0,
    ):
        slots = ("moment1", "moment2")
        super().__init__(params, learning_rate, (beta1, beta2), eps, weight_decay, loss_scale, slots)
        self.beta3 = require_rate("beta3", beta3)
        self.betas += constants(self.beta3)
        self.rests += constants(1.0 - self.beta3)
        self.moments3 = self.slot("moment3")
        self.prev_gradient = self.slot("prev_gradient")
        hypers = (self.beta1, self.beta2, self.beta3, self.eps)
        slots = (self.moments1, self.moments2, self.moments3, self.prev_gradient)
        self.use_kernel("adan", hypers, slots)

    def update(self, gradients):
        gradients = self.prepare(gradients)
        decays = self.decays()
        step = self.step_number()
        rates = self.advance()
        growths = ()
        for shrinkage in self.shrinkages(rates, decays):
            growths += (1.0 + shrinkage,)
        corrections = (
            bias_correction(self.beta1, step),
            bias_correction(self.beta2, step),
            bias_correction(self.beta3, step),
        )
        is_later = ops.cast(step > 1.0, mstype.float32)
        update = ops.partial(_update, self.betas, self.rests, self.eps_tensor, is_later, corrections, rates, growths)
        return self.hyper_map_reverse(
            update,
            self.groups,
            self.decay_flags,
            self.parameters,
            self.moments1,
            self.moments2,
            self.moments3,
            self.prev_gradient,
            gradients,
        )
