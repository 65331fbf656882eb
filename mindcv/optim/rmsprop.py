"""RMSProp (Tieleman and Hinton 2012)."""

from mindspore import ops

from ._base import OptimizerBase, require_non_negative, require_positive, require_rate


def _update(apply, decay, momentum, eps, rates, group, param, mean_square, moment, gradient):
    return apply(param, mean_square, moment, rates[group], gradient, decay, momentum, eps)


class RMSProp(OptimizerBase):
    """RMSProp in TensorFlow's form, which MindSpore and upstream use: `s` begins at 1 and `epsilon` is under the root.

    `s = decay * s + (1 - decay) * g^2`, `v = momentum * v + lr * g / sqrt(s + epsilon)`, `p -= v`. The weight decay is
    L2: `weight_decay * p` is added to the gradient. State: `mean_square.*`, `moment.*`.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        learning_rate: A number, or one for every step.
        decay: Decay rate of the mean square.
        momentum: The factor by which the last update is kept.
        epsilon: Added to the mean square.
        weight_decay: Factor of the L2 penalty.
        loss_scale: What gradients are divided by.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self, params, learning_rate=0.1, decay=0.9, momentum=0.0, epsilon=1e-10, weight_decay=0.0, loss_scale=1.0
    ):
        super().__init__(params, learning_rate, weight_decay, loss_scale)
        self.decay = require_rate("decay", decay)
        self.momentum = require_non_negative("momentum", momentum)
        self.epsilon = require_positive("eps", epsilon)
        self.mean_square = self.slot("mean_square", init="ones")
        self.moment = self.slot("moment")
        self.apply = ops.ApplyRMSProp()
        hypers = (self.decay, self.momentum, self.epsilon)
        self.use_kernel("rmsprop", hypers, (self.mean_square, self.moment))

    def update(self, gradients):
        gradients = self.add_l2(self.prepare(gradients))
        update = ops.partial(_update, self.apply, self.decay, self.momentum, self.epsilon, self.advance())
        return self.hyper_map_reverse(update, self.groups, self.parameters, self.mean_square, self.moment, gradients)
