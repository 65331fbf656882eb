"""Which parameters get which weight decay and learning rate."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mindspore import Parameter, nn

from ..utils.registry import unknown_name_message
from ._base import require_lr

__all__ = ["WEIGHT_DECAY_FILTERS", "create_param_groups", "layer_depths"]

Group = dict[str, Any]

# timm's order for a part that belongs to the depth of the one before it
_WITH_PREVIOUS = (99999,)
_LAST = (float("inf"),)


def _is_norm_by_mindspore(param: Parameter) -> bool:
    return "beta" in param.name or "gamma" in param.name


def _is_norm_or_bias(param: Parameter) -> bool:
    own_name = param.name.rsplit(".", 1)[-1]
    return param.ndim <= 1 or any(part in own_name for part in ("beta", "gamma", "bias"))


def _is_never(param: Parameter) -> bool:
    return False


# filter -> which parameters are not decayed, and whether the model's no_weight_decay() is asked too
_FILTERS: dict[str, tuple[Callable[[Parameter], bool], bool]] = {
    "disable": (_is_never, False),
    "auto": (_is_norm_by_mindspore, False),
    "norm_and_bias": (_is_norm_or_bias, True),
}
WEIGHT_DECAY_FILTERS = tuple(_FILTERS)


def create_param_groups(
    model_or_params: nn.Cell | Iterable[Parameter] | Iterable[Group],
    lr: Any,
    weight_decay: float,
    weight_decay_filter: str = "disable",
    layer_decay: float | None = None,
) -> list[Group]:
    """Sorts parameters into groups of one weight decay and one learning rate.

    Args:
        model_or_params: A model (its trainable parameters are taken), parameters, or groups (dicts with `params` and
            optionally `lr`, `weight_decay`, `grad_centralization`), whose own values are kept.
        lr: The learning rate, a number or one for every step.
        weight_decay: The weight decay.
        weight_decay_filter: What is not decayed. "disable": everything is decayed. "auto": parameters with `beta` or
            `gamma` in their names are not, as nn.Optimizer does by itself. "norm_and_bias": parameters of norm layers,
            biases, all other parameters of one dimension and those that the model's `no_weight_decay()` names are not.
        layer_decay: When given, a parameter at depth d of the model's `group_matcher()` has the learning rate
            `lr * layer_decay ** (deepest - d)`; what no pattern matches (the head) is deepest. Frozen layers count, so
            that freezing some leaves the rates of the others. As upstream, "disable" then acts like "norm_and_bias".

    Returns:
        Groups that end with an `order_params` group, so that gradients come in the order of the model.

    Raises:
        ValueError: No parameters or something else among them, an unknown filter, a `layer_decay` out of (0, 1], or a
            model without `group_matcher()`.
    """
    if weight_decay_filter not in _FILTERS:
        raise ValueError(unknown_name_message("weight_decay_filter", weight_decay_filter, _FILTERS))
    if layer_decay is not None and weight_decay_filter == "disable":
        weight_decay_filter = "norm_and_bias"
    is_free, asks_model = _FILTERS[weight_decay_filter]
    model = model_or_params if isinstance(model_or_params, nn.Cell) else None
    given = [group for group in _as_groups(model_or_params) if "order_params" not in group]
    params = next(
        (list(group["order_params"]) for group in _as_groups(model_or_params) if "order_params" in group),
        [param for group in given for param in group["params"]],
    )
    for param in (*params, *(param for group in given for param in group["params"])):
        if not isinstance(param, Parameter):
            raise ValueError(f"the optimizer takes parameters of a network, got {param!r} among them")
    if not params:
        raise ValueError("the optimizer got no parameters: is every parameter of the model frozen?")
    named_free = set(model.no_weight_decay()) if asks_model and hasattr(model, "no_weight_decay") else set()
    scales = _layer_scales(model, layer_decay) if layer_decay is not None else {}
    base_lr = require_lr("lr", lr) if scales else None

    groups: dict[tuple[int, bool, float], Group] = {}
    for index, group in enumerate(given):
        for param in group["params"]:
            decayed = not (is_free(param) or param.name in named_free)
            scale = scales.get(param.name, 1.0)
            if (index, decayed, scale) not in groups:
                own = {"weight_decay": weight_decay, **group, "params": []}
                if not decayed:
                    own["weight_decay"] = 0.0
                if scales:
                    own["lr"] = _scaled(base_lr, scale)
                groups[index, decayed, scale] = own
            groups[index, decayed, scale]["params"].append(param)
    return [*groups.values(), {"order_params": params}]


def layer_depths(names: Iterable[str], matcher: Mapping[str, Any]) -> dict[str, int]:
    """Returns the depth of every parameter name, from 0, by a timm-style matcher.

    Args:
        names: Parameter names.
        matcher: Regular expressions by part, in the order of the network: `{"stem": r"^conv1", "blocks":
            r"^layer(\\d+)\\.(\\d+)"}`. Groups that match numbers are depths within the part. A part may be a list of
            `(expression, order)`, where the order (a number or numbers, or None) comes after those of the groups; the
            order 99999 says that it belongs to the depth before it.
    """
    rules = [
        (re.compile(pattern), ordinal, _as_order(order))
        for ordinal, part in enumerate(matcher.values())
        if part is not None
        for pattern, order in ([(part, None)] if isinstance(part, str) else part)
    ]

    def order_of(name: str) -> tuple[float, ...]:
        for pattern, ordinal, order in rules:
            match = pattern.match(name)
            if match:
                return (ordinal, *(int(part) for part in match.groups() if part and part.isdigit()), *order)
        return _LAST

    orders = {name: order_of(name) for name in names}
    depths: dict[tuple[float, ...], int] = {}
    depth = -1
    for order in sorted(set(orders.values())):
        if depth < 0 or order[-1:] != _WITH_PREVIOUS:
            depth += 1
        depths[order] = depth
    return {name: depths[order] for name, order in orders.items()}


def _as_groups(model_or_params: nn.Cell | Iterable[Parameter] | Iterable[Group]) -> list[Group]:
    if isinstance(model_or_params, nn.Cell):
        return [{"params": model_or_params.trainable_params()}]
    entries = list(model_or_params)
    if entries and all(isinstance(entry, dict) for entry in entries):
        return entries
    return [{"params": entries}]


def _as_order(order: int | Sequence[int] | None) -> tuple[int, ...]:
    if order is None:
        return ()
    return (order,) if isinstance(order, int) else tuple(order)


def _layer_scales(model: nn.Cell | None, layer_decay: float) -> dict[str, float]:
    """Returns the factor of the learning rate of every parameter of a model, trained or frozen."""
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay must be in (0, 1], but got {layer_decay!r}")
    if not hasattr(model, "group_matcher"):
        got = "a list of parameters" if model is None else type(model).__name__
        raise ValueError(f"layer_decay needs a model with a group_matcher(), but got {got}; leave layer_decay out")
    depths = layer_depths([param.name for param in model.get_parameters()], model.group_matcher())
    deepest = max(depths.values(), default=0)
    return {name: layer_decay ** (deepest - depth) for name, depth in depths.items()}


def _scaled(lr: float | list[float] | nn.Cell, scale: float) -> float | list[float]:
    if isinstance(lr, nn.Cell):
        raise ValueError("layer_decay needs a learning rate that is a number or a list, but got a schedule cell")
    return [rate * scale for rate in lr] if isinstance(lr, list) else lr * scale
