"""MindCV's import path of `create_model`."""

from ._create import create_model

__all__ = ["create_model"]
