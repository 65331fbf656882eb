"""MindCV's import path of the training step."""

from ..engine.train_step import GradientAccumulation, TrainStep

__all__ = ["GradientAccumulation", "TrainStep"]
