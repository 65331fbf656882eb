"""Training and evaluation: the step, the loop, checkpoints, metrics, ranks, logs.

It receives networks and loaders and never builds them.
"""

from .amp import auto_mixed_precision
from .batch_norm import keep_variance_of_one_value
from .checkpoint import CheckpointSaver, TrainState, load_state, read_checkpoint
from .compile_cache import CompileCache, open_compile_cache
from .device_input import LossWithMixing, NormalizedNetwork
from .distillation import RenormalizedNetwork, WithTeacher
from .distributed import (
    average_batch_norm,
    broadcast_parameters,
    gather_rows,
    is_launched,
    rank,
    report_alive,
    require_same_on_ranks,
    require_same_parameters,
    sum_over_ranks,
    wait_for_ranks,
    world_size,
)
from .ema import averaged_weights, ema_decays
from .evaluator import Evaluator, Scores
from .feed import HostFeed, SinkFeed, can_sink
from .finite import name_not_finite
from .freeze import freeze
from .metrics import by_class, count_correct, get_metrics, metric_names
from .profile import StepProfiler
from .recompute import recompute_blocks
from .report import RunReporter, tell_finished
from .resume import Resumed, check_same_rates, find_run, resume_run, resume_weights
from .run_folder import run_folder
from .setup import set_seed, setup_run
from .sync_batch_norm import synchronize_batch_norm
from .train_step import LossScale, LossWithNetwork, TrainStep
from .trainer import Schedule, Trainer
from .upstream import AllReduceSum, CheckpointManager, GradientAccumulation

__all__ = [
    "AllReduceSum",
    "CheckpointManager",
    "CheckpointSaver",
    "CompileCache",
    "Evaluator",
    "GradientAccumulation",
    "HostFeed",
    "LossScale",
    "LossWithMixing",
    "LossWithNetwork",
    "NormalizedNetwork",
    "RenormalizedNetwork",
    "Resumed",
    "RunReporter",
    "Schedule",
    "Scores",
    "SinkFeed",
    "StepProfiler",
    "TrainState",
    "TrainStep",
    "Trainer",
    "WithTeacher",
    "auto_mixed_precision",
    "average_batch_norm",
    "averaged_weights",
    "broadcast_parameters",
    "by_class",
    "can_sink",
    "check_same_rates",
    "count_correct",
    "ema_decays",
    "find_run",
    "freeze",
    "gather_rows",
    "get_metrics",
    "is_launched",
    "keep_variance_of_one_value",
    "load_state",
    "metric_names",
    "name_not_finite",
    "open_compile_cache",
    "rank",
    "read_checkpoint",
    "recompute_blocks",
    "report_alive",
    "require_same_on_ranks",
    "require_same_parameters",
    "resume_run",
    "resume_weights",
    "run_folder",
    "set_seed",
    "setup_run",
    "sum_over_ranks",
    "synchronize_batch_norm",
    "tell_finished",
    "wait_for_ranks",
    "world_size",
]
