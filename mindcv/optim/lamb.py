"""LAMB: layer-wise adaptive moments for large batches (arXiv 1904.00962)."""

from mindspore import Tensor, ops
from mindspore import dtype as mstype

from ._base import AdamBase
from .gradients import descend, squared_norms


def _direct(
    apply,
    rate,
    beta1,
    beta2,
    eps,
    power1,
    power2,
    decays,
    group,
    is_decayed,
    param,
    moment1,
    moment2,
    direction,
    gradient,
):
    begin = decays[group] * param if is_decayed else ops.zeros_like(param)
    ops.assign(direction, begin)
    return apply(direction, moment1, moment2, power1, power2, rate, beta1, beta2, eps, gradient)


def _update(rate, param, direction):
    return descend(param, rate, direction)


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
        self.apply = ops.Adam()
        # The operator subtracts its rate times what is wanted of what it is given.
        self.minus_one = Tensor(-1.0, mstype.float32)
        self.group_index = Tensor(self.groups, mstype.int32)
        # Past nn.Cell: between two steps the directions say nothing, so no checkpoint has them.
        object.__setattr__(self, "directions", self.slot("lamb_direction"))

    def construct(self, gradients):
        gradients = self.prepare(gradients)
        decays = self.decays()
        beta1, beta2 = self.betas
        eps, power1, power2 = self.adam_constants()
        rates = self.advance()
        self.hyper_map_reverse(
            ops.partial(_direct, self.apply, self.minus_one, beta1, beta2, eps, power1, power2, decays),
            self.groups,
            self.decay_flags,
            self.parameters,
            self.moments1,
            self.moments2,
            self.directions,
            gradients,
        )
        rates = ops.gather(ops.stack(rates), self.group_index, 0) * self._trusts()
        return self.hyper_map_reverse(_update, ops.unstack(rates), self.parameters, self.directions)

    def _trusts(self):
        """Returns `|p| / |r|` of every parameter, `(number of parameters,)`; 1 where either norm is 0."""
        param_norms = squared_norms(self.parameters)
        direction_norms = squared_norms(self.directions)
        is_trusted = ops.logical_and(param_norms > 0, direction_norms > 0)
        ones = ops.ones_like(direction_norms)
        ratios = ops.sqrt(param_norms / ops.select(is_trusted, direction_norms, ones))
        return ops.select(is_trusted, ratios, ones)
