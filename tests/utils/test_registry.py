import pytest

from mindcv.utils.registry import Registry, closest, suggest, unknown_name_message

pytestmark = pytest.mark.no_mindspore


def test_lookup_ignores_case_when_asked():
    table = Registry("loss", ignore_case=True)
    table.register("CE", 1)
    assert table["ce"] == 1
    assert "Ce" in table
    assert list(table) == ["ce"]
    assert len(table) == 1
    exact = Registry("model")
    exact.register("A", 1)
    assert "a" not in exact


def test_duplicate_is_refused():
    table = Registry("loss", ignore_case=True)
    table.register("ce", 1)
    with pytest.raises(ValueError, match=r"loss 'CE' is already registered"):
        table.register("CE", 2)
    assert table["ce"] == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [("resnet5O", "did you mean 'resnet50'?"), ("RESNET50", "did you mean 'resnet50'?"), ("zzz", "'zzz'. Allowed")],
)
def test_unknown_name_says_what_is_allowed(name, hint):
    table = Registry("model")
    table.register("resnet50", object())
    table.register("vgg16", object())
    with pytest.raises(ValueError, match="unknown model") as caught:
        table.find(name)
    message = str(caught.value)
    assert hint in message
    assert message.endswith("Allowed: resnet50, vgg16")
    assert "\n" not in message


def test_plain_lookup_raises_key_error():
    with pytest.raises(KeyError):
        Registry("loss")["ce"]


def test_suggest_is_empty_without_a_close_name():
    assert suggest("abc", ["xyz"]) == ""
    assert unknown_name_message("key", "a", ["b"]) == "unknown key 'a'. Allowed: b"


@pytest.mark.parametrize(
    ("name", "choices", "found"),
    [
        ("trian", ["train", "doctor"], ["train"]),  # two letters of five exchanged
        ("resnet5", ["resnet50", "resnet18"], ["resnet50", "resnet18"]),
        ("abc", ["abxyz"], []),  # difflib's measure is 0.5, and three edits are more than half of three letters
        ("lr", ["clr_x"], []),
        ("data", ["database_dir"], []),
        ("xyz", [], []),
        ("x" * 100_000, ["x" * 99_999], []),
    ],
)
def test_closest_names_are_no_farther_than_half_the_name(name, choices, found):
    assert closest(name, choices, 2, cutoff=0.4) == found


def test_every_suggestion_of_a_key_is_near():
    from mindcv.config.schema import KEYS

    for name in ("lable_smoothing", "epoch", "class", "workres", "im_size", "wd", "aug", "resume_from", "lr_rate"):
        for word in closest(name, KEYS, 5, cutoff=0.1):
            assert 2 * distance(name, word) <= len(name)


def distance(one: str, other: str) -> int:
    """Levenshtein's distance by its definition."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return distance(one[1:], other[1:])
    known = DISTANCES.get((one, other))
    if known is None:
        known = 1 + min(distance(one[1:], other), distance(one, other[1:]), distance(one[1:], other[1:]))
        DISTANCES[one, other] = known
    return known


DISTANCES: dict[tuple[str, str], int] = {}
