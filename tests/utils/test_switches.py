"""Environment variables as switches."""

import pytest

from mindcv.utils.switches import is_on

pytestmark = pytest.mark.no_mindspore


@pytest.mark.parametrize("value", ["", "0", "false", "Off", "NO", " 0 "])
@pytest.mark.parametrize("default", [False, True])
def test_off(value, default, monkeypatch):
    monkeypatch.setenv("MINDCV_SWITCH", value)
    assert not is_on("MINDCV_SWITCH", default)


@pytest.mark.parametrize("value", ["1", "true", "on", "yes", "anything"])
def test_on(value, monkeypatch):
    monkeypatch.setenv("MINDCV_SWITCH", value)
    assert is_on("MINDCV_SWITCH")


def test_not_set(monkeypatch):
    monkeypatch.delenv("MINDCV_SWITCH", raising=False)
    assert (is_on("MINDCV_SWITCH"), is_on("MINDCV_SWITCH", default=True)) == (False, True)
