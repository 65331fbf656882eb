"""Losses, and the factory that makes one from a name."""

from .asymmetric import AsymmetricLossMultilabel, AsymmetricLossSingleLabel
from .binary_cross_entropy_smooth import BinaryCrossEntropySmooth
from .cross_entropy_smooth import CrossEntropySmooth
from .distillation import DistillationLoss
from .focal import FocalLoss, FocalLossMultilabel
from .jsd import JSDCrossEntropy
from .loss_factory import create_loss, list_losses

__all__ = [
    "AsymmetricLossMultilabel",
    "AsymmetricLossSingleLabel",
    "BinaryCrossEntropySmooth",
    "CrossEntropySmooth",
    "DistillationLoss",
    "FocalLoss",
    "FocalLossMultilabel",
    "JSDCrossEntropy",
    "create_loss",
    "list_losses",
]
