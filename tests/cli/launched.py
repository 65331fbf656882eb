"""A worker without MindSpore, whose end its first argument says; what mindcv launch gave it is on its first line."""

import json
import os
import signal
import sys
import time


def say(text):
    sys.stdout.write(f"{text}\n")


rank, how = int(os.environ["RANK_ID"]), sys.argv[1]
shown = ["MS_ROLE", "MS_WORKER_NUM", "MS_NODE_ID", "MS_SCHED_HOST", "MS_SCHED_PORT", "RANK_SIZE", "DEVICE_ID"]
shown += ["ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "MS_CPU_COMM_OP_TIMEOUT", "PATH"]
facts = {name: os.environ.get(name) for name in shown}
facts.update(cores=sorted(os.sched_getaffinity(0)), python=sys.executable, arguments=sys.argv[2:])
say(json.dumps(facts))
say("[WARNING] DISTRIBUTED one of MindSpore's own lines")


def finish_the_step(number, frame):
    say(f"saving after {signal.Signals(number).name}")
    time.sleep(0.3 * (1 + rank))
    sys.exit(128 + number)


def make_steps(count):
    for _ in range(count):
        time.sleep(0.1)
        os.utime(os.environ["MINDCV_ALIVE_FILE"])


def wait():
    say("waiting")
    while True:
        time.sleep(60)


if how == "well":
    sys.exit()
if how in ("saves", "is stopped alone"):
    signal.signal(signal.SIGTERM, finish_the_step)
    signal.signal(signal.SIGINT, finish_the_step)
    if how == "is stopped alone":  # as when all ranks learned of a signal that rank 1 got
        os.kill(os.getpid(), signal.SIGTERM)
    wait()
if how == "does not stop":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait()
if how == "hangs":
    make_steps(5 if rank == 1 else 25)
    wait()
if how == "hangs before its first step":
    make_steps(0 if rank == 1 else 5)
    wait()
if how == "leaves":
    make_steps(5 if rank == 1 else 25)
    if rank == 1:
        sys.exit()
    wait()
if how == "is suspended":
    make_steps(2)
    if rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    wait()
if rank == 1:
    time.sleep(0.3)
    if how == "raises":
        raise RuntimeError("no batch")
    if how == "exits":
        sys.exit(7)
    os.kill(os.getpid(), signal.SIGKILL if how == "is killed" else signal.SIGTERM)
wait()
