"""`mindcv launch`: a script on several devices, of one host or of several."""

import argparse
import datetime
import socket
import sys
from pathlib import Path

from ..utils.fs import require_directory
from ._job import Job
from ._renamed import Renamed, Without

HELP = "run train.py, validate.py or a script of your own on several devices and hosts"

# Commands of `mindcv` that can be launched; they need no file.
_SCRIPTS = ("train", "validate", "benchmark")
_MASTER_PORT = 8118


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "--nproc",
        "--nproc_per_node",
        action=Renamed,
        type=int,
        metavar="N",
        help="workers on this host; default: one for each device",
    )
    parser.add_argument(
        "--devices",
        "--visible_devices",
        "--device-list",
        action=Renamed,
        metavar="0,1",
        help="this host's cards to use, 0,1,2,3 or 0-3; default: all",
    )
    parser.add_argument("--nnodes", type=int, default=1, metavar="N", help="how many hosts; default: 1")
    parser.add_argument("--node_rank", type=int, default=0, metavar="I", help="this host's number, from 0; default: 0")
    parser.add_argument(
        "--master_addr",
        "--server_id",
        "--addr",
        action=Renamed,
        metavar="HOST",
        help="address of host 0; needed with several hosts",
    )
    parser.add_argument(
        "--master_port", type=int, metavar="PORT", help=f"default: a free one, {_MASTER_PORT} with several hosts"
    )
    parser.add_argument("--log_dir", metavar="DIR", help="logs of the workers; default: launch_logs/<date>-<time>")
    parser.add_argument("--no_bind_core", action="store_true", help="do not give each worker its own cores")
    parser.add_argument(
        "--hang_timeout_s",
        type=float,
        default=1800,
        metavar="S",
        help="end a job of which no worker has made a step for so long; counts from the first step on; default: 1800",
    )
    parser.add_argument(
        "--stop_timeout_s",
        type=float,
        default=120,
        metavar="S",
        help="how long workers may take to save after Ctrl-C or SIGTERM; default: 120",
    )
    parser.add_argument("--env_sh", action=Without, help="source it in the shell that starts this command")
    parser.add_argument("--mode", action=Without, help="name train.py or validate.py")
    parser.add_argument(
        "script", metavar="SCRIPT", help="train.py, validate.py, ...; train, validate and benchmark need no file"
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the script's own options")


def run(args: argparse.Namespace) -> int:
    """Runs the job and returns the exit code of the rank that failed first, 0 when all went well.

    Raises:
        FileNotFoundError: There is no such script.
        ValueError: An option is out of its range, or options contradict each other.
    """
    devices = parse_devices(args.devices)
    nproc = args.nproc if args.nproc is not None else len(devices)
    if nproc < 1:
        raise ValueError(f"--nproc is {nproc}; give the number of workers, such as --nproc 8, or --devices 0,1,2,3")
    if devices and len(devices) != nproc:
        raise ValueError(f"--nproc is {nproc}, but --devices names {len(devices)}; leave out --nproc")
    if not 0 <= args.node_rank < args.nnodes:
        raise ValueError(f"--node_rank is {args.node_rank}; with --nnodes {args.nnodes} it is 0 to {args.nnodes - 1}")
    if args.nnodes > 1 and not args.master_addr:
        raise ValueError("--nnodes needs --master_addr, the address of host 0, the same on all hosts")
    folder = args.log_dir or f"launch_logs/{datetime.datetime.now():%Y%m%d-%H%M%S}"
    job = Job(
        worker_command(args.script, args.arguments),
        require_directory(folder, "--log_dir"),
        nproc,
        world_size=nproc * args.nnodes,
        first_rank=nproc * args.node_rank,
        devices=devices,
        address=socket.gethostbyname(args.master_addr or "127.0.0.1"),
        port=args.master_port or (_MASTER_PORT if args.nnodes > 1 else free_port()),
        bind_core=not args.no_bind_core,
        hang_timeout_s=args.hang_timeout_s,
        stop_timeout_s=args.stop_timeout_s,
    )
    return job.run()


def parse_devices(text: str | None) -> list[int]:
    """Reads `0,1,2` or `0-2`, or a mixture.

    Raises:
        ValueError: It is something else, or names a card twice.
    """
    devices: list[int] = []
    for part in (text or "").split(",") if text else []:
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise ValueError(f"--devices is {text!r}; allowed: numbers and ranges, such as 0,1,2,3 or 0-3")
        devices += range(int(first), int(last or first) + 1)
    if len(set(devices)) != len(devices):
        raise ValueError(f"--devices is {text!r}, which names a card twice")
    return devices


def worker_command(script: str, arguments: list[str]) -> list[str]:
    """Returns what each worker runs, by the Python that runs this.

    Raises:
        FileNotFoundError: There is no such script.
    """
    if script in ("python", "python3") and arguments:  # as users of msrun write it
        script, *arguments = arguments
    if script in _SCRIPTS:
        return [sys.executable, "-m", "mindcv", script, *arguments]
    if not Path(script).is_file():
        names = ", ".join(_SCRIPTS)
        raise FileNotFoundError(f"{script}: no such script; give a file or one of {names} after the options")
    return [sys.executable, script, *arguments]


def free_port() -> int:
    """Returns a port of this host that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
