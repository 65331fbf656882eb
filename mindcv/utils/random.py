"""MindCV's import path of the seeds."""

from ..engine.setup import set_seed

__all__ = ["set_seed"]
