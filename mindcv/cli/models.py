"""`mindcv models`: lists the models, or the published weights."""

import argparse
from typing import TYPE_CHECKING

from mindcv.utils.registry import suggest

from ._imports import add_import_option

if TYPE_CHECKING:
    from mindcv.models import PretrainedCfg

HELP = "list the models, or with --pretrained their published weights"


_COLUMNS = ("weights", "default", "top-1", "size", "input", "crop", "interpolation", "licence", "source")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_import_option(parser)
    parser.add_argument("filter", nargs="?", default="", metavar="FILTER", help="glob, e.g. 'resnext*' (default: all)")
    parser.add_argument("--pretrained", action="store_true", help="a table of published weights instead of plain names")
    parser.add_argument("--module", default="", help="only this family's models, e.g. senet")
    parser.add_argument("--exclude", nargs="+", default=[], metavar="GLOB", help="leave these out")


def run(args: argparse.Namespace) -> int:
    """Prints one name a line, or one line a set of weights.

    Raises:
        ValueError: No model matches, or there is no such module.
    """
    from mindcv.models import get_pretrained_cfg, list_models

    names = list_models(args.filter, args.module, args.pretrained, args.exclude)
    if not names:
        raise ValueError(f"no model matches {_selection(args)}{suggest(args.filter, list_models())}")
    if not args.pretrained:
        print("\n".join(names))
        return 0
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for name in names:
        cfg = get_pretrained_cfg(name)
        rows.append(_describe(cfg, get_pretrained_cfg(cfg.architecture)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _describe(cfg: "PretrainedCfg", default: "PretrainedCfg") -> tuple[str, ...]:
    """One line of the table. The size is that of the parameters in float32."""
    return (
        f"{cfg.architecture}.{cfg.tag}".rstrip("."),
        "yes" if cfg is default else "",
        "-" if cfg.top1 is None else f"{cfg.top1:.2f}",
        "-" if cfg.params_m is None else f"{4 * cfg.params_m:.0f}MB",
        "x".join(map(str, cfg.input_size)),
        f"{cfg.crop_pct:.3f}",
        cfg.interpolation,
        cfg.licence or "-",
        cfg.source or "-",
    )


def _selection(args: argparse.Namespace) -> str:
    """The options that were given, for messages."""
    words = [repr(args.filter)] if args.filter else []
    words += ["--pretrained"] if args.pretrained else []
    words += [f"--module {args.module}"] if args.module else []
    words += [f"--exclude {' '.join(args.exclude)}"] if args.exclude else []
    return " ".join(words) or "(there are none)"
