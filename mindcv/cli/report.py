"""`mindcv report`: runs and evaluations as one page."""

import argparse
import sys
from pathlib import Path

from mindcv.utils.fs import local_path
from mindcv.utils.text import escaped

HELP = "draw runs and evaluations as one HTML page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of a run (its ckpt_save_dir), or of `mindcv validate --report`; several stand side by side",
    )
    parser.add_argument(
        "--out", metavar="FILE", help="the page (default: report.html in the run's folder; of several, in this folder)"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the page and returns 0; what could not be shown is told on stderr.

    Raises:
        FileNotFoundError, ValueError: There is no such run.
        ImportError: What draws it is not installed.
    """
    from mindcv.report import write_report

    folders = [local_path(name) for name in args.runs]
    beside = folders[0] if len(folders) == 1 else Path()
    path = local_path(args.out) if args.out else beside / "report.html"
    for note in write_report(folders, path):
        print(f"mindcv: {escaped(note)}", file=sys.stderr)
    print(escaped(str(path)))
    return 0
