"""RegNet's widths."""

import pytest

from mindcv.models import create_model
from mindcv.models.regnet import stage_widths


# torchvision's `num_params` of the weights' metadata.
@pytest.mark.parametrize(
    ("name", "parameters"), [("regnet_x_400mf", 5495976), ("regnet_y_800mf", 6432512), ("regnet_y_8_0gf", 39381472)]
)
@pytest.mark.usefixtures("undrawn_weights")
def test_widths_of_torchvision(name: str, parameters: int):
    model = create_model(name, rounding="divisible")
    assert sum(p.size for p in model.trainable_params()) == parameters
    assert sum(p.size for p in create_model(name).trainable_params()) != parameters


def test_impossible_widths():
    with pytest.raises(ValueError, match="rounding is 'up'; give 'nearest'"):
        stage_widths(36.44, 24, 2.49, 13, 8, "up")
    with pytest.raises(ValueError, match="make 3 stages; RegNet has four"):
        stage_widths(16.0, 16, 2.0, 5, 8)
    with pytest.raises(ValueError, match="w_0 a multiple of 8"):
        stage_widths(16.0, 12, 2.0, 7, 8)
