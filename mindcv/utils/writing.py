"""The one rule for everything that a run writes: a file that cannot be written ends the run, or is only reported."""

import contextlib
import logging
import os
from collections.abc import Iterator

from .errors import RunError

_logger = logging.getLogger(__name__)

__all__ = ["WriteRule"]


class WriteRule:
    """What happens when a file of a run cannot be written, as on a full disk.

    Args:
        stop: End the run; else it goes on, and each file is reported once for each time that it begins to fail.
    """

    def __init__(self, stop: bool = True) -> None:
        self.stop = stop
        self._failing: set[str] = set()

    @contextlib.contextmanager
    def writing(self, path: str | os.PathLike[str]) -> Iterator[None]:
        """Covers the writing of a file.

        Raises:
            RunError: It could not be written, and the run is to stop.
        """
        try:
            yield
        except OSError as error:
            self.failed(path, error)
        else:
            self._failing.discard(os.fspath(path))

    def failed(self, path: str | os.PathLike[str], error: OSError) -> None:
        """Reports that a file could not be written.

        Raises:
            RunError: The run is to stop.
        """
        name = os.fspath(path)
        text = f"{name} could not be written ({error.strerror or error}); what was there before is intact"
        if self.stop:
            raise RunError(f"{text}; free some space, or set ckpt_on_error: continue") from error
        if name not in self._failing:
            self._failing.add(name)
            _logger.error("%s; the run goes on without it (ckpt_on_error: continue)", text)
