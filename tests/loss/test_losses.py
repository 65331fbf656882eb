"""Every loss and its gradient against numpy formulas in float64, in both modes, and what the factory refuses."""

import inspect
import math
from typing import get_args

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv import loss as losses
from mindcv.config.training_keys import LossKeys
from mindcv.loss import JSDCrossEntropy, create_loss, list_losses

N, C = 6, 4
_RNG = np.random.default_rng(3)
LOGITS = _RNG.normal(scale=2, size=(N, C)).astype(np.float32)
AUX = [_RNG.normal(scale=2, size=(N, C)).astype(np.float32) for _ in range(2)]
INDICES = np.array([0, 3, 1, 1, 2, 0], np.int32)
ONE_HOT = np.eye(C)[INDICES]
MIXED = (0.7 * ONE_HOT + 0.3 * ONE_HOT[::-1]).astype(np.float32)
MANY = (_RNG.random((N, C)) < 0.5).astype(np.float32)
WEIGHT = np.array([0.5, 1.0, 2.0, 1.5], np.float32)
ONES = np.ones(C)


def _log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _smoothed(y, smoothing):
    return y * (1 - smoothing) + smoothing / C


def _cross_entropy(x, labels, smoothing, weight):
    """The loss of every sample, and what a mean divides by."""
    y = np.eye(C)[labels] if labels.ndim == 1 else labels.astype(np.float64)
    each = -(weight * _smoothed(y, smoothing) * _log_softmax(x)).sum(-1)
    return each, weight[labels].sum() if labels.ndim == 1 else len(x)


def _binary(x, labels, smoothing, weight):
    y = _smoothed(np.eye(C)[labels] if labels.ndim == 1 else labels, smoothing)
    return -weight * (y * np.log(_sigmoid(x)) + (1 - y) * np.log(_sigmoid(-x))), x.size


def _single(x, labels, smoothing, weight):
    y = np.eye(C)[labels] if labels.ndim == 1 else labels
    p = np.exp(_log_softmax(x))
    focus = (1 - p * y - (1 - p) * (1 - y)) ** (y + 4 * (1 - y))
    return -(weight * _smoothed(y, smoothing) * _log_softmax(x) * focus).sum(-1), len(x)


def _multi(x, labels, smoothing, weight):
    y = _smoothed(np.eye(C)[labels] if labels.ndim == 1 else labels, smoothing)
    p = _sigmoid(x)
    q = np.minimum(1 - p + 0.05, 1)
    focus = (1 - p * y - q * (1 - y)) ** (y + 4 * (1 - y))
    return -(weight * (y * np.log(p) + (1 - y) * np.log(q)) * focus).sum(-1), len(x)


def _focal(x, labels, smoothing, weight):
    y = np.eye(C)[labels] if labels.ndim == 1 else labels.astype(np.float64)
    log_p = _log_softmax(x)
    each = -(weight * _smoothed(y, smoothing) * (1 - np.exp(log_p)) ** 2 * log_p).sum(-1)
    return each, weight[labels].sum() if labels.ndim == 1 else len(x)


def _focal_multi(x, labels, smoothing, weight):
    y = _smoothed(np.eye(C)[labels] if labels.ndim == 1 else labels, smoothing)
    p, q = _sigmoid(x), _sigmoid(-x)
    return -weight * (y * q**2 * np.log(p) + (1 - y) * p**2 * np.log(q)), x.size


FORMULAS = {
    "ce": _cross_entropy,
    "bce": _binary,
    "asl_single_label": _single,
    "asl_multi_label": _multi,
    "focal": _focal,
    "focal_multi_label": _focal_multi,
}
LABELS = {"indices": INDICES, "probabilities": MIXED, "many": MANY}


def _reduced(each, divisor, reduction):
    return {"none": each, "sum": each.sum(), "mean": each.sum() / divisor}[reduction]


def _expected(name, logits, labels, reduction="mean", smoothing=0.0, weight=ONES):
    return _reduced(*FORMULAS[name](logits.astype(np.float64), labels, smoothing, weight), reduction)


class _Loss(nn.Cell):
    """A loss as the training step calls it: logits are made inside of the network."""

    def __init__(self, loss, has_aux):
        super().__init__()
        self.loss = loss
        self.has_aux = has_aux

    def construct(self, logits, aux, last, labels):
        if self.has_aux:
            return self.loss((logits, aux, last), labels)
        return self.loss(logits, labels)


