"""Inception-v3's auxiliary classifier, and cells side by side of which some fork."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.models import create_model
from mindcv.models.layers import Branches
from mindcv.weights import write_weights

SMALL = {"width": 0.125, "num_classes": 5, "drop_rate": 0.0}


class _Times(nn.Cell):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def construct(self, x: Tensor) -> Tensor:
        return x * self.factor


def test_forked_cells_go_into_the_two_behind_them():
    cells = {"a": _Times(2.0), "b": _Times(3.0), "b1": _Times(5.0), "b2": _Times(7.0), "c": _Times(11.0)}
    ones = Tensor(np.ones((1, 1, 2, 2), np.float32))
    assert Branches(cells, forked=("b",))(ones)[0, :, 0, 0].asnumpy().tolist() == [2, 15, 21, 11]


def test_auxiliary_logits_are_those_behind_6e_and_in_training_only():
    network = create_model("inception_v3", **SMALL)
    images = Tensor(np.random.default_rng(0).standard_normal((2, 3, 299, 299)).astype(np.float32))
    logits, auxiliary = network.set_train()(images)
    assert logits.shape == auxiliary.shape == (2, 5)
    expected = network.aux(network.forward_stages(images)[3])
    np.testing.assert_allclose(auxiliary.asnumpy(), expected.asnumpy(), atol=1e-5)
    assert network.set_train(False)(images).shape == (2, 5)
    network.reset_classifier(7)
    assert [output.shape for output in network.set_train()(images)] == [(2, 7)] * 2


def test_files_with_and_without_auxiliary_classifier(tmp_path):
    arrays = {p.name: p.asnumpy() for p in create_model("inception_v3", **SMALL).get_parameters()}
    write_weights(tmp_path / "with.ckpt", arrays)
    plain = create_model("inception_v3", **SMALL, aux_logits=False, checkpoint_path=str(tmp_path / "with.ckpt"))
    without = {name: array for name, array in arrays.items() if not name.startswith("aux.")}
    assert {parameter.name for parameter in plain.get_parameters()} == set(without) != set(arrays)
    write_weights(tmp_path / "without.ckpt", without)
    again = create_model("inception_v3", **SMALL, checkpoint_path=str(tmp_path / "without.ckpt"))
    np.testing.assert_array_equal(again.conv1a.conv.weight.asnumpy(), arrays["conv1a.conv.weight"])


@pytest.mark.parametrize("pad", ["valid", "zeros"])
def test_another_padding_of_pools_is_refused(pad):
    with pytest.raises(ValueError, match=rf"pool_pad is '{pad}'; give 'same' \(MindCV's weights\) or 'both'"):
        create_model("inception_v3", pool_pad=pad)
