"""Every network shows where it looks, or says why it does not."""

import numpy as np
import pytest
from families import FAMILIES

from mindcv.models import create_model, model_entrypoint
from mindcv.report.grad_cam import explain

pytestmark = pytest.mark.zoo

# Networks that read the class token of their last tokens, so that no patch of these counts.
BEFORE_THE_LAST = {
    "coat_lite_tiny": "serial_blocks3",
    "coat_tiny": "serial_blocks1",
    "convit_tiny": "blocks.1",
    "crossvit_9": "blocks.1",
    "pit_ti": "transformers.1",
    "pvt_tiny": "Blocks.2",
    "vit_b_32_224": "blocks.1",
}


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, row in FAMILIES.items() for name in row.kinds])
def test_map(family: str, name: str):
    row = FAMILIES[family]
    network = create_model(name, **{**row.small, **row.more.get(name, {})})
    images = np.random.default_rng(0).standard_normal((2, 3, row.side, row.side)).astype(np.float32)
    if not model_entrypoint(name).network.gives_logits:
        with pytest.raises(ValueError, match=f"{type(network).__name__} has no classes, so there is nothing"):
            explain(network, images)
        return
    found = explain(network, images)
    assert found.maps.shape == (2, row.side, row.side)
    assert found.maps.dtype == np.float32
    assert found.maps.min() >= 0
    assert 0.8 < found.maps.max() <= 1
    assert found.cell == BEFORE_THE_LAST.get(name, network.feature_info[-1]["name"])
