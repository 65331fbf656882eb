"""MindCV's import path of `create_model`."""

from ._factory import create_model

__all__ = ["create_model"]
