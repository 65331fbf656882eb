"""Measures the host's data pipeline against other ways to do the same.

python benchmarks/data.py                                   # 2,000 images, five rounds, alternating
python benchmarks/data.py --images 100 --rounds 1           # does it run?
python benchmarks/data.py --json data.json
python benchmarks/data.py --only bcg --peers_python /opt/peers/bin/python      # beside tf.data, NVIDIA DALI and FFCV
python benchmarks/data.py --only bcg --before_root ../before                   # beside an earlier checkout's reader

JPEGs of 500 x 375 pixels (quality 95) are cut out of tests/data/photos, packed once, and read by

a  MindCV's composition: decode with the crop, flip, normalise, HWC2CHW on the host
b  ours from the files: uint8 out, the rest is done on the device
c  ours from the packed set
d  torchvision's RandomResizedCrop, flip, ToTensor, Normalize (where torchvision is installed)
e  nothing but decoding the whole JPEGs by libjpeg-turbo (where simplejpeg is installed)
f  the strong recipes' augmentation (RandAugment, random erasing, mixup) as MindCV composes it, all on the host
g  the same, ours
h  as b, without the C extension: MindSpore decodes

Each takes its turn in every round, every other one backwards; the medians count. Every pipeline has `--workers` threads
or processes for each of its stages. The clock starts with the first batch, so that the start of a pipeline does not
count.

With `--peers_python` or `--before_root`, the others take turns with ours, each in a process of its own: peers in the
Python that is named, which has them installed, and b, c and g of another checkout of this repository (build its
extensions first). b, c and g of ours are then in processes of their own too, so that peak memory can be compared.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from data_process import Batches, Measured, measure, serve
from PIL import Image

import mindcv  # (prepares the runtime before MindSpore is used)

PHOTOS = Path(__file__).resolve().parents[1] / "tests" / "data" / "photos"
SIZE = (500, 375)
MEAN, STD = (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)
BATCH = 128
# (faster, slower, at least so many times)
GOALS = (("b", "a", 2.0), ("c", "a", 3.5), ("b", "d", 5.0), ("b", "e", 0.9), ("g", "f", 5.5), ("g", "b", 0.6))
STRONG = {"auto_augment": "randaug-m9-mstd0.5-inc1", "re_prob": 0.25}

# The same against peers, and a checkout from before the strong recipe's operations were in C.
GOALS += (("b", "tf.data", 1.7), ("b", "dali", 1.7), ("c", "ffcv", 1.3), ("c", "ffcv_large", 1.3))
GOALS += (("b", "before:b", 1.0), ("c", "before:c", 1.0), ("g", "before:g", 2.5))
PEERS = ("tf.data", "dali", "ffcv", "ffcv_large")
IN_PROCESSES = "bcg"
HERE = Path(__file__).resolve().parent


def make_images(root: Path, count: int) -> None:
    """Cuts random pieces out of the photos, evenly into a class for each."""
    rng = np.random.default_rng(0)
    names = sorted(PHOTOS.glob("*.jpg"))
    for name in names:
        folder = root / "train" / name.stem
        folder.mkdir(parents=True)
        photo = Image.open(name).convert("RGB")
        for number in range(count // len(names)):
            x, y = (rng.integers(0, side - cut + 1) for side, cut in zip(photo.size, SIZE, strict=True))
            photo.crop((x, y, x + SIZE[0], y + SIZE[1])).save(folder / f"{number:04d}.jpg", quality=95)


def sizes(dataset) -> Iterator[int]:
    """Sizes of the batches of one epoch."""
    for batch in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True):
        yield len(batch[0])


def mindcv_composition(root: Path, workers: int, strong: bool = False) -> Batches:
    """What MindCV's create_transforms and create_loader put together.

    `strong`: with RandAugment, random erasing and mixup, where MindCV has them in the list. They are ours, since the
    two do the same, but by Pillow as MindCV does it, not by our extension.
    """
    import mindspore as ms
    import mindspore.dataset as ds
    from mindspore.dataset import transforms, vision

    from mindcv.data import create_transforms
    from mindcv.data.mixup import Mixup

    dataset = ds.ImageFolderDataset(str(root / "train"), num_parallel_workers=workers, shuffle=True)
    dataset = dataset.map(transforms.TypeCast(ms.int32), "label", num_parallel_workers=workers)
    operations = [
        vision.RandomCropDecodeResize(224, (0.08, 1.0), (3 / 4, 4 / 3)),
        vision.RandomHorizontalFlip(0.5),
        vision.Normalize(MEAN, STD),
        vision.HWC2CHW(),
    ]
    if strong:
        operations = create_transforms("imagenet", 224, True, **STRONG)
    dataset = dataset.map(operations, "image", num_parallel_workers=workers).batch(BATCH)
    if strong:
        mixup = Mixup(0.2, 0.0, prob=1.0, label_smoothing=0.0, num_classes=1000)
        dataset = dataset.map(mixup, ["image", "label"], num_parallel_workers=workers)
    return by_pillow(lambda: sizes(dataset))


def by_pillow(batches: Batches) -> Batches:
    """Gives batches whose augmentation is done by Pillow, as it is where the extension could not be built."""
    from mindcv.data.images import operations

    def without_extension() -> Iterator[int]:
        extension, operations._augment = operations._augment, None
        try:
            yield from batches()
        finally:
            operations._augment = extension

    return without_extension


def ours(root: Path, workers: int, **options) -> Batches:
    """A loader of this library, without what is done on the device."""
    from mindcv.data import create_dataset, create_loader, create_transforms

    mixing = {"mixup": 0.2, "cutmix_prob": 1.0} if options else {}
    transform = create_transforms("imagenet", 224, True, normalize_on_device=True, **options)
    dataset = create_dataset("imagenet", str(root), bad_samples="replace", num_parallel_workers=workers)
    loader = create_loader(
        dataset,
        BATCH,
        is_training=True,
        transform=transform,
        num_classes=1000,
        num_parallel_workers=workers,
        mix_on_device=True,
        **mixing,
    )
    return lambda: sizes(loader)


def ours_without_extension(root: Path, workers: int) -> Batches:
    """The loader that is made where the extension could not be built."""
    from mindcv.data.images import decoding

    extension, decoding._jpeg = decoding._jpeg, None
    try:
        return ours(root, workers)
    finally:
        decoding._jpeg = extension


def torchvision_pipeline(root: Path, workers: int) -> Batches:
    """The composition of torchvision's reference training."""
    import torch
    from torchvision import datasets, transforms

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([value / 255 for value in MEAN], [value / 255 for value in STD]),
        ]
    )
    dataset = datasets.ImageFolder(str(root / "train"), transform)
    loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, num_workers=workers)
    return lambda: (len(images) for images, _ in loader)


