import numpy as np
import pytest

from mindcv.data.splits import Part, divide

pytestmark = pytest.mark.no_mindspore

LABELS = np.repeat(np.arange(5), [40, 10, 25, 7, 18]).astype(np.int32)


@pytest.mark.parametrize("share", [0.1, 0.25, 1 / 3, 0.9])
def test_a_share_of_every_class_is_held_out(share):
    kept, held = (Part(side, share=share, seed=3).indices(LABELS) for side in (False, True))
    assert sorted([*kept, *held]) == list(range(100))
    assert len(held) == round(share * 100 - 0.49999) or len(held) == round(share * 100)
    for index, count in enumerate(np.bincount(LABELS)):
        assert abs((LABELS[held] == index).sum() - share * count) <= 1
    assert (np.diff(held) > 0).all()
    np.testing.assert_array_equal(held, Part(True, share=share, seed=3).indices(LABELS))
    assert not np.array_equal(held, Part(True, share=share, seed=4).indices(LABELS))


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_folds_cover_all_once_and_are_balanced(folds):
    held = [Part(True, folds=folds, fold=fold).indices(LABELS) for fold in range(folds)]
    assert sorted(np.concatenate(held)) == list(range(100))
    for fold, numbers in enumerate(held):
        kept = Part(False, folds=folds, fold=fold).indices(LABELS)
        assert sorted([*kept, *numbers]) == list(range(100))
        for index, count in enumerate(np.bincount(LABELS)):
            assert abs((LABELS[numbers] == index).sum() - count / folds) <= 1


def test_labels_of_several_classes():
    rows = np.eye(5, dtype=np.float32)[LABELS]
    np.testing.assert_array_equal(Part(True, share=0.2).indices(rows), Part(True, share=0.2).indices(LABELS))


def test_an_empty_side_is_refused():
    with pytest.raises(ValueError, match=r"3 samples are too few for a share of 0.1"):
        Part(True, share=0.1).indices(np.zeros(3, np.int32))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train", "val"), (("train", None), ("val", None))),
        (("train", 0.1), (("train", Part(False, share=0.1)), ("train", Part(True, share=0.1)))),
        (("all", "val", 4, 1), (("all", Part(False, folds=4, fold=1)), ("all", Part(True, folds=4, fold=1)))),
    ],
)
def test_divide(arguments, expected):
    assert divide(*arguments) == expected
