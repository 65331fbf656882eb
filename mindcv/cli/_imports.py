"""The option `--import`, which makes models of the user's own known to a command."""

import argparse


def add_import_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option; `mindcv.cli.main` imports the modules before the command runs."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module with models of your own, such as my_package.my_models; again for others",
    )
