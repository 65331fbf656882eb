"""The ShuffleNets: order of channels, and the two layouts of the second version."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.models import create_model
from mindcv.models.layers import channel_shuffle
from mindcv.utils.cells import replace_cells
from mindcv.weights import write_weights

SMALL = {"depths": (1, 2, 1), "num_classes": 5}


@pytest.mark.parametrize(("groups", "order"), [(2, [0, 3, 1, 4, 2, 5]), (3, [0, 2, 4, 1, 3, 5])])
def test_channels_of_the_groups_take_turns(groups, order):
    channels = Tensor(np.arange(6, dtype=np.float32).reshape((1, 6, 1, 1)))
    shuffled = channel_shuffle(channels, groups)
    assert shuffled.reshape(-1).asnumpy().tolist() == order
    assert channel_shuffle(shuffled, 6 // groups).reshape(-1).asnumpy().tolist() == [0, 1, 2, 3, 4, 5]


def test_torchvisions_layout_and_names():
    network = create_model("shufflenet_v2_x1_0", layout="torchvision", **SMALL)
    arrays = {path: parameter.asnumpy() for path, parameter in network.parameters_and_names()}
    theirs = network.to_torch(arrays)
    # torchvision's state_dict has these names and shapes.
    shapes = {name: array.shape for name, array in theirs.items()}
    assert shapes["stage2.0.branch1.2.weight"] == (58, 24, 1, 1)
    assert shapes["stage3.1.branch2.5.weight"] == (116, 116, 1, 1)
    assert shapes["conv5.1.running_mean"] == (1024,)
    assert set(network.from_torch(theirs)) == set(arrays)


def test_mindcvs_layout_has_no_torchvision_names():
    network = create_model("shufflenet_v2_x0_5", **SMALL)
    with pytest.raises(ValueError, match="torchvision's ShuffleNetV2 has another layout of blocks"):
        network.to_torch({})


@pytest.mark.parametrize(
    ("name", "argument", "message"),
    [
        ("shufflenet_v2_x0_5", {"layout": "timm"}, "layout is 'timm'; give 'mindcv' or 'torchvision'"),
        ("shufflenet_v2_x0_5", {"model_size": "3x"}, "model_size is '3x'; give one of 0.5x, 1.0x, 1.5x, 2.0x"),
        ("shufflenet_v1_g3_05", {"group": 4}, "group 4 and model_size '0.5x'; give 3 or 8, and 0.5x, 1.0x"),
    ],
)
def test_what_cannot_be_is_refused(name, argument, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, **argument)


def test_grouped_convolution_of_mindcv_0_3(tmp_path):
    """It was one layer there, `branch_main_1.0.weight`; MindCV's later files have a layer for each group."""
    network = create_model("shufflenet_v1_g3_05", **SMALL).set_train(False)
    x = Tensor(np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32))
    expected = network(x).asnumpy()

    def as_one_layer(cell: nn.Cell) -> nn.Cell | None:
        convs = getattr(cell, "convs", None)
        if convs is None:
            return None
        weight = np.concatenate([conv.weight.asnumpy() for conv in convs])
        width = weight.shape[1] * len(convs)
        return nn.Conv2d(width, weight.shape[0], 1, group=len(convs), weight_init=Tensor(weight))

    count = replace_cells(network, as_one_layer)
    arrays = {path: parameter.asnumpy() for path, parameter in network.parameters_and_names()}
    assert count == 8
    assert arrays["features.1.branch_main_1.0.weight"].shape == (60, 40, 1, 1)
    np.testing.assert_allclose(network(x).asnumpy(), expected, atol=1e-5)
    write_weights(tmp_path / "w.ckpt", arrays)
    loaded = create_model("shufflenet_v1_g3_05", checkpoint_path=str(tmp_path / "w.ckpt"), **SMALL).set_train(False)
    np.testing.assert_array_equal(loaded(x).asnumpy(), expected)
