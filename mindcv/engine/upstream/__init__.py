"""MindCV's interface to training, on our engine: callbacks, `create_trainer`, and cells that users' scripts call.

Users find the names in `mindcv.utils`, where MindCV has them. Our own engine calls nothing of it.
"""

from .callbacks import StateMonitor, ValCallback
from .checkpoint_manager import CheckpointManager
from .gradient_accumulation import GradientAccumulation
from .reduce import AllReduceSum
from .trainer_factory import add_loss_network, create_trainer, require_customized_train_step

__all__ = [
    "AllReduceSum",
    "CheckpointManager",
    "GradientAccumulation",
    "StateMonitor",
    "ValCallback",
    "add_loss_network",
    "create_trainer",
    "require_customized_train_step",
]
