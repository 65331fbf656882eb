"""Training and evaluation: the step, the loop, checkpoints, metrics, ranks, logs.

It receives networks and loaders and never builds them.
"""

from .amp import auto_mixed_precision
from .checkpoint import CheckpointManager, CheckpointSaver, TrainState, load_state, read_checkpoint, resume_state
from .distributed import AllReduceSum, broadcast_parameters, is_launched, rank, sum_over_ranks, world_size
from .ema import averaged_weights
from .evaluator import Evaluator
from .feed import create_feed
from .metrics import count_correct, get_metrics, metric_names
from .report import RunReporter
from .setup import set_seed, setup_run
from .train_step import GradientAccumulation, LossScale, LossWithNetwork, TrainStep
from .trainer import Schedule, Trainer

__all__ = [
    "AllReduceSum",
    "CheckpointManager",
    "CheckpointSaver",
    "Evaluator",
    "GradientAccumulation",
    "LossScale",
    "LossWithNetwork",
    "RunReporter",
    "Schedule",
    "TrainState",
    "TrainStep",
    "Trainer",
    "auto_mixed_precision",
    "averaged_weights",
    "broadcast_parameters",
    "count_correct",
    "create_feed",
    "get_metrics",
    "is_launched",
    "load_state",
    "metric_names",
    "rank",
    "read_checkpoint",
    "resume_state",
    "set_seed",
    "setup_run",
    "sum_over_ranks",
    "world_size",
]
