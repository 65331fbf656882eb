"""LAMB: layer-wise adaptive moments for large batches (arXiv 1904.00962)."""

from mindspore import ops

from ._base import AdamBase, bias_correction


def _norm(x):
    return ops.sqrt(ops.square(x).sum())


def _update(beta1, beta2, eps, correction1, correction2, lr, decay, decays, param, moment1, moment2, gradient):
    m = beta1 * moment1 + (1.0 - beta1) * gradient
    v = beta2 * moment2 + (1.0 - beta2) * ops.square(gradient)
    ops.assign(moment1, m)
    ops.assign(moment2, v)
    direction = m / correction1 / (ops.sqrt(v / correction2) + eps)
    if decays:
        direction = direction + decay * param
    param_norm, direction_norm = _norm(param), _norm(direction)
    is_trusted = ops.logical_and(param_norm > 0, direction_norm > 0)
    safe_norm = ops.select(is_trusted, direction_norm, ops.ones_like(direction_norm))
    trust = ops.select(is_trusted, param_norm / safe_norm, ops.ones_like(param_norm))
    return ops.assign(param, param - lr * trust * direction)


class Lamb(AdamBase):
    """LAMB, algorithm 2 of its paper with phi the identity.

    With m and v as in Adam: `r = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * p`,
    `p -= lr * |p| / |r| * r`, where the ratio is 1 when either norm is 0. The weight decay is decoupled. State:
    `lamb_m.*`, `lamb_v.*`.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        learning_rate: A number, or one for every step.
        beta1: Decay rate of the first moment.
        beta2: Decay rate of the second moment.
        eps: Added to the denominator.
        weight_decay: Factor of the decoupled decay.
        loss_scale: What gradients are divided by.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(self, params, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0, loss_scale=1.0):
        slots = ("lamb_m", "lamb_v")
        super().__init__(params, learning_rate, (beta1, beta2), eps, weight_decay, loss_scale, slots)

    def construct(self, gradients):
        gradients = self.prepare(gradients)
        decay = self.decays()
        step = self.step_number()
        lr = self.advance()
        correction1 = bias_correction(self.beta1, step)
        correction2 = bias_correction(self.beta2, step)
        update = ops.partial(_update, self.beta1, self.beta2, self.eps, correction1, correction2)
        return self.hyper_map_reverse(
            update, lr, decay, self.decay_flags, self.parameters, self.moments1, self.moments2, gradients
        )
