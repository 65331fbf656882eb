"""How many parallel workers a pipeline may have on this machine."""

import functools
import logging

from mindcv.utils.cores import usable_cores

_logger = logging.getLogger(__name__)


def cap_workers(requested: int | None) -> int | None:
    """Limits a number of workers to the cores there are, with one log line when that changes it. None stays None.

    Raises:
        ValueError: The number is below 1.
    """
    if requested is None:
        return None
    if requested < 1:
        raise ValueError(f"num_parallel_workers must be at least 1, got {requested}")
    cores = usable_cores()
    if requested > cores:
        _log_cap(requested, cores)
    return min(requested, cores)


@functools.cache
def _log_cap(requested: int, cores: int) -> None:
    _logger.info("num_parallel_workers=%d is capped to the %d cores of this machine", requested, cores)
