"""MindCV's import path of patch embedding."""

from .upstream import PatchEmbed

__all__ = ["PatchEmbed"]
