"""`mindcv benchmark`: how fast this machine is. Each sub-command is a module with HELP, add_arguments and run."""

import argparse
import importlib

HELP = "measure the speed of training, or of its data pipeline, on this machine"

_ACTIONS = ("train", "data", "table")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-commands and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="|".join(_ACTIONS))
    for name in _ACTIONS:
        module = importlib.import_module(f"mindcv.cli._benchmark_{name}")
        module.add_arguments(commands.add_parser(name, help=module.HELP, allow_abbrev=False))


def run(args: argparse.Namespace) -> int:
    """Runs the sub-command."""
    return importlib.import_module(f"mindcv.cli._benchmark_{args.action}").run(args)
