"""NASNet and PNASNet: the sides of images that their shifted reductions take."""

import numpy as np
import pytest
from families import FAMILIES
from mindspore import Tensor

from mindcv.models import create_model


@pytest.mark.parametrize("family", ["nasnet", "pnasnet"])
def test_a_map_of_an_odd_side_is_not_halved(family: str):
    row = FAMILIES[family]
    model = create_model(row.kinds[0], num_classes=3, **row.small).set_train(False)
    assert model(Tensor(np.zeros((1, 3, 48, 32), np.float32))).shape == (1, 3)
    with pytest.raises(ValueError, match="^a map of 7x4 is not halved; give images with sides that are multiples of"):
        model(Tensor(np.zeros((1, 3, 56, 32), np.float32)))
