"""What every test starts from: the prepared CPU runtime, PyNative mode and fixed seeds."""

import atexit
import logging
import os
import shutil
import tempfile

import numpy as np
import pytest

from mindcv.utils.runtime import prepare_cpu_runtime

# Shared by the workers and the processes that tests start, and by nobody else: nothing is left in the user's folders.
for variable in ("MINDCV_HOME", "MINDCV_COMPILE_CACHE"):
    if variable not in os.environ:
        os.environ[variable] = tempfile.mkdtemp(prefix="mindcv-tests-")
        atexit.register(shutil.rmtree, os.environ[variable], ignore_errors=True)

pytest_plugins = ["s3_server"]


@pytest.fixture(autouse=True)
def _fresh_log():
    """What a command of one test logs to stdout is not among what the next one prints."""
    logger = logging.getLogger("mindcv")
    # As set_logger leaves it. Pytest's own handlers are added to loggers that do not propagate, before a test begins.
    logger.propagate = False
    level, handlers = logger.level, list(logger.handlers)
    yield
    for handler in [handler for handler in logger.handlers if handler not in handlers]:
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _fresh_state(request: pytest.FixtureRequest):
    np.random.seed(0)
    if "no_mindspore" in request.keywords:
        yield
        return
    import mindspore as ms

    prepare_cpu_runtime()
    ms.set_context(mode=ms.PYNATIVE_MODE)
    ms.set_seed(0)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out `zoo` unless -m speaks of it, and starts with the tests that take longest.

    So none of those is left alone on one worker at the end.
    """
    if "zoo" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("zoo")])
        items[:] = [item for item in items if not item.get_closest_marker("zoo")]
    items.sort(key=lambda item: "slow" not in item.keywords)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Reports go from worker to worker as UTF-8, which the names that some tests log are not."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report
