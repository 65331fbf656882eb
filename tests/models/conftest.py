"""What tests of models share."""

import pytest
from mindspore.common import initializer


def _kinds(kind: type) -> list[type]:
    return [kind, *(inner for sub in kind.__subclasses__() for inner in _kinds(sub))]


@pytest.fixture
def undrawn_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes new networks quickly, with zeros for weights, where their values are replaced or play no part."""
    for kind in _kinds(initializer.Initializer)[1:]:
        if not issubclass(kind, (initializer.Zero, initializer.One, initializer.Constant)):
            monkeypatch.setattr(kind, "_initialize", lambda self, array: array.fill(0))
