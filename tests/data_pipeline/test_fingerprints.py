"""The fingerprint of a training set, and what it says of a changed one."""

import json
import os
import shutil

import numpy as np
import pytest

from mindcv.data import DataFingerprint, Part, create_dataset, fingerprint, get_samples
from mindcv.data.dataset_factory import find_samples
from mindcv.data.packing import Packing, pack
from mindcv.data.sources.samples import FileSamples


def of(root, **options) -> DataFingerprint:
    taken = fingerprint(get_samples(create_dataset("", str(root), **options)))
    return DataFingerprint.from_json(json.loads(json.dumps(taken.to_json())))


def _touch(root):
    os.utime(root / "train" / "cat" / "000.jpg", (1, 1))


def _grow(root):
    (root / "train" / "cat" / "000.jpg").open("ab").write(b"x")


def _rename_file(root):
    (root / "train" / "cat" / "000.jpg").rename(root / "train" / "cat" / "zzz.jpg")


def _rename_class(root):
    (root / "train" / "cat").rename(root / "train" / "wolf")


def _swap_classes(root):
    for one, other in (("cat", "x"), ("dog", "cat"), ("x", "dog")):
        (root / "train" / one).rename(root / "train" / other)


def _move(root):
    (root / "train" / "cat" / "000.jpg").rename(root / "train" / "dog" / "zzz.jpg")


def _drop_class(root):
    shutil.rmtree(root / "train" / "dog")


def _new_class(root):
    shutil.copytree(root / "train" / "dog", root / "train" / "eel")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_touch, ""),
        (_grow, "1 file added, 1 removed"),
        (_rename_file, "1 file added, 1 removed"),
        (_rename_class, "class cat renamed to wolf"),
        (_swap_classes, "2 classes with other files (cat, dog)"),
        (_move, "1 file added, 1 removed"),
        (_drop_class, "0 files added, 6 removed, class dog gone"),
        (_new_class, "6 files added, 0 removed, class eel new"),
    ],
)
def test_changes_in_words(change, words, image_folder):
    before = of(image_folder)
    change(image_folder)
    assert of(image_folder).changes_since(before) == words


def test_the_same_files_elsewhere_are_the_same(image_folder, tmp_path):
    before = of(image_folder)
    assert of(shutil.copytree(image_folder, tmp_path / "copy")).sha256 == before.sha256


def test_a_part_has_the_fingerprint_of_its_whole(image_folder):
    """Else one file more would divide all anew, and the change would look like many."""
    before = of(image_folder, part=Part(False, share=0.3))
    shutil.copy(image_folder / "train" / "cat" / "000.jpg", image_folder / "train" / "cat" / "new.jpg")
    after = of(image_folder, part=Part(False, share=0.3))
    assert after.changes_since(before) == "1 file added, 0 removed"


def test_packed_sets_lists_and_arrays(image_folder, tmp_path):
    packed = tmp_path / "packed"
    for count in (13, 12):
        pack({"train": find_samples("", str(image_folder), "train")}, packed, Packing(None), 1, overwrite=True)
        taken = of(packed)
        assert len(taken.digests) == count
        if count == 13:
            before = taken
            (image_folder / "train" / "dog" / "000.jpg").unlink()
    assert taken.changes_since(before) == "0 files added, 1 removed"
    rows = [f"train/cat/00{index}.jpg,{'even;all' if index % 2 == 0 else 'all'}" for index in range(4)]
    (image_folder / "train.csv").write_text("\n".join(["path,labels", *rows]))
    listed = fingerprint(find_samples("csv", str(image_folder), "train"))
    assert [count for count, _ in listed.classes.values()] == [4, 2]
    (image_folder / "train.csv").write_text("\n".join(["path,labels", *rows[1:], rows[0]]))
    turned = fingerprint(find_samples("csv", str(image_folder), "train"))
    assert turned.changes_since(listed) == "the same files in another order"
    digits = find_samples("digits", "", "train")
    before = fingerprint(digits)
    digits.images = digits.images.copy()
    digits.images[5, 0, 0] ^= 1
    assert fingerprint(digits).changes_since(before) == "1 file added, 1 removed"


def test_of_many_files_some_are_asked_for_their_size(image_folder, monkeypatch):
    monkeypatch.setattr("mindcv.data.fingerprints._MOST_SIZES", 8)
    asked = []
    real = FileSamples.name
    monkeypatch.setattr(FileSamples, "name", lambda samples, index: asked.append(index) or real(samples, index))
    taken = of(image_folder)
    assert taken.sizes_of_every == 2
    assert 0 < len(asked) < 13
    # An earlier fingerprint is compared by its own rule, however many files there are now.
    samples = get_samples(create_dataset("", str(image_folder)))
    assert fingerprint(samples, 1).changes_since(taken) != ""
    assert fingerprint(samples, taken.sizes_of_every).changes_since(taken) == ""
    assert np.array_equal(fingerprint(samples, 2).digests, taken.digests)
