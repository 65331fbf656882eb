"""`create_optimizer`: an optimizer by name, with weight-decay groups, layer-wise rates and state from a file."""

import inspect
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mindspore import Parameter, nn

from ..utils.registry import Registry, unknown_name_message
from ._base import LearningRate, require_lr, require_non_negative, require_positive
from .adagrad import Adagrad
from .adam import Adam
from .adamw import AdamW
from .adan import Adan
from .lamb import Lamb
from .lion import Lion
from .nadam import NAdam
from .param_groups import create_param_groups
from .rmsprop import RMSProp
from .sgd import SGD, Momentum
from .state import load_optimizer_state

__all__ = ["create_optimizer", "list_optimizers", "optimizer_arguments"]


@dataclass(frozen=True)
class _OptimizerInfo:
    """Facts about an optimizer.

    Args:
        cls: The class.
        takes: Which of the factory's arguments it has a use for, and what it calls them.
        fixed: Arguments that the name itself decides.
    """

    cls: type[nn.Optimizer]
    takes: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)


_EPS = {"eps": "eps"}

_OPTIMIZERS: Registry[_OptimizerInfo] = Registry("optimizer", ignore_case=True)
_OPTIMIZERS.register("sgd", _OptimizerInfo(SGD, {"momentum": "momentum", "nesterov": "nesterov"}))
_OPTIMIZERS.register("momentum", _OptimizerInfo(Momentum, {"momentum": "momentum", "nesterov": "use_nesterov"}))
_OPTIMIZERS.register("nesterov", _OptimizerInfo(Momentum, {"momentum": "momentum"}, {"use_nesterov": True}))
_OPTIMIZERS.register("adam", _OptimizerInfo(Adam, {"nesterov": "use_nesterov", **_EPS}))
_OPTIMIZERS.register("adamw", _OptimizerInfo(AdamW, _EPS))
_OPTIMIZERS.register("lion", _OptimizerInfo(Lion))
_OPTIMIZERS.register("nadam", _OptimizerInfo(NAdam, {"schedule_decay": "schedule_decay", **_EPS}))
_OPTIMIZERS.register("adan", _OptimizerInfo(Adan, _EPS))
_OPTIMIZERS.register("rmsprop", _OptimizerInfo(RMSProp, {"momentum": "momentum", "eps": "epsilon"}))
_OPTIMIZERS.register("adagrad", _OptimizerInfo(Adagrad, _EPS))
_OPTIMIZERS.register("lamb", _OptimizerInfo(Lamb, _EPS))


def list_optimizers() -> tuple[str, ...]:
    """Names that `create_optimizer` takes."""
    return tuple(_OPTIMIZERS)


def optimizer_arguments(name: str) -> frozenset[str]:
    """Returns which arguments of `create_optimizer` an optimizer uses; it ignores the others.

    Args:
        name: A name from `list_optimizers()`, in any case.

    Raises:
        ValueError: An unknown name.
    """
    every = {"opt", "lr", "weight_decay", "weight_decay_filter", "layer_decay", "loss_scale", "checkpoint_path"}
    own = {"beta1", "beta2"}.intersection(_arguments_of(_OPTIMIZERS.find(name).cls))
    return frozenset(every.union(own, _OPTIMIZERS.find(name).takes))


def _arguments_of(cls: type[nn.Optimizer]) -> set[str]:
    """Arguments of the constructor; of a class that inherits it, Python 3.10 would find those of `nn.Cell.__new__`."""
    return set(inspect.signature(cls.__init__).parameters) - {"self"}


def create_optimizer(
    model_or_params: nn.Cell | Iterable[Parameter] | Iterable[dict[str, Any]],
    opt: str = "adam",
    lr: LearningRate | None = 1e-3,
    weight_decay: float = 0,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay_filter: str = "disable",
    layer_decay: float | None = None,
    loss_scale: float = 1.0,
    schedule_decay: float = 4e-3,
    checkpoint_path: str | os.PathLike[str] = "",
    eps: float = 1e-10,
    **kwargs: Any,
) -> nn.Optimizer:
    """Creates an optimizer by name.

    Weight decay is L2 (added to the gradient) in sgd, momentum, nesterov, adam, rmsprop and adagrad, and decoupled in
    adamw, lion, nadam, adan and lamb.

    Args:
        model_or_params: A model (its trainable parameters are taken), parameters, or groups of parameters.
        opt: A name from `list_optimizers()`, in any case.
        lr: The learning rate: a number, or one for every step as `create_scheduler` returns them.
        weight_decay: The weight decay.
        momentum: The momentum of sgd, momentum, nesterov and rmsprop.
        nesterov: Whether sgd, momentum and adam look ahead; nesterov always does, nadam and adan in their own way.
        weight_decay_filter: What is not decayed: "disable" (nothing is left out), "auto" (names with `beta` or
            `gamma`) or "norm_and_bias", see `create_param_groups`.
        layer_decay: Factor of the learning rate from one layer to the one before it; the model has a `group_matcher()`.
        loss_scale: The factor by which the loss was multiplied; gradients are divided by it.
        schedule_decay: How fast nadam's momentum rises.
        checkpoint_path: A checkpoint with the optimizer's state, such as upstream's `optim_<model>.ckpt`.
        eps: Added to denominators. sgd, momentum, nesterov and lion have none.
        **kwargs: Other arguments of the class, such as `beta1` and `beta2`; None is the class's own. Before version 0.3
            MindCV had `filter_bias_and_bn`: True is the `weight_decay_filter` "norm_and_bias".

    Returns:
        An `nn.Optimizer`, called with the gradients in the order of its `parameters`.

    Raises:
        ValueError: An unknown name or argument, or a value out of its range; also what `load_optimizer_state` raises.
        FileNotFoundError: There is no file at `checkpoint_path`.
    """
    info = _OPTIMIZERS.find(opt)
    values = {
        "momentum": require_non_negative("momentum", momentum),
        "nesterov": nesterov,
        "schedule_decay": require_non_negative("schedule_decay", schedule_decay),
        "eps": require_positive("eps", eps),
    }
    lr = require_lr("lr", lr)
    if not isinstance(weight_decay, nn.Cell):
        weight_decay = require_non_negative("weight_decay", weight_decay)
    arguments = {name: values[key] for key, name in info.takes.items()} | dict(info.fixed)
    allowed = _arguments_of(info.cls) - {"params", "learning_rate", "weight_decay", "loss_scale"}
    kwargs = {name: value for name, value in kwargs.items() if value is not None}
    if kwargs.pop("filter_bias_and_bn", False) and weight_decay_filter == "disable":
        weight_decay_filter = "norm_and_bias"
    for name in kwargs:
        if name not in allowed:
            raise ValueError(unknown_name_message(f"argument of the optimizer {opt!r}", name, allowed))
    groups = create_param_groups(model_or_params, lr, weight_decay, weight_decay_filter, layer_decay)
    optimizer = info.cls(
        groups, learning_rate=lr, weight_decay=weight_decay, loss_scale=loss_scale, **{**arguments, **kwargs}
    )
    if checkpoint_path:
        load_optimizer_state(optimizer, checkpoint_path)
    return optimizer
