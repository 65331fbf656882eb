"""GoogLeNet's auxiliary classifiers: a network of several heads."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.loss import create_loss
from mindcv.models import create_model
from mindcv.weights import write_weights

IMAGES = Tensor(np.random.default_rng(0).standard_normal((2, 3, 224, 224)).astype(np.float32))


@pytest.fixture(scope="module")
def network() -> nn.Cell:
    return create_model("googlenet", num_classes=5, aux_logits=True, drop_rate=0.0, drop_rate_aux=0.0)


def test_logits_come_before_those_of_4d_and_4a(network):
    logits, second, first = network.set_train()(IMAGES)
    maps = network._maps(IMAGES)
    np.testing.assert_allclose(second.asnumpy(), network.aux2(maps[4]).asnumpy(), atol=1e-6)
    np.testing.assert_allclose(first.asnumpy(), network.aux1(maps[3]).asnumpy(), atol=1e-6)
    alone = network.set_train(False)(IMAGES)
    assert alone.shape == (2, 5)
    np.testing.assert_allclose(alone.asnumpy(), logits.asnumpy(), atol=1e-6)


def test_all_heads_are_reset_and_adapted(network, tmp_path):
    arrays = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    write_weights(tmp_path / "w.ckpt", arrays)
    other = create_model("googlenet", num_classes=3, aux_logits=True, pretrained=str(tmp_path / "w.ckpt"))
    ours = {parameter.name: parameter.asnumpy() for parameter in other.get_parameters()}
    heads = [name for name in ours if name.startswith(("classifier.", "aux1.fc2.", "aux2.fc2."))]
    assert {ours[name].shape[0] for name in heads} == {3}
    for name in set(ours) - set(heads):
        np.testing.assert_array_equal(ours[name], arrays[name])
    other.reset_classifier(0)
    other.reset_classifier(7)
    assert [logits.shape for logits in other.set_train()(IMAGES)] == [(2, 7)] * 3


def test_files_with_and_without_auxiliary_classifiers(network, tmp_path):
    arrays = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    write_weights(tmp_path / "with.ckpt", arrays)
    plain = create_model("googlenet", num_classes=5, checkpoint_path=str(tmp_path / "with.ckpt"))
    without = {name: array for name, array in arrays.items() if not name.startswith("aux")}
    assert {parameter.name for parameter in plain.get_parameters()} == set(without)
    write_weights(tmp_path / "without.ckpt", without)
    again = create_model("googlenet", num_classes=5, aux_logits=True, checkpoint_path=str(tmp_path / "without.ckpt"))
    np.testing.assert_array_equal(again.conv1.conv.weight.asnumpy(), arrays["conv1.conv.weight"])


def test_torchvisions_network_is_refused(tmp_path):
    arrays = {"conv1.conv.weight": np.zeros((64, 3, 7, 7), np.float32), "conv1.bn.running_mean": np.zeros(64)}
    write_weights(tmp_path / "w.safetensors", arrays)
    with pytest.raises(ValueError, match=r"w\.safetensors: weights of torchvision's googlenet, which has BatchNorm"):
        create_model("googlenet", checkpoint_path=str(tmp_path / "w.safetensors"))


class _Loss(nn.Cell):
    def __init__(self, network: nn.Cell, aux_factor: float) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.loss = network, create_loss("CE", aux_factor=aux_factor)

    def construct(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.loss(self.network(images), labels)


@pytest.mark.parametrize("aux_factor", [0.0, 0.4])
def test_auxiliary_loss_reaches_the_auxiliary_classifiers(network, aux_factor):
    weights = [network.classifier.weight, network.aux1.fc2.weight, network.aux2.fc2.weight]
    step = _Loss(network.set_train(), aux_factor)
    gradients = ms.grad(step, None, weights)(IMAGES, Tensor([1, 4], ms.int32))
    sizes = [float(gradient.abs().sum()) for gradient in gradients]
    assert sizes[0] > 0
    assert [size > 0 for size in sizes[1:]] == [aux_factor > 0] * 2
