"""AdamW: Adam with decoupled weight decay (arXiv 1711.05101)."""

from mindspore import ops

from ._base import AdamBase
from .gradients import descend


def _update(
    apply, beta1, beta2, eps, power1, power2, rates, shrinkages, group, is_decayed, param, moment1, moment2, gradient
):
    if is_decayed:
        descend(param, shrinkages[group], param)
    return apply(param, moment1, moment2, power1, power2, rates[group], beta1, beta2, eps, gradient)


class AdamW(AdamBase):
    """AdamW, as `torch.optim.AdamW`.

    `m = beta1 * m + (1 - beta1) * g`, `v = beta2 * v + (1 - beta2) * g^2`,
    `p -= lr * (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * p)`. The weight decay is
    decoupled: it does not pass through the moments. State: `adam_m.*`, `adam_v.*`.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        learning_rate: A number, or one for every step.
        beta1: Decay rate of the first moment.
        beta2: Decay rate of the second moment.
        eps: Added to the denominator.
        weight_decay: Factor of the decoupled decay.
        loss_scale: What gradients are divided by.
        clip: Whether to clip the gradients to a global norm of 5.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self, params, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, loss_scale=1.0, clip=False
    ):
        slots = ("adam_m", "adam_v")
        super().__init__(params, learning_rate, (beta1, beta2), eps, weight_decay, loss_scale, slots, clip)
        self.apply = ops.Adam()
        self.use_kernel("adamw", self.kernel_betas, (self.moments1, self.moments2))

    def update(self, gradients):
        gradients = self.prepare(gradients)
        decays = self.decays()
        beta1, beta2 = self.betas
        eps, power1, power2 = self.adam_constants()
        rates = self.advance()
        shrinkages = self.shrinkages(rates, decays)
        update = ops.partial(_update, self.apply, beta1, beta2, eps, power1, power2, rates, shrinkages)
        return self.hyper_map_reverse(
            update, self.groups, self.decay_flags, self.parameters, self.moments1, self.moments2, gradients
        )
