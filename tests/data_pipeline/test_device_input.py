"""Normalising and mixing on the device equal the host's, from the file to the logits and the weights' gradients."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindcv.data import EvalPreprocess, create_dataset, create_loader, create_transforms
from mindcv.data.mixup import Mixup
from mindcv.data.transforms_factory import PixelErasing, RandomErasing
from mindcv.engine import LossWithMixing, LossWithNetwork, NormalizedNetwork, auto_mixed_precision

MEAN, STD = EvalPreprocess().mean, EvalPreprocess().std
CLASSES = 3


class Net(nn.Cell):
    """A convolution, a norm and a classifier with fixed weights."""

    def __init__(self):
        super().__init__()
        random = np.random.RandomState(1)
        self.conv = nn.Conv2d(3, 4, 3, stride=2, pad_mode="same", weight_init=self.values(random, (4, 3, 3, 3)))
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Dense(4, CLASSES, weight_init=self.values(random, (CLASSES, 4)))

    @staticmethod
    def values(random, shape):
        return ms.Tensor(random.standard_normal(shape).astype(np.float32) / 3)

    def construct(self, image):
        return self.head(ops.relu(self.norm(self.conv(image))).mean((2, 3)))


def batches(root, on_device, is_training=False, **mixing):
    dataset = create_dataset("imagenet", str(root), "train", shuffle=False)
    options = {"hflip": 0.0, "scale": (1.0, 1.0), "ratio": (1.0, 1.0)} if is_training else {}
    transform = create_transforms("imagenet", 24, is_training, normalize_on_device=on_device, **options)
    loader = create_loader(
        dataset, 4, True, is_training, transform=transform, num_classes=CLASSES, mix_on_device=on_device, **mixing
    )
    return list(loader.create_tuple_iterator(num_epochs=1, output_numpy=True))


@pytest.fixture(params=[ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def _mode(request):
    ms.set_context(mode=request.param)


@pytest.mark.usefixtures("_mode")
@pytest.mark.parametrize("is_training", [False, True])
def test_logits_equal_those_of_the_host(image_folder, is_training):
    network = Net().set_train(False)
    on_device = NormalizedNetwork(network, MEAN, STD)
    assert [p.name for p in on_device.get_parameters()] == [p.name for p in network.get_parameters()]
    for host, device in zip(batches(image_folder, False), batches(image_folder, True), strict=True):
        assert (device[0].dtype, device[0].shape, host[0].shape) == (np.uint8, (4, 24, 24, 3), (4, 3, 24, 24))
        expected = network(ms.Tensor(host[0])).asnumpy()
        np.testing.assert_allclose(on_device(ms.Tensor(device[0])).asnumpy(), expected, atol=1e-5)


@pytest.mark.parametrize("level", ["O2", "O3"])
def test_normalising_stays_in_fp32_in_mixed_precision(image_folder, level):
    ms.set_context(mode=ms.GRAPH_MODE)
    mixed = auto_mixed_precision(Net().set_train(False), level)
    on_device = NormalizedNetwork(mixed, MEAN, STD)
    host, device = batches(image_folder, False)[0], batches(image_folder, True)[0]
    expected = mixed(ms.Tensor(host[0])).asnumpy()
    np.testing.assert_allclose(on_device(ms.Tensor(device[0])).asnumpy(), expected, atol=1e-5)


@pytest.mark.parametrize("mixing", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_mixing_on_the_device_equals_the_hosts_formula(image_folder, mixing):
    """Loss and gradients of what was drawn, with images mixed in numpy after normalising."""
    ms.set_context(mode=ms.GRAPH_MODE)
    network, loss = Net().set_train(), nn.CrossEntropyLoss()
    with_mixing = LossWithMixing(NormalizedNetwork(network, MEAN, STD), loss, CLASSES)
    weights = network.trainable_params()
    on_device = ops.value_and_grad(with_mixing, None, weights)
    on_host = ops.value_and_grad(LossWithNetwork(network, loss), None, weights)
    drawn = []
    for image, label, mix in batches(image_folder, True, True, cutmix_prob=1.0, **mixing):
        drawn.append(mix)
        share, label_share, top, bottom, left, right = mix
        normalised = ((image - np.float32(MEAN)) / np.float32(STD)).transpose(0, 3, 1, 2).astype(np.float32)
        mixed = share * normalised + (1 - share) * normalised[::-1]
        box = np.s_[:, :, int(top) : int(bottom), int(left) : int(right)]
        mixed[box] = normalised[::-1][box]
        rows = np.eye(CLASSES, dtype=np.float32)[label]
        rows = label_share * rows + (1 - label_share) * rows[::-1]
        expected_loss, expected = on_host(ms.Tensor(mixed.astype(np.float32)), ms.Tensor(rows))
        loss_value, gradients = on_device(ms.Tensor(image), ms.Tensor(label), ms.Tensor(mix))
        np.testing.assert_allclose(loss_value.asnumpy(), expected_loss.asnumpy(), atol=1e-5)
        for one, other in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), atol=1e-5)
    shares = np.stack(drawn)[:, 1]
    assert ((shares > 0) & (shares < 1)).any()
    if "cutmix" not in mixing:
        assert not np.stack(drawn)[:, 2:].any()


def test_draws_follow_the_seed_and_the_batch_and_mean_what_the_host_does():
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(4)
    mix = Mixup(0.2, 1.0, label_smoothing=0.0, num_classes=4, seed=3)
    drawn = mix.draw(images, labels)[2]
    np.testing.assert_array_equal(
        drawn, Mixup(0.2, 1.0, label_smoothing=0.0, num_classes=4, seed=3).draw(images, labels)[2]
    )
    assert (drawn != mix.draw(images[::-1], labels)[2]).any()
    share, label_share, top, bottom, left, right = drawn
    assert label_share == share or label_share == pytest.approx(1 - (bottom - top) * (right - left) / 256)


def test_never_mixed_is_drawn_as_such():
    images, labels = np.zeros((4, 8, 8, 3), np.uint8), np.arange(4)
    assert Mixup(0.2, prob=0.0, label_smoothing=0.0, num_classes=4).draw(images, labels)[2].tolist() == [
        1,
        1,
        0,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("options", [{"mode": "elem", "label_smoothing": 0.0}, {"label_smoothing": 0.1}])
def test_what_a_device_does_not_do_is_refused(options):
    with pytest.raises(ValueError, match="a device mixes whole batches of plain labels"):
        Mixup(0.2, num_classes=4, **options).draw(np.zeros((2, 4, 4, 3), np.uint8), np.arange(2))


@pytest.mark.parametrize("value", [0, (30, 0, 250), "random"])
def test_erasing_pixels_means_what_erasing_normalised_images_means(value):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    units = value if isinstance(value, str) else (np.asarray(value) / 255).tolist()
    erased = PixelErasing(MEAN, STD, 1.0, (0.2, 0.3), (0.5, 2.0), units, 10)(pixels)
    assert (erased.dtype, erased.shape) == (np.uint8, pixels.shape)
    changed = (erased != pixels).any(-1)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    region = erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert 0.17 < region.shape[0] * region.shape[1] / 1024 < 0.33
    normalised = (region - np.float32(MEAN)) / np.float32(STD)
    if value == "random":
        assert abs(normalised.mean()) < 0.15
        assert 0.8 < normalised.std() < 1.1
    else:
        np.testing.assert_allclose(normalised, np.broadcast_to(units, normalised.shape), atol=0.5 / min(STD) + 1e-6)


def test_erasing_leaves_alone_what_it_should():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    never = PixelErasing(MEAN, STD, 0.0)
    too_large = PixelErasing(MEAN, STD, 1.0, (1.0, 1.0), (1.0, 1.0))
    np.testing.assert_array_equal(never(pixels), pixels)
    np.testing.assert_array_equal(too_large(pixels), pixels)
    assert RandomErasing(1.0, (1.0, 1.0), (1.0, 1.0))(pixels.transpose(2, 0, 1)).shape == (3, 32, 32)
