"""AdamW: Adam with decoupled weight decay (arXiv 1711.05101)."""

from mindspore import Tensor, ops
from mindspore import dtype as mstype

from ._base import AdamBase


def _update(apply, beta1, beta2, eps, beta1_power, beta2_power, lr, decay, decays, param, moment1, moment2, gradient):
    if decays:
        ops.assign(param, param - lr * decay * param)
    return apply(param, moment1, moment2, beta1_power, beta2_power, lr, beta1, beta2, eps, gradient)


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
        # The operator's inputs.
        self.beta1 = Tensor(self.beta1, mstype.float32)
        self.beta2 = Tensor(self.beta2, mstype.float32)
        self.apply = ops.Adam()

    def construct(self, gradients):
        gradients = self.prepare(gradients)
        decay = self.decays()
        step = self.step_number()
        lr = self.advance()
        beta2_power = ops.pow(self.beta2, step)
        # The fused operator adds eps to sqrt(v) before v is corrected; this eps makes that the paper's sum.
        eps = self.eps * ops.sqrt(1.0 - beta2_power)
        update = ops.partial(_update, self.apply, self.beta1, self.beta2, eps, ops.pow(self.beta1, step), beta2_power)
        return self.hyper_map_reverse(
            update, lr, decay, self.decay_flags, self.parameters, self.moments1, self.moments2, gradients
        )
