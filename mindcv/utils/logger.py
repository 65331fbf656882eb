"""MindCV's import path of the logger."""

from .log import set_logger

__all__ = ["set_logger"]
