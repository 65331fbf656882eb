"""MindCV's import path of the checkpoint manager."""

from ..engine.upstream.checkpoint_manager import CheckpointManager

__all__ = ["CheckpointManager"]
