"""MindCV's import path of the checkpoint manager."""

from ..engine.checkpoint import CheckpointManager

__all__ = ["CheckpointManager"]
