"""`mindcv models`: a table of the models, or of the published weights."""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from mindcv.report.models import (
    MODEL_COLUMNS,
    SUFFIXES,
    Row,
    count_text,
    model_row,
    percent_text,
    side_text,
    size_facts,
)
from mindcv.utils.registry import suggest

from ._imports import add_import_option

HELP = "a table of the models, or with --pretrained of their published weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_import_option(parser)
    parser.add_argument("filter", nargs="?", default="", metavar="FILTER", help="glob, e.g. 'resnext*' (default: all)")
    parser.add_argument("--pretrained", action="store_true", help="the published weights, one a line")
    parser.add_argument("--module", default="", help="only this family's models, e.g. senet")
    parser.add_argument("--exclude", nargs="+", default=[], metavar="GLOB", help="leave these out")
    parser.add_argument(
        "--sort",
        choices=["name", "params", "macs", "top1"],
        default="name",
        help="order: by name, a model's weights with the best free ones first (default), or the smallest first, "
        "of top1 the best",
    )
    parser.add_argument("--max-params", type=_number, metavar="N", help="at most so many parameters, e.g. 10M")
    parser.add_argument("--max-macs", type=_number, metavar="N", help="at most so many multiply-adds, e.g. 500M or 4G")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--names", action="store_true", help="names only, one a line")
    form.add_argument("--json", action="store_true", help="JSON in place of a table")


def _number(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)", text.strip().upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no number; give one such as 25000000, 25M or 4.1G")
    return float(match[1]) * SUFFIXES[match[2]]


def run(args: argparse.Namespace) -> int:
    """Prints a line for each model, or for each set of weights.

    Raises:
        ValueError: No model matches, or there is no such module.
    """
    from mindcv.models import get_pretrained_cfg, list_models

    rows = []
    for name in list_models(args.filter, args.module, args.pretrained, args.exclude):
        if args.pretrained:
            cfg = get_pretrained_cfg(name)
            is_default = cfg is get_pretrained_cfg(cfg.architecture)
            row = {"name": name, "default": is_default, **size_facts(name), "top1": cfg.top1}
            row |= {"top5": cfg.top5, "crop": cfg.crop_pct, "interpolation": cfg.interpolation}
            row |= {"licence": cfg.licence, "free": cfg.is_free, "source": cfg.source, "url": cfg.url}
        else:
            row = model_row(name)
        if _is_small(row["params"], args.max_params) and _is_small(row["macs"], args.max_macs):
            rows.append(row)
    if not rows:
        raise ValueError(f"no model matches {_selection(args)}{_meant(args.filter)}")
    if args.sort != "name":
        sign = -1 if args.sort == "top1" else 1
        rows.sort(key=lambda row: (row[args.sort] is None, sign * (row[args.sort] or 0)))
    elif args.pretrained:  # of each model the best first, and free ones before others
        names = {name: place for place, name in enumerate(dict.fromkeys(row["name"].partition(".")[0] for row in rows))}
        rows.sort(key=lambda row: (names[row["name"].partition(".")[0]], not row["free"], -(row["top1"] or 0)))
    if args.json:
        print(json.dumps(rows, indent=2))
    elif args.names:
        print("\n".join(row["name"] for row in rows))
    else:
        _print_table(rows, _WEIGHT_COLUMNS if args.pretrained else MODEL_COLUMNS)
    return 0


def _meant(wanted: str) -> str:
    """What a name that is no model's may have meant: a family's models, or the closest name."""
    from mindcv.models import list_models

    if not wanted or list_models(wanted):
        return ""
    return f"; did you mean '{wanted}*'?" if list_models(f"{wanted}*") else suggest(wanted, list_models())


def _is_small(value: float | None, limit: float | None) -> bool:
    return limit is None or (value is not None and value <= limit)


# Heading, key of the row, text of its value.
_WEIGHT_COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("weights", "name", str),
    ("default", "default", lambda is_default: "yes" if is_default else ""),
    ("top-1", "top1", percent_text),
    ("params", "params", count_text),
    ("input", "input", side_text),
    ("crop", "crop", lambda share: f"{share:.3f}"),
    ("interpolation", "interpolation", str),
    ("licence", "licence", lambda text: text or "-"),
    ("source", "source", lambda text: text or "-"),
)
_NUMBERS = {"params", "macs", "input", "top1", "weights", "crop"}


def _print_table(rows: Sequence[Row], columns: Sequence[tuple[str, str, Callable[[Any], str]]]) -> None:
    lines = [[heading for heading, _, _ in columns]]
    lines += [[text(row[key]) for _, key, text in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if key in _NUMBERS else cell.ljust(width)
            for cell, width, (_, key, _) in zip(line, widths, columns, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _selection(args: argparse.Namespace) -> str:
    """The options that were given, for messages."""
    words = [repr(args.filter)] if args.filter else []
    words += ["--pretrained"] if args.pretrained else []
    words += [f"--module {args.module}"] if args.module else []
    words += [f"--exclude {' '.join(args.exclude)}"] if args.exclude else []
    words += [f"--max-params {args.max_params:g}"] if args.max_params is not None else []
    words += [f"--max-macs {args.max_macs:g}"] if args.max_macs is not None else []
    return " ".join(words) or "(there are none)"
