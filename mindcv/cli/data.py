"""`mindcv data`: `check` looks at every image of a dataset, `show` draws what a network gets of it."""

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

from mindcv.utils.fs import file_sha256
from mindcv.utils.text import escaped, line_of

from . import _data_show

HELP = "check a dataset, or show what training gets of it"

_EXIT_FOUND = 1
_MOST_LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-commands and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="check|show")
    check = commands.add_parser(
        "check", help="find bad images, classes without any, duplicates between splits; exit code 1 if found"
    )
    check.add_argument("folder", metavar="DIR", help="folder of the dataset, above its splits, or a packed one")
    check.add_argument("--dataset", default="imagenet", metavar="NAME", help="folders (default), csv, tar, mindrecord")
    check.add_argument("--splits", metavar="A,B", help="splits to check (default: all)")
    check.add_argument(
        "--headers-only", action="store_true", help="decode no pixels: faster, but finds no damage amid pictures"
    )
    check.add_argument("--decode", action="store_true", help=argparse.SUPPRESS)  # what was asked for, and is done now
    check.add_argument("--workers", type=int, metavar="N", help="threads (default: the cores there are)")
    check.add_argument("--list", metavar="FILE", help="write all that is found or left out to a file")
    show = commands.add_parser("show", help="draw what training gets of a dataset, or what a checkpoint says of it")
    _data_show.add_arguments(show)


def run(args: argparse.Namespace) -> int:
    """Runs the sub-command."""
    return _check(args) if args.action == "check" else _data_show.run(args)


def _check(args: argparse.Namespace) -> int:
    """Prints what is found; returns 1 when images are bad or are in two splits, or a class has none.

    Raises:
        FileNotFoundError, ValueError: There is no such dataset, or it is damaged as a whole.
    """
    from tqdm import tqdm

    from mindcv.data.dataset_check import duplicates, examine
    from mindcv.data.dataset_factory import find_samples
    from mindcv.data.sources.image_folder import find_splits
    from mindcv.data.sources.packed import is_packed, read_manifest
    from mindcv.data.workers import cap_workers
    from mindcv.utils.cores import usable_cores

    folder = Path(args.folder)
    manifest = read_manifest(folder) if is_packed(folder) else None
    if args.splits:
        names = args.splits.split(",")
    else:
        names = list(manifest["splits"]) if manifest else find_splits(args.folder)
    splits: dict[str, Any] = {name: find_samples(args.dataset, args.folder, name) for name in names}
    lines = _wrong_checksums(folder, manifest) if manifest else []
    workers = cap_workers(args.workers) or usable_cores()
    findings, left_out = {}, []
    total = sum(len(samples) for samples in splits.values())
    with tqdm(total=total, unit=" images", disable=not sys.stderr.isatty()) as bar:
        for name, samples in splits.items():
            findings[name] = examine(samples, workers, not args.headers_only, bar.update)
    for name, samples in splits.items():
        _print_findings(name, samples, findings[name])
        lines += [("bad", samples.name(index), reason) for index, reason in findings[name].bad.items()]
        left_out += [("left out", file, reason) for file, reason in samples.left_out.described()]
    lines += _empty_classes(splits, findings)
    for one, other in itertools.combinations(splits, 2):
        lines += [
            ("duplicate", splits[one].name(first), splits[other].name(second))
            for first, second in duplicates(findings[one], findings[other])
        ]
    if args.list:
        Path(args.list).write_bytes(b"".join(line_of(*line) for line in lines + left_out))
    for found in (left_out, lines):
        for kind, *parts in found[:_MOST_LISTED]:
            print(f"{kind}: {' | '.join(map(escaped, parts))}")
        if len(found) > _MOST_LISTED:
            more = len(found) - _MOST_LISTED
            print(f"... and {more} more{f' in {args.list}' if args.list else '; --list FILE has all'}")
    looked = " (headers only: damage amid a picture is not found)" if args.headers_only else ""
    count = {0: "nothing is", 1: "1 thing is"}.get(len(lines), f"{len(lines)} things are")
    print(f"{count} wrong{looked}")
    return _EXIT_FOUND if lines else 0


def _empty_classes(splits: dict[str, Any], findings: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The classes of which a split has no image, or which it has and `train` has not."""
    classes = {
        name: samples.class_names or [str(index) for index in range(samples.num_classes)]
        for name, samples in splits.items()
    }
    taught = classes.get("train", [])
    lines = []
    for split, own in classes.items():
        counts = dict(zip(own, findings[split].class_counts.tolist(), strict=False))
        lines += [("no image", split, name) for name in dict.fromkeys([*own, *taught]) if not counts.get(name)]
        lines += [("not in train", split, name) for name in own if taught and name not in taught]
    return lines


def _wrong_checksums(folder: Path, manifest: dict[str, Any]) -> list[tuple[str, str, str]]:
    wrong = []
    for facts in manifest["splits"].values():
        files = {facts["index"]: facts["index_sha256"]}
        for shard in facts["shards"]:
            files |= {shard["file"]: shard["sha256"], f"{shard['file']}.db": shard["db_sha256"]}
        for name, expected in files.items():
            path = folder / name
            if not path.is_file():
                wrong.append(("bad", str(path), "the file is missing"))
            elif file_sha256(path) != expected:
                wrong.append(("bad", str(path), "its checksum differs from the manifest's"))
    return wrong


def _print_findings(name: str, samples: Any, findings: Any) -> None:
    from mindcv.data.dataset_check import SIDES

    counts = findings.class_counts
    print(f"{name}: {len(samples)} images, {len(counts)} classes, {len(findings.bad)} bad")
    names = samples.class_names or [str(index) for index in range(len(counts))]
    least, most = counts.argmin(), counts.argmax()
    print(
        f"  images a class: least {counts[least]} ({escaped(names[least])}), mean {counts.mean():.1f}, "
        f"most {counts[most]} ({escaped(names[most])})"
    )
    limits = [*(f"<{side}" for side in SIDES), f">={SIDES[-1]}"]
    sizes = ", ".join(f"{limit}: {n}" for limit, n in zip(limits, findings.shorter_sides, strict=True) if n)
    print(f"  shorter side in pixels: {sizes or 'none'}")
    if samples.left_out:
        print(f"  left out: {escaped(str(samples.left_out))}")
