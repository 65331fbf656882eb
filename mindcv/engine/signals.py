"""Ctrl-C and SIGTERM: finish the step, save, then stop."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from .distributed import sum_over_ranks, world_size

_logger = logging.getLogger(__name__)

__all__ = ["StopSignal", "keep_handlers"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_watching: list["StopSignal"] = []


class StopSignal:
    """Notes the first Ctrl-C or SIGTERM; a second Ctrl-C stops at once.

    Attributes:
        number: The signal that came, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator["StopSignal"]:
        """Watches for as long as the context lasts; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {signum: signal.getsignal(signum) for signum in _NUMBERS}
        _watching.append(self)
        keep_handlers()
        try:
            yield self
        finally:
            _watching.remove(self)
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def agree(self) -> int | None:
        """Returns the signal that this or any other rank got, the same on all ranks, or None.

        With several ranks it is a collective: all call it after the same steps, so that all stop at the same one.
        """
        if world_size() == 1:
            return self.number
        came = sum_over_ranks([self.number == signum for signum in _NUMBERS])
        return next((signum for signum, ranks in zip(_NUMBERS, came, strict=True) if ranks), None)

    def note(self, signum: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        if self.number is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = signum
        _logger.warning("%s: finishing this step, then saving; Ctrl-C again stops at once", signal.Signals(signum).name)


def keep_handlers() -> None:
    """Takes the signals back from MindSpore, which catches them when a pipeline or a first read of a tensor starts."""
    if _watching and threading.current_thread() is threading.main_thread():
        for signum in _NUMBERS:
            signal.signal(signum, _watching[-1].note)