def full_decode(root: Path, workers: int) -> Batches:
    """Reads and decodes whole files in threads."""
    import simplejpeg

    paths = sorted((root / "train").glob("*/*.jpg"))

    def decode(path: Path) -> int:
        return len(simplejpeg.decode_jpeg(path.read_bytes())) and 1

    def batches() -> Iterator[int]:
        with ThreadPoolExecutor(workers) as pool:
            done = 0
            for count in pool.map(decode, paths):
                done += count
                if done == BATCH:
                    yield done
                    done = 0

    return batches


def builders(root: Path, packed: Path, workers: int) -> dict[str, Callable[[], Batches]]:
    """What makes each of the pipelines, by letter."""
    return {
        "a": lambda: mindcv_composition(root, workers),
        "b": lambda: ours(root, workers),
        "c": lambda: ours(packed, workers),
        "d": lambda: torchvision_pipeline(root, workers),
        "e": lambda: full_decode(root, workers),
        "f": lambda: mindcv_composition(root, workers, strong=True),
        "g": lambda: ours(root, workers, **STRONG),
        "h": lambda: ours_without_extension(root, workers),
    }


def of_checkout(checkout: Path, letter: str, folder: Path, workers: int) -> Measured:
    """One of our pipelines in a process of its own, with the `mindcv` of a checkout."""
    if not (checkout / "mindcv" / "__init__.py").is_file():
        raise FileNotFoundError(f"{checkout} is no checkout of this repository: it has no mindcv/__init__.py")
    if not any((checkout / "mindcv").rglob("_jpeg*.so")):
        # It would be measured with Pillow in place of its own decoder.
        raise FileNotFoundError(f"{checkout} is not built; run there: python setup.py build_ext --inplace")
    command = [sys.executable, __file__, "--serve", letter, str(folder), str(checkout), "--workers", str(workers)]
    return Measured(command, {**os.environ, "PYTHONPATH": str(checkout.resolve())})


def of_peer(python: str, peer: str, folder: Path, workers: int) -> Measured:
    """Another library's pipeline in a process of its own."""
    command = [python, str(HERE / "data_peers.py"), peer, str(folder / "files")]
    # Not ours: the other Python has packages of its own.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return Measured([*command, "--workers", str(workers), "--batch", str(BATCH)], environment)


def serve_case(letter: str, folder: Path, checkout: Path, workers: int) -> int:
    """Is the process that `of_checkout` starts."""
    found = Path(mindcv.__file__).resolve().parents[1]
    if found != checkout.resolve():
        raise ImportError(f"mindcv of {found} was imported, not that of {checkout}")
    return serve(builders(folder / "files", folder / "packed", workers)[letter])