def _gradient(function, at, epsilon=1e-5):
    """Central differences of a function of float64 logits."""
    at = at.astype(np.float64)
    result = np.zeros_like(at)
    for index in np.ndindex(*at.shape):
        shift = np.zeros_like(at)
        shift[index] = epsilon
        result[index] = (function(at + shift) - function(at - shift)) / (2 * epsilon)
    return result


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
@pytest.mark.parametrize("name", FORMULAS)
def test_loss_and_gradient_in_a_network(name, mode):
    """Everything at once: smoothing, class weights, two auxiliary logits."""
    ms.set_context(mode=mode)
    net = _Loss(create_loss(name.upper(), WEIGHT, "mean", 0.1, 0.3), True)
    grad = ms.value_and_grad(net, 0)
    value, gradient = grad(Tensor(LOGITS), Tensor(AUX[0]), Tensor(AUX[1]), Tensor(INDICES))
    expected = _expected(name, LOGITS, INDICES, "mean", 0.1, WEIGHT)
    expected += 0.3 * sum(_expected(name, aux, INDICES, "mean", 0.1, WEIGHT) for aux in AUX)
    np.testing.assert_allclose(value.asnumpy(), expected, rtol=2e-6)
    wanted = _gradient(lambda x: _expected(name, x, INDICES, "mean", 0.1, WEIGHT), LOGITS)
    np.testing.assert_allclose(gradient.asnumpy(), wanted, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
@pytest.mark.parametrize("name", FORMULAS)
def test_gradients_of_batches_of_other_sizes(name, mode):
    """A last, smaller batch: its gradient is that of a loss that has seen no other."""
    ms.set_context(mode=mode)
    rows = [0, 3]
    grad = ms.grad(create_loss(name))
    grad(Tensor(LOGITS), Tensor(INDICES))
    gradient = grad(Tensor(LOGITS[rows]), Tensor(INDICES[rows])).asnumpy()
    wanted = _gradient(lambda x: _expected(name, x, INDICES[rows]), LOGITS[rows])
    np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", FORMULAS)
def test_value(name, labels, reduction, smoothing, weight):
    loss = create_loss(name, None if weight is None else Tensor(weight), reduction, smoothing)
    expected = _expected(name, LOGITS, LABELS[labels], reduction, smoothing, ONES if weight is None else weight)
    result = loss(Tensor(LOGITS), Tensor(LABELS[labels])).asnumpy()
    assert result.dtype == np.float32
    # MindSpore's CPU exp and log_softmax are right to 4e-6 (measured against float64).
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_auxiliary_logits_count_only_with_a_factor(name):
    main = float(create_loss(name)(Tensor(LOGITS), Tensor(INDICES)))
    logits = (Tensor(LOGITS), Tensor(AUX[0]))
    assert float(create_loss(name)(logits, Tensor(INDICES))) == main
    extra = float(create_loss(name, aux_factor=0.4)(logits, Tensor(INDICES))) - main
    np.testing.assert_allclose(extra, 0.4 * _expected(name, AUX[0], INDICES), rtol=1e-4)


@pytest.mark.parametrize("name", list_losses())
def test_half_precision_logits_are_computed_in_float32(name):
    logits = Tensor(LOGITS * 100, ms.float16)
    loss = create_loss(name)
    result = loss(logits, Tensor(INDICES))
    assert result.dtype == ms.float32
    assert float(result) == float(loss(logits.astype(ms.float32), Tensor(INDICES)))
    assert math.isfinite(float(result))


@pytest.mark.parametrize("name", list_losses())
@pytest.mark.parametrize("scale", [0.0, 200.0])
def test_gradients_of_extreme_logits_are_finite(name, scale):
    loss = create_loss(name, label_smoothing=0.1)
    loss.set_train()
    value, gradient = ms.value_and_grad(loss, 0)(Tensor(LOGITS * scale), Tensor(INDICES))
    assert math.isfinite(float(value))
    assert np.isfinite(gradient.asnumpy()).all()


def test_binary_gradient_at_zero():
    """Where a formula with an absolute value has the gradient 0 instead of (sigmoid(0) - y) / size."""
    gradient = ms.grad(create_loss("bce"))(Tensor(np.zeros((N, C), np.float32)), Tensor(INDICES))
    np.testing.assert_allclose(gradient.asnumpy(), (0.5 - ONE_HOT) / (N * C), rtol=1e-6)


def test_binary_positive_weight():
    result = losses.BinaryCrossEntropySmooth(pos_weight=WEIGHT)(Tensor(LOGITS), Tensor(MANY))
    x = LOGITS.astype(np.float64)
    expected = -(WEIGHT * MANY * np.log(_sigmoid(x)) + (1 - MANY) * np.log(_sigmoid(-x))).mean()
    np.testing.assert_allclose(result.asnumpy(), expected, rtol=1e-6)


def _jsd(x, labels, smoothing, weight, alpha):
    views = _log_softmax(x.astype(np.float64)).reshape(3, 2, C)
    mixture = np.log(np.exp(views).mean(0))
    clean = _reduced(*_cross_entropy(x[:2].astype(np.float64), labels[:2], smoothing, weight), "mean")
    return clean + alpha / 3 * (np.exp(views) * (views - mixture)).sum() / 2


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
@pytest.mark.parametrize("labels", ["indices", "probabilities"])
def test_jsd_in_training(labels, mode):
    ms.set_context(mode=mode)
    net = _Loss(create_loss("jsd", WEIGHT, label_smoothing=0.1, aux_factor=0.3), True)
    net.set_train()
    arguments = [Tensor(values) for values in (LOGITS, *AUX, LABELS[labels])]
    expected = sum(
        factor * _jsd(x, LABELS[labels], 0.1, WEIGHT, 12) for factor, x in ((1, LOGITS), (0.3, AUX[0]), (0.3, AUX[1]))
    )
    np.testing.assert_allclose(net(*arguments).asnumpy(), expected, rtol=5e-6)


def test_jsd_in_evaluation_is_cross_entropy():
    loss = JSDCrossEntropy(smoothing=0.1)
    loss.set_train(False)
    result = loss(Tensor(LOGITS), Tensor(INDICES)).asnumpy()
    np.testing.assert_allclose(result, _expected("ce", LOGITS, INDICES, smoothing=0.1), rtol=1e-6)


def test_jsd_of_a_batch_without_all_views():
    loss = JSDCrossEntropy(num_splits=4)
    loss.set_train()
    with pytest.raises(ValueError, match="batch of num_splits=4 views, but got 6 samples"):
        loss(Tensor(LOGITS), Tensor(INDICES))


def test_defaults_of_upstreams_classes():
    single = losses.AsymmetricLossSingleLabel()(Tensor(LOGITS), Tensor(INDICES))
    np.testing.assert_allclose(single.asnumpy(), _expected("asl_single_label", LOGITS, INDICES, "mean", 0.1), rtol=1e-5)
    multi = losses.AsymmetricLossMultilabel()(Tensor(LOGITS), Tensor(MANY))
    np.testing.assert_allclose(multi.asnumpy(), _expected("asl_multi_label", LOGITS, MANY, "sum"), rtol=1e-5)


def test_asymmetric_without_focus_is_binary_cross_entropy():
    loss = losses.AsymmetricLossMultilabel(gamma_neg=0, gamma_pos=0, clip=0)
    expected = _expected("bce", LOGITS, MANY, "sum")
    np.testing.assert_allclose(loss(Tensor(LOGITS), Tensor(MANY)).asnumpy(), expected, rtol=1e-5)


# The public signatures (COMPAT.md section 1, and upstream's classes).
SIGNATURES = {
    "create_loss": "name='CE' weight=None reduction='mean' label_smoothing=0.0 aux_factor=0.0",
    "CrossEntropySmooth": "smoothing=0.0 aux_factor=0.0 reduction='mean' weight=None",
    "BinaryCrossEntropySmooth": "smoothing=0.0 aux_factor=0.0 reduction='mean' weight=None pos_weight=None",
    "AsymmetricLossMultilabel": "gamma_neg=4 gamma_pos=1 clip=0.05 eps=1e-08",
    "AsymmetricLossSingleLabel": "gamma_pos=1 gamma_neg=4 eps=0.1 reduction='mean' smoothing=0.1",
    "FocalLoss": "gamma=2.0 smoothing=0.0 aux_factor=0.0 reduction='mean' weight=None",
    "FocalLossMultilabel": "gamma=2.0 smoothing=0.0 aux_factor=0.0 reduction='mean' weight=None",
    "JSDCrossEntropy": "num_splits=3 alpha=12 smoothing=0.1 weight=None reduction='mean' aux_factor=0.0",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature_is_upstreams(name):
    function = getattr(losses, name)
    function = function.__init__ if inspect.isclass(function) else function
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    positional = [f"{p.name}={p.default!r}" for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert " ".join(positional) == SIGNATURES[name]


def test_names():
    upstreams = ("ce", "bce", "asl_single_label", "asl_multi_label", "jsd")
    assert list_losses() == (*upstreams, "focal", "focal_multi_label")
    assert {type(create_loss(name)).__name__ for name in list_losses()} == set(SIGNATURES) - {"create_loss"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "BCEE"}, "unknown loss 'BCEE'; did you mean 'bce'? Allowed: asl_multi_label, asl_single_label, bce"),
        ({"reduction": "avg"}, "unknown reduction 'avg'. Allowed: mean, none, sum"),
        ({"label_smoothing": 1.0}, "label_smoothing must be in [0, 1), but got 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing must be in [0, 1), but got -0.1"),
        ({"label_smoothing": math.nan}, "label_smoothing must be in [0, 1), but got nan"),
        ({"aux_factor": -1.0}, "aux_factor must be a finite number from 0 on, but got -1.0"),
        ({"aux_factor": math.nan}, "aux_factor must be a finite number"),
        ({"name": "focal", "focal_gamma": -1.0}, "focal_gamma must be a finite number from 0 on, but got -1.0"),
        ({"weight": [1.0, -1.0]}, "weight must be a finite number from 0 on for every class"),
        ({"weight": np.ones((2, 2))}, "weight must be a finite number from 0 on for every class"),
    ],
)
@pytest.mark.parametrize("name", ["ce", "jsd"])
def test_impossible_values(name, arguments, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        create_loss(**{"name": name, **arguments})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["focal", "focal_multi_label"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 3.0])
def test_focus(name, gamma):
    """Without focus they are the entropies; with it a term has the factor (1 - p of what is true) ** gamma."""
    labels = MIXED if name == "focal" else MANY
    loss = create_loss(name, focal_gamma=gamma)
    x = LOGITS.astype(np.float64)
    if name == "focal":
        p = np.exp(_log_softmax(x))
        expected = -(labels * (1 - p) ** gamma * np.log(p)).sum(-1).mean()
    else:
        true = np.where(labels > 0.5, _sigmoid(x), _sigmoid(-x))
        expected = -((1 - true) ** gamma * np.log(true)).mean()
    assert float(loss(Tensor(LOGITS), Tensor(labels))) == pytest.approx(expected, rel=1e-5)
    if gamma == 0:
        plain = create_loss("ce" if name == "focal" else "bce")
        assert float(plain(Tensor(LOGITS), Tensor(labels))) == pytest.approx(expected, rel=1e-5)
    grad = ms.grad(lambda logits: loss(logits, Tensor(labels)))
    assert np.isfinite(grad(Tensor(LOGITS * 1e3)).asnumpy()).all()


def test_targets_above_a_threshold_are_whole():
    """Of labels mixed 0.7 to 0.3 both classes are in the image at a threshold of 0.2, and one at 0.4."""
    for threshold, smoothing in ((0.2, 0.0), (0.2, 0.1), (0.4, 0.0), (0.0, 0.1)):
        loss = create_loss("BCE", label_smoothing=smoothing, bce_target_threshold=threshold)
        whole = (_smoothed(MIXED.astype(np.float64), smoothing) > threshold).astype(np.float64)
        expected = _binary(LOGITS.astype(np.float64), whole, 0.0, ONES)[0].mean()
        assert float(loss(Tensor(LOGITS), Tensor(MIXED))) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"bce_target_threshold must be in \[0, 1\), but got 1\.0"):
        create_loss("BCE", bce_target_threshold=1.0)


def test_num_splits_out_of_range():
    with pytest.raises(ValueError, match="num_splits must be a whole number from 2 on, but got 1"):
        JSDCrossEntropy(num_splits=1)


def test_config_has_the_same_choices():
    choices = get_args(LossKeys.model_fields["loss"].annotation)
    assert {choice.lower() for choice in choices} == set(list_losses())
