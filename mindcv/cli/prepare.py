"""`mindcv prepare`: packs a dataset once, so that every training reads it faster."""

import argparse
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from mindcv.utils.cache import get_default_download_root
from mindcv.utils.fs import is_remote
from mindcv.utils.remote import files_below, remove_file
from mindcv.utils.text import escaped
from mindcv.utils.transfer import upload_folder

HELP = "pack a dataset into shards that are read faster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("src", metavar="SRC", help="folder of the dataset, above its splits")
    parser.add_argument(
        "dst",
        metavar="DST",
        help="folder or address (s3:// ...) for the packed dataset; data_dir in place of SRC",
    )
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
    from mindcv.data.dataset_factory import find_samples
    from mindcv.data.packing import Packing
    from mindcv.data.sources.image_folder import find_splits

    names = args.splits.split(",") if args.splits else find_splits(args.src)
    splits: dict[str, Any] = {name: find_samples(args.dataset, args.src, name) for name in names}
    packing = Packing(None if args.keep else args.size, args.quality)
    to_store = is_remote(args.dst)
    manifest = _pack_to_store(splits, packing, args) if to_store else _pack(splits, args.dst, packing, args)
    for name, facts in manifest["splits"].items():
        size = sum(shard["bytes"] for shard in facts["shards"])
        print(f"{name}: {facts['samples']} images in {len(facts['shards'])} shards, {size / 2**20:.1f} MiB")
    rejected = sum(facts["rejected"] for facts in manifest["splits"].values())
    if rejected:
        print(f"left out: {rejected} images that cannot be used, listed in {os.path.join(args.dst, 'rejected.tsv')}")
    for name, samples in splits.items():
        if samples.left_out:
            print(f"{name}: no samples, and left out: {escaped(str(samples.left_out))}; mindcv data check lists them")
    print(f"train with: --data_dir {args.dst}")
    return 0


def _pack(splits: dict[str, Any], folder: str, packing: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Packs into a folder, with a progress bar, and returns the manifest."""
    from tqdm import tqdm

    from mindcv.data.packing import pack
    from mindcv.data.workers import cap_workers
    from mindcv.utils.cores import usable_cores

    workers = cap_workers(args.workers) or usable_cores()
    total = sum(len(samples) for samples in splits.values())
    with tqdm(total=total, unit=" images", disable=not sys.stderr.isatty()) as bar:
        return pack(splits, folder, packing, workers, bar.update, args.overwrite)


def _pack_to_store(splits: dict[str, Any], packing: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Packs into a folder of the download root, copies that to the address, and removes it.

    What was packed and what was uploaded when it was stopped is not done again.
    """
    from mindcv.data.sources.packed import MANIFEST, is_packed, read_manifest

    address = args.dst.rstrip("/")
    there = files_below(address)
    if MANIFEST in there:
        if not args.overwrite:
            raise ValueError(f"{address} holds a packed dataset already; choose another address or give --overwrite")
        # The manifest first, without which nobody reads the rest.
        for name in [MANIFEST, *(name for name in there if name.endswith((".mindrecord", ".db", ".index.npz")))]:
            remove_file(f"{address}/{name}")
    what = repr((os.path.abspath(args.src), address, args.dataset, sorted(splits), packing))
    key = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    folder = Path(get_default_download_root()) / "prepared" / key
    if is_packed(folder) and not args.overwrite:
        manifest = read_manifest(folder)
    else:
        manifest = _pack(splits, str(folder), packing, args)
    print(f"uploading to {address}")
    upload_folder(folder, address, last=(MANIFEST,))
    shutil.rmtree(folder)
    return manifest
