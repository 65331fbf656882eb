"""`mindcv data`: `check` looks at every image of a dataset, `show` draws what a training gets of it."""

import argparse
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindcv.utils.text import escaped, line_of

if TYPE_CHECKING:
    import numpy as np

HELP = "check a dataset, or show what training gets of it"

_EXIT_FOUND = 1
_MOST_LISTED = 20
_GAP, _CAPTION = 4, 14
# Pixels of the longer side of an image that is drawn, at least.
_LEAST_TILE = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-commands and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="check|show")
    check = commands.add_parser(
        "check", help="find bad images, duplicates between splits; count classes and sizes; exit code 1 if found"
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
    show = commands.add_parser("show", help="draw a grid of training images as the network will see them")
    show.add_argument("folder", metavar="DIR", help="folder of the dataset, above its splits")
    show.add_argument("-c", "--config", metavar="RECIPE", help="the recipe (default: the built-in settings)")
    show.add_argument("--count", type=int, default=16, metavar="N", help="images (default: 16)")
    show.add_argument("--out", default="data.png", metavar="FILE", help="the picture (default: data.png)")


def run(args: argparse.Namespace) -> int:
    """Runs the sub-command."""
    return _check(args) if args.action == "check" else _show(args)


def _check(args: argparse.Namespace) -> int:
    """Prints what is found; returns 1 when images are bad or are in two splits.

    Raises:
        FileNotFoundError, ValueError: There is no such dataset, or it is damaged as a whole.
    """
    from tqdm import tqdm

    from mindcv.data.dataset_check import duplicates, examine
    from mindcv.data.dataset_factory import find_samples
    from mindcv.data.image_folder import find_splits
    from mindcv.data.packed import is_packed, read_manifest
    from mindcv.data.workers import cap_workers, usable_cores

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
        lines += [("bad", samples.name(number), reason) for number, reason in findings[name].bad.items()]
        left_out += [("left out", file, reason) for file, reason in samples.left_out.described()]
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
    print(f"{'nothing is' if not lines else f'{len(lines)} things are'} wrong{looked}")
    return _EXIT_FOUND if lines else 0


def _wrong_checksums(folder: Path, manifest: dict[str, Any]) -> list[tuple[str, str, str]]:
    from mindcv.data.packing import file_sha256

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
    names = samples.class_names or [str(number) for number in range(len(counts))]
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


def _show(args: argparse.Namespace) -> int:
    """Draws the first images of an epoch of training.

    Raises:
        ValueError: The recipe or the dataset is not right.
    """
    from mindcv.build import build_train_loader
    from mindcv.config import parse_args
    from mindcv.data import EvalPreprocess, epoch_batches, get_class_names, pipeline_errors

    recipe = ["-c", args.config] if args.config else []
    options = ["--data_dir", args.folder, "--batch_size", str(args.count), "--drop_remainder", "False"]
    # What the device would do is done by the host here, with the same result.
    cfg = parse_args([*recipe, *options, "--normalize_on_device", "False"])
    loader, num_classes = build_train_loader(cfg)
    with pipeline_errors():
        batch = next(epoch_batches(loader, 0, seed=cfg.seed))
    images, labels = (column.asnumpy()[: args.count] for column in batch)
    preprocess = EvalPreprocess.from_config(cfg)
    names = get_class_names(loader) or [str(number) for number in range(num_classes)]
    picture = _grid(images, preprocess.mean, preprocess.std, [_caption(label, names) for label in labels])
    picture.save(args.out)
    print(f"{len(images)} images: {args.out}")
    return 0


def _caption(label: "np.ndarray", names: list[str]) -> str:
    """Name of the class, or of the two with the largest shares."""
    if label.ndim == 0:
        return names[label]
    parts = [number for number in (-label).argsort()[:2] if label[number] > 0]
    return " ".join(f"{names[number]} {label[number]:.2f}" for number in parts)


def _grid(images: "np.ndarray", mean: tuple, std: tuple, captions: list[str]) -> Any:
    """Draws normalised images (N, C, H, W) side by side, each with its caption below."""
    import numpy as np
    from PIL import Image, ImageDraw

    pixels = images.transpose(0, 2, 3, 1) * np.array(std) + np.array(mean)
    pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:3], 3))
    # Small images are drawn larger, in whole pixels, so that they and their captions can be read.
    scale = max(1, -(-_LEAST_TILE // max(pixels.shape[1:3])))
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width, _ = pixels.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    picture = Image.new("RGB", (columns * (width + _GAP), rows * (height + _CAPTION + _GAP)), "white")
    for number, caption in enumerate(captions):
        tile = Image.new("RGB", (width, height + _CAPTION), "white")
        tile.paste(Image.fromarray(pixels[number]))
        draw = ImageDraw.Draw(tile)
        # The built-in font has Latin letters only.
        text = caption.encode("latin-1", "replace").decode("latin-1")
        while text and draw.textlength(text) > width - 2:
            text = f"{text.removesuffix('...')[:-1]}..." if len(text) > 4 else ""
        draw.text((1, height), text, "black")
        picture.paste(tile, (number % columns * (width + _GAP), number // columns * (height + _CAPTION + _GAP)))
    return picture
