"""What two ranks compute, written to `<folder>/rank<r>.npz` for test_sync_batch_norm.py to compare with one process."""

import os
import signal
import sys

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcv.engine import (
    LossScale,
    LossWithNetwork,
    Scores,
    TrainStep,
    auto_mixed_precision,
    average_batch_norm,
    broadcast_parameters,
    rank,
    require_same_on_ranks,
    require_same_parameters,
    setup_run,
    synchronize_batch_norm,
    wait_for_ranks,
    world_size,
)
from mindcv.engine.distributed import gather_over_ranks, sum_integers
from mindcv.engine.signals import StopSignal
from mindcv.optim import create_optimizer

BATCH, CLASSES = 8, 5


class Net(nn.Cell):
    """BatchNorm of images as an attribute and in a sequence, and of features."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, pad_mode="same", weight_init="normal", bias_init="zeros")
        self.bn = nn.BatchNorm2d(6, eps=1e-5, momentum=0.9)
        self.blocks = nn.SequentialCell(nn.Conv2d(6, 6, 3, pad_mode="same"), nn.BatchNorm2d(6, eps=1e-3, momentum=0.7))
        self.dense = nn.Dense(6, 7)
        self.bn1d = nn.BatchNorm1d(7)
        self.head = nn.Dense(7, CLASSES)

    def construct(self, x):
        x = ops.relu(self.bn(self.conv(x)))
        x = self.blocks(x).mean((2, 3))
        return self.head(self.bn1d(self.dense(x)))


def fill(network, seed=0):
    """Gives a network the weights that its parameters' names and the seed say, so that BatchNorm's are not 1 and 0."""
    for parameter in network.get_parameters():
        random = np.random.RandomState(seed + sum(map(ord, parameter.name)))
        values = random.standard_normal(parameter.shape) * 0.3 + (0.5 if "weight" not in parameter.name else 0)
        parameter.set_data(ms.Tensor(np.abs(values) if "variance" in parameter.name else values, parameter.dtype))
    return network


def batch():
    """Images whose halves have other means and variances, far from zero, and labels."""
    random = np.random.RandomState(1)
    images = random.standard_normal((BATCH, 3, 5, 5)) + 20
    images[BATCH // 2 :] = images[BATCH // 2 :] * 2 - 10
    return images.astype(np.float32), random.randint(0, CLASSES, BATCH).astype(np.int32)


class Gradients(nn.Cell):
    """Gives the mean loss and its gradients by the images and by the weights."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = nn.CrossEntropyLoss()
        self.gradients = ops.value_and_grad(self.forward, 0, network.trainable_params())

    def forward(self, image, label):
        return self.loss(self.network(image), label)

    def construct(self, image, label):
        return self.gradients(image, label)


def results(network, images, labels):
    """Two training passes, whose statistics follow each other, and one in evaluation, by name."""
    images, labels = ms.Tensor(images), ms.Tensor(labels)
    cell = Gradients(network.set_train())
    cell(images, labels)
    loss, (by_image, by_weight) = cell(images, labels)
    arrays = {"loss": loss.asnumpy(), "image": by_image.asnumpy()}
    for parameter, gradient in zip(network.trainable_params(), by_weight, strict=True):
        arrays[f"gradient/{parameter.name}"] = gradient.asnumpy()
    for name, parameter in network.parameters_dict().items():
        if "moving" in name:
            arrays[f"statistics/{name}"] = parameter.asnumpy().copy()
    arrays["trained"] = network(images).asnumpy()
    arrays["evaluated"] = network.set_train(False)(images).asnumpy()
    return arrays


def dropped_update(images, labels, is_synchronized):
    """All that a step holds before and after an update that is dropped, and how many were."""
    network = fill(Net())
    if is_synchronized:
        synchronize_batch_norm(network)
    optimizer = create_optimizer(network, "momentum", 0.01)
    step = TrainStep(LossWithNetwork(network, nn.CrossEntropyLoss()), optimizer, LossScale(8.0, True), ema=True)
    step.set_train()(ms.Tensor(images), ms.Tensor(labels))
    states = [{name: p.asnumpy().copy() for name, p in step.parameters_dict().items()}]
    images = np.where(rank() == 0, np.inf, images).astype(np.float32)
    step(ms.Tensor(images), ms.Tensor(labels))
    states.append({name: p.asnumpy().copy() for name, p in step.parameters_dict().items()})
    counters = ("skipped_updates", "loss_scale", "good_updates")
    changed = [n for n in states[0] if n not in counters and not np.array_equal(states[0][n], states[1][n])]
    return {"changed": np.array(changed, str), "dropped": step.dropped_updates, "mean": states[1]["bn.moving_mean"]}


