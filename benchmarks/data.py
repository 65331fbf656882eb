"""Measures the host's data pipeline against other ways to do the same.

python benchmarks/data.py                                   # 2,000 images, five rounds, alternating
python benchmarks/data.py --images 100 --rounds 1           # does it run?
python benchmarks/data.py --json data.json

JPEGs of 500 x 375 pixels (quality 95) are cut out of tests/data/photos, packed once, and read by

a  MindCV's composition: decode with the crop, flip, normalise, HWC2CHW on the host
b  ours from the files: uint8 out, the rest is done on the device
c  ours from the packed set
d  torchvision's RandomResizedCrop, flip, ToTensor, Normalize (where torchvision is installed)
e  nothing but decoding the whole JPEGs by libjpeg-turbo (where simplejpeg is installed)
f  the strong recipes' augmentation (RandAugment, random erasing, mixup) as MindCV composes it, all on the host
g  the same, ours
h  as b, without the C extension: MindSpore decodes

Each takes its turn in every round; the medians count. Every pipeline has `--workers` threads or processes for each of
its stages. The clock starts with the first batch, so that the start of a pipeline does not count.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

import mindcv  # noqa: F401  (prepares the runtime before MindSpore is used)

PHOTOS = Path(__file__).resolve().parents[1] / "tests" / "data" / "photos"
SIZE = (500, 375)
MEAN, STD = (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)
BATCH = 128
# (faster, slower, at least so many times)
GOALS = (("b", "a", 2.0), ("c", "a", 3.5), ("b", "d", 5.0), ("b", "e", 0.9), ("g", "f", 5.5), ("g", "b", 0.6))
STRONG = {"auto_augment": "randaug-m9-mstd0.5-inc1", "re_prob": 0.25}

Batches = Callable[[], Iterator[int]]


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


def measure(batches: Batches) -> tuple[float, float]:
    """Images a second of one epoch, and processor time of this process for each image in ms."""
    iterator = batches()
    next(iterator)
    begin, cpu = time.perf_counter(), time.process_time()
    count = sum(iterator)
    return count / (time.perf_counter() - begin), 1e3 * (time.process_time() - cpu) / count


def main() -> int:
    """Measures and prints; the exit code is 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="abcdefgh", help="letters of the pipelines to measure")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file")
    args = parser.parse_args()
    if args.images < 2 * BATCH:
        parser.error(f"--images must be at least {2 * BATCH}")

    from mindcv.data.dataset_factory import find_samples
    from mindcv.data.packing import Packing, pack

    with tempfile.TemporaryDirectory() as folder:
        root, packed = Path(folder) / "files", Path(folder) / "packed"
        make_images(root, args.images)
        pack({"train": find_samples("imagenet", str(root), "train")}, packed, Packing(256, 90), 1)
        builders = {
            "a": lambda: mindcv_composition(root, args.workers),
            "b": lambda: ours(root, args.workers),
            "c": lambda: ours(packed, args.workers),
            "d": lambda: torchvision_pipeline(root, args.workers),
            "e": lambda: full_decode(root, args.workers),
            "f": lambda: mindcv_composition(root, args.workers, strong=True),
            "g": lambda: ours(root, args.workers, **STRONG),
            "h": lambda: ours_without_extension(root, args.workers),
        }
        pipelines = {}
        for letter in args.only:
            try:
                pipelines[letter] = builders[letter]()
            except ImportError as error:
                print(f"{letter}: left out ({error})")
        figures: dict[str, list[tuple[float, float]]] = {letter: [] for letter in pipelines}
        for _ in range(args.rounds):
            for letter, batches in pipelines.items():
                figures[letter].append(measure(batches))
    medians = {
        letter: [statistics.median(column) for column in zip(*rows, strict=True)] for letter, rows in figures.items()
    }
    print(f"{args.images} images of {SIZE[0]} x {SIZE[1]}, {args.rounds} rounds, {args.workers} workers a stage")
    for letter, (speed, cpu) in medians.items():
        print(f"{letter}  {speed:8.0f} images/s   {cpu:6.2f} ms of one core an image")
    missed = 0
    for one, other, least in GOALS:
        if one in medians and other in medians:
            ratio = medians[one][0] / medians[other][0]
            missed += ratio < least
            print(f"{one} / {other} = {ratio:.2f}, wanted at least {least}")
    if args.json:
        Path(args.json).write_text(json.dumps({"images": args.images, "medians": medians, "rounds": figures}, indent=1))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
