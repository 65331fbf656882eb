"""Pages and pictures of runs, evaluations and models.

The names below are loaded when first used, so that `mindcv models`, which needs a table alone, does not wait for pages.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .page import finish_evaluation, report_of_run, write_report
    from .run import points_of_schedule

_EXPORTS = {
    "finish_evaluation": "page",
    "points_of_schedule": "run",
    "report_of_run": "page",
    "write_report": "page",
}

__all__ = ["finish_evaluation", "points_of_schedule", "report_of_run", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