def main() -> int:
    """Measures and prints; the exit code is 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="abcdefgh", help="letters of the pipelines to measure")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file")
    parser.add_argument("--peers_python", metavar="PYTHON", help="a Python with TensorFlow, NVIDIA DALI or FFCV")
    parser.add_argument("--before_root", metavar="FOLDER", type=Path, help="another built checkout of this repository")
    parser.add_argument("--serve", nargs=3, metavar=("LETTER", "FOLDER", "CHECKOUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        letter, folder, checkout = args.serve
        return serve_case(letter, Path(folder), Path(checkout), args.workers)
    if args.images < 2 * BATCH:
        parser.error(f"--images must be at least {2 * BATCH}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            figures = run_rounds(args, Path(folder))
        except FileNotFoundError as error:
            parser.error(str(error))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in figures.items()
    }
    print(f"{args.images} images of {SIZE[0]} x {SIZE[1]}, {args.rounds} rounds, {args.workers} workers a stage")
    for name, (speed, cpu, *peak) in medians.items():
        memory = f"   {peak[0]:6.0f} MiB at most" if peak else ""
        print(f"{name:<10} {speed:8.0f} images/s   {cpu:6.2f} ms of one core an image{memory}")
    ratios, missed = compare(medians)
    if args.json:
        report = {"images": args.images, "medians": medians, "ratios": ratios, "rounds": figures}
        Path(args.json).write_text(json.dumps(report, indent=1))
    return 1 if missed else 0


def run_rounds(args: argparse.Namespace, folder: Path) -> dict[str, list[list[float]]]:
    """Makes the images, and measures all pipelines in turn, round by round.

    Returns:
        For each pipeline and round, images a second, ms of one core an image, and where it has a process of its own,
        the peak of its memory in MiB.
    """
    from mindcv.data.dataset_factory import find_samples
    from mindcv.data.packing import Packing, pack

    root, packed, workers = folder / "files", folder / "packed", args.workers
    make_images(root, args.images)
    pack({"train": find_samples("imagenet", str(root), "train")}, packed, Packing(256, 90), 1)
    separate = IN_PROCESSES if args.peers_python or args.before_root else ""
    starts: dict[str, Callable[[], Batches | Measured]] = {}
    for letter in args.only:
        starts[letter] = builders(root, packed, workers)[letter]
        if letter in separate:
            starts[letter] = lambda letter=letter: of_checkout(HERE.parent, letter, folder, workers)
    if args.before_root:
        for letter in sorted(set(args.only) & set(IN_PROCESSES)):
            starts[f"before:{letter}"] = lambda letter=letter: of_checkout(args.before_root, letter, folder, workers)
    if args.peers_python:
        starts |= {peer: lambda peer=peer: of_peer(args.peers_python, peer, folder, workers) for peer in PEERS}
    pipelines: dict[str, Batches | Measured] = {}
    figures: dict[str, list[list[float]]] = {}
    try:
        for name, start in starts.items():
            try:
                pipelines[name] = start()
            except ImportError as error:
                print(f"{name}: left out ({error})")
        for index in range(args.rounds):
            # Forwards and backwards in turn: none always comes behind the same one.
            for name in list(pipelines)[:: -1 if index % 2 else 1]:
                pipeline = pipelines[name]
                row = pipeline.measure() if isinstance(pipeline, Measured) else list(measure(pipeline))
                figures.setdefault(name, []).append(row)
    finally:
        for pipeline in pipelines.values():
            if isinstance(pipeline, Measured):
                pipeline.close()
    return figures


def compare(medians: dict[str, list[float]]) -> tuple[dict[str, float], int]:
    """Prints and returns the ratios of the goals, and of memory to another checkout's; and how many were missed."""
    ratios: dict[str, float] = {}
    missed = 0
    for one, other, least in GOALS:
        if one in medians and other in medians:
            ratio = ratios[f"{one} / {other}"] = medians[one][0] / medians[other][0]
            missed += ratio < least
            print(f"{one} / {other} = {ratio:.2f}, wanted at least {least}")
    for letter in IN_PROCESSES:
        if letter in medians and f"before:{letter}" in medians:
            ratio = medians[letter][2] / medians[f"before:{letter}"][2]
            ratios[f"memory: {letter} / before:{letter}"] = ratio
            missed += ratio > 1
            print(f"memory: {letter} / before:{letter} = {ratio:.2f}, wanted at most 1")
    return ratios, missed


if __name__ == "__main__":
    sys.exit(main())
