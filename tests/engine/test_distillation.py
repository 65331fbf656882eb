"""A student and its teacher: the loss against its formula, the gradient, and what stays the student's alone."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from reference import BATCH, CLASSES, FEATURES, Settings, batches
from stepping import Net

from mindcv.engine import LossScale, LossWithNetwork, RenormalizedNetwork, TrainStep, WithTeacher, auto_mixed_precision
from mindcv.loss import DistillationLoss, create_loss
from mindcv.optim import create_optimizer

GRAPH, PYNATIVE = ms.GRAPH_MODE, ms.PYNATIVE_MODE


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def expected_divergence(kind, student, teacher, temperature):
    """Equations 2 and 3 of arXiv 2012.12877, in float64."""
    if kind == "hard":
        return -log_softmax(student)[np.arange(len(student)), teacher.argmax(-1)].mean()
    log_p, log_q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    return temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(-1).mean()


def logits_of(count, seed=0):
    random = np.random.RandomState(seed)
    return [3 * random.standard_normal((6, 5)) for _ in range(count)]


def tensors(arrays):
    return tuple(ms.Tensor(array.astype(np.float32)) for array in arrays)


@pytest.mark.parametrize("has_own_head", [False, True])
@pytest.mark.parametrize("labels", ["classes", "mixed"])
@pytest.mark.parametrize(("kind", "alpha", "temperature"), [("soft", 0.9, 3.0), ("soft", 0.3, 1.0), ("hard", 0.5, 3.0)])
def test_loss_is_the_papers(kind, alpha, temperature, labels, has_own_head):
    first, second, teacher = logits_of(3)
    classes = np.array([0, 4, 2, 2, 1, 3])
    targets = np.eye(5)[classes]
    if labels == "mixed":
        targets = 0.7 * targets + 0.3 * targets[::-1]
    smooth = 0.9 * targets + 0.1 / 5
    hard = -(smooth * log_softmax(first)).sum(-1).mean()
    student = second if has_own_head else first
    expected = (1 - alpha) * hard + alpha * expected_divergence(kind, student, teacher, temperature)
    loss = DistillationLoss(create_loss("CE", label_smoothing=0.1), kind, alpha, temperature, has_own_head)
    logits = tensors((first, second, teacher) if has_own_head else (first, teacher))
    given = ms.Tensor(classes.astype(np.int32) if labels == "classes" else targets.astype(np.float32))
    np.testing.assert_allclose(float(loss(logits, given)), expected, rtol=2e-5)


def test_auxiliary_logits_learn_from_the_labels_alone():
    first, auxiliary, teacher = logits_of(3)
    labels = ms.Tensor(np.array([0, 4, 2, 2, 1, 3], np.int32))
    base = create_loss("CE", aux_factor=0.3)
    loss = DistillationLoss(base, "hard", 0.25)
    expected = 0.75 * float(base(tensors((first, auxiliary)), labels))
    expected += 0.25 * expected_divergence("hard", first, teacher, 1)
    np.testing.assert_allclose(float(loss(tensors((first, auxiliary, teacher)), labels)), expected, rtol=2e-5)


def test_class_weights_and_sums_are_the_base_losses():
    first, teacher = logits_of(2)
    labels = ms.Tensor(np.array([0, 4, 2, 2, 1, 3], np.int32))
    base = create_loss("CE", weight=[1.0, 2.0, 0.5, 1.0, 3.0], reduction="sum")
    loss = DistillationLoss(base, "soft", 0.5, 2.0)
    expected = 0.5 * float(base(tensors([first])[0], labels))
    expected += 0.5 * 6 * expected_divergence("soft", first, teacher, 2.0)
    np.testing.assert_allclose(float(loss(tensors((first, teacher)), labels)), expected, rtol=2e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "sotf"}, "distill must be one of|'sotf'"),
        ({"alpha": 1.5}, "distill_alpha must be between 0 and 1, but got 1.5"),
        ({"temperature": 0.0}, "distill_temperature must be a finite number above 0, but got 0.0"),
        ({"reduction": "none"}, "needs a loss of reduction mean or sum, but got 'none'"),
    ],
)
def test_impossible_values(arguments, message):
    base = create_loss("CE", reduction=arguments.pop("reduction", "mean"))
    with pytest.raises(ValueError, match=message):
        DistillationLoss(base, **arguments)


class Teacher(nn.Cell):
    """BatchNorm and dropout, which both differ in training, then a dense layer."""

    def __init__(self):
        super().__init__()
        random = np.random.RandomState(8)
        self.norm = nn.BatchNorm1d(FEATURES)
        self.dropout = nn.Dropout(p=0.5)
        self.second = nn.Dense(FEATURES, CLASSES)  # the student has a parameter of that name
        self.second.weight.set_data(ms.Tensor(random.standard_normal((CLASSES, FEATURES)), ms.float32))
        self.norm.moving_mean.set_data(ms.Tensor(random.standard_normal(FEATURES), ms.float32))

    def construct(self, x):
        return self.second(self.dropout(self.norm(x)))


def teacher_logits(teacher, x):
    names = {p.name.removeprefix("teacher."): p.asnumpy().astype(np.float64) for p in teacher.get_parameters()}
    x = (x - names["norm.moving_mean"]) / np.sqrt(names["norm.moving_variance"] + 1e-5)
    x = x * names["norm.gamma"] + names["norm.beta"]
    return x @ names["second.weight"].T + names["second.bias"]


def step_with(teacher, kind, **options):
    network = Net()
    loss = create_loss("CE", label_smoothing=0.1)
    level = options.pop("amp_level", "O0")
    with_teacher = WithTeacher(auto_mixed_precision(network, level), auto_mixed_precision(teacher, level))
    optimizer = create_optimizer(network, "momentum", 0.1, momentum=0.9)
    step = TrainStep(
        LossWithNetwork(with_teacher, DistillationLoss(loss, kind, 0.6, 2.0)), optimizer, ema=True, **options
    )
    return step.set_train(True)


def reference_step(weights, velocity, teacher, x, y, kind):
    """One update of momentum by hand: the gradient of the loss with respect to the logits goes through the network."""
    hidden = np.tanh(x @ weights["first.weight"].T + weights["first.bias"])
    logits = hidden @ weights["second.weight"].T + weights["second.bias"]
    given = teacher_logits(teacher, x)
    targets = np.eye(CLASSES)[y] if y.ndim == 1 else y
    smooth = 0.9 * targets + 0.1 / CLASSES
    probabilities = np.exp(log_softmax(logits))
    by_labels = probabilities - smooth
    if kind == "hard":
        by_teacher = probabilities - np.eye(CLASSES)[given.argmax(-1)]
    else:
        by_teacher = 2.0 * (np.exp(log_softmax(logits / 2.0)) - np.exp(log_softmax(given / 2.0)))
    loss = -0.4 * (smooth * log_softmax(logits)).sum(-1).mean()
    loss += 0.6 * expected_divergence(kind, logits, given, 2.0)
    delta = (0.4 * by_labels + 0.6 * by_teacher) / len(x)
    inner = (delta @ weights["second.weight"]) * (1 - hidden**2)
    gradients = {
        "first.weight": inner.T @ x,
        "first.bias": inner.sum(0),
        "second.weight": delta.T @ hidden,
        "second.bias": delta.sum(0),
    }
    for name, gradient in gradients.items():
        velocity[name] = 0.9 * velocity.get(name, 0.0) + gradient
        weights[name] = weights[name] - 0.1 * velocity[name]
    return loss


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
@pytest.mark.parametrize(
    ("kind", "mixup", "options", "tolerance"),
    [
        ("soft", False, {}, 1e-5),
        ("hard", True, {"scale_sense": LossScale(64.0, dynamic=True)}, 1e-5),
        ("soft", True, {"amp_level": "O2", "scale_sense": LossScale(64.0)}, 3e-3),
    ],
)
def test_training_is_that_of_the_formula_and_leaves_the_teacher_alone(kind, mixup, options, tolerance, mode):
    ms.set_context(mode=mode)
    teacher = Teacher()
    before = {p.name: p.asnumpy().copy() for p in teacher.get_parameters()}
    step = step_with(teacher, kind, **options)
    weights = {n: step.parameters_dict()[n].asnumpy().astype(np.float64) for n in Net().parameters_dict()}
    velocity: dict = {}
    for x, y in batches(5, Settings(mixup=mixup)):
        loss = float(step(ms.Tensor(x), ms.Tensor(y)))
        np.testing.assert_allclose(loss, reference_step(weights, velocity, teacher, x, y, kind), rtol=tolerance)
    for name, expected in weights.items():
        np.testing.assert_allclose(step.parameters_dict()[name].asnumpy(), expected, rtol=tolerance, atol=tolerance)
    assert not [name for name in step.parameters_dict() if "teacher" in name]
    assert sum(name.startswith("ema.") for name in step.parameters_dict()) == 4
    assert not teacher.training
    for parameter in teacher.get_parameters():
        assert not parameter.requires_grad
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name.removeprefix("teacher.")])


def test_in_evaluation_the_teacher_is_not_asked():
    student = WithTeacher(Net(), Teacher()).set_train(False)
    x = ms.Tensor(np.ones((BATCH, FEATURES), np.float32))
    np.testing.assert_array_equal(student(x).asnumpy(), student.network(x).asnumpy())
    assert len(student.set_train(True)(x)) == 2


def test_a_teacher_gets_images_of_its_own_mean_and_deviation():
    pixels = np.random.RandomState(0).uniform(0, 255, (2, 3, 4, 4))
    mean, std, own_mean, own_std = (120, 110, 100), (60, 50, 55), (127.5, 127.5, 127.5), (127.5, 120, 110)
    by = [np.reshape(values, (1, 3, 1, 1)) for values in (mean, std, own_mean, own_std)]
    network = RenormalizedNetwork(nn.Identity(), mean, std, own_mean, own_std)
    got = network(ms.Tensor(((pixels - by[0]) / by[1]).astype(np.float32))).asnumpy()
    np.testing.assert_allclose(got, (pixels - by[2]) / by[3], atol=1e-5)
