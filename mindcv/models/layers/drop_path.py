"""MindCV's import path of stochastic depth."""

from .drop import DropPath

__all__ = ["DropPath"]
