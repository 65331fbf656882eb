"""Measures how soon a large folder of images is open, and whether memory grows with epochs.

python benchmarks/image_folder.py                              # 1,281,167 tiny files in 1,000 classes; takes minutes
python benchmarks/image_folder.py --images 5000 --classes 10   # does it run?
python benchmarks/image_folder.py --keep /data/tiny            # makes the files there once and leaves them

Each start is a process of its own, timed from the call of `create_dataset` until it returns. The first has no index and
lists all folders, the second reads the index that the first one left. The operating system's own cache is warm in both,
since the files have just been made. Epochs are then read by the training pipeline, in batches of 256, and the process's
memory is noted at the end of each. With `--from_memory` each file's bytes are those of the first, so that a disk which
reads some hundred files a second does not hold this up for hours.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL_S = 3.0
GROWTH_MB = 64

START = """
import glob, json, os, sys, time
import mindcv
from mindcv.data import create_dataset, create_loader, create_transforms

def current_memory_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

folder, epochs = sys.argv[1], int(sys.argv[2])
empty = current_memory_mb()
begin = time.perf_counter()
dataset = create_dataset("imagenet", folder, bad_samples="replace")
seconds = time.perf_counter() - begin
opened = current_memory_mb()
if sys.argv[3] == "True":
    from mindcv.data.sources.samples import FileSamples
    with open(next(glob.iglob(os.path.join(glob.escape(folder), "train", "*", "*"))), "rb") as file:
        data = file.read()
    FileSamples.read = lambda self, index: data
memory, speeds = [], []
transform = create_transforms("imagenet", 8, True, normalize_on_device=True)
loader = create_loader(dataset, 256, is_training=True, transform=transform, num_parallel_workers=2)
for _ in range(epochs):
    begin = time.perf_counter()
    count = sum(len(batch[0]) for batch in loader.create_tuple_iterator(num_epochs=1, output_numpy=True))
    speeds.append(round(count / (time.perf_counter() - begin)))
    memory.append(round(current_memory_mb()))
figures = {"seconds": seconds, "index_mb": round(opened - empty), "epochs_mb": memory, "images_per_s": speeds}
print(json.dumps(figures))
"""


def make_files(folder: Path, images: int, classes: int) -> None:
    """Writes the same tiny JPEG under `images` names, evenly into the classes."""
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (8, 8), (90, 120, 30)).save(file, "JPEG", quality=50)
    data = file.getvalue()
    for label in range(classes):
        inside = folder / "train" / f"n{label:08d}"
        inside.mkdir(parents=True)
        for number in range(label, images, classes):
            descriptor = os.open(inside / f"n{label:08d}_{number}.JPEG", os.O_WRONLY | os.O_CREAT)
            os.write(descriptor, data)
            os.close(descriptor)


def start(folder: Path, cache: Path, epochs: int, from_memory: bool) -> dict:
    """Opens the folder in a new process."""
    environment = {**os.environ, "MINDCV_HOME": str(cache)}
    command = [sys.executable, "-c", START, str(folder), str(epochs), str(from_memory)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Measures and prints; the exit code is 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=3, help="epochs to read after the second start")
    parser.add_argument("--from_memory", action="store_true", help="read no file but the first")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the files are, or are made and left")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch) / "tiny"
        if not folder.exists():
            begin = time.perf_counter()
            make_files(folder, args.images, args.classes)
            print(f"made {args.images} files in {time.perf_counter() - begin:.0f} s", flush=True)
        cache = Path(scratch) / "cache"
        first = start(folder, cache, 0, args.from_memory)
        print(f"first start   {first['seconds']:6.2f} s, the index takes {first['index_mb']} MiB", flush=True)
        second = start(folder, cache, args.epochs, args.from_memory)
    took = f"{second['seconds']:6.2f} s, the index takes {second['index_mb']} MiB"
    print(f"second start  {took}; wanted: {GOAL_S} s or less")
    print(f"memory at the end of each epoch: {', '.join(map(str, second['epochs_mb']))} MiB")
    print(f"images a second in each: {', '.join(map(str, second['images_per_s']))}")
    grown = max(second["epochs_mb"][1:], default=0) - second["epochs_mb"][0] if second["epochs_mb"] else 0
    return int(second["seconds"] > GOAL_S or grown > GROWTH_MB)


if __name__ == "__main__":
    sys.exit(main())
