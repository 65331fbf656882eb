"""How long a test waits for what must come: the limit ends a test that hangs, and is never what a test measures."""

import os
import time
from collections.abc import Callable

LIMIT_S = float(os.environ.get("TEST_LIMIT_S", "600"))


def wait_until(has_come: Callable[[], object], what: str) -> None:
    """Returns when `has_come()` is true, and fails with `what` when that takes longer than the limit."""
    end = time.monotonic() + LIMIT_S
    while not has_come():
        assert time.monotonic() < end, f"{what} has not come within {LIMIT_S:g} s"
        time.sleep(0.05)
