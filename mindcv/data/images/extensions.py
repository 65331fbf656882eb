"""The C extensions of this folder: `jpeg` decodes and crops, `augment` changes pixels. None where one was not built."""

import importlib
import importlib.util
from types import ModuleType

__all__ = ["augment", "jpeg"]


def _find(name: str) -> ModuleType | None:
    """Returns an extension, None when its file is not there; one that is there and does not load raises ImportError."""
    name = f"{__package__}.{name}"
    return None if importlib.util.find_spec(name) is None else importlib.import_module(name)


jpeg = _find("_jpeg")
augment = _find("_augment")
