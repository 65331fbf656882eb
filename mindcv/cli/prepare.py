"""`mindcv prepare`: packs a dataset once, so that every training reads it faster."""

import argparse
import sys
from pathlib import Path
from typing import Any

HELP = "pack a dataset into shards that are read faster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("src", metavar="SRC", help="folder of the dataset, above its splits")
    parser.add_argument("dst", metavar="DST", help="folder for the packed dataset; takes the place of SRC as data_dir")
    parser.add_argument(
        "--size", type=int, default=256, metavar="PIXELS", help="shorter side of the stored images (default: 256)"
    )
    parser.add_argument("--quality", type=int, default=90, metavar="N", help="JPEG quality, 1 to 100 (default: 90)")
    parser.add_argument("--keep", action="store_true", help="store the files as they are")
    parser.add_argument("--dataset", default="imagenet", metavar="NAME", help="folders (default), csv, tar, mindrecord")
    parser.add_argument("--splits", metavar="A,B", help="splits to pack (default: all that SRC has)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: the cores there are)")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where DST has been written to")


def run(args: argparse.Namespace) -> int:
    """Packs, or goes on with what was interrupted.

    Raises:
        FileNotFoundError, ValueError: SRC is not there, or cannot be packed as asked.
    """
    from tqdm import tqdm

    from mindcv.data.dataset_factory import find_samples
    from mindcv.data.image_folder import find_splits
    from mindcv.data.packing import Packing, pack
    from mindcv.data.workers import cap_workers, usable_cores

    names = args.splits.split(",") if args.splits else find_splits(args.src)
    splits: dict[str, Any] = {name: find_samples(args.dataset, args.src, name) for name in names}
    total = sum(len(samples) for samples in splits.values())
    packing = Packing(None if args.keep else args.size, args.quality)
    workers = cap_workers(args.workers) or usable_cores()
    with tqdm(total=total, unit=" images", disable=not sys.stderr.isatty()) as bar:
        manifest = pack(splits, args.dst, packing, workers, bar.update, args.overwrite)
    for name, facts in manifest["splits"].items():
        size = sum(shard["bytes"] for shard in facts["shards"])
        print(f"{name}: {facts['samples']} images in {len(facts['shards'])} shards, {size / 2**20:.1f} MiB")
    rejected = sum(facts["rejected"] for facts in manifest["splits"].values())
    if rejected:
        print(f"left out: {rejected} images that cannot be used, listed in {Path(args.dst) / 'rejected.tsv'}")
    print(f"train with: --data_dir {args.dst}")
    return 0
