"""Trying again what failed for a reason that may pass: one loop for stores and for web servers."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["with_retries"]

_logger = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 30.0
# Jitter keeps many processes from coming back all at once; not of the generator that a run seeds.
_jitter = random.SystemRandom()

T = TypeVar("T")


def with_retries(
    action: Callable[[], T],
    name: str,
    reason: Callable[[Exception], str],
    last_error: Callable[[str, int], Exception],
    retries: int,
    first_pause_s: float,
    position: Callable[[], int] | None = None,
) -> T:
    """Does something, again when it fails for a reason that may pass, with pauses that double.

    Args:
        action: What to do.
        name: What it is called in the log.
        reason: Says in one line why an error came; raises where another try would not help.
        last_error: Makes the error that is raised in the end, of the last reason and the number of failures.
        retries: How often to try again in a row without getting further.
        first_pause_s: Pause before the first retry in seconds.
        position: How many bytes are there already. None: no try gets further than the one before.
    """
    failures, furthest = 0, position() if position else 0
    while True:
        try:
            return action()
        except Exception as error:
            text = reason(error)
            reached = position() if position else 0
            failures = failures + 1 if reached <= furthest else 1
            furthest = max(furthest, reached)
            if failures > retries:
                raise last_error(text, failures) from error
        pause = min(first_pause_s * 2 ** (failures - 1), _LONGEST_PAUSE_S) * _jitter.uniform(0.5, 1)
        where = f" at byte {reached}" if position else ""
        _logger.warning("%s: %s%s; trying again in %.1f s (%d of %d)", name, text, where, pause, failures, retries)
        time.sleep(pause)
