"""The HTTP service of `mindcv serve`, and its page."""

from .app import create_app
from .service import Answer, Busy, Service

__all__ = ["Answer", "Busy", "Service", "create_app"]
