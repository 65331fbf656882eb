"""Environment variables that switch something on or off."""

import os

__all__ = ["is_on"]

_OFF = ("", "0", "false", "off", "no")


def is_on(variable: str, default: bool = False) -> bool:
    """Whether a variable is set to anything but 0, false, off, no or nothing.

    Args:
        variable: The variable's name.
        default: What holds where it is not set.
    """
    value = os.environ.get(variable)
    return default if value is None else value.strip().lower() not in _OFF
