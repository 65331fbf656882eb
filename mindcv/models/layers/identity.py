"""MindCV's import path of the identity."""

from mindspore.nn import Identity

__all__ = ["Identity"]
