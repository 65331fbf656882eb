"""Modules of the user's own, which register models when they are imported."""

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Iterable

__all__ = ["import_modules"]

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
