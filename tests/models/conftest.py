"""What tests of models share."""

from collections.abc import Iterator

import pytest

from mindcv.models import measure


@pytest.fixture
def undrawn_weights() -> Iterator[None]:
    """Makes new networks quickly, with zeros for weights, where their values are replaced or play no part."""
    with measure.undrawn_weights():
        yield
