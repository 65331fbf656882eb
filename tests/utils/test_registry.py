import pytest

from mindcv.utils.registry import Registry, suggest, unknown_name_message

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
