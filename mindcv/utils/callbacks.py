"""MindCV's import path of the callbacks."""

from ..engine.upstream.callbacks import StateMonitor, ValCallback

__all__ = ["StateMonitor", "ValCallback"]
