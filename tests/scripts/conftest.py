from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from script_runner import ROOT


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory) -> Path:
    """A folder of images as users have it: train and val, 2 classes, 12 and 5 real digits of each as PNG."""
    root = tmp_path_factory.mktemp("images")
    with np.load(ROOT / "mindcv/data/assets/digits.npz") as file:
        images, labels = file["images"], file["labels"]
    for label in (3, 7):
        chosen = images[labels == label]
        for split, part in (("train", chosen[:12]), ("val", chosen[12:17])):
            folder = root / split / f"digit{label}"
            folder.mkdir(parents=True)
            for number, image in enumerate(part):
                pixels = (image.astype(np.float32) * 255 / 16).astype(np.uint8)
                Image.fromarray(pixels).resize((40, 40)).convert("RGB").save(folder / f"{number}.png")
    return root
