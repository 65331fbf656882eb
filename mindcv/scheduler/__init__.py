"""Learning rate schedules: plain lists of floats, one per step. Needs no MindSpore."""

from . import dynamic_lr
from .scheduler_factory import create_scheduler, list_schedulers, scheduler_arguments

__all__ = ["create_scheduler", "dynamic_lr", "list_schedulers", "scheduler_arguments"]
