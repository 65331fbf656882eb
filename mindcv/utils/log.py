"""Logging: the console and text log of a process, and the run's event log, `log.jsonl`, that everything else reads."""

import contextlib
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, TextIO, cast

from tqdm import tqdm

from .text import harmless
from .writing import WriteRule

__all__ = ["EventLog", "set_logger", "show_notes"]

_FORMAT = "%(asctime)s %(name)s %(levelname)s - %(message)s"
_DATE_FORMAT = "[%Y-%m-%d %H:%M:%S]"
_COLORS = {logging.DEBUG: "35", logging.INFO: "32", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}


class _Formatter(logging.Formatter):
    """Writes out what a name may have that would steer a terminal, or that is no UTF-8."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


class _TerminalFormatter(_Formatter):
    """A short line for people: the time, and the level where it is not INFO, in colour if wanted."""

    def __init__(self, color: bool) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")
        self.color = color

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Returns time, level and message; the colour comes after what makes the text harmless."""
        if record.levelno != logging.INFO:
            record.message = f"{record.levelname}: {record.message}"
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self.color:
            return text
        code = _COLORS.get(record.levelno, "0")
        if record.levelno == logging.INFO:
            time_of_day, _, rest = text.partition(" ")
            return f"\033[{code}m{time_of_day}\033[0m {rest}"
        return text.replace(record.levelname, f"\033[{code}m{record.levelname}\033[0m", 1)


class _ConsoleHandler(logging.StreamHandler):
    """Writes lines above a progress bar instead of through it, to what `sys.stdout` is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tqdm.write(self.format(record), file=self.stream_now())
        except (OSError, ValueError):
            self.handleError(record)

    def stream_now(self) -> TextIO:
        """Returns the stream, which a program may have replaced."""
        return sys.stdout


class _NoteHandler(_ConsoleHandler):
    """The same, to what `sys.stderr` is at the time."""

    def stream_now(self) -> TextIO:
        """Returns the stream, which a program may have replaced."""
        return sys.stderr


class _FileHandler(logging.FileHandler):
    """Writes a text log, and tells a rule when that cannot be done."""

    def __init__(self, path: str, rule: WriteRule) -> None:
        super().__init__(path, encoding="utf-8")
        self.rule = rule

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        # Another thread's log line is no place to end a run from.
        elif not self.rule.stop or threading.current_thread() is threading.main_thread():
            self.rule.failed(self.baseFilename, error)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of lines that had no room, which has been told
            super().close()


def set_logger(
    name: str | None = None,
    output_dir: str | None = None,
    rank: int | None = 0,
    log_level: int = logging.INFO,
    color: bool = True,
    *,
    rule: WriteRule | None = None,
) -> logging.Logger:
    """Gives a logger a console handler (rank 0 only) and, with `output_dir`, a file `rank<r>.log`. Can be called again.

    Args:
        name: The logger's name; None for the root logger.
        output_dir: Folder of the log file; made when it is not there.
        rank: This process's rank; None, as upstream's scripts have it for one process, is 0.
        log_level: The lowest level that is written.
        color: Colours on a terminal, where a line begins with the time alone; files have date, module and level.
        rule: What happens when the log file cannot be written to; None: an error ends what logs.
    """
    rank = rank or 0
    logger = logging.getLogger(name)
    logger.setLevel(log_level)
    logger.propagate = False
    for handler in [handler for handler in logger.handlers if getattr(handler, "of_mindcv", False)]:
        logger.removeHandler(handler)
        handler.close()
    handlers: list[tuple[logging.Handler, logging.Formatter]] = []
    if rank == 0:
        is_terminal = sys.stdout.isatty()
        formatter = _TerminalFormatter(color) if is_terminal else _Formatter(_FORMAT, _DATE_FORMAT)
        handlers.append((_ConsoleHandler(), formatter))
    if output_dir is not None:
        path, rule = os.path.join(output_dir, f"rank{rank}.log"), rule or WriteRule()
        with rule.writing(path):
            os.makedirs(output_dir, exist_ok=True)
            handlers.append((_FileHandler(path, rule), _Formatter(_FORMAT, _DATE_FORMAT)))
    for handler, formatter in handlers:
        handler.setLevel(log_level)
        handler.setFormatter(formatter)
        handler.of_mindcv = True  # type: ignore[attr-defined]
        logger.addHandler(handler)
    return logger


def show_notes(name: str) -> None:
    """Writes what a logger says, from INFO on, to stderr: for a command whose stdout is its result.

    It can be called again.

    Args:
        name: The logger's name.
    """
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _NoteHandler) for handler in logger.handlers):
        handler = _NoteHandler()
        handler.setFormatter(_Formatter())  # the message alone
        logger.addHandler(handler)


class EventLog:
    """Appends to a run's `log.jsonl`: one JSON object a line with `event`, `time` (seconds since 1970) and values.

    Args:
        path: The file.
        keep_bytes: How much of what is there to keep; None moves all of it to `<name>.old`.
        rule: What happens when it cannot be written.
    """

    def __init__(self, path: Path, keep_bytes: int | None = None, rule: WriteRule | None = None) -> None:
        self.path = path
        self.rule = rule or WriteRule()
        # What does not fit is taken back, so that no line is torn: hence no buffer.
        self._file: IO[bytes] | None = None
        with self.rule.writing(path):
            if keep_bytes is None and path.exists():
                os.replace(path, path.with_name(f"{path.name}.old"))
            self._file = path.open("ab", buffering=0)
            if keep_bytes is not None:
                self._file.truncate(min(keep_bytes, path.stat().st_size))

    def write(self, event: str, **values: Any) -> dict[str, Any]:
        """Adds a line and returns what it says; a value that JSON does not know is written as a float."""
        record = {"event": event, "time": round(time.time(), 3), **values}
        with self.rule.writing(self.path):
            if self._file is not None:
                self._add((json.dumps(record, default=float) + "\n").encode())
        return record

    def _add(self, line: bytes) -> None:
        """Writes a line, or nothing of it."""
        file = cast(IO[bytes], self._file)
        size = os.fstat(file.fileno()).st_size
        try:
            while line:  # what is left of a short write tells why
                line = line[file.write(line) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise

    def records(self) -> list[dict[str, Any]]:
        """Returns the events that are in the file; a last line that a power cut tore is none."""
        if self._file is None:
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def size(self) -> int:
        """How many bytes there are in the file."""
        return os.fstat(self._file.fileno()).st_size if self._file is not None else 0

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
