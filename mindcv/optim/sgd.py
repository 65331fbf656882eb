"""Stochastic gradient descent with momentum."""

from mindspore import Tensor, ops
from mindspore import dtype as mstype

from ._base import OptimizerBase, require_non_negative
from .gradients import descend


def _update(apply, momentum, rates, group, param, moment, gradient):
    return apply(param, moment, rates[group], gradient, momentum)


def _update_nesterov(apply, momentum, rates, ahead, group, param, moment, gradient):
    done = apply(param, moment, ahead[group], gradient, momentum)
    return ops.depend(done, descend(param, rates[group], gradient))


class Momentum(OptimizerBase):
    """SGD with momentum (Sutskever et al. 2013), as `torch.optim.SGD` without dampening.

    `v = momentum * v + g`, `p -= lr * v`; with Nesterov's momentum `p -= lr * (g + momentum * v)`. The weight decay is
    L2: `weight_decay * p` is added to the gradient. State: `moments.*`.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        learning_rate: A number, or one for every step.
        momentum: The factor by which the last update is kept.
        weight_decay: Factor of the L2 penalty.
        loss_scale: What gradients are divided by.
        use_nesterov: Whether to look ahead.

    Raises:
        ValueError: A value is negative or not finite.
    """

    slot_name = "moments"

    def __init__(self, params, learning_rate, momentum=0.9, weight_decay=0.0, loss_scale=1.0, use_nesterov=False):
        super().__init__(params, learning_rate, weight_decay, loss_scale)
        self.momentum = Tensor(require_non_negative("momentum", momentum), mstype.float32)
        self.moments = self.slot(self.slot_name)
        self.use_nesterov = use_nesterov
        # The operator's own use_nesterov is left off: its CPU kernel ignores it (MindSpore 2.10).
        self.apply = ops.ApplyMomentum()
        self.use_kernel("nesterov" if use_nesterov else "momentum", (momentum,), (self.moments,))

    def update(self, gradients):
        gradients = self.add_l2(self.prepare(gradients))
        rates = self.advance()
        if self.use_nesterov:
            ahead = ()
            for rate in rates:
                ahead += (rate * self.momentum,)
            update = ops.partial(_update_nesterov, self.apply, self.momentum, rates, ahead)
        else:
            update = ops.partial(_update, self.apply, self.momentum, rates)
        return self.hyper_map_reverse(update, self.groups, self.parameters, self.moments, gradients)


class SGD(Momentum):
    """The same as `Momentum`, with the defaults and the state name (`accum.*`) of MindSpore's SGD.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        learning_rate: A number, or one for every step.
        momentum: The factor by which the last update is kept.
        weight_decay: Factor of the L2 penalty.
        nesterov: Whether to look ahead.
        loss_scale: What gradients are divided by.

    Raises:
        ValueError: A value is negative or not finite.
    """

    slot_name = "accum"

    def __init__(self, params, learning_rate=0.1, momentum=0.0, weight_decay=0.0, nesterov=False, loss_scale=1.0):
        super().__init__(params, learning_rate, momentum, weight_decay, loss_scale, nesterov)
