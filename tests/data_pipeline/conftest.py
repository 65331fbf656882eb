"""Small image folders for the data tests."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_images(folder: Path, count: int, size: tuple[int, int] = (40, 32), seed: int = 0) -> None:
    """Writes `count` smooth random JPEGs of `size` (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        small.resize(size, Image.Resampling.BILINEAR).save(folder / f"{number:03d}.jpg", quality=95)


@pytest.fixture
def image_folder(tmp_path):
    """root/{train,val}/{cat,dog}: 7 + 6 and 3 + 2 images."""
    for seed, (split, name, count) in enumerate(
        [("train", "cat", 7), ("train", "dog", 6), ("val", "cat", 3), ("val", "dog", 2)]
    ):
        write_images(tmp_path / split / name, count, seed=seed)
    return tmp_path


@pytest.fixture
def one_epoch():
    """Returns one epoch of one column: labels as numbers, others as arrays."""

    def rows(dataset, column="label"):
        values = [row[column] for row in dataset.create_dict_iterator(num_epochs=1, output_numpy=True)]
        return [value.item() for value in values] if column.endswith("label") else values

    return rows
