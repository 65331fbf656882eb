#!/usr/bin/env bash
# mindspore 2.10.0: once a graph has run, Ctrl-C ends Python without KeyboardInterrupt, and Python does not know.
#
# The first graph that is run (GRAPH_MODE, CPU) puts a C handler of MindSpore's in the place of Python's for SIGINT. It
# sends SIGTERM to the whole process group. From then on no `except KeyboardInterrupt`, no `finally`, no `with` and no
# atexit runs when the user presses Ctrl-C (or a notebook interrupts its kernel): a training loop that saves its state
# there loses it. signal.getsignal goes on naming Python's handler. A call of signal.signal after the first graph gives
# SIGINT back, though what it is given is what getsignal says already; not at once after it, because a thread of
# MindSpore's sets the handler too.
# Seen with: mindspore 2.10.0, numpy 1.26.4, Python 3.11. Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mindspore==2.10.0 numpy==1.26.4 setuptools==80.9.0

cat > program.py <<'PYTHON'
import ctypes
import os
import signal
import sys
import time

import mindspore as ms
from mindspore import Tensor, nn


class Double(nn.Cell):
    def construct(self, x):
        return x + x


def owner():
    """Names the library that the kernel would call for SIGINT; sigaction's first field is the handler's address."""
    action = (ctypes.c_char * 256)()
    ctypes.CDLL(None).sigaction(int(signal.SIGINT), None, action)
    address = int.from_bytes(action[:8], "little")
    for line in open("/proc/self/maps"):
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if begin <= address < end:
            return "MindSpore" if "mindspore" in line.rpartition("/")[2] else "Python"


def show(when):
    kept = "Python's" if signal.getsignal(signal.SIGINT) is signal.default_int_handler else "another"
    print(f"{when}: the handler is {owner()}; getsignal says {kept}", flush=True)


one = Tensor([1.0], ms.float32)
show("before")
ms.set_context(mode=ms.GRAPH_MODE)
Double()(one).asnumpy()
time.sleep(5)
show("after a graph")
if "again" in sys.argv:
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))
    show("after signal.signal")
try:
    os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C does
    time.sleep(60)
except KeyboardInterrupt:
    print("KeyboardInterrupt", flush=True)
finally:
    print("finally", flush=True)
PYTHON

cat > look.py <<'PYTHON'
import subprocess
import sys

for arguments in ([], ["again"]):
    # A session of its own: the handler ends the whole process group.
    result = subprocess.run(
        [sys.executable, "program.py", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        timeout=300,
    )
    print(result.stdout + f"exit status {result.returncode}")
PYTHON

cat > expected <<'TEXT'
before: the handler is Python; getsignal says Python's
after a graph: the handler is MindSpore; getsignal says Python's
exit status -15
before: the handler is Python; getsignal says Python's
after a graph: the handler is MindSpore; getsignal says Python's
after signal.signal: the handler is Python; getsignal says Python's
KeyboardInterrupt
finally
exit status 0
TEXT

venv/bin/python look.py > seen
if ! diff expected seen; then
    echo "another behaviour than the one described above" >&2
    exit 1
fi
cat seen
