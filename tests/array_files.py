"""Small files of the datasets of arrays."""

import struct
from pathlib import Path

import numpy as np


def write_mnist(folder: Path, count: int = 20) -> None:
    """Both splits of MNIST: noise, labelled 0 to 9 in turn."""
    rng = np.random.default_rng(count)
    for prefix in ("train", "t10k"):
        images, labels = rng.integers(0, 256, count * 784, np.uint8), bytes(index % 10 for index in range(count))
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, count, 28, 28) + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels)


def write_cifar(folder: Path, label_bytes: int = 1, count: int = 20) -> None:
    """Both splits of CIFAR-10, or with two label bytes of CIFAR-100: noise, (finely) labelled 0 to 9 in turn."""
    rng = np.random.default_rng(count)
    if label_bytes == 1:
        parts = {"test_batch": count, **{f"data_batch_{index}": count // 5 for index in range(1, 6)}}
    else:
        parts = {"test": count, "train": count}
    for name, rows in parts.items():
        data = rng.integers(0, 256, (rows, label_bytes + 3072), np.uint8)
        data[:, 0] = 7
        data[:, label_bytes - 1] = np.arange(rows) % 10
        (folder / f"{name}.bin").write_bytes(data.tobytes())
