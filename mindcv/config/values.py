"""Values of keys in words."""

from typing import Any

__all__ = ["format_value"]


def format_value(value: Any) -> str:
    """Returns a value as one would write it on the command line, numbers in their short form."""
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, (list, tuple)):
        return ",".join(format_value(item) for item in value) or "[]"
    return str(value) if value != "" else "''"
