"""Real processes on real small data: what a user types and what comes back."""

import os
import subprocess
import sys
from pathlib import Path

from time_limits import LIMIT_S

ROOT = Path(__file__).resolve().parents[2]
# For the commands of a page: a smaller image, and smaller steps, of which there are more; the rest is as it is written.
SHORTER = ["--image_resize", "32", "--batch_size", "4", "--epoch_size", "12", "--num_parallel_workers", "1"]


def start(*arguments: object, script: str = "train.py", **options):
    """Starts a script of the clone in its own process group, as a terminal would.

    A training draws no report, which takes a second or two, unless the arguments speak of one.
    """
    if script == "train.py" and "--report" not in arguments:
        arguments = ("--report", "False", *arguments)
    environment = dict(os.environ, PYTHONUNBUFFERED="1", **options.pop("env", {}))
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        **options,
    )


def run(*arguments: object, script: str = "train.py", **options) -> subprocess.CompletedProcess:
    """Runs a script of the clone to its end."""
    process = start(*arguments, script=script, **options)
    out, err = process.communicate(timeout=LIMIT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
