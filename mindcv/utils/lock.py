"""A lock on a folder that holds across processes and hosts, on NFS too.

The lock is a file with the holder's name, made by a hard link, which is atomic on every file system that has links, or
else by an exclusive open. The holder touches it every `HEARTBEAT_S`. Of a holder on this host the system says whether
it lives; another host's is taken for gone after `STALE_S` without a touch.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import RunError
from .fs import read_local

_logger = logging.getLogger(__name__)

__all__ = ["HEARTBEAT_S", "STALE_S", "FolderLock"]

HEARTBEAT_S = 30.0
# Long, as a compilation can keep all threads of a process from running for minutes.
STALE_S = 900.0

_NAME = ".run.lock"
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
_MOST_BYTES = 4096
_MOST_WAIT_S = 5.0


class FolderLock:
    """The lock of one folder.

    Args:
        folder: The folder.
        owner: Who wants it, the same for all processes of a job, which count as one.
        purpose: The config key or noun that names the folder in errors.

    Attributes:
        is_holder: Whether this process has it, for itself or for its job.
    """

    def __init__(self, folder: Path, owner: str, purpose: str) -> None:
        self.path = folder / _NAME
        self.owner = owner
        self.purpose = purpose
        self.is_holder = False
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Takes the lock; of several processes of one job one has it and the others know.

        Raises:
            ValueError: Another process holds it.
        """
        with _alone_on_host(self.path.parent):
            self._acquire()
        if self.is_holder:
            self._thread = threading.Thread(target=self._beat, name="lock", daemon=True)
            self._thread.start()

    def _acquire(self) -> None:
        """Makes the lock's file, or finds out who has."""
        for _ in range(10):  # a lock that is taken over may be taken by a third one
            if self._make():
                self.is_holder = True
                return
            text, holder = self._read()
            if holder.get("owner") == self.owner:
                return
            why_gone = self._why_gone(holder)
            if text is not None and why_gone is None:
                raise ValueError(
                    f"{self.purpose}: {self.path.parent} is in use by {_describe(holder)}; wait for its end, or give "
                    f"another folder (its lock is {self.path}; one of another host is taken over {STALE_S / 60:.0f} "
                    "minutes after its last sign of life)"
                )
            if text is not None and self._put_aside(text):
                _logger.warning("%s: taken over from %s, %s", self.path, _describe(holder), why_gone)
        raise ValueError(f"{self.purpose}: {self.path} is taken and freed again and again; try again")

    def require(self) -> None:
        """Makes sure that the lock has not been taken over, as from a process that was suspended for long.

        Raises:
            RunError: It has.
        """
        if not self.is_holder:
            return
        _, holder = self._read()
        if holder.get("owner") != self.owner:
            raise RunError(
                f"{self.path.parent} has been taken over by {_describe(holder)}, as this process gave no sign of life "
                f"for {STALE_S / 60:.0f} minutes; nothing more is written"
            )

    def release(self) -> None:
        """Gives the lock back."""
        if not self.is_holder:
            return
        self.is_holder = False
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):
            if self._read()[1].get("owner") == self.owner:
                self.path.unlink()

    def _make(self) -> bool:
        """Makes the lock's file if there is none."""
        mine = {"owner": self.owner, "host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
        content = json.dumps({**mine, "system": _system(), "started": _started(os.getpid())}).encode()
        temporary = self.path.with_name(f"{_NAME}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            _write(temporary, content)
            try:
                os.link(temporary, self.path)
            except FileExistsError:
                pass
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                with contextlib.suppress(FileExistsError):
                    _write(self.path, content)
                    return True
                return False
            # NFS may have made the link and lost the answer.
            return os.stat(temporary).st_nlink == 2
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _read(self) -> tuple[bytes | None, dict[str, Any]]:
        """The lock's contents as they are, None where there is no lock, and what they say."""
        try:
            text = read_local(self.path)[:_MOST_BYTES]
        except FileNotFoundError:
            return None, {}
        with contextlib.suppress(ValueError, RecursionError):
            holder = json.loads(text)
            if isinstance(holder, dict):
                return text, holder
        return text, {}

    def _why_gone(self, holder: dict[str, Any]) -> str | None:
        """Why a lock's holder lives no more; None: it does, or may do."""
        pid = holder.get("pid")
        if isinstance(pid, int) and holder.get("system") == _system():
            return None if holder.get("started") == _started(pid) is not None else "whose process is gone"
        silent_s = self._silent_s()
        return f"which gave no sign of life for {silent_s / 60:.0f} minutes" if silent_s > STALE_S else None

    def _silent_s(self) -> float:
        """Seconds since the holder touched the lock, by the clock of the file system, which all hosts share."""
        probe = self.path.with_name(f"{_NAME}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            _write(probe, b"")
            now = probe.stat().st_mtime
            return now - self.path.stat().st_mtime
        except FileNotFoundError:
            return 0.0
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()

    def _put_aside(self, text: bytes) -> bool:
        """Removes a lock whose holder is gone, if it is still that one."""
        aside = self.path.with_name(f"{_NAME}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return False
        try:
            if aside.read_bytes() == text:
                return True
            # Somebody else was faster, and this is the new lock.
            with contextlib.suppress(FileExistsError):
                os.link(aside, self.path)
            return False
        finally:
            aside.unlink()

    def _beat(self) -> None:
        while not self._end.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):
                if self._read()[1].get("owner") == self.owner:
                    os.utime(self.path)


@contextlib.contextmanager
def _alone_on_host(folder: Path) -> Iterator[None]:
    """Lets one process of this host at a time look at a lock and take it.

    Else a second one that takes over a lock could move the new lock of the first, and leave room for a third. The
    system frees this lock of a process that dies. Where the file system has none, or somebody else keeps it, as
    `flock FOLDER mindcv train` does, it is done without.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    end = time.monotonic() + _MOST_WAIT_S
    try:
        while time.monotonic() < end:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break
        yield
    finally:
        os.close(handle)


def _write(path: Path, content: bytes) -> None:
    """Writes a new file; on an error, which names it, there is none."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        os.write(handle, content)
    except OSError as error:
        path.unlink(missing_ok=True)
        error.filename = os.fspath(path)
        raise
    finally:
        os.close(handle)


def _describe(holder: dict[str, Any]) -> str:
    since, when = holder.get("since"), "unknown"
    if isinstance(since, (int, float)):
        with contextlib.suppress(ValueError, OverflowError, OSError):
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    return f"process {holder.get('pid', 'unknown')} on host {holder.get('host', 'unknown')} since {when}"


def _system() -> str:
    """What the numbers of processes belong to: a host since its start, and a container of it."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """When a process of this system was started, so that another one of its number is not taken for it; None: gone."""
    try:
        # The name, in brackets, may hold anything; the state follows it, then 18 fields, then the time.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        pass
    if os.path.isdir("/proc/self"):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "unknown"
