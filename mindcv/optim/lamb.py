"""LAMB: layer-wise adaptive moments for large batches (arXiv 1904.00962)."""

from mindspore import Tensor, get_context, ops
from mindspore import dtype as mstype

from ._base import AdamBase, bias_correction
from .gradients import descend, squared_norms


def _adam_direction():
    """Returns the operator of the CPU that moves both moments and gives Adam's step, None where there is none.

    MindSpore has no LAMB on the CPU. Its class for this operator says at every start that it is deprecated.
    """
    if get_context("device_target") != "CPU" or not hasattr(ops, "AdamNoUpdateParam"):
        return None
    operator = ops.Primitive("AdamNoUpdateParam")
    operator.add_prim_attr("side_effect_mem", True)
    operator.add_prim_attr("use_locking", False)
    operator.add_prim_attr("use_nesterov", False)
    return operator


def _direct_at_once(
    adam_direction,
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
    gradient,
):
    direction = adam_direction(moment1, moment2, power1, power2, rate, beta1, beta2, eps, gradient)
    return direction + decays[group] * param if is_decayed else direction


def _direct(betas, rests, eps, correction1, correction2, decays, group, is_decayed, param, moment1, moment2, gradient):
    m = betas[0] * moment1 + rests[0] * gradient
    v = betas[1] * moment2 + rests[1] * ops.square(gradient)
    ops.assign(moment1, m)
    ops.assign(moment2, v)
    direction = m / correction1 / (ops.sqrt(v / correction2) + eps)
    return direction + decays[group] * param if is_decayed else direction


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
        self.adam_direction = _adam_direction()
        # The operator gives what is added to a parameter, its rate times the direction with a minus.
        self.minus_one = Tensor(-1.0, mstype.float32)
        self.group_index = Tensor(self.groups, mstype.int32)
        self.use_kernel("lamb", self.kernel_betas, (self.moments1, self.moments2))

    def update(self, gradients):
        gradients = self.prepare(gradients)
        decays = self.decays()
        if self.adam_direction is not None:
            beta1, beta2 = self.betas
            eps, power1, power2 = self.adam_constants()
            direct = ops.partial(
                _direct_at_once, self.adam_direction, self.minus_one, beta1, beta2, eps, power1, power2, decays
            )
        else:
            step = self.step_number()
            correction1 = bias_correction(self.beta1, step)
            correction2 = bias_correction(self.beta2, step)
            direct = ops.partial(_direct, self.betas, self.rests, self.eps_tensor, correction1, correction2, decays)
        rates = self.advance()
        directions = self.hyper_map_reverse(
            direct, self.groups, self.decay_flags, self.parameters, self.moments1, self.moments2, gradients
        )
        rates = ops.gather(ops.stack(rates), self.group_index, 0) * self._trusts(directions)
        return self.hyper_map_reverse(_update, ops.unstack(rates), self.parameters, directions)

    def _trusts(self, directions):
        """Returns `|p| / |r|` of every parameter, `(number of parameters,)`; 1 where either norm is 0."""
        param_norms, direction_norms = squared_norms(self.parameters), squared_norms(directions)
        is_trusted = ops.logical_and(param_norms > 0, direction_norms > 0)
        ones = ops.ones_like(direction_norms)
        ratios = ops.sqrt(param_norms / ops.select(is_trusted, direction_norms, ones))
        return ops.select(is_trusted, ratios, ones)
