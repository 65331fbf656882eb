"""MindCV's import path of the trainer."""

from ..engine.metrics import get_metrics
from ..engine.upstream.trainer_factory import add_loss_network, create_trainer, require_customized_train_step

__all__ = ["add_loss_network", "create_trainer", "get_metrics", "require_customized_train_step"]
