"""MindCV's import path of the training step."""

from ..engine.train_step import TrainStep
from ..engine.upstream.gradient_accumulation import GradientAccumulation

__all__ = ["GradientAccumulation", "TrainStep"]
