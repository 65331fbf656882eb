"""For scripts that say `from config import parse_args`, as with earlier versions of MindCV."""

import argparse
from collections.abc import Iterable

from mindcv.config import Config, ConfigError, create_parser, parse_args, save_args

__all__ = ["Config", "ConfigError", "create_parser", "parse_args", "save_args"]


def _check_cfgs_in_parser(cfgs: Iterable[str], parser: argparse.ArgumentParser) -> None:
    """Checks that a parser knows all keys of a recipe; private in MindCV too, but its users' scripts call it.

    Raises:
        KeyError: It does not know one.
    """
    known = {action.dest for action in parser._actions}
    for key in cfgs:
        if key not in known:
            raise KeyError(f"{key} does not exist in ArgumentParser!")
