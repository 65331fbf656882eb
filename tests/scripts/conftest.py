from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from PIL import Image
from script_runner import ROOT

from mindcv.models import create_model
from mindcv.weights import write_weights

PHOTOS = ROOT / "tests" / "data" / "photos"


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
            for index, image in enumerate(part):
                pixels = (image.astype(np.float32) * 255 / 16).astype(np.uint8)
                Image.fromarray(pixels).resize((40, 40)).convert("RGB").save(folder / f"{index}.png")
    return root


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """Parts of two photographs, as `photos/train/<class>/<number>.jpg` in the working folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder, name in (("cat", "china"), ("dog", "flower")):
        photo = Image.open(PHOTOS / f"{name}.jpg").convert("RGB")
        (tmp_path / "photos" / "train" / folder).mkdir(parents=True)
        for index in range(1, 25):
            side = int(rng.integers(200, 400))
            left, top = int(rng.integers(0, photo.width - side)), int(rng.integers(0, photo.height - side))
            part = photo.crop((left, top, left + side, top + side)).resize((64, 64))
            part.save(tmp_path / "photos" / "train" / folder / f"{index}.jpg")
    return tmp_path / "photos"


@pytest.fixture
def weights(tmp_path) -> str:
    """A weight file of a thousand classes, in place of the published one."""
    ms.set_seed(1)
    network = create_model("resnet18")
    arrays = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    write_weights(tmp_path / "resnet18.ckpt", arrays)
    return str(tmp_path / "resnet18.ckpt")
