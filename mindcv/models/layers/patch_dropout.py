"""MindCV's import path of patch dropout."""

from .upstream import PatchDropout

__all__ = ["PatchDropout"]
