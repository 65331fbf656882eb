"""Image files for tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_images(folder: Path, count: int, size: tuple[int, int] = (40, 32), seed: int = 0) -> None:
    """Writes `count` smooth random JPEGs of `size` (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        small.resize(size, Image.Resampling.BILINEAR).save(folder / f"{index:03d}.jpg", quality=95)
