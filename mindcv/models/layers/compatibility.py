"""MindCV's import path of cells that differed between versions of MindSpore."""

from .upstream import Dropout, Interpolate, ResizeBilinear, Split

__all__ = ["Dropout", "Interpolate", "ResizeBilinear", "Split"]
