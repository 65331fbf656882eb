"""Commands to print, in a form that works where they are printed."""

import shlex
import shutil
import sys
from pathlib import Path

__all__ = ["command_for", "quoted"]


def command_for(name: str) -> str:
    """Returns how to call `train`, `validate` ...: as the script beside the one that runs, else as `mindcv NAME`.

    Args:
        name: The command.
    """
    started = Path(sys.argv[0])
    beside = started.with_name(f"{name}.py")
    if started.name in ("train.py", "validate.py") and beside.is_file():
        return f"python {quoted(beside)}"
    return f"mindcv {name}" if shutil.which("mindcv") else f"python -m mindcv {name}"


def quoted(path: str | Path) -> str:
    """Returns a path as one word of a shell."""
    return shlex.quote(str(path))
