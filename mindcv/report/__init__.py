"""Pages and pictures of runs, evaluations and models."""

from .page import finish_evaluation, report_of_run, write_report
from .run import points_of_schedule

__all__ = ["finish_evaluation", "points_of_schedule", "report_of_run", "write_report"]
