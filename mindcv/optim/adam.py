"""Adam (arXiv 1412.6980)."""

from mindspore import ops

from ._base import AdamBase


def _update(apply, beta1, beta2, eps, power1, power2, rates, group, param, moment1, moment2, gradient):
    return apply(param, moment1, moment2, power1, power2, rates[group], beta1, beta2, eps, gradient)


class Adam(AdamBase):
    """Adam in the form of its paper's section 2, last paragraph, which MindSpore and upstream use.

    `m = beta1 * m + (1 - beta1) * g`, `v = beta2 * v + (1 - beta2) * g^2`,
    `p -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps)`: `eps` is added before the correction of `v`.
    With `use_nesterov` the last `m` is `beta1 * m + (1 - beta1) * g`. The weight decay is L2: `weight_decay * p` is
    added to the gradient. State: `moment1.*`, `moment2.*`.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        learning_rate: A number, or one for every step.
        beta1: Decay rate of the first moment.
        beta2: Decay rate of the second moment.
        eps: Added to the denominator.
        use_nesterov: Whether to look ahead.
        weight_decay: Factor of the L2 penalty.
        loss_scale: What gradients are divided by.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self,
        params,
        learning_rate=1e-3,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
        use_nesterov=False,
        weight_decay=0.0,
        loss_scale=1.0,
    ):
        slots = ("moment1", "moment2")
        super().__init__(params, learning_rate, (beta1, beta2), eps, weight_decay, loss_scale, slots)
        self.apply = ops.Adam(use_nesterov=use_nesterov)
        self.use_kernel("nesterov_adam" if use_nesterov else "adam", self.kernel_betas, (self.moments1, self.moments2))

    def update(self, gradients):
        gradients = self.add_l2(self.prepare(gradients))
        step = self.step_number()
        beta1, beta2 = self.betas
        power1, power2 = ops.pow(beta1, step), ops.pow(beta2, step)
        update = ops.partial(_update, self.apply, beta1, beta2, self.eps_tensor, power1, power2, self.advance())
        return self.hyper_map_reverse(update, self.groups, self.parameters, self.moments1, self.moments2, gradients)
