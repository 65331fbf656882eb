"""MindCV's import path of squeeze and excitation."""

from .upstream import SqueezeExcite, SqueezeExciteV2

__all__ = ["SqueezeExcite", "SqueezeExciteV2"]
