"""Strong augmentation of all kinds of images and sources: the pixels follow from seed, epoch and position alone."""

import io
import shutil
import tarfile

import mindspore.dataset as ds
import numpy as np
import pytest
from jpeg.make_corpus import encoded
from PIL import Image

from mindcv.cli import main
from mindcv.data import create_dataset, create_loader, create_transforms, epoch_batches
from mindcv.data.images import decoding, image_check, operations

RECIPES = {
    "randaug": {"auto_augment": "randaug-m9-mstd0.5-inc1", "re_prob": 0.5, "re_value": "random"},
    "augmix": {"auto_augment": "augmix-m5-w4-d2", "color_jitter": 0.3},
    "wide": {"auto_augment": "trivialaugwide", "re_prob": 0.3, "interpolation": "bicubic"},
    "3a": {"auto_augment": "3a", "color_jitter": [0.3, 0.3, 0.3, 0.1], "train_crop": "simple", "vflip": 0.5},
}
SOURCES = ("folder", "packed", "csv", "tar")
BATCH = 4


def as_file(mode: str, kind: str, size: tuple[int, int] = (37, 45), **options) -> bytes:
    """A photo, or noise where there are no photos of a mode, as a file."""
    if kind == "JPEG":
        return encoded(size, mode, **options)
    rng = np.random.default_rng(len(mode))
    image = Image.fromarray(rng.integers(0, 256, (*size, 4), dtype=np.uint8), "RGBA")
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 1 << 16, size, dtype=np.uint16))
    else:
        image = image.convert("RGB").convert(mode) if mode in ("P", "L") else image.convert(mode)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return as_file("RGB", "JPEG", exif=exif)


FILES = {
    "a/00.jpg": lambda: as_file("RGB", "JPEG"),
    "a/01.jpg": lambda: as_file("L", "JPEG"),
    "a/02.jpg": lambda: as_file("CMYK", "JPEG"),
    "a/03.jpg": lambda: as_file("RGB", "JPEG", progressive=True),
    "a/04.jpg": turned,
    "a/05.jpg": lambda: as_file("RGB", "JPEG", (1, 1)),
    "a/06.jpg": lambda: as_file("RGB", "JPEG", (300, 3)),
    "b/00.png": lambda: as_file("RGBA", "PNG"),
    "b/01.png": lambda: as_file("P", "PNG"),
    "b/02.png": lambda: as_file("LA", "PNG"),
    "b/03.png": lambda: as_file("L", "PNG"),
    "b/04.png": lambda: as_file("I;16", "PNG"),
    "b/05.webp": lambda: as_file("RGB", "WEBP"),
    "b/06.bmp": lambda: as_file("RGB", "BMP", (2, 9)),
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """The same images in the same order, as a folder, packed, in a list and in a tar file."""
    base = tmp_path_factory.mktemp("sources")
    folder = base / "folder"
    for name, make in FILES.items():
        path = folder / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make())
    arguments = ["prepare", str(folder), str(base / "packed"), "--splits", "train", "--keep", "--workers", "1"]
    assert main(arguments) == 0
    (base / "csv").mkdir()
    lines = [f"{folder / 'train' / name},{'ab'.index(name[0])}" for name in FILES]
    (base / "csv" / "train.csv").write_text("\n".join(["path,label", *lines, ""]))
    (base / "tar").mkdir()
    with tarfile.open(base / "tar" / "train-0.tar", "w") as tar:
        for index, name in enumerate(FILES):
            members = {
                name.rsplit(".")[-1]: (folder / "train" / name).read_bytes(),
                "cls": str("ab".index(name[0])).encode(),
            }
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{index:03d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return {source: base / source for source in SOURCES}


def epoch_of(roots, source, recipe, *, workers=1, first_step=0, epoch=2, seed=5, **options):
    """Batches of an epoch, from a step on."""
    ds.config.set_seed(seed)
    name = source if source in ("csv", "tar") else "imagenet"
    dataset = create_dataset(name, str(roots[source]), "train", num_parallel_workers=workers, **options)
    transform = create_transforms("imagenet", 24, True, normalize_on_device=True, **RECIPES[recipe])
    loader = create_loader(dataset, BATCH, False, True, transform=transform, num_parallel_workers=workers)
    return [tuple(part.asnumpy() for part in batch) for batch in epoch_batches(loader, epoch, first_step, seed=seed)]


def assert_equal(batches, expected):
    for batch, wanted in zip(batches, expected, strict=True):
        for part, wanted_part in zip(batch, wanted, strict=True):
            np.testing.assert_array_equal(part, wanted_part)


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_sources_workers_and_steps_give_the_same_pixels(roots, recipe):
    """Packed images are in another order, by which they are read; so they are compared with themselves."""
    whole, packed = epoch_of(roots, "folder", recipe), epoch_of(roots, "packed", recipe)
    assert [len(images) for images, _ in whole] == [4, 4, 4, 2]
    assert_equal(epoch_of(roots, "folder", recipe, workers=4), whole)
    assert_equal(epoch_of(roots, "folder", recipe, workers=2, first_step=2), whole[2:])
    assert_equal(epoch_of(roots, "csv", recipe, workers=2), whole)
    assert_equal(epoch_of(roots, "csv", recipe, workers=4, first_step=1), whole[1:])
    assert_equal(epoch_of(roots, "tar", recipe, workers=4), whole)
    assert_equal(epoch_of(roots, "tar", recipe, first_step=3), whole[3:])
    assert_equal(epoch_of(roots, "packed", recipe, workers=4), packed)
    assert_equal(epoch_of(roots, "packed", recipe, workers=2, first_step=1), packed[1:])
    assert (epoch_of(roots, "folder", recipe, epoch=3)[0][0] != whole[0][0]).any()
    assert (epoch_of(roots, "folder", recipe, seed=6)[0][0] != whole[0][0]).any()


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_the_extensions_pictures_are_nearly_the_same(roots, recipe, monkeypatch):
    """Pillow and MindSpore do what the C code does, from the same random numbers."""
    whole = epoch_of(roots, "folder", recipe)
    monkeypatch.setattr(operations, "_augment", None)
    for module in (decoding, image_check):
        monkeypatch.setattr(module, "_jpeg", None)
    without = epoch_of(roots, "folder", recipe)
    assert_equal(epoch_of(roots, "folder", recipe, workers=4, first_step=1), without[1:])
    for (images, labels), (images_without, same_labels) in zip(whole, without, strict=True):
        np.testing.assert_array_equal(labels, same_labels)
        assert np.abs(images.astype(int) - images_without).mean() < 0.5


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_damaged_image_is_replaced_alike_whatever_the_workers(roots, recipe, tmp_path):
    """It is met in the midst of batches by several threads; all others keep the pixels that they have without it."""
    folder = tmp_path / "train"
    shutil.copytree(roots["folder"] / "train", folder)
    whole = epoch_of(roots, "folder", recipe)
    damaged = folder / "a" / "03.jpg"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    (folder / "b" / "03.png").write_bytes(b"")
    roots = {"folder": tmp_path}
    replaced = epoch_of(roots, "folder", recipe, bad_samples="replace")
    assert_equal(epoch_of(roots, "folder", recipe, workers=4, bad_samples="replace"), replaced)
    assert_equal(epoch_of(roots, "folder", recipe, workers=2, first_step=2, bad_samples="replace"), replaced[2:])
    images, others = (np.concatenate([batch for batch, _ in batches]) for batches in (whole, replaced))
    assert (images != others).any((1, 2, 3)).sum() == 2
