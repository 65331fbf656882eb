"""MindCV's import path of mixed precision."""

from ..engine.amp import AMP_BLACK_LIST, AMP_WHITE_LIST, auto_mixed_precision

__all__ = ["AMP_BLACK_LIST", "AMP_WHITE_LIST", "auto_mixed_precision"]
