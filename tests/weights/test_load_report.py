"""Reports of what fits."""

import pytest

from mindcv.weights import LoadReport

pytestmark = pytest.mark.no_mindspore

MODEL = {"conv1.weight": (8, 3), "bn1.gamma": (8,), "bn1.beta": (8,), "classifier.weight": (10, 8)}


def test_all_fits() -> None:
    report = LoadReport.compare(MODEL, MODEL)
    assert report == LoadReport(loaded=tuple(MODEL))
    assert report.is_complete
    assert str(report) == "4 of 4 parameters fit"
    report.raise_if_incomplete()


def test_everything_that_differs_is_reported() -> None:
    file = {"conv1.weight": (8, 3), "bn1.weight": (8,), "bn1.beta": (8,), "classifier.weight": (1000, 8), "x": ()}
    report = LoadReport.compare(MODEL, file)
    assert report.loaded == ("conv1.weight", "bn1.beta")
    assert report.missing == ("bn1.gamma",)
    assert report.unexpected == ("bn1.weight", "x")
    assert report.mismatched == (("classifier.weight", (10, 8), (1000, 8)),)
    assert str(report).splitlines() == [
        "2 of 4 parameters fit",
        "1 missing in the file",
        "  bn1.gamma (closest: bn1.weight)",
        "2 unexpected in the file",
        "  bn1.weight (closest: bn1.gamma)",
        "  x",
        "1 of another shape",
        "  classifier.weight is (10, 8) in the model but (1000, 8) in the file",
    ]
    with pytest.raises(
        ValueError, match=r"^a\.ckpt: does not fit ResNet; 1 missing in the file: bn1.gamma \(closest"
    ) as error:
        report.raise_if_incomplete("ResNet", "a.ckpt")
    assert "\n" not in str(error.value)


def test_first_ten_are_listed() -> None:
    report = LoadReport.compare({f"a{i}.b": (1,) for i in range(25)}, {})
    assert str(report).splitlines() == [
        "0 of 25 parameters fit",
        "25 missing in the file",
        *(f"  a{i}.b" for i in range(10)),
        "  and 15 more",
    ]


def test_what_may_be_missing() -> None:
    report = LoadReport.compare(MODEL, {name: MODEL[name] for name in MODEL if name != "classifier.weight"})
    report.raise_if_incomplete(may_miss={"classifier.weight"})
    with pytest.raises(ValueError, match="1 missing"):
        report.raise_if_incomplete(may_miss={"classifier.bias"})
