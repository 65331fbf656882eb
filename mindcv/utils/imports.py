"""Modules that are imported by name: the user's own, which register models, and the package's, when they are used."""

import importlib
import importlib.util
import logging
import os
import sys
import traceback
from collections.abc import Iterable
from types import ModuleType

__all__ = ["import_modules", "submodule"]

_logger = logging.getLogger(__name__)


def import_modules(names: Iterable[str]) -> None:
    """Imports modules, from the current folder too; one that is imported already is left as it is.

    Args:
        names: Names with dots, such as `my_package.my_models`.

    Raises:
        ImportError: There is no such module, or its own code fails; the message says where.
    """
    for name in names:
        if name in sys.modules:
            continue
        folder = os.getcwd()
        if folder not in sys.path:
            # At the end, so that a file of the folder takes no installed module's place.
            sys.path.append(folder)
        importlib.invalidate_caches()
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise ImportError(f"import: {name} needs the module {error.name!r}, which is not installed") from error
            raise ImportError(
                f"import: there is no module {error.name!r} in {folder} or on Python's path; give its name with dots "
                "and without .py, such as my_package.my_models, and start in the folder that has it"
            ) from error
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__}: {error}"
            raise ImportError(
                f"import: {name} cannot be imported: {what} ({last.filename}, line {last.lineno})"
            ) from error
        _logger.info("imported %s", name)


def submodule(package: str, name: str) -> ModuleType:
    """Returns a module of a package for the package's `__getattr__`: `import mindcv; mindcv.models` as in MindCV.

    Raises:
        AttributeError: There is none of that name.
    """
    if name.startswith("_") or importlib.util.find_spec(f"{package}.{name}") is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return importlib.import_module(f"{package}.{name}")
