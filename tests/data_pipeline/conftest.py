"""Small image folders for the data tests."""

import pytest
from image_files import write_images


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
