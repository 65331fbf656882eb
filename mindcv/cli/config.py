"""`mindcv config`: `import` makes a recipe of the model zoo's YAML."""

import argparse
import sys

from mindcv.utils.fs import atomic_write
from mindcv.utils.text import escaped

HELP = "make a recipe of the model zoo's default_config.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-command and its options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="import")
    convert = commands.add_parser("import", help="turn the model zoo's YAML into a recipe and say what was changed")
    convert.add_argument("file", metavar="FILE", help="the zoo's default_config.yaml")
    convert.add_argument("-o", "--out", metavar="FILE", help="write the recipe there in place of stdout")
    convert.add_argument("--model", metavar="NAME", help="name of the model (default: the file's network)")


def run(args: argparse.Namespace) -> int:
    """Writes the recipe and prints one line for each key that was renamed, left out or added.

    Raises:
        ConfigError: The file cannot be read, or values in it are not allowed.
    """
    from mindcv.config.zoo import import_recipe

    recipe, notes = import_recipe(args.file, args.model)
    if args.out:
        with atomic_write(args.out, "w") as file:
            file.write(recipe)
    else:
        sys.stdout.write(recipe)
    # Not into the recipe, when that goes to stdout.
    print("\n".join(map(escaped, notes)), file=sys.stdout if args.out else sys.stderr)
    return 0
