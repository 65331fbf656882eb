"""What tests of models share."""

import pytest
from mindspore.common.initializer import HeNormal, HeUniform


@pytest.fixture
def undrawn_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes new networks quickly, with zeros for weights, where their values are replaced or play no part."""
    for kind in (HeNormal, HeUniform):
        monkeypatch.setattr(kind, "_initialize", lambda self, array: array.fill(0))
