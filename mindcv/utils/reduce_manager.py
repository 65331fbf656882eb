"""MindCV's import path of sums over ranks."""

from ..engine.distributed import AllReduceSum

__all__ = ["AllReduceSum"]
