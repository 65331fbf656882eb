"""`create_loss`: a loss by name."""

from typing import Any

from ..utils.registry import Registry
from ._base import ClassificationLoss, Weight
from .asymmetric import AsymmetricLossMultilabel, AsymmetricLossSingleLabel
from .binary_cross_entropy_smooth import BinaryCrossEntropySmooth
from .cross_entropy_smooth import CrossEntropySmooth
from .focal import FocalLoss, FocalLossMultilabel
from .jsd import JSDCrossEntropy

__all__ = ["create_loss", "list_losses"]


_LOSSES: Registry[type[ClassificationLoss]] = Registry("loss", ignore_case=True)
_LOSSES.register("ce", CrossEntropySmooth)
_LOSSES.register("bce", BinaryCrossEntropySmooth)
_LOSSES.register("asl_single_label", AsymmetricLossSingleLabel)
_LOSSES.register("asl_multi_label", AsymmetricLossMultilabel)
_LOSSES.register("jsd", JSDCrossEntropy)
_LOSSES.register("focal", FocalLoss)
_LOSSES.register("focal_multi_label", FocalLossMultilabel)


def list_losses() -> tuple[str, ...]:
    """Names that `create_loss` takes."""
    return tuple(_LOSSES)


def create_loss(
    name: str = "CE",
    weight: Weight | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    aux_factor: float = 0.0,
    *,
    focal_gamma: float = 2.0,
    bce_target_threshold: float | None = None,
) -> ClassificationLoss:
    """Creates a loss by name.

    Args:
        name: A name from `list_losses()`, in any case: ce (cross entropy), bce (binary cross entropy),
            asl_single_label and asl_multi_label (asymmetric losses), jsd (AugMix's consistency), focal and
            focal_multi_label.
        weight: A factor for every class (C,).
        reduction: "mean", "sum" or "none".
        label_smoothing: Label smoothing, in [0, 1).
        aux_factor: Factor of the losses of auxiliary logits, for models that return a tuple.
        focal_gamma: Focus of the focal losses.
        bce_target_threshold: Labels above it are 1 to bce, the others 0; None leaves them.

    Returns:
        A cell, called as `loss(logits, labels)`, see `ClassificationLoss`.

    Raises:
        ValueError: An unknown name or reduction, or a value out of its range.
    """
    cls = _LOSSES.find(name)
    own: dict[str, Any] = {}
    if issubclass(cls, (FocalLoss, FocalLossMultilabel)):
        own["gamma"] = focal_gamma
    elif cls is BinaryCrossEntropySmooth:
        own["target_threshold"] = bce_target_threshold
    return cls(smoothing=label_smoothing, aux_factor=aux_factor, reduction=reduction, weight=weight, **own)
