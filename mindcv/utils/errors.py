"""How a command ends: one line for what the user can fix, an exit code for each way."""

import contextlib
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

from .switches import is_on
from .text import harmless

__all__ = ["EXIT_USAGE", "RunError", "RunStopped", "run_command", "say_error"]

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_UNREAD = 141  # as of a process that SIGPIPE ends


class RunError(RuntimeError):
    """A run cannot go on; the message says where it stood and what to do."""


class Stopped(Exception):  # noqa: N818
    """A command was stopped by a signal.

    Attributes:
        exit_code: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class RunStopped(Stopped):
    """A run was stopped by a signal that all its ranks agreed on, and saved."""


def run_command(command: Callable[[], int | None]) -> int:
    """Runs a command and returns its exit code; an error that the user can fix becomes one line on stderr.

    SIGTERM, and a terminal that is closed, end it as an error does, so that its temporary files are removed. With
    `MINDCV_DEBUG=1` the traceback is shown as well.
    """
    try:
        with _signals_as_errors():
            return command() or 0
    except Stopped as stop:
        _say(str(stop))
        return stop.exit_code
    except KeyboardInterrupt:
        _say("stopped by Ctrl-C")
        return EXIT_INTERRUPTED
    except (ValueError, FileNotFoundError, KeyError, ImportError) as error:
        # str(KeyError) is the repr of its argument.
        return _fail(error.args[0] if isinstance(error, KeyError) and error.args else error, EXIT_USAGE)
    except BrokenPipeError as error:
        if not _is_unread(sys.stdout.fileno()):
            return _fail(error, EXIT_FAILURE)
        # As behind `| head`, which has what it wanted. What is still in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_UNREAD
    except (RunError, OSError) as error:
        return _fail(error, EXIT_FAILURE)


def say_error(error: object) -> None:
    """Writes an error to stderr the way all commands begin theirs."""
    _say(f"error: {error}")


@contextlib.contextmanager
def _signals_as_errors() -> Iterator[None]:
    """Raises Stopped for signals that would end the process at once; commands may have handlers of their own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def stop(signum: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a worker that was forked, which has nothing to clean up
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        signal.signal(signum, signal.SIG_IGN)  # so that a second one does not cut the cleaning short
        raise Stopped(f"stopped by {signal.Signals(signum).name}", 128 + signum)

    taken = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for signum in taken:
        signal.signal(signum, stop)
    try:
        yield
    finally:
        for signum in taken:
            signal.signal(signum, signal.SIG_DFL)


def _is_unread(handle: int) -> bool:
    """Whether a file is a pipe whose reader is gone."""
    waiting = select.poll()
    waiting.register(handle, select.POLLOUT)
    return any(event & select.POLLERR for _, event in waiting.poll(0))


def _fail(error: object, code: int) -> int:
    if is_on("MINDCV_DEBUG"):
        traceback.print_exc()
    say_error(error)
    return code


def _say(text: str) -> None:
    sys.stderr.write(f"mindcv: {harmless(text)}\n")