def train(images, labels):
    """Weights after three updates with a synchronised BatchNorm, and how many cells the CPU kernels computed."""
    network = fill(Net())
    synchronize_batch_norm(network)
    optimizer = create_optimizer(network, "momentum", 0.01)
    step = TrainStep(LossWithNetwork(network, nn.CrossEntropyLoss()), optimizer, ema=True, ema_decay=0.5).set_train()
    for _ in range(3):
        step(ms.Tensor(images), ms.Tensor(labels))
    weights = {name: parameter.asnumpy().copy() for name, parameter in step.parameters_dict().items()}
    return weights, len(step.kernel_cells._cells)


def several_labels():
    """Scores with many ties and labels of 30 samples for 4 classes, of which the last one has no sample."""
    random = np.random.RandomState(5)
    labels = (random.random_sample((30, 4)) < 0.4).astype(np.float32)
    labels[:, 3] = 0
    return np.round(random.standard_normal((30, 4)) + labels).astype(np.float32), labels


def scores_of_ranks():
    """mAP and subset accuracy of unequal parts of the samples, in two batches each."""
    logits, labels = several_labels()
    scores = Scores(4, is_multi_label=True)
    for part in (slice(0, 11), slice(11, 19)) if rank() == 0 else (slice(19, 21), slice(21, 30)):
        scores.add(logits[part], labels[part])
    return scores.metric_values(30, sum_integers(scores.hits), is_shared=True)


def main(folder):
    # Graph mode first: PyNative's is the other order's too.
    setup_run("CPU", 0, None, True, 0)
    images, labels = (half[rank() * BATCH // 2 :][: BATCH // 2] for half in batch())
    arrays = {}
    for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
        ms.set_context(mode=mode)
        network = fill(Net())
        names = list(network.parameters_dict())
        arrays[f"{mode}/swapped"] = synchronize_batch_norm(network)
        assert list(network.parameters_dict()) == names
        arrays.update({f"{mode}/{name}": array for name, array in results(network, images, labels).items()})

        # All ranks start from rank 0's weights, also where a step has run already.
        network = fill(Net(), seed=100 * rank())
        network(ms.Tensor(images))
        try:
            require_same_parameters(network.get_parameters())
        except ValueError as error:
            arrays[f"{mode}/unlike"] = np.array(str(error))
        broadcast_parameters(network.get_parameters())
        require_same_parameters(network.get_parameters())
        arrays[f"{mode}/broadcast"] = network.set_train(False)(ms.Tensor(batch()[0])).asnumpy()
        arrays.update({f"{mode}/weights/{name}": p.asnumpy() for name, p in network.parameters_dict().items()})

        # Without sync_bn each rank has its own statistics until they are averaged.
        network = fill(Net()).set_train()
        network(ms.Tensor(images))
        before = {name: p.asnumpy().copy() for name, p in network.parameters_dict().items()}
        network.set_train(False)(ms.Tensor(images))
        average_batch_norm(network)
        arrays.update({f"{mode}/own/{name}": array for name, array in before.items()})
        arrays.update({f"{mode}/mean/{name}": p.asnumpy() for name, p in network.parameters_dict().items()})
        arrays[f"{mode}/averaged"] = network(ms.Tensor(batch()[0])).asnumpy()

        # An update that overflows on rank 0 alone leaves no trace on either.
        for synchronized in (False, True):
            results_of_drop = dropped_update(images, labels, synchronized)
            arrays |= {f"{mode}/{synchronized}/{name}": value for name, value in results_of_drop.items()}

        weights, arrays[f"{mode}/kernels"] = train(images, labels)
        arrays |= {f"{mode}/steps/{name}": value for name, value in weights.items()}

    for level in ("O2", "O3"):
        network = fill(Net())
        synchronize_batch_norm(network)
        mixed = auto_mixed_precision(network, level).set_train()
        arrays[f"{level}/trained"] = mixed(ms.Tensor(images)).asnumpy()
        arrays[f"{level}/statistics"] = network.parameters_dict()["bn.moving_mean"].asnumpy()

    big = 3**230
    arrays["integers"] = np.array([str(n) for n in sum_integers([rank(), big + rank(), -big, -7])])
    arrays |= scores_of_ranks()
    arrays["gathered"] = gather_over_ranks([0.1 + rank(), 1 / 3])
    require_same_on_ranks(7, "the number of steps", "look at data_dir")
    try:
        require_same_on_ranks(rank(), "the number of steps", "look at data_dir")
    except ValueError as error:
        arrays["differs"] = np.array(str(error))
    with StopSignal().watching() as stop:
        agreed = [stop.agree()]
        if rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        agreed += [stop.agree(), stop.agree()]
    arrays["agreed"] = np.array([number or 0 for number in agreed])
    np.savez(f"{folder}/rank{rank()}.npz", **arrays)
    assert world_size() == 2
    wait_for_ranks()


if __name__ == "__main__":
    main(sys.argv[1])
