"""Checks of what transforms are set to."""

from collections.abc import Sequence

__all__ = ["checked_range", "checked_share"]


def checked_share(key: str, value: float) -> float:
    """Returns a value; ValueError where it is not from 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{key} must be between 0 and 1, got {value}")
    return value


def checked_range(key: str, value: Sequence[float]) -> tuple[float, float]:
    """Returns two numbers as floats; ValueError where they are not two above 0, the lesser first."""
    if len(value) != 2 or not 0 < value[0] <= value[1]:
        raise ValueError(f"{key} must be two numbers above 0, the lesser first, got {value!r}")
    return float(value[0]), float(value[1])
