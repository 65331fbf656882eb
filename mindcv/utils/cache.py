"""Where downloads are kept."""

import os

ROOT_VARIABLE = "MINDCV_HOME"
_DEFAULT_ROOT = os.path.join("~", ".mindspore")
_chosen: dict[str, str] = {}


def get_default_download_root() -> str:
    """Returns the folder of downloads: `set_default_download_root`'s, else `$MINDCV_HOME`, else `~/.mindspore`."""
    return os.path.expanduser(_chosen.get("root") or os.environ.get(ROOT_VARIABLE) or _DEFAULT_ROOT)


def set_default_download_root(path: str | os.PathLike[str]) -> None:
    """Sets the folder that downloads go to, for this process."""
    _chosen["root"] = os.fspath(path)
