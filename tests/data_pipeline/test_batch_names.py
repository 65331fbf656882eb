"""The names of a batch's samples, against the labels that the loader gives: each file has one of its own."""

import numpy as np
import pytest
from PIL import Image

from mindcv.data import batch_names, create_dataset, create_loader, create_transforms, epoch_batches, get_samples

FILES, BATCH = 13, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A list of files, each with a label of its own, of which the fifth is no image."""
    folder = tmp_path_factory.mktemp("listed")
    random = np.random.RandomState(0)
    for index in range(FILES):
        pixels = random.randint(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    (folder / "04.png").write_bytes(b"no image")
    rows = "".join(f"{index:02d}.png,{index}\n" for index in range(FILES))
    (folder / "train.csv").write_text(f"path,label\n{rows}")
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {"bad_samples": "replace"},
        {"bad_samples": "skip"},
        {"bad_samples": "replace", "shuffle": False, "num_samples": 9},
        {"bad_samples": "skip", "num_shards": 2, "shard_id": 1},
        {"bad_samples": "skip", "sampler": "balanced"},
    ],
)
def test_names_are_those_of_the_samples_that_were_read(folder, options):
    dataset = create_dataset("csv", str(folder), "train", seed=5, num_parallel_workers=2, **options)
    transform = create_transforms("csv", image_resize=16, is_training=True)
    loader = create_loader(dataset, BATCH, is_training=True, transform=transform, num_parallel_workers=2)
    seen = set()
    for epoch in (0, 2):
        for step, (_, label) in enumerate(epoch_batches(loader, epoch, seed=1)):
            files = [str(folder / f"{index:02d}.png") for index in label.asnumpy()]
            assert batch_names(loader, epoch, step, BATCH) == files
            seen |= {(epoch, tuple(files))}
    assert len(seen) == 2 * loader.get_dataset_size() or not options.get("shuffle", True)
    assert batch_names(loader, 0, 0, BATCH) == batch_names(loader, 0, 0, BATCH)


def test_samples_without_files_have_numbers():
    dataset = create_dataset("digits", split="train", seed=3, num_samples=8)
    loader = create_loader(dataset, 4, transform=create_transforms("digits", image_resize=8, is_training=True))
    names = [batch_names(loader, 1, step, 4) for step in range(2)]
    indices = [int(name.removeprefix("sample ")) for batch in names for name in batch]
    labels = [label for _, batch in epoch_batches(loader, 1) for label in batch.asnumpy().tolist()]
    assert [int(get_samples(loader).labels[index]) for index in indices] == labels
