"""The memory of a batch is used for a later one, but never while somebody has the batch or a part of it."""

import subprocess
import sys

import mindspore.dataset as ds
import numpy as np
import pytest

from mindcv.data import create_dataset, create_loader, create_transforms, set_dataset_epoch
from mindcv.data.batch_memory import BatchMemory

UINT8 = np.dtype(np.uint8)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_is_used_again():
    memory = BatchMemory()
    first = memory.empty((4, 10, 3), UINT8)
    where = address(first)
    assert first.shape == (4, 10, 3)
    assert first.flags.writeable
    del first
    smaller = memory.empty((7,), np.dtype(np.float32))
    assert (address(smaller), smaller.shape, smaller.dtype) == (where, (7,), np.float32)
    del smaller
    larger = memory.empty((2, 100), UINT8)
    larger[:] = 3
    assert larger.sum() == 600


def test_nobody_has_memory_that_another_one_has():
    memory = BatchMemory()
    batches = [memory.empty((2, 5), UINT8) for _ in range(3)]
    for index, batch in enumerate(batches):
        batch[:] = index
    row = batches[1][1]  # a part keeps the memory of all of it
    kept = [address(batch) for batch in batches]
    del batches, batch
    memory.empty((2, 5), UINT8)[:] = 9
    later = [memory.empty((2, 5), UINT8) for _ in range(4)]
    for batch in later:
        batch[:] = 7
    assert row.tolist() == [1] * 5
    assert kept[1] not in [address(batch) for batch in later]
    assert kept[2] in [address(batch) for batch in later]  # of the free ones, the last two are kept


@pytest.mark.parametrize("as_numpy", [True, False])
def test_batches_that_are_kept_stay_as_they_are(image_folder, as_numpy):
    """MindSpore hands on the reader's memory, and does not copy it."""
    transform = create_transforms("imagenet", 16, True, normalize_on_device=True)
    loader = create_loader(create_dataset("imagenet", str(image_folder)), 2, True, True, transform=transform)

    def arrays():
        ds.config.set_seed(1)
        set_dataset_epoch(loader, 0)
        for image, _ in loader.create_tuple_iterator(num_epochs=1, output_numpy=as_numpy):
            yield image if as_numpy else image.asnumpy()

    one_by_one = [array.copy() for array in arrays()]
    all_kept = list(arrays())
    assert len(all_kept) > 4
    for one, other in zip(one_by_one, all_kept, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.no_mindspore
def test_a_pipeline_imports_no_schema():
    """The schema of recipes costs a process 13 MiB, which each worker and each loader without a recipe would pay."""
    code = "import sys, mindcv.data; print(sorted({'pydantic', 'yaml', 'mindcv.config'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert found.strip().splitlines()[-1] == "[]"
