"""Upstream's trainer: a `mindspore.train.Model` on our training step, so that MindCV's scripts run unchanged."""

from mindspore import Tensor, nn, train

from ..amp import auto_mixed_precision
from ..batch_norm import keep_variance_of_one_value
from ..distributed import broadcast_parameters
from ..train_step import LossScale, LossWithNetwork, TrainStep, to_fp32

__all__ = ["add_loss_network", "create_trainer", "require_customized_train_step"]


def require_customized_train_step(
    ema: bool = False,
    clip_grad: bool = False,
    gradient_accumulation_steps: int = 1,
    amp_cast_list: str | None = None,
) -> bool:
    """Whether upstream's scripts leave the loss scale to the step alone instead of giving it to the optimizer too.

    `create_trainer` uses `TrainStep` in all cases and allows for an optimizer that was made with a loss scale.
    """
    return ema or clip_grad or gradient_accumulation_steps > 1 or bool(amp_cast_list)


def add_loss_network(network: nn.Cell, loss_fn: nn.Cell, amp_level: str) -> LossWithNetwork:
    """Returns the network followed by its loss, which is computed in fp32 at every `amp_level`."""
    return LossWithNetwork(network, loss_fn)


class _EvalNetwork(nn.Cell):
    """Gives loss, logits in fp32 and labels of a batch, as `Model.eval` wants them."""

    def __init__(self, network: nn.Cell, loss: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss

    def construct(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = to_fp32(self.network(image))
        loss = self.loss(logits, label)
        if isinstance(logits, tuple):
            logits = logits[0]
        return loss, logits, label


def create_trainer(
    network: nn.Cell,
    loss: nn.Cell,
    optimizer: nn.Cell,
    metrics: dict[str, train.Metric] | set[str],
    amp_level: str,
    amp_cast_list: str | None,
    loss_scale_type: str,
    loss_scale: float = 1.0,
    drop_overflow_update: bool = False,
    ema: bool = False,
    ema_decay: float = 0.9999,
    clip_grad: bool = False,
    clip_value: float = 15.0,
    gradient_accumulation_steps: int = 1,
    *,
    amp_dtype: str = "float16",
) -> train.Model:
    """Returns a MindSpore `Model` that trains with `TrainStep` and evaluates with the metrics.

    With several ranks all start from rank 0's weights.

    Args:
        network: Images to logits, or to a tuple whose first entry they are.
        loss: Called with logits and labels.
        optimizer: Updates the network's weights.
        metrics: Metrics by name, such as `get_metrics` gives, or names of MindSpore's.
        amp_level: See `auto_mixed_precision`.
        amp_cast_list: See `auto_mixed_precision`.
        loss_scale_type: See `LossScale.of_type`.
        loss_scale: The (initial) loss scale, at least 1.
        drop_overflow_update: Skip updates whose gradients are not finite; a dynamic scale always does.
        ema: Keep an exponential moving average of the weights.
        ema_decay: Its decay.
        clip_grad: Clip the gradients by their global norm.
        clip_value: The largest global norm.
        gradient_accumulation_steps: Batches per update.
        amp_dtype: See `auto_mixed_precision`.

    Raises:
        ValueError: A value is out of its range or unknown.
    """
    scale = LossScale.of_type(loss_scale_type, loss_scale, drop_overflow_update, amp_level, amp_dtype)
    broadcast_parameters(network.get_parameters())
    keep_variance_of_one_value(network)
    network = auto_mixed_precision(network, amp_level, amp_cast_list, amp_dtype=amp_dtype)
    step = TrainStep(
        LossWithNetwork(network, loss),
        optimizer,
        scale,
        ema=ema,
        ema_decay=ema_decay,
        clip_grad=clip_grad,
        clip_value=clip_value,
        gradient_accumulation_steps=gradient_accumulation_steps,
    )
    return train.Model(step, eval_network=_EvalNetwork(network, loss), metrics=metrics, eval_indexes=[0, 1, 2])
