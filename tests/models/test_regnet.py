"""RegNet: torchvision's names and widths, which timm's goldens do not have."""

import numpy as np
import pytest
from mindspore import Tensor

from mindcv.models import create_model
from mindcv.models.regnet import RegNet, stage_widths
from mindcv.weights import write_weights


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


def test_names_of_torchvision(tmp_path):
    """A block's cells and place are called otherwise; the widths of the file tell the rounding."""
    model = create_model("regnet_x_400mf", rounding="divisible").set_train(False)
    theirs = {_torchvision(path): p.asnumpy() for path, p in model.parameters_and_names()}
    assert {"stem.1.running_var", "trunk_output.block4.block4-11.f.c.1.bias", "fc.weight"} < set(theirs)
    assert RegNet.file_tells(theirs)["rounding"] == "divisible"
    write_weights(tmp_path / "w.safetensors", theirs)
    other = create_model("regnet_x_400mf", checkpoint_path=str(tmp_path / "w.safetensors")).set_train(False)
    assert other.rounding == "divisible"
    image = Tensor(np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32))
    np.testing.assert_array_equal(other(image).asnumpy(), model(image).asnumpy())


def _torchvision(path: str) -> str:
    kinds = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    *cells, kind = path.split(".")
    if cells == ["head", "fc"]:
        return f"fc.{kind}"
    if cells[0] == "stem":
        return f"stem.{['conv', 'bn'].index(cells[1])}.{kinds.get(kind, kind)}"
    _, stage, _, block, *inner = cells
    name = {"proj": "proj.0", "bn": "proj.1"}.get(inner[-1]) or f"f.{inner[-1][0]}.{int(inner[-1].endswith('_bn'))}"
    return f"trunk_output.block{int(stage) + 1}.block{int(stage) + 1}-{block}.{name}.{kinds.get(kind, kind)}"
