"""MindCV's import path of the version."""

from ._version import __version__

__all__ = ["__version__"]
