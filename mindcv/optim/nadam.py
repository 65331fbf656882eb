"""NAdam: Adam with Nesterov's momentum (Dozat 2016, openreview OM0jvwB8jIp57ZJjtNEZ)."""

from mindspore import Parameter, Tensor, ops
from mindspore import dtype as mstype

from ._base import AdamBase, bias_correction, require_non_negative
from .gradients import descend


def _update(
    betas, rests, eps, parts, correction2, rates, shrinkages, group, is_decayed, param, moment1, moment2, gradient
):
    if is_decayed:
        descend(param, shrinkages[group], param)
    m = betas[0] * moment1 + rests[0] * gradient
    v = betas[1] * moment2 + rests[1] * ops.square(gradient)
    ops.assign(moment1, m)
    ops.assign(moment2, v)
    direction = (parts[0] * m + parts[1] * gradient) / (ops.sqrt(v / correction2) + eps)
    return descend(param, rates[group], direction)


class NAdam(AdamBase):
    """NAdam with the paper's schedule of momentum, as `torch.optim.NAdam(decoupled_weight_decay=True)`.

    `mu_t = beta1 * (1 - 0.5 * 0.96^(t * schedule_decay))`, `M_t = mu_1 * ... * mu_t`, m and v as in Adam,
    `p -= lr * (mu_{t+1} * m / (1 - M_{t+1}) + (1 - mu_t) * g / (1 - M_t)) / (sqrt(v / (1 - beta2^t)) + eps)`. The
    weight decay is decoupled, as in AdamW: `p -= lr * weight_decay * p` (upstream's is L2). State: `nadam_m.*`,
    `nadam_v.*`, `mu_schedule`.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        learning_rate: A number, or one for every step.
        beta1: Decay rate of the first moment.
        beta2: Decay rate of the second moment.
        eps: Added to the denominator.
        weight_decay: Factor of the decoupled decay.
        loss_scale: What gradients are divided by.
        schedule_decay: How fast the momentum rises to `beta1`.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self,
        params,
        learning_rate=2e-3,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
        weight_decay=0.0,
        loss_scale=1.0,
        schedule_decay=4e-3,
    ):
        slots = ("nadam_m", "nadam_v")
        super().__init__(params, learning_rate, (beta1, beta2), eps, weight_decay, loss_scale, slots)
        self.schedule_decay = require_non_negative("schedule_decay", schedule_decay)
        self.mu_schedule = Parameter(Tensor([1.0], mstype.float32), name="mu_schedule")
        hypers = (*self.kernel_betas, self.schedule_decay)
        self.use_kernel("nadam", hypers, (self.moments1, self.moments2))

    def kernel_schedule(self):
        return self.mu_schedule

    def _mu(self, step):
        return self.beta1 * (1.0 - 0.5 * ops.pow(0.96, step * self.schedule_decay))

    def update(self, gradients):
        gradients = self.prepare(gradients)
        decays = self.decays()
        step = self.step_number()
        rates = self.advance()
        mu, next_mu = self._mu(step), self._mu(step + 1.0)
        product = self.mu_schedule.reshape(()) * mu
        ops.assign(self.mu_schedule, product.reshape((1,)))
        parts = (next_mu / (1.0 - product * next_mu), (1.0 - mu) / (1.0 - product))
        correction2 = bias_correction(self.beta2, step)
        shrinkages = self.shrinkages(rates, decays)
        update = ops.partial(_update, self.betas, self.rests, self.eps_tensor, parts, correction2, rates, shrinkages)
        return self.hyper_map_reverse(
            update, self.groups, self.decay_flags, self.parameters, self.moments1, self.moments2, gradients
        )
