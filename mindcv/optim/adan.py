"""Adan: adaptive Nesterov momentum (arXiv 2208.06677)."""

from mindspore import dtype as mstype
from mindspore import ops

from ._base import AdamBase, bias_correction, require_rate


def _update(
    beta1,
    beta2,
    beta3,
    eps,
    is_later,
    correction1,
    correction2,
    correction3,
    lr,
    decay,
    decays,
    param,
    moment1,
    moment2,
    moment3,
    previous,
    gradient,
):
    difference = is_later * (gradient - previous)
    m = beta1 * moment1 + (1.0 - beta1) * gradient
    v = beta2 * moment2 + (1.0 - beta2) * difference
    n = beta3 * moment3 + (1.0 - beta3) * ops.square(gradient + beta2 * difference)
    ops.assign(moment1, m)
    ops.assign(moment2, v)
    ops.assign(moment3, n)
    ops.assign(previous, gradient)
    direction = (m / correction1 + beta2 * v / correction2) / (ops.sqrt(n / correction3) + eps)
    new_param = param - lr * direction
    if decays:
        new_param = new_param / (1.0 + lr * decay)
    return ops.assign(param, new_param)


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
        self.moments3 = self.slot("moment3")
        self.prev_gradient = self.slot("prev_gradient")

    def construct(self, gradients):
        gradients = self.prepare(gradients)
        decay = self.decays()
        step = self.step_number()
        lr = self.advance()
        update = ops.partial(
            _update,
            self.beta1,
            self.beta2,
            self.beta3,
            self.eps,
            ops.cast(step > 1.0, mstype.float32),
            bias_correction(self.beta1, step),
            bias_correction(self.beta2, step),
            bias_correction(self.beta3, step),
        )
        return self.hyper_map_reverse(
            update,
            lr,
            decay,
            self.decay_flags,
            self.parameters,
            self.moments1,
            self.moments2,
            self.moments3,
            self.prev_gradient,
            gradients,
        )
