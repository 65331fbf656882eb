"""MindCV's import path of sums over ranks."""

from ..engine.upstream.reduce import AllReduceSum

__all__ = ["AllReduceSum"]
