"""Where a weight file may be: a path, an address, the hub, an installed Python package; a run's optimizer state."""

import importlib.util
import os
from pathlib import Path, PurePosixPath

from ..utils.fetch import fetch as download
from .hub import hub_address, hub_file

__all__ = ["OPTIMIZER_PREFIX", "PACKAGE_PREFIX", "fetch", "is_package_file", "optimizer_path"]

PACKAGE_PREFIX = "package:"
OPTIMIZER_PREFIX = "optim_"


def optimizer_path(folder: Path, model_name: str) -> Path:
    """Returns which file in a run's folder has the optimizer's state, by upstream's rule for its name.

    Upstream writes it beside the weights. Here it is a second name of the last checkpoint, which has both.
    """
    return folder / f"{OPTIMIZER_PREFIX}{model_name}.ckpt"


def is_package_file(location: object) -> bool:
    """Whether a location is of the form `package:NAME/path/inside`."""
    return isinstance(location, str) and location.startswith(PACKAGE_PREFIX)


def fetch(location: str, sha256_prefix: str | None = None) -> Path:
    """Returns the local path of a weight file, downloading it when it is not there.

    Args:
        location: A path, an address, or `package:NAME/path/inside` for a file that an installed Python package brings.
        sha256_prefix: First hexadecimal digits of the sha256 of what an address has.

    Raises:
        FileNotFoundError: There is no such file or package.
        DownloadError: It cannot be downloaded.
        ValueError: The location is not of that form.
    """
    if is_package_file(location):
        return _package_file(location)
    on_hub = hub_address(location)
    return hub_file(on_hub[0], on_hub[2], on_hub[1]) if on_hub else download(location, sha256_prefix)


def _package_file(location: str) -> Path:
    """Finds a file of an installed package without importing the package."""
    name, _, inside = location.removeprefix(PACKAGE_PREFIX).partition("/")
    module = name.replace("-", "_")
    path = PurePosixPath(inside)
    if not module.isidentifier() or not inside or path.is_absolute() or ".." in path.parts or "\\" in inside:
        raise ValueError(f"{location!r}: write package:NAME/path/inside, a path inside of the installed package")
    try:
        spec = importlib.util.find_spec(module)
    except ValueError:  # a module of a running program, such as `__main__`
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise FileNotFoundError(f"{location}: no package {name} is installed; pip install {name}")
    for folder in folders:
        file = Path(folder, *path.parts)
        if file.is_file() and os.path.realpath(file).startswith(os.path.realpath(folder) + os.sep):
            return file
    if not any(map(os.path.isdir, folders)):
        raise FileNotFoundError(f"{location}: the package {name} is in an archive; install it unpacked, as pip does")
    raise FileNotFoundError(f"{location}: the package {name} has no file {inside}")
