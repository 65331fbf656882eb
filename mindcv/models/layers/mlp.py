"""MindCV's import path of the two dense layers."""

from .upstream import Mlp

__all__ = ["Mlp"]
