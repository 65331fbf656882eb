"""The processes of a distributed job on one host.

They are started with the environment variables that MindSpore's own launcher (msrun) sets, and without it, so that the
end of each is seen at once and the others need not wait for MindSpore's heartbeat (about 30 s).
"""

import contextlib
import ctypes
import datetime
import functools
import math
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mindcv.utils.errors import say_error
from mindcv.utils.text import harmless

__all__ = ["Job", "share_of_cores"]

_POLL_S = 0.2
_LAST_LINES = 15
# So long may a worker be suspended. MindSpore's scheduler, which can't say why it is silent, gives up after 30 s.
_SUSPENDED_S = 20
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# How MindSpore's own log lines begin, of which it writes dozens while a job starts and ends.
_NOISE = ("[WARNING]", "[INFO]")
# Codes with which a worker ends that was asked to stop and has saved.
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
_SCHEDULER = "import mindspore; mindspore.set_device('CPU'); import mindspore.communication as c; c.init()"


def share_of_cores(cores: list[int], index: int, parts: int) -> list[int]:
    """Returns the cores of one of `parts` workers: an equal run of neighbours, or one core when there are too few."""
    size = len(cores) // parts
    return cores[index * size : (index + 1) * size] if size else [cores[index % len(cores)]]


class Worker:
    """One process of the job, with its log and its sign of life.

    Attributes:
        rank: Its number in the whole job.
        device: The card that it uses, by the host's own count.
        log: What it prints.
        alive: A file that it touches at each step, see `mindcv.engine.report_alive`.
        code: Its exit code; negative for a signal; None while it runs.
        suspended_since: When it was first seen suspended (`time.monotonic`), or None when it is not.
    """

    def __init__(self, rank: int, device: int, log: Path, alive: Path, process: subprocess.Popen) -> None:
        self.rank = rank
        self.device = device
        self.log = log
        self.alive = alive
        self.process = process
        self.started = alive.stat().st_mtime
        self.code: int | None = None
        self.suspended_since: float | None = None

    @property
    def last_step(self) -> float | None:
        """When it made its last step (seconds since 1970), or None before the first."""
        time_of_step = self.alive.stat().st_mtime
        return time_of_step if time_of_step > self.started else None

    def suspended_s(self) -> float:
        """For how long it has been suspended (SIGSTOP, a debugger), in seconds; must be asked again and again."""
        if not _is_suspended(self.process.pid):
            self.suspended_since = None
            return 0.0
        self.suspended_since = self.suspended_since or time.monotonic()
        return time.monotonic() - self.suspended_since

    def last_lines(self) -> list[str]:
        """The end of its log, without MindSpore's own lines below errors."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if not line.startswith(_NOISE)][-_LAST_LINES:]

    def end(self) -> None:
        """Kills it with all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Job:
    """The workers of this host, and on the first host the scheduler, from their start to their end.

    Args:
        command: What each worker runs.
        folder: For their logs.
        nproc: Workers on this host.
        world_size: Workers on all hosts.
        first_rank: Rank of this host's first worker.
        devices: This host's cards; empty: all.
        address: IP address of host 0.
        port: Port of the scheduler on host 0.
        bind_core: Give each worker its own cores.
        hang_timeout_s: End the job when no worker makes a step for so long.
        stop_timeout_s: How long workers may take to stop.
    """

    def __init__(
        self,
        command: list[str],
        folder: Path,
        nproc: int,
        world_size: int,
        first_rank: int,
        devices: list[int],
        address: str,
        port: int,
        bind_core: bool,
        hang_timeout_s: float,
        stop_timeout_s: float,
    ) -> None:
        self.command = command
        self.folder = folder
        self.nproc = nproc
        self.world_size = world_size
        self.first_rank = first_rank
        self.devices = devices
        self.address = address
        self.port = port
        self.bind_core = bind_core and hasattr(os, "sched_setaffinity")
        self.hang_timeout_s = hang_timeout_s
        self.stop_timeout_s = stop_timeout_s
        self.workers: list[Worker] = []
        self.scheduler: subprocess.Popen | None = None
        self._ended: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._signal: signal.Signals | None = None
        self._deadline: float | None = None

    def run(self) -> int:
        """Runs the job to its end; no process of it is left when this returns."""
        with self._forwarding_signals():
            try:
                self._start()
                return self._watch()
            finally:
                for worker in self.workers:
                    worker.end()
                for worker in self.workers:
                    worker.process.wait()
                if self.scheduler:
                    self.scheduler.kill()
                    self.scheduler.wait()

    def environment(self, index: int) -> dict[str, str]:
        """Returns the variables of this host's `index`-th worker."""
        rank = self.first_rank + index
        environment = {
            "GLOG_v": "3",  # errors only
            "MS_TOPO_TIMEOUT": "600",
            # Longer than this launcher waits: it knows who hangs, a rank that waits for that one in vain does not.
            "MS_CPU_COMM_OP_TIMEOUT": str(math.ceil(self.hang_timeout_s) + 300),
            **os.environ,
            **self._cluster(),
            "MS_ROLE": "MS_WORKER",
            "MS_NODE_ID": str(rank),
            "RANK_ID": str(rank),
            "RANK_SIZE": str(self.world_size),
            "DEVICE_ID": str(index),
            "MINDCV_ALIVE_FILE": str(self._file(rank, "alive")),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "PYTHONUNBUFFERED": "1",
            # A crash, and SIGABRT when the job hangs, leave in the log where each thread was.
            "PYTHONFAULTHANDLER": "1",
        }
        if self.devices:
            visible = ",".join(map(str, self.devices))
            environment.update(ASCEND_RT_VISIBLE_DEVICES=visible, CUDA_VISIBLE_DEVICES=visible)
        return environment

    def _cluster(self) -> dict[str, str]:
        return {
            "MS_WORKER_NUM": str(self.world_size),
            "MS_SCHED_HOST": self.address,
            "MS_SCHED_PORT": str(self.port),
        }

    def _file(self, rank: int, suffix: str) -> Path:
        return self.folder / f"worker_{rank}.{suffix}"

    def _start(self) -> None:
        last = self.first_rank + self.nproc - 1
        print(
            f"mindcv launch: ranks {self.first_rank} to {last} of {self.world_size}, logs in {self.folder}", flush=True
        )
        if self.first_rank == 0:
            environment = {"GLOG_v": "2", **os.environ, **self._cluster(), "MS_ROLE": "MS_SCHED"}
            with (self.folder / "scheduler.log").open("wb") as log:
                self.scheduler = subprocess.Popen(
                    [sys.executable, "-c", _SCHEDULER],
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        cores = sorted(os.sched_getaffinity(0)) if self.bind_core else []
        for index in range(self.nproc):
            rank = self.first_rank + index
            alive, log_path = self._file(rank, "alive"), self._file(rank, "log")
            alive.touch()
            share = share_of_cores(cores, index, self.nproc) if self.bind_core else []
            with log_path.open("wb") as log:
                process = subprocess.Popen(
                    self.command,
                    env=self.environment(index),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=functools.partial(_prepare_worker, share),
                )
            device = self.devices[index] if self.devices else index
            self.workers.append(Worker(rank, device, log_path, alive, process))
        for worker in self.workers:
            threading.Thread(target=self._wait_for, args=(worker,), daemon=True).start()
        if self._signal is not None:  # it came before all workers were there
            self._send(self._signal)

    def _wait_for(self, worker: Worker) -> None:
        """Notes the end of a worker at once, so that the first one that ended is known."""
        worker.code = worker.process.wait()
        self._ended.put(worker)

    def _watch(self) -> int:
        """Waits for the workers and returns the job's exit code."""
        code = 0
        with contextlib.ExitStack() as files:
            first = files.enter_context(self.workers[0].log.open(encoding="utf-8", errors="replace"))
            running = len(self.workers)
            while running:
                try:
                    worker = self._ended.get(timeout=_POLL_S)
                except queue.Empty:
                    worker = None
                if self.first_rank == 0:
                    sys.stdout.writelines(line for line in first if not line.startswith(_NOISE))
                    sys.stdout.flush()
                if worker is None:
                    problem = self._problem()
                    if problem is not None:
                        return problem
                    continue
                running -= 1
                if worker.code == 0:
                    continue
                own_code = _exit_code(worker.code)
                if own_code not in _STOPPED or (worker.code < 0 and self._signal is None):
                    self._report(worker)
                    return own_code
                # It was asked to stop, by our signal or by one of its own, and the others are stopping too.
                code = code or own_code
                self._deadline = self._deadline or time.monotonic() + self.stop_timeout_s
        if self.scheduler and self.world_size > self.nproc and code == 0:
            self.scheduler.wait()  # other hosts may need it still
        return code

    def _problem(self) -> int | None:
        """Returns the exit code when something is wrong that no worker's end shows: a job that hangs, a host gone."""
        running = [worker for worker in self.workers if worker.code is None]
        if self._deadline is not None and time.monotonic() > self._deadline:
            names = _ranks([worker.rank for worker in running])
            say_error(f"{names} did not stop within {self.stop_timeout_s:g} s and was killed")
            return 128 + (self._signal or signal.SIGTERM)
        suspended = [worker for worker in running if worker.suspended_s() > _SUSPENDED_S]
        if suspended:
            say_error(
                f"{_ranks([worker.rank for worker in suspended])} has been suspended (SIGSTOP) for {_SUSPENDED_S:g} s "
                "and holds up all others; the job was ended"
            )
            return 1
        ended = [worker.rank for worker in self.workers if worker.code == 0]
        before = f"; {_ranks(ended)} had ended before, with exit code 0" if ended else ""
        if self.scheduler and self.scheduler.poll():
            log = self.folder / "scheduler.log"
            lost = re.findall(r"The node: (\d+) is timed out", log.read_text(encoding="utf-8", errors="replace"))
            say_error(
                f"{_ranks(lost)} no longer answers the scheduler{before}; look at the logs of all hosts, and at {log}; "
                "the job was ended"
            )
            return 1
        times = [worker.last_step for worker in running if worker.last_step is not None]
        if not times or time.time() - max(times) < self.hang_timeout_s:
            return None
        hung = min(running, key=lambda worker: worker.last_step or 0.0)
        last = "has made none yet"
        if hung.last_step is not None:
            last = f"stopped first, at {datetime.datetime.fromtimestamp(hung.last_step):%H:%M:%S}"
        self._send(signal.SIGABRT)  # leaves the stacks of all threads in the logs
        time.sleep(1)
        say_error(f"no rank has made a step for {self.hang_timeout_s:g} s; rank {hung.rank} {last}{before}")
        self._show_log(hung)
        return 1

    def _report(self, worker: Worker) -> None:
        """Says which rank failed, how, and the end of its log."""
        who = f"rank {worker.rank} (device {worker.device})"
        if worker.code < 0:
            name = signal.Signals(-worker.code).name
            hint = "; the system kills what takes too much memory" if worker.code == -signal.SIGKILL else ""
            say_error(f"{who} was the first to end, killed by {name}{hint}; the job was ended")
        else:
            say_error(f"{who} was the first to end, with exit code {worker.code}; the job was ended")
        self._show_log(worker)

    def _show_log(self, worker: Worker) -> None:
        sys.stderr.write(f"the last lines of {worker.log}:\n")
        for line in worker.last_lines():
            sys.stderr.write(f"  {harmless(line)}\n")

    @contextlib.contextmanager
    def _forwarding_signals(self) -> Iterator[None]:
        """Hands Ctrl-C, SIGTERM and a closed terminal on to the workers; a second Ctrl-C kills them."""
        signums = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            signums.append(signal.SIGHUP)
        before = {signum: signal.signal(signum, self._forward) for signum in signums}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _forward(self, signum: int, frame: object) -> None:
        if self._signal is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = signal.SIGTERM if signum == signal.SIGHUP else signal.Signals(signum)
        self._deadline = time.monotonic() + self.stop_timeout_s
        self._send(self._signal)

    def _send(self, signum: int) -> None:
        for worker in self.workers:
            if worker.code is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signum)


def _prepare_worker(cores: list[int]) -> None:
    """Runs in a worker before its program: takes its cores, and asks for SIGTERM when the launcher is gone."""
    if cores:
        os.sched_setaffinity(0, cores)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _exit_code(code: int) -> int:
    """A shell's form of an exit code."""
    return code if code >= 0 else 128 - code


def _is_suspended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state in ("T", "t")


def _ranks(ranks: Sequence[int | str]) -> str:
    numbers = ", ".join(map(str, ranks))
    return f"rank {numbers}" if len(ranks) == 1 else f"each of ranks {numbers}" if ranks else "a rank"
