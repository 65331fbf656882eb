"""A pipeline in a process of its own, which measures one epoch whenever it is asked. Used by data.py and data_peers.py.

Nothing but the standard library is imported, so that any Python can run it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Batches = Callable[[], Iterator[int]]


def measure(batches: Batches) -> tuple[float, float]:
    """Images a second of one epoch, and processor time of this process for each image in ms."""
    iterator = batches()
    next(iterator)
    begin, cpu = time.perf_counter(), time.process_time()
    count = sum(iterator)
    return count / (time.perf_counter() - begin), 1e3 * (time.process_time() - cpu) / count


def peak_memory() -> float:
    """Most memory that this process held at once, in MiB. `getrusage` would count the parent's from before exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM")


def serve(build: Callable[[], Batches]) -> int:
    """Answers each line of stdin with the figures of one epoch; what else is printed goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    try:
        batches = build()
    except ImportError as error:
        print(json.dumps({"left_out": str(error)}), file=answers, flush=True)
        return 0
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for _ in sys.stdin:
        speed, cpu = measure(batches)
        print(json.dumps([speed, cpu, peak_memory()]), file=answers, flush=True)
    return 0


class Measured:
    """The other end of `serve`.

    Args:
        command: Starts the process.
        environment: Its variables. None: those of this process.

    Raises:
        ImportError: What the pipeline needs is not installed there.
        RuntimeError: The process ended.
    """

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        answer = self._answer()
        if "left_out" in answer:
            self.close()
            raise ImportError(answer["left_out"])

    def measure(self) -> list[float]:
        """Images a second, ms of one core an image and peak memory in MiB, of one epoch."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self):
        # Libraries in C++ may write to stdout as well: only JSON is an answer.
        for line in self._process.stdout:
            if line.startswith(("{", "[")):
                try:
                    return json.loads(line)
                except ValueError:
                    continue
        raise RuntimeError(f"{' '.join(self._process.args)} ended with code {self._process.wait()}")
