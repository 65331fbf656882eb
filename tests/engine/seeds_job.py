"""What a rank reads of its training data; test_distributed.py compares it with the other rank and with one process."""

import zlib

import numpy as np
from PIL import Image

from mindcv.build import build_feed, build_train_loader
from mindcv.config import Config

SEED, BATCH = 3, 4
PLAIN = {"image_resize": 16, "num_parallel_workers": 1, "scale": [1.0, 1.0], "ratio": [1.0, 1.0], "hflip": 0.0}
PLAIN |= {"color_jitter": None, "num_classes": 10, "seed": SEED}
# Augmentation by MindSpore's operators, by our own in Python, and of whole batches.
AUGMENTATIONS = {
    "crop": {"scale": [0.3, 1.0], "hflip": 0.5},
    "color": {"color_jitter": 0.4},
    "randaug": {"auto_augment": "randaug-m9-mstd0.5"},
    "erase": {"re_prob": 1.0},
    "mixup": {"mixup": 0.4},
}


def make_copies(folder):
    """One picture many times, in two classes, so that only augmentation tells the images that are read apart."""
    pixels = np.random.RandomState(0).randint(0, 256, (40, 40, 3)).astype(np.uint8)
    for label in "ab":
        (folder / "train" / label).mkdir(parents=True)
        for index in range(8):
            Image.fromarray(pixels).save(folder / f"train/{label}/{index}.png")


def batches(epoch, **values):
    """Images and labels of an epoch (from 0) as numpy arrays."""
    cfg = Config(**{**PLAIN, **values})
    loader, _ = build_train_loader(cfg)
    feed = build_feed(cfg, None, loader, "CPU", 0)
    return [[column.asnumpy() for column in batch] for batch in feed.open_epoch(epoch, 0)]


def order(epoch, batch_size):
    """What tells the images apart that are read in each step, without augmentation: (steps, batch_size)."""
    steps = batches(epoch, dataset="digits", batch_size=batch_size)
    return np.array([[zlib.crc32(image.tobytes()) for image in images] for images, _ in steps])


def augmented(name, folder):
    """What tells the augmented copies apart, in order: of mixup the shares in the labels, of all others the images."""
    values = {"dataset": "imagenet", "data_dir": str(folder), "batch_size": BATCH, "num_classes": 2}
    steps = batches(0, **values, **AUGMENTATIONS[name])
    if name == "mixup":
        return np.array([labels.max(1) for _, labels in steps]).reshape(-1)
    return np.array([zlib.crc32(image.tobytes()) for images, _ in steps for image in images])


def results(folder):
    """This rank's part of two epochs, and its augmentations, by name."""
    orders = {f"order/{epoch}": order(epoch, BATCH) for epoch in (0, 1)}
    return orders | {f"augmented/{name}": augmented(name, folder) for name in AUGMENTATIONS}
